"""What a page has to know of a model beside its module: how to ask, and how to show the answer."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from layerport.connections import InputLayer
from layerport.errors import UnsupportedError
from layerport.ops.activation import Sigmoid
from layerport.ops.softmax import Softmax
from layerport.registry import default_registry
from layerport.samples import sample_inputs

if TYPE_CHECKING:
    from layerport.connections import Port
    from layerport.graph import Value
    from layerport.network import Network

Facts: TypeAlias = "dict[str, Any]"

SMALLEST_IMAGE = 8
SMALLEST_FLAT_IMAGE = 16
"""The side from which on a square number of inputs is taken for an image."""
MOST_SLIDERS = 64
VIEWS = ("image", "sliders", "text")
_KEEPS_PROBABILITIES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast")


def describe(network: Network, options: Mapping[str, Any], file_name: str) -> Facts:
    """The facts about a model, ready for JSON.

    Parameters
    ----------
    options : of the format ``html``.
    file_name : the title when there is no better one.

    Raises
    ------
    UnsupportedError : an option that is not understood or does not fit the model.
    """
    view = options.get("view")
    if view is not None and view not in VIEWS:
        raise UnsupportedError(f"no view is called {view!r}", hint=f"one of {', '.join(VIEWS)}")
    low, high = _pixels(network, options.get("pixels"))
    features = _features(network, options.get("features"))
    samples = sample_inputs(network, 1)
    inputs = [
        _input(port, sample, view) for port, sample in zip(network.inputs, samples, strict=True)
    ]
    for fact in inputs:
        count = math.prod(fact["shape"])
        if fact["view"] == "image":
            fact |= {"low": low, "high": high}
        if fact["view"] == "sliders":
            fact |= _sliders(network, count, features[:count])
        features = features[count:]
    return {
        "title": str(options.get("title") or network.name or file_name),
        "inputs": inputs,
        "outputs": [
            _output(value, port, labelled=bool(network.labels))
            for value, port in zip(network.lower().outputs, network.outputs, strict=True)
        ],
    }


def _row(port: Port) -> tuple[int, ...]:
    """The shape of one sample; extents that are open are refused by the printer of the module."""
    shape = port.shape[1:] if port.shape and port.shape[0] is None else port.shape
    return tuple(1 if extent is None else extent for extent in shape)


def _input(port: Port, sample: Any, view: str | None) -> Facts:
    shape = _row(port)
    floating = np.dtype(port.dtype).kind == "f"
    image = _image(port)
    if view is None:
        if image and (floating or port.dtype == "uint8"):
            view = "image"
        else:
            few = len(shape) <= 1 and math.prod(shape) <= MOST_SLIDERS
            view = "sliders" if floating and few else "text"
    if view == "image":
        image = image or _square(shape, 1)
        if image is None:
            raise UnsupportedError(
                f"the input {port.name!r} of shape {shape} is no image",
                hint="leave out view=image, or use an input of height x width x 1 or 3",
            )
        return {"view": "image", "shape": shape, **image}
    start = np.asarray(sample).reshape(-1).astype(float).round(2).tolist()
    return {"view": view, "shape": shape, "integers": not floating, "start": start}


def _image(port: Port) -> Facts | None:
    """Height, width, channels, and whether the channels come first, of what looks like an image."""
    shape = _row(port)
    made = None
    if len(shape) == 3 and shape[-1] in (1, 3):
        made = (*shape, False)
    elif len(shape) == 3 and shape[0] in (1, 3):
        made = (shape[1], shape[2], shape[0], True)
    elif len(shape) == 2 and shape[0] == shape[1]:
        made = (*shape, 1, False)
    else:
        return _square(shape, SMALLEST_FLAT_IMAGE)
    if min(made[:2]) < SMALLEST_IMAGE:
        return None
    return dict(zip(("height", "width", "channels", "channelsFirst"), made, strict=True))


def _square(shape: Sequence[int], smallest: int) -> Facts | None:
    side = math.isqrt(math.prod(shape))
    if len(shape) != 1 or side * side != shape[0] or side < smallest:
        return None
    return {"height": side, "width": side, "channels": 1, "channelsFirst": False}


def _output(value: Value, port: Port, *, labelled: bool) -> Facts:
    """How to show an output.

    ``classes``: probabilities that sum to 1; ``scores``: each is one for itself; ``image``;
    ``numbers``: anything else.
    """
    shape = _row(port)
    while value.node is not None and value.node.op.name in _KEEPS_PROBABILITIES:
        first = value.node.inputs[0]
        assert first is not None
        value = first
    if len(shape) == 1 and value.made_by(Softmax):
        return {"kind": "classes"}
    image = None if labelled else _image(port)
    if image:
        return {"kind": "image", **image}
    scores = len(shape) <= 1 and value.made_by(Sigmoid)
    return {"kind": "scores" if scores else "numbers"}


def _pixels(network: Network, given: Any) -> tuple[float, float]:
    """What black and white are: as the user says, else 0..255 before a layer that rescales."""
    if given is None:
        rescaling = default_registry().layers["Rescaling"]
        scaled = any(isinstance(layer, rescaling) for layer in network.layers)
        whole = any(np.dtype(port.dtype).kind in "iu" for port in network.inputs)
        return (0, 255) if scaled or whole else (0, 1)
    hit = re.fullmatch(r"(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)", str(given))
    if hit is None:
        raise UnsupportedError(f"{given!r} is no range of pixels", hint="write it as 0..255")
    return float(hit[1]), float(hit[2])


def _features(network: Network, given: Any) -> list[str]:
    if given is None:
        return []
    names = given.split(",") if isinstance(given, str) else list(given)
    count = sum(math.prod(_row(port)) for port in network.inputs)
    if len(names) != count:
        raise UnsupportedError(f"{len(names)} features are named, the model takes {count}")
    return [str(name).strip() for name in names]


def _sliders(network: Network, count: int, names: Sequence[str]) -> Facts:
    """Names, and ranges: of three standard deviations where the model knows them."""
    middle, spread = np.zeros(count), np.ones(count)
    normalization = default_registry().layers["Normalization"]
    first = next((layer for layer in network.layers if not isinstance(layer, InputLayer)), None)
    if len(network.inputs) == 1 and isinstance(first, normalization):
        weights = first.own_weights
        mean, variance = (
            np.asarray(weights[name] if name in weights else getattr(first, name), float)
            for name in ("mean", "variance")
        )
        if mean.size in (1, count):
            middle = middle + mean.reshape(-1)
            spread = spread * np.sqrt(variance.reshape(-1))
    ranges = [
        (float(f"{m - 3 * s:.3g}"), float(f"{m + 3 * s:.3g}"))
        for m, s in zip(middle, spread, strict=True)
    ]
    return {"names": list(names), "ranges": ranges}
