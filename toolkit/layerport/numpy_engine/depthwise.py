"""Depthwise convolution: every channel with a kernel of its own.

There is no matrix product in it. `numpy.einsum` multiplies and adds in one pass; the last spatial
axis and the channels are one long run for it wherever windows move by one element.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from layerport.dim import static_shape
from layerport.numpy_engine.arrays import inverse
from layerport.numpy_engine.windows import Col2Im, Windows, as_rows, fitted, padded_extents
from layerport.op import NDArray, TensorType
from layerport.ops.arrange import Concat
from layerport.ops.conv import padded
from layerport.ops.elementwise import Add, Mul
from layerport.ops.indexing import Slice
from layerport.ops.shape import Reshape, Squeeze, Transpose, Unsqueeze
from layerport.ops.windows import Axis

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.numpy_engine.emit import Emitter

_WINDOW, _PLACE = "abcdef", "ijklmo"
"""Subscripts of the axes of windows, and of the places of the kernel."""


class _Job(NamedTuple):
    """The arrays of a product over windows, and their subscripts.

    Attributes
    ----------
    windows : what windows read: (batch, windows..., places of the kernel..., run).
    run : elements in a run: channels, or windows along the last axis times channels.
    counts : windows along the axes that are not in the run.
    """

    windows: NDArray
    run: int
    counts: tuple[int, ...]

    @property
    def subscripts(self) -> tuple[str, str, str]:
        """Of the windows, of one kernel, of one result for each window."""
        window = "n" + _WINDOW[: len(self.counts)]
        places = _PLACE[: self.windows.ndim - len(window) - 1]
        return f"{window}{places}x", f"{places}x", f"{window}x"


class _Depthwise(Windows):
    """Common to the convolution and its gradient in the weights."""

    def job(self, emitter: Emitter, x: NDArray) -> _Job:
        """The product for images of (batch, channels, *spatial)."""
        order = (0, *range(2, x.ndim), 1)
        inner = x.transpose(order)
        if not inner.flags.c_contiguous:
            straight = emitter.temp(inner.shape, x.dtype)
            emitter.copy(straight, inner)
            x = straight.transpose(inverse(order))
        windows, channels = self.of(x), x.shape[1]
        if self.strides[-1] != 1:
            return _Job(windows, channels, self.counts)
        run = self.counts[-1] * channels
        last = len(self.counts)
        shape = (*windows.shape[:last], *self.kernel, run)
        strides = (*windows.strides[:last], *windows.strides[last + 1 :])
        return _Job(as_strided(windows, shape, strides), run, self.counts[:-1])

    def runs(self, array: NDArray, job: _Job) -> NDArray | None:
        """(batch, channels, *windows) as (batch, windows..., run), if it lies so in memory."""
        inner = array.transpose((0, *range(2, array.ndim), 1))
        if not inner.flags.c_contiguous:
            return None
        return inner.reshape(array.shape[0], *job.counts, job.run)


@dataclasses.dataclass(frozen=True)
class Depthwise(_Depthwise):
    """The convolution of each channel of x with its kernel: (channels, 1, *kernel)."""

    def infer(self, x: Value, w: Value) -> Sequence[TensorType]:
        return [TensorType((*x.shape[:2], *self.counts), x.dtype)]

    def evaluate(self, x: NDArray, w: NDArray) -> NDArray:
        windows = self.of(x).transpose(0, -1, *range(1, 1 + 2 * len(self.counts)))
        kernels = w.reshape(w.shape[0], *(1,) * len(self.counts), *self.kernel)
        axes = tuple(range(-len(self.kernel), 0))
        return np.asarray((windows * kernels).sum(axis=axes, dtype=x.dtype))

    def memory_order(
        self, inputs: Sequence[NDArray | None], shape: tuple[int, ...]
    ) -> tuple[int, ...]:
        return (0, *range(2, len(shape)), 1)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (x, w), (y,) = inputs, outputs
        job = self.job(emitter, x)
        kernels = emitter.temp((*self.kernel, job.run // w.shape[0], w.shape[0]), w.dtype)
        rank = len(self.kernel)
        places = w.transpose(*range(2, 2 + rank), 1, 0)
        emitter.copy(kernels, np.broadcast_to(places, kernels.shape))
        target = self.runs(y, job)
        if target is None:
            target = emitter.temp((x.shape[0], *job.counts, job.run), y.dtype)
        windows, kernel, result = job.subscripts
        formula = f"{windows},{kernel}->{result}"
        flat = kernels.reshape(*self.kernel, job.run)
        emitter.call(np.einsum, formula, job.windows, flat, out=target)
        inner = target.reshape(x.shape[0], *self.counts, x.shape[1])
        emitter.copy(y, inner.transpose(0, rank + 1, *range(1, rank + 1)))


@dataclasses.dataclass(frozen=True)
class DepthwiseWeightGrad(_Depthwise):
    """The gradient of `Depthwise` in its kernels, from x and dy."""

    def infer(self, x: Value, dy: Value) -> Sequence[TensorType]:
        return [TensorType((x.shape[1], 1, *self.kernel), x.dtype)]

    def evaluate(self, x: NDArray, dy: NDArray) -> NDArray:
        rank = len(self.kernel)
        windows = self.of(x)
        slopes = np.moveaxis(dy, 1, -1).reshape(
            *windows.shape[: rank + 1], *(1,) * rank, dy.shape[1]
        )
        total = (windows * slopes).sum(axis=tuple(range(rank + 1)), dtype=x.dtype)
        return np.ascontiguousarray(np.moveaxis(total, -1, 0)[:, np.newaxis])

    def memory_order(
        self, inputs: Sequence[NDArray | None], shape: tuple[int, ...]
    ) -> tuple[int, ...]:
        return (*range(2, len(shape)), 0, 1)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (x, dy), (dw,) = inputs, outputs
        job = self.job(emitter, x)
        slopes = self.runs(dy, job)
        if slopes is None:
            inner = dy.transpose((0, *range(2, dy.ndim), 1))
            slopes = emitter.temp(inner.shape, dy.dtype)
            emitter.copy(slopes, inner)
            slopes = slopes.reshape(dy.shape[0], *job.counts, job.run)
        sums = emitter.temp((*self.kernel, job.run), dw.dtype)
        windows, kernel, result = job.subscripts
        emitter.call(np.einsum, f"{windows},{result}->{kernel}", job.windows, slopes, out=sums)
        rank = len(self.kernel)
        places = dw.transpose(*range(2, 2 + rank), 1, 0)[..., 0, :]
        apart = sums.reshape(*self.kernel, -1, dw.shape[0])
        if apart.shape[rank] == 1:
            emitter.copy(places, apart[..., 0, :])
        else:
            emitter.reduce(np.add, apart, (rank,), places)


# Lowering -------------------------------------------------------------------------------


def is_depthwise(w: Value, group: int) -> bool:
    """Whether every group is a single input channel."""
    return group > 1 and static_shape(w.shape)[1] == 1


def depthwise(build: Builder, x: Value, w: Value, group: int, axes: Sequence[Axis]) -> Value:
    """The convolution with any number of kernels a channel."""
    op = Depthwise(**Windows.fields(axes))
    image = fitted(build, x, axes)
    kernels = _kernels(build, w, group)
    if len(kernels) == 1:
        return build.one(op, image, kernels[0])
    results = [build.one(Unsqueeze((2,)), build.one(op, image, kernel)) for kernel in kernels]
    stacked = build.one(Concat(2), *results)
    return build.one(Reshape((x.shape[0], w.shape[0], *stacked.shape[3:])), stacked)


def depthwise_weight_grad(
    build: Builder, x: Value, dy: Value, group: int, axes: Sequence[Axis]
) -> Value:
    """The gradient in the weights: (filters, 1, *kernel)."""
    op = DepthwiseWeightGrad(**Windows.fields(axes))
    image = fitted(build, x, axes)
    slopes = _of_each_kernel(build, dy, group)
    parts = [build.one(op, image, slope) for slope in slopes]
    if len(parts) == 1:
        return parts[0]
    joined = build.one(Concat(1), *parts)
    return build.one(Reshape((dy.shape[1], 1, *joined.shape[2:])), joined)


def depthwise_input_grad(
    build: Builder, dy: Value, w: Value, group: int, axes: Sequence[Axis]
) -> Value:
    """The gradient in the input: the convolution of dy with the kernels turned around."""
    pairs = zip(_of_each_kernel(build, dy, group), _kernels(build, w, group), strict=True)
    apart = any(axis.stride != 1 for axis in axes)
    rule = _scattered if apart else _turned
    parts = [rule(build, slope, kernel, axes) for slope, kernel in pairs]
    total = parts[0]
    for part in parts[1:]:
        total = build.one(Add(), total, part)
    return total


def _turned(build: Builder, dy: Value, w: Value, axes: Sequence[Axis]) -> Value:
    rank = len(axes)
    spatial = tuple(range(2, rank + 2))
    far = 2**63 - 1
    turned = build.one(Slice((-1,) * rank, (-far,) * rank, spatial, (-1,) * rank), w)
    reaches = [(axis.kernel - 1) * axis.dilation for axis in axes]
    before = [reach - axis.before for reach, axis in zip(reaches, axes, strict=True)]
    after = [
        axis.extent + reach - axis.count - first
        for axis, reach, first in zip(axes, reaches, before, strict=True)
    ]
    image = padded(build, dy, (*before, *after))
    back = [dataclasses.replace(axis, count=axis.extent) for axis in axes]
    return build.one(Depthwise(**Windows.fields(back)), image, turned)


def _scattered(build: Builder, dy: Value, w: Value, axes: Sequence[Axis]) -> Value:
    rank = len(axes)
    rows = build.one(Unsqueeze((0,)), as_rows(build, dy))
    places = build.one(Transpose((*range(2, rank + 2), 1, 0)), w)
    kernels = build.one(Reshape((prod(axis.kernel for axis in axes), 1, w.shape[0])), places)
    columns = build.one(Mul(), rows, kernels)
    op = Col2Im(**Windows.fields(axes), extents=padded_extents(axes))
    image = build.one(op, columns)
    starts = tuple(axis.before for axis in axes)
    ends = tuple(axis.before + axis.extent for axis in axes)
    return build.one(Slice(starts, ends, tuple(range(2, rank + 2))), image)


def _kernels(build: Builder, w: Value, group: int) -> list[Value]:
    """The first kernels of all channels, the second ones, and so on: (channels, 1, *kernel)."""
    several = static_shape(w.shape)[0] // group
    if several == 1:
        return [w]
    apart = build.one(Reshape((group, several, *w.shape[2:])), w)
    return [build.one(Slice((k,), (k + 1,), (1,)), apart) for k in range(several)]


def _of_each_kernel(build: Builder, dy: Value, group: int) -> list[Value]:
    """The parts of results that belong to the first kernels, the second ones..."""
    several = static_shape(dy.shape)[1] // group
    if several == 1:
        return [dy]
    apart = build.one(Reshape((dy.shape[0], group, several, *dy.shape[2:])), dy)
    parts = [build.one(Slice((k,), (k + 1,), (2,)), apart) for k in range(several)]
    return [build.one(Squeeze((2,)), part) for part in parts]
