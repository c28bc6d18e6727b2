"""What layers are compared with: their documented definitions, as loops in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import ceil
from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport.numpy_engine.reference import evaluate
from layerport.op import NDArray


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def _padding(extent: int, kernel: int, stride: int, dilation: int, padding: str) -> tuple[int, int]:
    """TensorFlow's rule: the number of zeros before and behind an axis."""
    reach = (kernel - 1) * dilation + 1
    if padding == "causal":
        return reach - 1, 0
    if padding == "valid":
        return 0, 0
    total = max((ceil(extent / stride) - 1) * stride + reach - extent, 0)
    return total // 2, total - total // 2


def _windows(
    x: NDArray,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: str,
    fill: float,
) -> NDArray:
    """(batch, *windows, *kernel, channels): what each window of a channels-last array sees."""
    spatial = x.shape[1:-1]
    widths = [
        _padding(*sizes, padding) for sizes in zip(spatial, kernel, strides, dilations, strict=True)
    ]
    padded = np.pad(x, [(0, 0), *widths, (0, 0)], constant_values=fill)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    counts = [(n - r) // s + 1 for n, r, s in zip(padded.shape[1:-1], reach, strides, strict=True)]
    seen = np.empty((x.shape[0], *counts, *kernel, x.shape[-1]))
    for place in product(*map(range, counts)):
        for tap in product(*map(range, kernel)):
            at = [o * s + t * d for o, s, t, d in zip(place, strides, tap, dilations, strict=True)]
            seen[(slice(None), *place, *tap)] = padded[(slice(None), *at)]
    return seen


def _convolution(
    x: NDArray,
    kernel: NDArray,
    *,
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: str = "valid",
    groups: int = 1,
) -> NDArray:
    *window, channels, filters = kernel.shape
    rank, share = len(window), filters // groups
    seen = _windows(x.astype(np.float64), window, strides, dilations, padding, 0)
    axes = [*range(1 + rank, 1 + 2 * rank), 1 + 2 * rank]
    parts = []
    for group in range(groups):
        inputs = seen[..., group * channels : (group + 1) * channels]
        weights = kernel[..., group * share : (group + 1) * share].astype(np.float64)
        parts.append(np.tensordot(inputs, weights, (axes, [*range(rank), rank])))
    return np.concatenate(parts, axis=-1)


@pytest.fixture(scope="session")
def windows() -> Callable[..., NDArray]:
    """A function that gathers what the windows of Keras's layers see."""
    return _windows


@pytest.fixture(scope="session")
def convolution() -> Callable[..., NDArray]:
    """Convolution by definition: channels last, kernel (*window, channels / groups, filters)."""
    return _convolution


@pytest.fixture(scope="session")
def symbolic() -> Callable[..., NDArray]:
    """A function (layer, x): the result by way of a network with unknown spatial extents."""

    def run(layer: Any, x: NDArray, unknown: Sequence[int]) -> NDArray:
        shape = [None if axis in unknown else x.shape[axis] for axis in range(1, x.ndim)]
        source = lp.Input(tuple(shape), dtype=x.dtype.name)
        network = lp.Network(source, layer(source))
        expected = network.output_outlets[0].shape
        graph = network.lower()
        outputs, _ = evaluate(graph, {graph.inputs[0].name: x}, network.parameters)
        assert len(expected) == outputs[0].ndim
        return outputs[0]

    return run


@pytest.fixture(scope="session")
def in_training() -> Callable[..., tuple[NDArray, dict[str, NDArray], float]]:
    """A function (layer, x, seed=0): output, updates and extra loss of a training step."""
    from layerport.recording import RANDOM_INPUTS, Recording, arrays_of

    def run(
        layer: Any, x: NDArray, seed: int = 0, step: int = 0
    ) -> tuple[NDArray, dict[str, NDArray], float]:
        recording = Recording(training=True, float_dtype=layer.dtype)
        recording.name_layers(layer, "layer")
        y = recording.call(layer, [recording.input("x", x.shape, x.dtype)], {})
        graph = recording.finish([y, *recording.losses])
        feeds = {"x": x}
        for name, value in zip(RANDOM_INPUTS, (seed, step, 0), strict=True):
            feeds[name] = np.array(value, np.uint32)
        used = {value.name: feeds[value.name] for value in graph.inputs}
        outputs, updates = evaluate(graph, used, arrays_of(recording))
        return outputs[0], updates, float(sum(np.sum(loss) for loss in outputs[1:]))

    return run
