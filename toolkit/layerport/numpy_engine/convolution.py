"""Convolutions as products of matrices, and depthwise ones as shifted products.

A convolution becomes Im2Col (what every window reads, as one row) and one MatMul over the whole
batch; its gradient in the weights reads the same rows, so they are copied only once. Results have
the channels innermost in memory, which makes the rows long runs of the next layer's input.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import as_strided

from layerport.dim import static_shape
from layerport.op import OURS, NDArray, Op, TensorType
from layerport.ops.arrange import Concat
from layerport.ops.conv import Conv, ConvInputGrad, ConvTranspose, ConvWeightGrad, padded
from layerport.ops.elementwise import Add
from layerport.ops.indexing import Slice
from layerport.ops.matmul import MatMul
from layerport.ops.shape import Reshape, Transpose, Unsqueeze
from layerport.ops.windows import Axis, is_pointwise

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.numpy_engine.emit import Emitter

FEW_CHANNELS = 4
"""Up to so many channels, the places of the kernel are outermost in memory, not the windows."""


@dataclasses.dataclass(frozen=True)
class Windows(Op):
    """The geometry of windows over (batch, channels, *spatial) that all lie inside."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    counts: tuple[int, ...]
    domain: ClassVar[str] = OURS

    @staticmethod
    def fields(axes: Sequence[Axis]) -> dict[str, tuple[int, ...]]:
        """The attributes for these windows."""
        return {
            "kernel": tuple(axis.kernel for axis in axes),
            "strides": tuple(axis.stride for axis in axes),
            "dilations": tuple(axis.dilation for axis in axes),
            "counts": tuple(axis.count for axis in axes),
        }

    def of(self, x: NDArray) -> NDArray:
        """What the windows read, as a view: (batch, *counts, *kernel, channels)."""
        spatial = x.strides[2:]
        across = tuple(s * step for s, step in zip(spatial, self.strides, strict=True))
        inside = tuple(s * step for s, step in zip(spatial, self.dilations, strict=True))
        return as_strided(
            x,
            (x.shape[0], *self.counts, *self.kernel, x.shape[1]),
            (x.strides[0], *across, *inside, x.strides[1]),
        )


@dataclasses.dataclass(frozen=True)
class Im2Col(Windows):
    """One row a window: the places of the kernel, and innermost the channels."""

    def infer(self, x: Value) -> Sequence[TensorType]:
        batch, channels = static_shape(x.shape[:2])
        shape = (batch * prod(self.counts), prod(self.kernel) * channels)
        return [TensorType(shape, x.dtype)]

    def evaluate(self, x: NDArray) -> NDArray:
        rows = x.shape[0] * prod(self.counts)
        return self.of(x).reshape(rows, prod(self.kernel) * x.shape[1]).copy()

    def memory_order(
        self, inputs: Sequence[NDArray | None], shape: tuple[int, ...]
    ) -> tuple[int, ...]:
        (x,) = inputs
        return (1, 0) if x is not None and x.shape[1] <= FEW_CHANNELS else (0, 1)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        windows = self.of(inputs[0])
        (rows,) = outputs
        split = 1 + len(self.counts)
        if rows.flags.c_contiguous:
            emitter.copy(rows.reshape(windows.shape), windows)
        else:
            order = (*range(split, windows.ndim), *range(split))
            turned = windows.transpose(order)
            emitter.copy(rows.T.reshape(turned.shape), turned)


@dataclasses.dataclass(frozen=True)
class Col2Im(Windows):
    """The adjoint of Im2Col, from (places of the kernel, rows, channels).

    Parameters
    ----------
    extents : the spatial extents of the result.
    """

    extents: tuple[int, ...]

    def infer(self, columns: Value) -> Sequence[TensorType]:
        _, rows, channels = static_shape(columns.shape)
        shape = (rows // prod(self.counts), channels, *self.extents)
        return [TensorType(shape, columns.dtype)]

    def memory_order(
        self, inputs: Sequence[NDArray | None], shape: tuple[int, ...]
    ) -> tuple[int, ...]:
        return (0, *range(2, len(shape)), 1)

    def evaluate(self, columns: NDArray) -> NDArray:
        rows, channels = columns.shape[1:]
        image = np.zeros((rows // prod(self.counts), channels, *self.extents), columns.dtype)
        for part, column in self._pairs(image, columns):
            part += column
        return image

    def _pairs(self, image: NDArray, columns: NDArray) -> list[tuple[NDArray, NDArray]]:
        """For each place of the kernel, where it is added to, and what."""
        windows = self.of(image)
        places = columns.reshape(*self.kernel, image.shape[0], *self.counts, image.shape[1])
        inside = (slice(None),) * (1 + len(self.counts))
        return [(windows[(*inside, *place)], places[place]) for place in np.ndindex(self.kernel)]

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (columns,), (image,) = inputs, outputs
        pairs = self._pairs(image, columns)
        apart = self._are_apart()
        if not apart or len(pairs) * pairs[0][0].size < image.size:
            emitter.fill(image, 0)
        for part, column in pairs:
            if apart:
                emitter.copy(part, column)
            else:
                emitter.ufunc(np.add, [part, column], part)

    def _are_apart(self) -> bool:
        """Whether no element is read by two windows."""
        steps = zip(self.kernel, self.strides, self.dilations, strict=True)
        return all(k == 1 or (stride >= k and dilation == 1) for k, stride, dilation in steps)


# Lowering -------------------------------------------------------------------------------


def lower_conv(build: Builder, op: Conv, x: Value, w: Value, b: Value | None = None) -> Value:
    """Convolution as Im2Col and MatMul."""
    axes = op.axes(static_shape(x.shape[2:]), static_shape(w.shape[2:]))
    if op.group > 1:
        y = _in_groups(build, op.group, x, w, axes)
    else:
        y = _images(build, build.one(MatMul(), _rows(build, x, axes), _matrix(build, w)),
                    x.shape[0], axes)  # fmt: skip
    return y if b is None else build.one(Add(), y, _beside(build, b, x.ndim))


def lower_weight_grad(build: Builder, op: ConvWeightGrad, x: Value, dy: Value) -> Value:
    """The gradient in the weights, from the same rows as the convolution itself."""
    counts = static_shape(dy.shape[2:])
    axes = op.axes(static_shape(x.shape[2:]), op.kernel_shape, counts)
    if op.group > 1:
        pairs = zip(_split(build, x, op.group), _split(build, dy, op.group), strict=True)
        return build.one(Concat(0), *(_weight_grad(build, part, d, axes) for part, d in pairs))
    return _weight_grad(build, x, dy, axes)


def lower_input_grad(build: Builder, op: ConvInputGrad, dy: Value, w: Value) -> Value:
    """The gradient in the input: one product a place of the kernel, added up where they go."""
    extents = static_shape(op.extents)
    axes = op.axes(extents, static_shape(w.shape[2:]), static_shape(dy.shape[2:]))
    return _input_grad_in_groups(build, op.group, dy, w, axes)


def lower_conv_transpose(
    build: Builder, op: ConvTranspose, x: Value, w: Value, b: Value | None = None
) -> Value:
    """A transposed convolution is the gradient of a convolution in its input."""
    axes = op.result_axes(static_shape(x.shape[2:]), static_shape(w.shape[2:]))
    y = _input_grad_in_groups(build, op.group, x, w, axes)
    return y if b is None else build.one(Add(), y, _beside(build, b, x.ndim))


def _weight_grad(build: Builder, x: Value, dy: Value, axes: Sequence[Axis]) -> Value:
    columns = build.one(Transpose((1, 0)), _rows(build, x, axes))
    product = build.one(MatMul(), columns, _as_rows(build, dy))
    kernel = tuple(axis.kernel for axis in axes)
    shaped = build.one(Reshape((*kernel, x.shape[1], dy.shape[1])), product)
    rank = len(kernel)
    return build.one(Transpose((rank + 1, rank, *range(rank))), shaped)


def _input_grad_in_groups(
    build: Builder, group: int, dy: Value, w: Value, axes: Sequence[Axis]
) -> Value:
    if group == 1:
        return _input_grad(build, dy, w, axes)
    weights = _split(build, w, group, axis=0)
    parts = zip(_split(build, dy, group), weights, strict=True)
    return build.one(Concat(1), *(_input_grad(build, d, part, axes) for d, part in parts))


def _input_grad(build: Builder, dy: Value, w: Value, axes: Sequence[Axis]) -> Value:
    rank = len(axes)
    rows = _as_rows(build, dy)
    if is_pointwise(axes):
        product = build.one(MatMul(), rows, build.one(Transpose((1, 0)), _matrix(build, w)))
        return _images(build, product, dy.shape[0], axes)
    places = build.one(Transpose((*range(2, rank + 2), 0, 1)), w)
    matrices = build.one(Reshape((prod(axis.kernel for axis in axes), *w.shape[:2])), places)
    columns = build.one(MatMul(), build.one(Unsqueeze((0,)), rows), matrices)
    extents = tuple(_padded_extent(axis) for axis in axes)
    image = build.one(Col2Im(**Windows.fields(axes), extents=extents), columns)
    starts = tuple(axis.before for axis in axes)
    ends = tuple(axis.before + axis.extent for axis in axes)
    return build.one(Slice(starts, ends, tuple(range(2, rank + 2))), image)


def _padded_extent(axis: Axis) -> int:
    return axis.extent + axis.before + max(axis.lacking, 0)


def _rows(build: Builder, x: Value, axes: Sequence[Axis]) -> Value:
    """What each window reads, one row a window."""
    if is_pointwise(axes):
        return _as_rows(build, x)
    pads = (*(axis.before for axis in axes), *(max(axis.lacking, 0) for axis in axes))
    return build.one(Im2Col(**Windows.fields(axes)), padded(build, x, pads))


def _as_rows(build: Builder, x: Value) -> Value:
    """(batch, channels, *spatial) as one row of channels an element."""
    inner = build.one(Transpose((0, *range(2, x.ndim), 1)), x)
    rows = prod(static_shape((x.shape[0], *x.shape[2:])))
    return build.one(Reshape((rows, x.shape[1])), inner)


def _images(build: Builder, rows: Value, batch: Any, axes: Sequence[Axis]) -> Value:
    """One row of channels a window as (batch, channels, *windows)."""
    counts = tuple(axis.count for axis in axes)
    shaped = build.one(Reshape((batch, *counts, rows.shape[1])), rows)
    rank = len(counts)
    return build.one(Transpose((0, rank + 1, *range(1, rank + 1))), shaped)


def _matrix(build: Builder, w: Value) -> Value:
    """The weights as a matrix with one row for each column of `_rows`."""
    rank = w.ndim - 2
    turned = build.one(Transpose((*range(2, rank + 2), 1, 0)), w)
    return build.one(Reshape((prod(static_shape(w.shape[1:])), w.shape[0])), turned)


def _beside(build: Builder, b: Value, rank: int) -> Value:
    return build.one(Unsqueeze(tuple(range(1, rank - 1))), b)


def _split(build: Builder, x: Value, parts: int, axis: int = 1) -> list[Value]:
    (extent,) = static_shape(x.shape[axis : axis + 1])
    step = extent // parts
    return [
        build.one(Slice((start,), (start + step,), (axis,)), x) for start in range(0, extent, step)
    ]


def _in_groups(build: Builder, group: int, x: Value, w: Value, axes: Sequence[Axis]) -> Value:
    parts = zip(_split(build, x, group), _split(build, w, group, axis=0), strict=True)
    made = [
        _images(build, build.one(MatMul(), _rows(build, part, axes), _matrix(build, weights)),
                x.shape[0], axes)
        for part, weights in parts
    ]  # fmt: skip
    return build.one(Concat(1), *made)
