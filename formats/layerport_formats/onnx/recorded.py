"""Operators that layerport has no class for, in NumPy: what is recorded stands for the node.

ONNX's own definitions of operators are in `functions`; these are for those it defines by none.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
from layerport import ops
from layerport.dim import Dim
from layerport.errors import UnsupportedError
from layerport.graph import Builder, Graph, Value
from layerport.tensor import Tensor

from .fields import dtype_name

Attributes: TypeAlias = "Mapping[str, Any]"
Definition: TypeAlias = "Callable[..., Tensor]"


def _arg_min(attributes: Attributes, x: Any) -> Any:
    if x.dtype.kind != "f":
        x = x.astype(np.int64)  # negating an unsigned integer wraps around
    op = ops.ArgMax(
        attributes["axis"], bool(attributes["keepdims"]), bool(attributes["select_last_index"])
    )
    return op(-x)


def _instance_normalization(attributes: Attributes, x: Any, scale: Any, bias: Any) -> Any:
    axes = tuple(range(2, x.ndim))
    centred = x - x.mean(axes, keepdims=True)
    variance = (centred * centred).mean(axes, keepdims=True)
    normal = centred / np.sqrt(variance + attributes["epsilon"])
    return normal * _beside(scale, x, 1) + _beside(bias, x, 1)


def _beside(vector: Any, x: Any, axis: int) -> Any:
    """A vector that belongs to an axis, so that it broadcasts."""
    return vector.reshape(-1, *(1,) * (x.ndim - 1 - axis % x.ndim))


# Quantisation ---------------------------------------------------------------------------


def _for_elements(attributes: Attributes, x: Any, parameter: Any) -> Any:
    """Scales or zero points as they belong to elements: for all, for an axis, or for blocks."""
    if parameter is None or parameter.ndim == 0 or parameter.shape == (1,):
        return parameter if parameter is None else parameter.reshape(())
    axis = attributes["axis"] % x.ndim
    block = attributes.get("block_size", 0)
    if not block:
        return _beside(parameter, x, axis)
    extent = x.shape[axis]
    if isinstance(extent, Dim):
        raise UnsupportedError(f"blocks of an axis of unknown extent {extent}")
    return np.take(parameter, np.arange(extent) // block, axis=axis)


def _dequantize_linear(attributes: Attributes, x: Any, scale: Any, zero: Any = None) -> Any:
    """``(x - zero) * scale``; the difference is exact."""
    output = attributes.get("output_dtype", 0)
    dtype = np.dtype(dtype_name(output)) if output else scale.dtype
    exact = np.dtype(np.int32) if x.dtype.kind in "iu" else scale.dtype
    x = x.astype(exact)
    if zero is not None:
        x = x - _for_elements(attributes, x, zero).astype(exact)
    scaled = x.astype(scale.dtype) * _for_elements(attributes, x, scale)
    return scaled.astype(dtype)


def _quantize_linear(attributes: Attributes, x: Any, scale: Any, zero: Any = None) -> Any:
    """``round(x / scale) + zero`` in the range of the result's dtype; halves go to even."""
    output = attributes.get("output_dtype", 0)
    given = np.dtype(np.uint8) if zero is None else zero.dtype
    dtype = np.dtype(dtype_name(output)) if output else given
    if dtype.kind not in "iu" or dtype.itemsize > 2:
        raise UnsupportedError(f"to {dtype} is not supported")
    limits = np.iinfo(dtype)
    rounded = np.rint(x.astype(scale.dtype) / _for_elements(attributes, x, scale))
    if zero is not None:
        rounded = rounded + _for_elements(attributes, x, zero).astype(scale.dtype)
    return np.clip(rounded, float(limits.min), float(limits.max)).astype(dtype)


# Elements by several indices --------------------------------------------------------------


def _known(shape: Sequence[Any]) -> list[int]:
    if any(isinstance(extent, Dim) for extent in shape):
        raise UnsupportedError(f"the extents {tuple(shape)} must be known")
    return [int(extent) for extent in shape]


def _flat_places(indices: Any, extents: Sequence[int]) -> Any:
    """The place in a flattened tensor of these extents for each vector of indices."""
    places = None
    for axis, extent in enumerate(extents):
        index = indices[..., axis].astype(np.int64)
        index = np.where(index < 0, index + extent, index)
        places = index if places is None else places * extent + index
    return places


def _gather_nd(attributes: Attributes, x: Any, indices: Any) -> Any:
    """The parts of `x` that vectors of indices name, after `batch_dims` axes in common."""
    common, depth = attributes["batch_dims"], _known(indices.shape[-1:])[0]
    batch, extents = _known(x.shape[:common]), _known(x.shape[common : common + depth])
    rest = x.shape[common + depth :]
    places = _flat_places(indices, extents)
    samples = np.arange(prod(batch)).reshape(*batch, *(1,) * (places.ndim - common))
    rows = x.reshape(prod(batch) * prod(extents), *rest)
    return np.take(rows, places + samples * prod(extents), axis=0)


def _scatter_nd(attributes: Attributes, x: Any, indices: Any, updates: Any) -> Any:
    """`x` with `updates` in place of the parts that vectors of indices name."""
    depth = _known(indices.shape[-1:])[0]
    extents, rest = _known(x.shape[:depth]), _known(x.shape[depth:])
    count = prod(_known(indices.shape[:-1]))
    shape = (count, prod(rest))
    places = _flat_places(indices, extents).reshape(count, 1)
    scatter = ops.ScatterElements(0, attributes["reduction"])
    rows = scatter(x.reshape(prod(extents), prod(rest)), np.broadcast_to(places, shape),
                   updates.reshape(shape))  # fmt: skip
    return rows.reshape(x.shape)


# Einsum ---------------------------------------------------------------------------------


def _einsum(attributes: Attributes, *operands: Any) -> Any:
    terms, result = _letters(attributes["equation"], operands)
    tensors = []
    for index, (term, x) in enumerate(zip(terms, operands, strict=True)):
        term, x = _diagonals(term, x)
        terms[index] = term
        tensors.append(x)
    while len(tensors) > 2:
        kept = _distinct([c for c in terms[0] + terms[1] if c in "".join([*terms[2:], result])])
        product = np.einsum(f"{terms[0]},{terms[1]}->{kept}", *tensors[:2])
        tensors[:2], terms[:2] = [product], [kept]
    return np.einsum(f"{','.join(terms)}->{result}", *tensors)


def _distinct(letters: Sequence[str]) -> str:
    return "".join(dict.fromkeys(letters))


def _letters(equation: str, operands: Sequence[Any]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, those that "..." stands for included."""
    given, arrow, result = equation.replace(" ", "").partition("->")
    terms = given.split(",")
    if len(terms) != len(operands):
        raise UnsupportedError(f"the equation {equation!r} is for {len(terms)} operands")
    free = [c for c in string.ascii_letters if c not in equation]
    ranks = [
        x.ndim - len(term.replace("...", ""))
        for term, x in zip(terms, operands, strict=True)
        if "..." in term
    ]
    most = max(ranks, default=0)
    spread = "".join(free[:most])
    for index, (term, x) in enumerate(zip(terms, operands, strict=True)):
        own = x.ndim - len(term.replace("...", ""))
        if own < 0 or (own and "..." not in term):
            raise UnsupportedError(f"{term!r} of the equation does not fit {x.shape}")
        terms[index] = term.replace("...", spread[most - own :])
    if not arrow:
        everything = "".join(terms)
        single = sorted(c for c in set(everything) - set(spread) if everything.count(c) == 1)
        return terms, spread + "".join(single)
    return terms, result.replace("...", spread)


def _diagonals(term: str, x: Any) -> tuple[str, Any]:
    """An operand in whose term every letter stands once: a letter that repeats is a diagonal."""
    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            first = term.index(letter)
            second = term.index(letter, first + 1)
            order = [a for a in range(x.ndim) if a not in (first, second)] + [first, second]
            x = x.transpose(order)
            extent = x.shape[-1]
            flat = x.reshape(*x.shape[:-2], extent * extent)
            x = flat[..., :: extent + 1] if not isinstance(extent, Dim) else None
            if x is None:
                raise UnsupportedError(f"a diagonal of unknown extent {extent}")
            term = "".join(c for a, c in enumerate(term) if a not in (first, second)) + letter
    return term, x


DEFINITIONS: Mapping[str, Definition] = {
    "ArgMin": _arg_min,
    "DequantizeLinear": _dequantize_linear,
    "Einsum": _einsum,
    "GatherND": _gather_nd,
    "InstanceNormalization": _instance_normalization,
    "QuantizeLinear": _quantize_linear,
    "ScatterND": _scatter_nd,
}


def record(name: str, attributes: Attributes, inputs: Sequence[Value | None]) -> Graph:
    """The graph of an operator of `DEFINITIONS`; its inputs are called "0", "1"..."""
    floats = [v.dtype for v in inputs if v is not None and v.dtype.kind == "f"]
    build = Builder(rewrite=False, float_dtype=floats[0] if floats else np.float32)
    tensors = [
        None if value is None else Tensor(build, build.input(str(i), value.shape, value.dtype))
        for i, value in enumerate(inputs)
    ]
    made = DEFINITIONS[name](attributes, *tensors)
    return build.finish([made.value])
