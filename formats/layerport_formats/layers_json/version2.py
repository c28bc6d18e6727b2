"""layers.json version 2: one JSON object for every network. See docs/layers-json.md."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from layerport.errors import UnsupportedError
from layerport.format import ReadContext
from layerport.structure import layer_config

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray

DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64",
          "uint8", "uint16", "uint32", "uint64", "bool")  # fmt: skip
KINDS = ("Sequential", "Network")


def write(network: Network, encoding: str) -> dict[str, Any]:
    """The network as a JSON value, its weights as "base64" or "numbers"."""
    encode = _as_base64 if encoding == "base64" else _as_numbers
    return {
        "format": "layerport",
        "version": 2,
        "network": layer_config(network),
        "weights": {name: encode(name, array) for name, array in network.weights.items()},
    }


def _as_base64(name: str, array: NDArray) -> dict[str, Any]:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {**_kind(name, array), "data": base64.b64encode(little.tobytes()).decode("ascii")}


def _as_numbers(name: str, array: NDArray) -> dict[str, Any]:
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise UnsupportedError(
                f"{name} holds values that are not finite, which JSON has no numbers for",
                hint="write encoding=base64",
            )
        # The shortest text that reads back as the same float32.
        values: list[Any] = [float(str(v)) for v in array.ravel()]
    else:
        values = array.ravel().tolist()
    return {**_kind(name, array), "values": values}


def _kind(name: str, array: NDArray) -> dict[str, Any]:
    return {"dtype": check_dtype(name, array), "shape": list(array.shape)}


def check_dtype(name: str, array: NDArray) -> str:
    """The name of a weight's dtype.

    Raises
    ------
    UnsupportedError : when layers.json lacks it.
    """
    if array.dtype.name not in DTYPES:
        raise UnsupportedError(f"{name} has the dtype {array.dtype}, which layers.json lacks")
    return array.dtype.name


def read(data: Mapping[str, Any], context: ReadContext) -> Network:
    """The network of a JSON value."""
    from layerport.network import Network
    from layerport.sequential import Sequential

    if data.get("version") != 2:
        context.fail(f"version {data.get('version')!r} is not known; this reads version 2")
    unknown = sorted(set(data) - {"format", "version", "network", "weights"})
    if unknown:
        context.fail(f"it has the unknown keys {', '.join(map(repr, unknown))}")
    entry = data.get("network")
    entry = entry if isinstance(entry, dict) else {}
    config = entry.get("config")
    if not isinstance(config, dict) or entry.get("class_name") not in KINDS:
        context.fail(f"it is no {' or '.join(KINDS)} with a config", "network")
    if _count(config) > context.limits.layers:
        context.fail("it has more layers than the limit allows", "network")
    weights = _sized(data.get("weights"), context)
    cls = Sequential if entry["class_name"] == "Sequential" else Network
    network = cls.from_config(config, context.registry)
    _read_weights(network, weights, context)
    return network


def _count(value: Any) -> int:
    """How many layers there are, those inside others too."""
    if isinstance(value, list):
        return sum(map(_count, value))
    if isinstance(value, dict):
        return ("class_name" in value) + sum(map(_count, value.values()))
    return 0


def _sized(given: Any, context: ReadContext) -> dict[str, Any]:
    """The weights, whose declared sizes are held against the limits before anything is made."""
    if not isinstance(given, dict):
        context.fail("the weights are no object", "weights")
    total = 0
    for name, entry in given.items():
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if isinstance(shape, list) and all(type(extent) is int for extent in shape):
            kind = entry.get("dtype")
            size = math.prod(shape) * (np.dtype(kind).itemsize if kind in DTYPES else 1)
            total += size
            if size > context.limits.tensor_bytes or total > context.limits.total_bytes:
                context.fail(
                    f"its {size:,} bytes are more than the limits allow", f"weights.{name}"
                )
    return given


def _read_weights(network: Network, given: Mapping[str, Any], context: ReadContext) -> None:
    declared = {
        f"{path}/{name}": (layer, name, weight)
        for path, layer in network.walk()
        for name, weight in layer.declared_weights.items()
    }
    problems = [f"{name} is missing" for name in declared if name not in given]
    problems += [f"{name} belongs to no layer" for name in given if name not in declared]
    for full, (layer, name, weight) in declared.items():
        if full not in given:
            continue
        try:
            array = _decode(given[full])
        except (ValueError, TypeError, KeyError) as error:
            problems.append(f"{full}: {error}")
            continue
        if array.shape != weight.shape:
            problems.append(f"{full} has the shape {array.shape}, the layer needs {weight.shape}")
        else:
            layer.place(name, array)
    if problems:
        context.fail("; ".join(problems), "weights")


def _decode(entry: Any) -> NDArray:
    if not isinstance(entry, dict):
        raise TypeError("it is no object")
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if dtype not in DTYPES:
        raise ValueError(f"the dtype {dtype!r} is none of {', '.join(DTYPES)}")
    if not isinstance(shape, list) or not all(type(d) is int and d >= 0 for d in shape):
        raise ValueError(f"the shape {shape!r} is no list of extents")
    kind = np.dtype(dtype)
    size = math.prod(shape)
    if len(entry) != 3 or ("data" in entry) == ("values" in entry):
        raise ValueError("it has dtype, shape, and either data or values")
    if "data" in entry:
        try:
            raw = base64.b64decode(entry["data"], validate=True)
        except (binascii.Error, TypeError) as error:
            raise ValueError(f"the data is no base64 ({error})") from error
        if len(raw) != size * kind.itemsize:
            raise ValueError(
                f"the data has {len(raw)} bytes, {shape} of {dtype} has {size * kind.itemsize}"
            )
        return np.frombuffer(raw, kind.newbyteorder("<")).astype(kind).reshape(shape)
    values = entry.get("values")
    if not isinstance(values, list) or len(values) != size:
        raise ValueError(f"the values are no list of {size} numbers")
    if not all(type(v) in (int, float, bool) for v in values):
        raise ValueError("the values are not all numbers")
    return np.array(values, kind).reshape(shape)
