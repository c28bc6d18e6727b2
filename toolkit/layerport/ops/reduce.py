"""Reductions over axes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.dim import Shape, is_extent, is_static, size_of
from layerport.loops.functions import (
    cast,
    equal,
    greater,
    greater_equal,
    highest,
    logical_and,
    logical_or,
    lowest,
    minimum,
    not_equal,
    select,
)
from layerport.loops.index import Index
from layerport.op import OURS, NDArray, Op, TensorType, apply
from layerport.ops import special
from layerport.ops.axes import normalize_axes, normalize_axis
from layerport.ops.base import check_real, masked

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.index import Size
    from layerport.loops.ir import Expr
    from layerport.loops.nest import NestBuilder
    from layerport.numpy_engine.emit import Emitter


@dataclasses.dataclass(frozen=True)
class Reduction(Op):
    """One number for all elements along some axes.

    Parameters
    ----------
    axes : which; None for all of them.
    keepdims : whether they stay, with extent 1.
    noop_with_empty_axes : whether no axes (``()`` or None) means none, instead of all.
    """

    axes: tuple[int, ...] | None = None
    keepdims: bool = True
    noop_with_empty_axes: bool = False
    static: ClassVar[Mapping[int, str]] = {1: "axes"}

    real: ClassVar[bool] = False
    """Whether it is defined for floats only."""

    def over(self, rank: int) -> tuple[int, ...]:
        """The axes that go, counted from the front, in order."""
        if not self.axes:
            return () if self.noop_with_empty_axes else tuple(range(rank))
        return tuple(sorted(normalize_axes(self.axes, rank)))

    def infer(self, x: Value) -> Sequence[TensorType]:
        if self.real:
            check_real(x)
        axes = self.over(x.ndim)
        kept = kept_shape(x.shape, axes)
        if not self.keepdims:
            kept = tuple(extent for axis, extent in enumerate(kept) if axis not in axes)
        return [TensorType(kept, x.dtype)]

    def evaluate(self, x: NDArray) -> NDArray:
        axes = self.over(x.ndim)
        result = np.asarray(self.reduce(x, axes))
        return result if self.keepdims else result.squeeze(axes)

    def reduce(self, x: NDArray, axes: tuple[int, ...]) -> NDArray:
        """The reduction of an array, in its dtype; reduced axes keep extent 1."""
        raise NotImplementedError(self.name)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        # Holds for all reductions here: each gives back a single element.
        axes = self.over(x.ndim)
        alone = all(is_extent(x.shape[axis], 1) for axis in axes)
        return x if alone and (self.keepdims or not axes) else None

    def loops(self, nest: NestBuilder) -> None:
        (x,) = nest.operands
        axes = self.over(x.ndim)
        extents = [x.shape[axis] for axis in axes]

        def element(*at: Index) -> Any:
            index = list(at if self.keepdims else _with_axes(at, axes))

            def term(*along: Index) -> Any:
                for axis, place in zip(axes, along, strict=True):
                    index[axis] = place
                return x[tuple(index)]

            return self.accumulate(nest, extents, term)

        nest.each(element)

    def accumulate(
        self, nest: NestBuilder, extents: Sequence[Size], term: Callable[..., Expr]
    ) -> Any:
        """The loops of the reduction of all ``term(*k)``, k below `extents`."""
        raise NotImplementedError(self.name)

    def spread(self, x: Any, reduced: Any) -> Any:
        """A reduced tensor with the shape it has under `keepdims`: broadcasts to x."""
        return reduced.reshape(kept_shape(x.shape, self.over(len(x.shape))))


def _with_axes(at: Sequence[Index], axes: Sequence[int]) -> tuple[Index, ...]:
    """An index with a place in it for each of these axes."""
    kept = iter(at)
    rank = len(at) + len(axes)
    return tuple(Index(0) if axis in axes else next(kept) for axis in range(rank))


def kept_shape(shape: Shape, axes: Sequence[int]) -> Shape:
    """A shape with extent 1 in place of reduced axes."""
    return tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))


@dataclasses.dataclass(frozen=True)
class ReduceSum(Reduction):
    def reduce(self, x: NDArray, axes: tuple[int, ...]) -> NDArray:
        return np.asarray(np.sum(x, axis=axes, dtype=x.dtype, keepdims=True))

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (x,), (y,) = inputs, outputs
        emitter.sum(x, self.over(x.ndim), y)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (np.broadcast_to(self.spread(x, dy), x.shape),)

    def accumulate(
        self, nest: NestBuilder, extents: Sequence[Size], term: Callable[..., Expr]
    ) -> Any:
        return nest.sum(extents, term, dtype=nest.operands[0].dtype)


@dataclasses.dataclass(frozen=True)
class ReduceMean(Reduction):
    def reduce(self, x: NDArray, axes: tuple[int, ...]) -> NDArray:
        if x.dtype.kind == "f":
            return np.mean(x, axis=axes, dtype=x.dtype, keepdims=True)
        return np.asarray(np.mean(x, axis=axes, keepdims=True).astype(x.dtype))

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (x,), (y,) = inputs, outputs
        if x.dtype.kind != "f":
            super().emit(emitter, inputs, outputs)
            return
        emitter.sum(x, self.over(x.ndim), y, y.size / x.size)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        elements = apply(Count(self.over(len(x.shape)), x.dtype.name), x)
        return (np.broadcast_to(self.spread(x, dy / elements), x.shape),)

    def accumulate(
        self, nest: NestBuilder, extents: Sequence[Size], term: Callable[..., Expr]
    ) -> Any:
        total = nest.sum(extents, lambda *k: cast(term(*k), "f32"))
        return cast(total / nest.count(extents), nest.operands[0].dtype)


@dataclasses.dataclass(frozen=True)
class _Extremum(Reduction):
    """Equal extrema share the gradient evenly, as in TensorFlow, JAX and PyTorch's `amax`."""

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        reached = np.equal(x, self.spread(x, y)).astype(x.dtype)
        ties = reached.sum(axis=self.over(len(x.shape)), keepdims=True)
        return (reached * (self.spread(x, dy) / ties),)


@dataclasses.dataclass(frozen=True)
class ReduceMax(_Extremum):
    """The largest element; of no elements, the lowest number of the dtype."""

    def reduce(self, x: NDArray, axes: tuple[int, ...]) -> NDArray:
        lowest = _limits(x.dtype)[0]
        return np.asarray(np.max(x, axis=axes, keepdims=True, initial=lowest))

    def accumulate(
        self, nest: NestBuilder, extents: Sequence[Size], term: Callable[..., Expr]
    ) -> Any:
        return nest.largest(extents, term, lowest(nest.operands[0].dtype))

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        emitter.reduce(np.maximum, inputs[0], self.over(inputs[0].ndim), outputs[0])


@dataclasses.dataclass(frozen=True)
class ReduceMin(_Extremum):
    """The smallest element; of no elements, the highest number of the dtype."""

    def reduce(self, x: NDArray, axes: tuple[int, ...]) -> NDArray:
        highest = _limits(x.dtype)[1]
        return np.asarray(np.min(x, axis=axes, keepdims=True, initial=highest))

    def accumulate(
        self, nest: NestBuilder, extents: Sequence[Size], term: Callable[..., Expr]
    ) -> Any:
        best = nest.local(highest(nest.operands[0].dtype))
        with nest.loops(extents) as k:
            best.set(minimum(best, term(*k)))
        return best

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        emitter.reduce(np.minimum, inputs[0], self.over(inputs[0].ndim), outputs[0])


def _limits(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    if dtype.kind == "f":
        return -np.inf, np.inf
    if dtype.kind == "b":
        return False, True
    limits = np.iinfo(dtype)
    return limits.min, limits.max


@dataclasses.dataclass(frozen=True)
class ReduceProd(Reduction):
    def reduce(self, x: NDArray, axes: tuple[int, ...]) -> NDArray:
        return np.asarray(np.prod(x, axis=axes, dtype=x.dtype, keepdims=True))

    def accumulate(
        self, nest: NestBuilder, extents: Sequence[Size], term: Callable[..., Expr]
    ) -> Any:
        total = nest.local(1, nest.operands[0].dtype)
        with nest.loops(extents) as k:
            total *= term(*k)
        return total

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        """The product of all others, without dividing by zero."""
        axes = self.over(len(x.shape))
        zero = np.equal(x, 0)
        zeros = zero.astype(x.dtype).sum(axis=axes, keepdims=True)
        nonzero = np.where(zero, 1, x)
        product = ReduceProd(axes, noop_with_empty_axes=True)(nonzero)
        others = np.where(zero, masked(product, zeros < 2), masked(product, zeros < 1) / nonzero)
        return (self.spread(x, dy) * others,)


@dataclasses.dataclass(frozen=True)
class ReduceLogSumExp(Reduction):
    """``log(sum(exp(x)))``, without overflow."""

    real: ClassVar[bool] = True

    def reduce(self, x: NDArray, axes: tuple[int, ...]) -> NDArray:
        return special.log_sum_exp(x, axes)

    def accumulate(
        self, nest: NestBuilder, extents: Sequence[Size], term: Callable[..., Expr]
    ) -> Any:
        return nest.log_sum_exp(extents, term)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (self.spread(x, dy) * np.exp(x - self.spread(x, y)),)


@dataclasses.dataclass(frozen=True)
class ArgMax(Op):
    """The position of the largest element along an axis; of the first one unless stated.

    Parameters
    ----------
    axis : which.
    keepdims : whether it stays, with extent 1.
    select_last_index : whether the last of equal elements counts.
    """

    axis: int = 0
    keepdims: bool = True
    select_last_index: bool = False

    def infer(self, x: Value) -> Sequence[TensorType]:
        axis = normalize_axis(self.axis, x.ndim)
        after = (1,) if self.keepdims else ()
        return [TensorType((*x.shape[:axis], *after, *x.shape[axis + 1 :]), np.dtype(np.int64))]

    def evaluate(self, x: NDArray) -> NDArray:
        if not self.select_last_index:
            return np.asarray(np.argmax(x, axis=self.axis, keepdims=self.keepdims), np.int64)
        last = np.argmax(np.flip(x, self.axis), axis=self.axis, keepdims=self.keepdims)
        return np.asarray(x.shape[self.axis] - 1 - last, np.int64)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (x,), (y,) = inputs, outputs
        if self.select_last_index:
            super().emit(emitter, inputs, outputs)
            return
        axis = normalize_axis(self.axis, x.ndim)
        places = y[(slice(None),) * axis + (0, ...)] if self.keepdims else y
        emitter.call(np.ndarray.argmax, x, axis, places)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (None,)

    def loops(self, nest: NestBuilder) -> None:
        (x,) = nest.operands
        axis = normalize_axis(self.axis, x.ndim)

        def element(*at: Index) -> Any:
            before, after = at[:axis], at[axis + self.keepdims :]
            best = nest.local(x[*before, 0, *after])
            where = nest.local(0, "i32")
            with nest.loop(x.shape[axis]) as j:
                value = nest.let(x[*before, j, *after])
                above = greater_equal if self.select_last_index else greater
                # The first NaN is the largest, as for NumPy.
                nan = logical_and(not_equal(value, value), equal(best, best))
                better = logical_or(above(value, best), nan)
                where.set(select(better, nest.as_number(j), where))
                best.set(select(better, value, best))
            return where

        nest.each(element)


@dataclasses.dataclass(frozen=True)
class Count(Op):
    """How many elements x has along some axes, as a tensor without axes.

    A constant wherever the extents are known; `layerport.ops.count` is the function for layers.

    Parameters
    ----------
    axes : which, counted from the front.
    dtype : of the result.
    """

    axes: tuple[int, ...]
    dtype: str = "int64"
    domain: ClassVar[str] = OURS

    def infer(self, x: Value) -> Sequence[TensorType]:
        normalize_axes(self.axes, x.ndim)
        return [TensorType((), np.dtype(self.dtype))]

    def evaluate(self, x: NDArray) -> NDArray:
        return np.asarray(size_of(x.shape[axis] for axis in self.axes), self.dtype)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (None,)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        extents = [x.shape[axis] for axis in self.axes]
        return build.constant(size_of(extents), self.dtype) if is_static(extents) else None

    def loops(self, nest: NestBuilder) -> None:
        x, y = nest.operands[0], nest.outputs[0]
        y[()] = nest.count([x.shape[axis] for axis in self.axes], y.dtype)
