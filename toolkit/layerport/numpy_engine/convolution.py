"""Convolutions as products of matrices.

A convolution becomes Im2Col (what every window reads, as one row) and one MatMul over the whole
batch; its gradient in the weights reads the same rows, so they are copied only once. Results have
the channels innermost in memory, which makes the rows long runs of the next layer's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from layerport.dim import static_shape
from layerport.numpy_engine.depthwise import (
    depthwise,
    depthwise_input_grad,
    depthwise_weight_grad,
    is_depthwise,
)
from layerport.numpy_engine.windows import (
    Col2Im,
    Im2Col,
    Windows,
    as_rows,
    fitted,
    padded_extents,
)
from layerport.ops.arrange import Concat
from layerport.ops.conv import Conv, ConvInputGrad, ConvTranspose, ConvWeightGrad
from layerport.ops.elementwise import Add
from layerport.ops.indexing import Slice
from layerport.ops.matmul import MatMul
from layerport.ops.shape import Reshape, Transpose, Unsqueeze
from layerport.ops.windows import Axis, is_pointwise

if TYPE_CHECKING:
    from layerport.graph import Builder, Value


def lower_conv(build: Builder, op: Conv, x: Value, w: Value, b: Value | None = None) -> Value:
    """Convolution as Im2Col and MatMul."""
    axes = op.axes(static_shape(x.shape[2:]), static_shape(w.shape[2:]))
    if is_depthwise(w, op.group):
        y = depthwise(build, x, w, op.group, axes)
    elif op.group > 1:
        y = _in_groups(build, op.group, x, w, axes)
    else:
        y = _images(build, build.one(MatMul(), _rows(build, x, axes), _matrix(build, w)),
                    x.shape[0], axes)  # fmt: skip
    return y if b is None else build.one(Add(), y, _beside(build, b, x.ndim))


def lower_weight_grad(build: Builder, op: ConvWeightGrad, x: Value, dy: Value) -> Value:
    """The gradient in the weights, from the same rows as the convolution itself."""
    counts = static_shape(dy.shape[2:])
    axes = op.axes(static_shape(x.shape[2:]), op.kernel_shape, counts)
    if op.group > 1 and op.group == x.shape[1]:
        return depthwise_weight_grad(build, x, dy, op.group, axes)
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
    product = build.one(MatMul(), columns, as_rows(build, dy))
    kernel = tuple(axis.kernel for axis in axes)
    shaped = build.one(Reshape((*kernel, x.shape[1], dy.shape[1])), product)
    rank = len(kernel)
    return build.one(Transpose((rank + 1, rank, *range(rank))), shaped)


def _input_grad_in_groups(
    build: Builder, group: int, dy: Value, w: Value, axes: Sequence[Axis]
) -> Value:
    if is_depthwise(w, group):
        return depthwise_input_grad(build, dy, w, group, axes)
    if group == 1:
        return _input_grad(build, dy, w, axes)
    weights = _split(build, w, group, axis=0)
    parts = zip(_split(build, dy, group), weights, strict=True)
    return build.one(Concat(1), *(_input_grad(build, d, part, axes) for d, part in parts))


def _input_grad(build: Builder, dy: Value, w: Value, axes: Sequence[Axis]) -> Value:
    rank = len(axes)
    rows = as_rows(build, dy)
    if is_pointwise(axes):
        product = build.one(MatMul(), rows, build.one(Transpose((1, 0)), _matrix(build, w)))
        return _images(build, product, dy.shape[0], axes)
    places = build.one(Transpose((*range(2, rank + 2), 0, 1)), w)
    matrices = build.one(Reshape((prod(axis.kernel for axis in axes), *w.shape[:2])), places)
    columns = build.one(MatMul(), build.one(Unsqueeze((0,)), rows), matrices)
    op = Col2Im(**Windows.fields(axes), extents=padded_extents(axes))
    image = build.one(op, columns)
    starts = tuple(axis.before for axis in axes)
    ends = tuple(axis.before + axis.extent for axis in axes)
    return build.one(Slice(starts, ends, tuple(range(2, rank + 2))), image)


def _rows(build: Builder, x: Value, axes: Sequence[Axis]) -> Value:
    """What each window reads, one row a window."""
    if is_pointwise(axes):
        return as_rows(build, x)
    return build.one(Im2Col(**Windows.fields(axes)), fitted(build, x, axes))


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
