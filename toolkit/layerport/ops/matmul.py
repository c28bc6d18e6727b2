"""Matrix products."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from layerport.dim import Extent, Shape, broadcast_shapes, same_extent, same_shape, size_of
from layerport.errors import ShapeError
from layerport.op import NDArray, Op, TensorType
from layerport.ops.base import common_dtype
from layerport.ops.broadcasting import unbroadcast
from layerport.ops.shape import Reshape, Transpose, Unsqueeze

if TYPE_CHECKING:
    from layerport.graph import Value
    from layerport.loops.index import Index
    from layerport.loops.nest import NestBuilder
    from layerport.numpy_engine.emit import Emitter


def _check_inner(a: Shape, b: Shape, inner_a: Extent, inner_b: Extent) -> None:
    if not same_extent(inner_a, inner_b):
        raise ShapeError(f"{a} and {b} do not multiply: {inner_a} columns meet {inner_b} rows")


@dataclasses.dataclass(frozen=True)
class MatMul(Op):
    """The matrix product, as `numpy.matmul` has it."""

    def infer(self, a: Value, b: Value) -> Sequence[TensorType]:
        if not a.ndim or not b.ndim:
            raise ShapeError(f"{a.shape} and {b.shape} do not multiply: both need an axis")
        dtype = common_dtype(a, b)
        _check_inner(a.shape, b.shape, a.shape[-1], b.shape[-2 if b.ndim > 1 else 0])
        outer = broadcast_shapes(a.shape[:-2], b.shape[:-2])
        rows = a.shape[-2:-1]
        columns = b.shape[-1:] if b.ndim > 1 else ()
        return [TensorType(outer + rows + columns, dtype)]

    def evaluate(self, a: NDArray, b: NDArray) -> NDArray:
        # NumPy multiplies matrices of bfloat16 in float32.
        return np.asarray(np.matmul(a, b), a.dtype)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (a, b), (y,) = inputs, outputs
        if a.ndim == 1:
            a, y = a[np.newaxis], y[..., np.newaxis, :] if b.ndim > 1 else y[np.newaxis]
        if b.ndim == 1:
            b, y = b[:, np.newaxis], y[..., np.newaxis]
        emitter.matmul(a, b, y)

    def memory_order(
        self, inputs: Sequence[NDArray | None], shape: tuple[int, ...]
    ) -> tuple[int, ...]:
        return tuple(range(len(shape)))

    def loops(self, nest: NestBuilder) -> None:
        a, b = nest.operands

        def element(*at: Index) -> Any:
            outer = at[: len(at) - (a.ndim > 1) - (b.ndim > 1)]
            row, column = at[len(outer) : len(outer) + (a.ndim > 1)], at[len(at) - (b.ndim > 1) :]
            total = nest.local(0.0)
            with nest.loop(a.shape[-1]) as k:
                total += a.broadcast((*outer, *row, k)) * b.broadcast((*outer, k, *column))
            return total

        nest.each(element)

    def channel_axis(self, position: int, rank: int) -> int | None:
        return None if rank < 2 else rank - 1 if position else rank - 2

    def gradient(self, dy: Any, y: Any, a: Any, b: Any) -> Sequence[Any]:
        a_matrix = a if len(a.shape) > 1 else Unsqueeze((0,))(a)
        b_matrix = b if len(b.shape) > 1 else Unsqueeze((1,))(b)
        if len(a.shape) == 1:
            dy = Unsqueeze((len(dy.shape) - (len(b.shape) > 1),))(dy)
        if len(b.shape) == 1:
            dy = Unsqueeze((len(dy.shape),))(dy)
        if len(b_matrix.shape) == 2:
            da, db = _weight_gradients(dy, a_matrix, b_matrix)
        else:
            da = unbroadcast(MatMul()(dy, _swapped(b_matrix)), a_matrix.shape)
            db = unbroadcast(MatMul()(_swapped(a_matrix), dy), b_matrix.shape)
        return _as(da, a.shape), _as(db, b.shape)


def _weight_gradients(dy: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """For one matrix `b` that multiplies all rows of `a`: two products of matrices."""
    rows, columns = b.shape
    flat_a = _as(a, (size_of(a.shape[:-1]), rows))
    flat_dy = _as(dy, (size_of(dy.shape[:-1]), columns))
    da = Gemm(transB=1)(flat_dy, b)
    db = Gemm(transA=1)(flat_a, flat_dy)
    return _as(da, a.shape), db


def _swapped(matrices: Any) -> Any:
    rank = len(matrices.shape)
    return Transpose((*range(rank - 2), rank - 1, rank - 2))(matrices)


def _as(x: Any, shape: Shape) -> Any:
    return x if same_shape(x.shape, shape) else Reshape(shape)(x)


@dataclasses.dataclass(frozen=True)
class Gemm(Op):
    """``alpha * A' @ B' + beta * C`` for matrices; A' is A or its transpose, B' likewise."""

    alpha: float = 1.0
    beta: float = 1.0
    transA: int = 0  # noqa: N815 - ONNX's name
    transB: int = 0  # noqa: N815

    def infer(self, a: Value, b: Value, c: Value | None = None) -> Sequence[TensorType]:
        if a.ndim != 2 or b.ndim != 2:
            raise ShapeError(f"{a.shape} and {b.shape} are not both matrices")
        dtype = common_dtype(a, b, *([] if c is None else [c]))
        rows, inner_a = reversed(a.shape) if self.transA else a.shape
        inner_b, columns = reversed(b.shape) if self.transB else b.shape
        _check_inner(a.shape, b.shape, inner_a, inner_b)
        shape = (rows, columns)
        if c is not None and not same_shape(broadcast_shapes(shape, c.shape), shape):
            raise ShapeError(f"{c.shape} does not broadcast to {shape}")
        return [TensorType(shape, dtype)]

    def evaluate(self, a: NDArray, b: NDArray, c: NDArray | None = None) -> NDArray:
        y: NDArray = (a.T if self.transA else a) @ (b.T if self.transB else b)
        if self.alpha != 1:
            y = (y * self.alpha).astype(a.dtype, copy=False)
        if c is not None and self.beta != 0:
            y += c if self.beta == 1 else (c * self.beta).astype(a.dtype, copy=False)
        return y

    def emit(
        self,
        emitter: Emitter,
        inputs: Sequence[NDArray | None],
        outputs: Sequence[NDArray],
    ) -> None:
        a, b, c = (*inputs, None)[:3]
        (y,) = outputs
        if a is None or b is None:
            return
        emitter.matmul(a.T if self.transA else a, b.T if self.transB else b, y)
        if self.alpha != 1:
            emitter.ufunc(np.multiply, [y, emitter.constant(self.alpha, y.dtype)], y)
        if c is None or self.beta == 0:
            return
        if self.beta != 1:
            scaled = emitter.temp_like(c)
            emitter.ufunc(np.multiply, [c, emitter.constant(self.beta, y.dtype)], scaled)
            c = scaled
        emitter.ufunc(np.add, [y, c], y)

    def loops(self, nest: NestBuilder) -> None:
        a, b = nest.operands[:2]
        c = nest.optional(2)
        depth = a.shape[0 if self.transA else 1]

        def element(i: Index, j: Index) -> Any:
            start = c.broadcast((i, j)) * self.beta if c and self.alpha == 1 else 0.0
            total = nest.local(start)
            with nest.loop(depth) as k:
                left = a[k, i] if self.transA else a[i, k]
                total += left * (b[j, k] if self.transB else b[k, j])
            if self.alpha == 1:
                return total
            return total * self.alpha + (c.broadcast((i, j)) * self.beta if c else 0.0)

        nest.each(element)

    def channel_axis(self, position: int, rank: int) -> int | None:
        return {0: self.transA, 1: 1 - self.transB}.get(position)

    def gradient(self, dy: Any, y: Any, a: Any, b: Any, c: Any = None) -> Sequence[Any]:
        trans_a, trans_b, alpha = self.transA, self.transB, self.alpha
        if trans_a:
            da = Gemm(alpha, 1.0, trans_b, 1)(b, dy)
        else:
            da = Gemm(alpha, 1.0, 0, 1 - trans_b)(dy, b)
        if trans_b:
            db = Gemm(alpha, 1.0, 1, trans_a)(dy, a)
        else:
            db = Gemm(alpha, 1.0, 1 - trans_a, 0)(a, dy)
        if c is None:
            return da, db
        dc = unbroadcast(dy, c.shape)
        return da, db, dc if self.beta == 1 else dc * self.beta
