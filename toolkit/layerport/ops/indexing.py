"""Operators that pick elements by position: slices, index tensors, masks of positions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.dim import Dim, Extent, Shape, is_extent, same_extent, static_shape
from layerport.errors import ShapeError
from layerport.loops.functions import cast, equal, greater_equal, less, less_equal, select
from layerport.loops.index import Index
from layerport.loops.ir import as_expr
from layerport.op import OURS, NDArray, Op, TensorType, apply
from layerport.ops.axes import normalize_axes, normalize_axis
from layerport.ops.shape import Squeeze

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.nest import NestBuilder
    from layerport.numpy_engine.emit import Emitter

_FAR = 2**31 - 1
"""Starts and ends this far out stand for the end of the axis, in whichever direction."""


@dataclasses.dataclass(frozen=True)
class Span:
    """One axis of a slice: `length` elements from `start` on, `step` apart."""

    start: Extent
    length: Extent
    step: int

    @staticmethod
    def of(extent: Extent, start: Extent, end: Extent, step: int) -> Span:
        """The part of an axis that ONNX's (and NumPy's) ``start:end:step`` selects.

        On a symbolic axis, bounds are trusted to lie inside; binding the sizes checks them.
        """
        if step == 0:
            raise ShapeError("the step of a slice is 0")
        if not isinstance(extent, Dim) and not isinstance(start, Dim) and not isinstance(end, Dim):
            picked = range(*slice(start, end, step).indices(extent))
            return Span(picked.start, len(picked), step)
        first = _place(extent, start, last=extent if step > 0 else extent - 1)
        stop = _place(extent, end, last=extent if step > 0 else extent - 1)
        gap, stride = (stop - first, step) if step > 0 else (first - stop, -step)
        length = (gap + stride - 1) // stride
        return Span(first, length if isinstance(length, Dim) else max(length, 0), step)

    @property
    def slice(self) -> slice:
        """The NumPy slice; the span must be static."""
        start, length = static_shape((self.start, self.length))
        if not length:
            return slice(0, 0)
        stop = start + length * self.step
        return slice(start, None if stop < 0 else stop, self.step)


def _place(extent: Extent, position: Extent, last: Extent) -> Extent:
    if isinstance(position, Dim):
        return position
    if position >= _FAR:
        return last
    if position <= -_FAR:
        return last - extent  # 0 forwards, -1 backwards
    return position if position >= 0 else extent + position


@dataclasses.dataclass(frozen=True)
class _Sliced(Op):
    """The fields that Slice and its gradient share, and what they select."""

    starts: tuple[Extent, ...]
    ends: tuple[Extent, ...]
    axes: tuple[int, ...] | None = None
    steps: tuple[int, ...] | None = None

    def spans(self, shape: Shape) -> tuple[Span, ...]:
        """What is selected from a tensor of this shape, one span an axis."""
        axes = range(len(self.starts)) if self.axes is None else self.axes
        steps = (1,) * len(self.starts) if self.steps is None else self.steps
        found = [Span(0, extent, 1) for extent in shape]
        if not len(self.starts) == len(self.ends) == len(axes) == len(steps):
            raise ShapeError(f"{self} needs as many ends, axes and steps as starts")
        named = normalize_axes(axes, len(shape))
        for axis, start, end, step in zip(named, self.starts, self.ends, steps, strict=True):
            found[axis] = Span.of(shape[axis], start, end, step)
        return tuple(found)

    def index(self, shape: Shape) -> tuple[slice, ...]:
        """The NumPy index into a tensor of this static shape."""
        return tuple(span.slice for span in self.spans(shape))


@dataclasses.dataclass(frozen=True)
class Slice(_Sliced):
    """ONNX's Slice: `starts`, `ends`, `axes`, `steps` with Python's clamping.

    Ends and starts from 2**31 - 1 on stand for the end of the axis, also where it is symbolic.
    """

    static: ClassVar[Mapping[int, str]] = {1: "starts", 2: "ends", 3: "axes", 4: "steps"}

    def infer(self, x: Value) -> Sequence[TensorType]:
        return [TensorType(tuple(span.length for span in self.spans(x.shape)), x.dtype)]

    def evaluate(self, x: NDArray) -> NDArray:
        return x[self.index(x.shape)].copy()

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (SliceGrad(self.starts, self.ends, self.axes, self.steps, x.shape)(dy),)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        spans = self.spans(x.shape)
        if all(_is_whole(span, extent) for span, extent in zip(spans, x.shape, strict=True)):
            return x
        return None

    def view(self, array: NDArray) -> NDArray | None:
        return array[self.index(array.shape)]


def _is_whole(span: Span, extent: Extent) -> bool:
    return span.step == 1 and is_extent(span.start, 0) and same_extent(span.length, extent)


@dataclasses.dataclass(frozen=True)
class SliceGrad(_Sliced):
    """Zeros of `shape` with the operand where `Slice` with these fields would read."""

    shape: Shape = ()
    domain: ClassVar[str] = OURS

    def infer(self, dy: Value) -> Sequence[TensorType]:
        return [TensorType(self.shape, dy.dtype)]

    def evaluate(self, dy: NDArray) -> NDArray:
        result = np.zeros(static_shape(self.shape), dy.dtype)
        result[self.index(self.shape)] = dy
        return result

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        emitter.fill(outputs[0], 0)
        emitter.copy(outputs[0][self.index(outputs[0].shape)], inputs[0])

    def gradient(self, ddx: Any, dx: Any, dy: Any) -> Sequence[Any]:
        return (Slice(self.starts, self.ends, self.axes, self.steps)(ddx),)

    def decompose(self, build: Builder, dy: Value) -> Value | None:
        """Zeros around the operand, where it is not spread apart."""
        from layerport.ops.arrange import Pad

        spans = self.spans(self.shape)
        if any(span.step != 1 for span in spans):
            return None
        ends = [span.start + span.length for span in spans]
        behind = (extent - end for extent, end in zip(self.shape, ends, strict=True))
        return build.one(Pad((*(span.start for span in spans), *behind)), dy)

    def loops(self, nest: NestBuilder) -> None:
        dy, y = nest.operands[0], nest.outputs[0]
        tables = {}
        for axis, span in enumerate(self.spans(self.shape)):
            if not _is_whole(span, self.shape[axis]):
                places = np.full(static_shape(self.shape[axis : axis + 1]), -1)
                places[span.slice] = np.arange(*static_shape((span.length,)))
                tables[axis] = nest.table(places), nest.table(np.maximum(places, 0))

        def element(*at: Index) -> Any:
            place = [tables[a][1][i] if a in tables else i for a, i in enumerate(at)]
            value: Any = dy[tuple(place)]
            for axis, (known, _) in tables.items():
                value = select(less(known[at[axis]], 0), as_expr(0, y.dtype), value)
            return value

        nest.each(element)


@dataclasses.dataclass(frozen=True)
class Gather(Op):
    """`x` at `indices` along `axis`; negative indices count from the end."""

    axis: int = 0

    def infer(self, x: Value, indices: Value) -> Sequence[TensorType]:
        axis = normalize_axis(self.axis, x.ndim)
        return [TensorType(x.shape[:axis] + indices.shape + x.shape[axis + 1 :], x.dtype)]

    def evaluate(self, x: NDArray, indices: NDArray) -> NDArray:
        return np.asarray(np.take(x, indices, axis=self.axis))

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        x, indices = inputs
        emitter.call(np.ndarray.take, x, indices, self.axis, outputs[0])

    def memory_order(
        self, inputs: Sequence[NDArray | None], shape: tuple[int, ...]
    ) -> tuple[int, ...]:
        return tuple(range(len(shape)))

    def channel_axis(self, position: int, rank: int) -> int | None:
        return rank - 1 if position == 0 and rank > 1 else None

    def gradient(self, dy: Any, y: Any, x: Any, indices: Any) -> Sequence[Any]:
        return GatherGrad(self.axis, x.shape)(dy, indices), None

    def simplify(self, build: Builder, x: Value, indices: Value) -> Value | None:
        if indices.ndim or indices.constant is None or x.constant is not None:
            return None
        # One known position: a slice, which costs no copy.
        place = int(indices.constant)
        axis = normalize_axis(self.axis, x.ndim)
        end = 2**63 - 1 if place == -1 else place + 1
        return build.one(Squeeze((axis,)), build.one(Slice((place,), (end,), (axis,)), x))

    def loops(self, nest: NestBuilder) -> None:
        x, indices = nest.operands
        axis = normalize_axis(self.axis, x.ndim)

        def element(*at: Index) -> Any:
            picked = indices[at[axis : axis + indices.ndim]]
            place = nest.gather_index(picked, x.shape[axis])
            return x[*at[:axis], place, *at[axis + indices.ndim :]]

        nest.each(element)


def add_along(target: NDArray, axis: int, indices: NDArray, values: NDArray) -> None:
    """Add `values` to `target` at `indices` along `axis`, also where indices repeat."""
    if not target.flags.c_contiguous:
        index: Any = (slice(None),) * axis + (indices,)
        np.add.at(target, index, values)
        return
    # Element by element in one axis, np.add.at takes a fifth of the time.
    extent, inner = target.shape[axis], math.prod(target.shape[axis + 1 :])
    outer = math.prod(target.shape[:axis])
    rows = np.where(indices < 0, indices + extent, indices).astype(np.int64).reshape(-1)
    if rows.size and not 0 <= rows.min() <= rows.max() < extent:
        raise IndexError(f"an index is out of bounds for {extent} elements")
    rows = (np.arange(outer) * extent)[:, None] + rows
    places = rows[:, :, None] * inner + np.arange(inner)
    np.add.at(target.reshape(-1), places.reshape(-1), values.reshape(-1))


@dataclasses.dataclass(frozen=True)
class GatherGrad(Op):
    """Zeros of `shape` to which the operand is added at `indices` along `axis`."""

    axis: int
    shape: Shape
    domain: ClassVar[str] = OURS

    def infer(self, dy: Value, indices: Value) -> Sequence[TensorType]:
        return [TensorType(self.shape, dy.dtype)]

    def evaluate(self, dy: NDArray, indices: NDArray) -> NDArray:
        axis = normalize_axis(self.axis, len(self.shape))
        result = np.zeros(static_shape(self.shape), dy.dtype)
        add_along(result, axis, indices, dy)
        return result

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (dy, indices), (dx,) = inputs, outputs
        emitter.fill(dx, 0)
        emitter.call(add_along, dx, normalize_axis(self.axis, dx.ndim), indices, dy)

    def memory_order(
        self, inputs: Sequence[NDArray | None], shape: tuple[int, ...]
    ) -> tuple[int, ...]:
        return tuple(range(len(shape)))

    def gradient(self, ddx: Any, dx: Any, dy: Any, indices: Any) -> Sequence[Any]:
        return Gather(self.axis)(ddx, indices), None

    def loops(self, nest: NestBuilder) -> None:
        (dy, indices), (dx,) = nest.operands, nest.outputs
        axis = normalize_axis(self.axis, dx.ndim)
        total = nest.temporary(dx.shape)
        with nest.loops(dx.shape, parallel=True) as at:
            total[at] = 0.0
        with nest.loops(dy.shape) as at:
            picked = indices[at[axis : axis + indices.ndim]]
            place = nest.gather_index(picked, dx.shape[axis])
            target = (*at[:axis], place, *at[axis + indices.ndim :])
            total[target] = total[target] + dy[at]
        nest.each(lambda *at: total[at])


@dataclasses.dataclass(frozen=True)
class OneHot(Op):
    """A new `axis` of extent `depth`: `values[1]` at the index, `values[0]` elsewhere.

    Indices from -depth to depth - 1 count; any other gives `values[0]` throughout.
    """

    depth: Extent
    axis: int = -1
    static: ClassVar[Mapping[int, str]] = {1: "depth"}

    def infer(self, indices: Value, values: Value) -> Sequence[TensorType]:
        if values.ndim != 1 or not is_extent(values.shape[0], 2):
            raise ShapeError(f"values holds the off and the on value, not {values.shape}")
        axis = normalize_axis(self.axis, indices.ndim + 1)
        shape = (*indices.shape[:axis], self.depth, *indices.shape[axis:])
        return [TensorType(shape, values.dtype)]

    def evaluate(self, indices: NDArray, values: NDArray) -> NDArray:
        (depth,) = static_shape((self.depth,))
        places = np.expand_dims(indices, self.axis)
        places = np.where(places < 0, places + depth, places)
        axis = normalize_axis(self.axis, places.ndim)
        line = np.arange(depth).reshape((depth,) + (1,) * (places.ndim - 1 - axis))
        return np.asarray(np.where(places == line, values[1], values[0]))

    def gradient(self, dy: Any, y: Any, indices: Any, values: Any) -> Sequence[Any]:
        hot = self(indices, np.array([0, 1], dy.dtype))
        on = (dy * hot).sum()
        return None, np.stack([dy.sum() - on, on])

    def loops(self, nest: NestBuilder) -> None:
        (indices, values), (y,) = nest.operands, nest.outputs
        axis = normalize_axis(self.axis, y.ndim)
        depth = nest.count((y.shape[axis],), "i32")

        def element(*at: Index) -> Any:
            named = nest.let(cast(indices[*at[:axis], *at[axis + 1 :]], "i32"))
            place = select(less(named, 0), named + depth, named)
            return select(equal(place, nest.as_number(at[axis])), values[1], values[0])

        nest.each(element)


@dataclasses.dataclass(frozen=True)
class Trilu(Op):
    """The upper or lower triangle of the last two axes, `k` diagonals off the main one."""

    k: int = 0
    upper: int = 1
    static: ClassVar[Mapping[int, str]] = {1: "k"}

    def infer(self, x: Value) -> Sequence[TensorType]:
        if x.ndim < 2:
            raise ShapeError(f"a triangle needs two axes, {x.shape} has {x.ndim}")
        return [TensorType(x.shape, x.dtype)]

    def evaluate(self, x: NDArray) -> NDArray:
        return np.triu(x, self.k) if self.upper else np.tril(x, self.k)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (self(dy),)

    def loops(self, nest: NestBuilder) -> None:
        (x,) = nest.operands

        def element(*at: Index) -> Any:
            diagonal = nest.as_number(at[-1] - at[-2])
            kept = (greater_equal if self.upper else less_equal)(diagonal, self.k)
            return select(kept, x[at], as_expr(0, x.dtype))

        nest.each(element)


def one_hot(indices: Any, depth: Extent, *, axis: int = -1, dtype: Any = np.float32) -> Any:
    """A new axis of extent `depth` with 1 at the index and 0 elsewhere.

    Parameters
    ----------
    indices : integers from -depth to depth - 1; any other one gives zeros.
    axis : the place of the new axis in the result.
    dtype : of the result.
    """
    return apply(OneHot(depth, axis), indices, np.array([0, 1], dtype))
