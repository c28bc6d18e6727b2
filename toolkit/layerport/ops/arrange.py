"""Operators that put tensors together, take them apart, repeat and surround them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np

from layerport.dim import (
    Dim,
    Extent,
    Shape,
    is_extent,
    is_static,
    same_extent,
    same_shape,
    static_shape,
)
from layerport.errors import ShapeError
from layerport.loops.index import moved
from layerport.loops.ir import as_expr
from layerport.loops.views import static_extents
from layerport.op import OURS, NDArray, Op, TensorType
from layerport.ops.axes import normalize_axes, normalize_axis
from layerport.ops.base import common_dtype
from layerport.ops.indexing import Slice, SliceGrad, add_along
from layerport.ops.shape import Transpose

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.index import Index, Size
    from layerport.loops.nest import NestBuilder
    from layerport.numpy_engine.emit import Emitter

PadMode: TypeAlias = Literal["constant", "reflect", "edge", "wrap"]


def _bounds(parts: Sequence[Extent]) -> list[tuple[Extent, Extent]]:
    """(start, end) of parts that lie behind one another."""
    ends: list[Extent] = list(accumulate(parts))
    return list(zip([0, *ends], ends, strict=False))


@dataclasses.dataclass(frozen=True)
class Concat(Op):
    """The operands behind one another along `axis`."""

    axis: int

    def infer(self, *inputs: Value) -> Sequence[TensorType]:
        if not inputs:
            raise ShapeError("there is nothing to concatenate")
        first = inputs[0]
        axis = normalize_axis(self.axis, first.ndim)
        for other in inputs[1:]:
            fits = other.ndim == first.ndim and same_shape(
                _without(other.shape, axis), _without(first.shape, axis)
            )
            if not fits:
                raise ShapeError(
                    f"{first.shape} and {other.shape} differ elsewhere than along axis {axis}"
                )
        total = sum((value.shape[axis] for value in inputs), start=0)
        shape = (*first.shape[:axis], total, *first.shape[axis + 1 :])
        return [TensorType(shape, common_dtype(*inputs))]

    def evaluate(self, *inputs: NDArray) -> NDArray:
        return np.concatenate(inputs, axis=self.axis)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        for position, x in enumerate(inputs):
            emitter.copy(self.window(outputs[0], position, *inputs), x)

    def window(self, output: NDArray, operand: int, *inputs: NDArray) -> NDArray:
        axis = normalize_axis(self.axis, output.ndim)
        start = sum(x.shape[axis] for x in inputs[:operand])
        return output[(slice(None),) * axis + (slice(start, start + inputs[operand].shape[axis]),)]

    def gradient(self, dy: Any, y: Any, *inputs: Any) -> Sequence[Any]:
        axis = normalize_axis(self.axis, len(dy.shape))
        parts = _bounds([x.shape[axis] for x in inputs])
        return [Slice((start,), (end,), (axis,))(dy) for start, end in parts]

    def loops(self, nest: NestBuilder) -> None:
        (y,) = nest.outputs
        axis = normalize_axis(self.axis, y.ndim)
        start: Size = 0
        for x in nest.operands:
            if not x.in_place:
                with nest.sweep(x.shape) as at:
                    y[*at[:axis], at[axis] + start, *at[axis + 1 :]] = x[at]
            start = start + x.shape[axis]

    def simplify(self, build: Builder, *inputs: Value) -> Value | None:
        axis = normalize_axis(self.axis, inputs[0].ndim)
        kept = [x for x in inputs if not is_extent(x.shape[axis], 0)] or inputs[:1]
        if len(kept) == 1:
            return kept[0]
        return build.one(self, *kept) if len(kept) < len(inputs) else None


def _without(shape: Shape, axis: int) -> Shape:
    return shape[:axis] + shape[axis + 1 :]


@dataclasses.dataclass(frozen=True)
class Split(Op):
    """Parts of an axis: of the extents `split`, or `num_outputs` equal ones (the last may lack)."""

    axis: int = 0
    split: tuple[Extent, ...] | None = None
    num_outputs: int | None = None
    static: ClassVar[Mapping[int, str]] = {1: "split"}

    def parts(self, shape: Shape) -> tuple[Extent, ...]:
        """The extents of the parts of a tensor of this shape."""
        extent = shape[normalize_axis(self.axis, len(shape))]
        if self.split is not None:
            total = sum(self.split, start=0)
            if is_static((extent, total)) and not same_extent(extent, total):
                raise ShapeError(f"the parts {self.split} do not add up to {extent}")
            return self.split
        if not self.num_outputs:
            raise ShapeError("neither split nor num_outputs says into how many parts to split")
        part = (extent + self.num_outputs - 1) // self.num_outputs
        return (*[part] * (self.num_outputs - 1), extent - part * (self.num_outputs - 1))

    def infer(self, x: Value) -> Sequence[TensorType]:
        axis = normalize_axis(self.axis, x.ndim)
        before, after = x.shape[:axis], x.shape[axis + 1 :]
        return [TensorType((*before, part, *after), x.dtype) for part in self.parts(x.shape)]

    def evaluate(self, x: NDArray) -> tuple[NDArray, ...]:
        ends = list(accumulate(static_shape(self.parts(x.shape))))
        return tuple(part.copy() for part in np.split(x, ends[:-1], axis=self.axis))

    def gradient(self, dys: Any, ys: Any, x: Any) -> Sequence[Any]:
        axis = normalize_axis(self.axis, len(x.shape))
        if all(dy is not None for dy in dys):
            return (Concat(axis)(*dys),)
        dx = None
        for dy, (start, end) in zip(dys, _bounds(self.parts(x.shape)), strict=True):
            if dy is not None:
                part = SliceGrad((start,), (end,), (axis,), None, x.shape)(dy)
                dx = part if dx is None else dx + part
        return (dx,)

    def simplify(self, build: Builder, x: Value) -> Sequence[Value] | None:
        axis = normalize_axis(self.axis, x.ndim)
        parts = _bounds(self.parts(x.shape))
        return [build.one(Slice((start,), (end,), (axis,)), x) for start, end in parts]


@dataclasses.dataclass(frozen=True)
class Tile(Op):
    """The operand `repeats` times along each axis."""

    repeats: tuple[Extent, ...]
    static: ClassVar[Mapping[int, str]] = {1: "repeats"}

    def infer(self, x: Value) -> Sequence[TensorType]:
        if len(self.repeats) != x.ndim:
            raise ShapeError(f"{x.shape} needs {x.ndim} repeats, not {self.repeats}")
        shape = tuple(n * extent for n, extent in zip(self.repeats, x.shape, strict=True))
        return [TensorType(shape, x.dtype)]

    def evaluate(self, x: NDArray) -> NDArray:
        return np.tile(x, static_shape(self.repeats))

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (x,), (y,) = inputs, outputs
        pairs = zip(static_shape(self.repeats), x.shape, strict=True)
        apart = emitter.reshaped(y, [extent for pair in pairs for extent in pair])
        if apart is None:
            super().emit(emitter, inputs, outputs)
        else:
            emitter.copy(apart, np.expand_dims(x, tuple(range(0, 2 * x.ndim, 2))))

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        pairs = zip(self.repeats, x.shape, strict=True)
        apart = tuple(extent for pair in pairs for extent in pair)
        return (dy.reshape(apart).sum(axis=tuple(range(0, len(apart), 2))),)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        return x if all(is_extent(n, 1) for n in self.repeats) else None

    def loops(self, nest: NestBuilder) -> None:
        (x,) = nest.operands
        repeats = static_shape(self.repeats)
        times = {axis: number for axis, number in enumerate(repeats) if number != 1}

        def element(*at: Index) -> Any:
            places = list(at)  # a repeated axis comes as the pair (which repeat, place)
            for axis in times:
                del places[axis]
            return x[tuple(places)]

        nest.each(element, split=times)


@dataclasses.dataclass(frozen=True)
class _Padded(Op):
    """The fields of Pad and its gradient."""

    pads: tuple[Extent, ...]
    mode: PadMode = "constant"
    axes: tuple[int, ...] | None = None

    def widths(self, rank: int) -> list[tuple[Extent, Extent]]:
        """(before, after) for each axis."""
        axes = range(rank) if self.axes is None else self.axes
        named = normalize_axes(axes, rank)
        if len(self.pads) != 2 * len(named):
            raise ShapeError(f"{len(named)} axes need {2 * len(named)} pads, not {self.pads}")
        found: list[tuple[Extent, Extent]] = [(0, 0)] * rank
        for place, axis in enumerate(named):
            found[axis] = self.pads[place], self.pads[place + len(named)]
        return found

    def static_widths(self, rank: int) -> list[tuple[int, int]]:
        """`widths` as numbers."""
        pairs = [static_shape(pair) for pair in self.widths(rank)]
        return [(before, after) for before, after in pairs]


def pad_array(x: NDArray, widths: Sequence[tuple[int, int]], fill: Any = 0) -> NDArray:
    """`x` surrounded by `fill`; negative widths crop."""
    inside = tuple(
        slice(max(-before, 0), extent + min(after, 0))
        for (before, after), extent in zip(widths, x.shape, strict=True)
    )
    outside = [(max(before, 0), max(after, 0)) for before, after in widths]
    x = x[inside]
    if not any(map(any, outside)):
        return x
    result = np.full([n + a + b for n, (a, b) in zip(x.shape, outside, strict=True)], fill, x.dtype)
    result[tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, outside, strict=True))] = x
    return result


@dataclasses.dataclass(frozen=True)
class Pad(_Padded):
    """Surround with a constant, the edge, the reflection or the other end of the tensor.

    `pads` are the widths before all axes, then those behind; negative widths crop.
    """

    static: ClassVar[Mapping[int, str]] = {1: "pads", 3: "axes"}

    def infer(self, x: Value, constant_value: Value | None = None) -> Sequence[TensorType]:
        if constant_value is not None and constant_value.dtype != x.dtype:
            raise ShapeError(f"{x.dtype} cannot be padded with {constant_value.dtype}")
        shape = tuple(
            before + extent + after
            for (before, after), extent in zip(self.widths(x.ndim), x.shape, strict=True)
        )
        for extent in shape:
            if not isinstance(extent, Dim) and extent < 0:
                raise ShapeError(f"the pads {self.pads} crop more than there is of {x.shape}")
        return [TensorType(shape, x.dtype)]

    def evaluate(self, x: NDArray, constant_value: NDArray | None = None) -> NDArray:
        widths = self.static_widths(x.ndim)
        if self.mode == "constant":
            fill = 0 if constant_value is None else constant_value.item()
            return pad_array(x, widths, fill).copy()
        for axis, (before, after) in enumerate(widths):
            x = np.take(x, _sources(x.shape[axis], before, after, self.mode), axis=axis)
        return x

    def emit(
        self,
        emitter: Emitter,
        inputs: Sequence[NDArray | None],
        outputs: Sequence[NDArray],
    ) -> None:
        x, fill = (*inputs, None)[:2]
        (y,) = outputs
        inside = None if x is None else self.window(y, 0, x)
        known = fill is None or emitter.is_constant(fill)
        if x is None or inside is None or not known:
            emitter.evaluate(self, inputs, outputs)
            return
        number = 0 if fill is None else fill.item()
        for axis, (before, after) in enumerate(self.static_widths(x.ndim)):
            # What lies outside along this axis, and inside along those before.
            middle = y[tuple(_inner(self.static_widths(x.ndim)[:axis], y.shape))]
            start, stop = (slice(None),) * axis, y.shape[axis] - after
            for edge in (middle[(*start, slice(0, before))], middle[(*start, slice(stop, None))]):
                if edge.size:
                    emitter.fill(edge, number)
        emitter.copy(inside, x)

    def gradient(self, dy: Any, y: Any, x: Any, constant_value: Any = None) -> Sequence[Any]:
        if self.mode != "constant":
            return (PadGrad(self.pads, self.mode, self.axes)(dy),)
        dx = Pad(tuple(-width for width in self.pads), "constant", self.axes)(dy)
        if constant_value is None:
            return (dx,)
        return dx, (dy.sum() - dx.sum()).reshape(constant_value.shape)

    def simplify(
        self, build: Builder, x: Value, constant_value: Value | None = None
    ) -> Value | None:
        widths = self.widths(x.ndim)
        if all(is_extent(width, 0) for pair in widths for width in pair):
            return x
        if not all(isinstance(width, int) and width <= 0 for pair in widths for width in pair):
            return None
        starts = tuple(-before for before, _ in widths)
        ends = tuple(extent + after for extent, (_, after) in zip(x.shape, widths, strict=True))
        return build.one(Slice(starts, ends, tuple(range(x.ndim))), x)

    def window(self, output: NDArray, operand: int, *inputs: NDArray) -> NDArray | None:
        widths = self.static_widths(output.ndim)
        if operand or self.mode != "constant" or any(min(pair) < 0 for pair in widths):
            return None
        extents = zip(widths, inputs[0].shape, strict=True)
        part: NDArray = output[tuple(slice(a, a + extent) for (a, _), extent in extents)]
        return part

    def loops(self, nest: NestBuilder) -> None:
        x, y, fill = nest.operands[0], nest.outputs[0], nest.optional(1)
        widths = self.static_widths(x.ndim)
        if self.mode != "constant":
            self._repeated_loops(nest, widths)
            return
        taken = [max(-before, 0) for before, _ in widths]
        first = [max(before, 0) for before, _ in widths]
        inside = [e + min(a, 0) + min(b, 0) for e, (a, b) in zip(x.shape, widths, strict=True)]
        if not x.in_place:
            with nest.sweep(inside) as at:
                y[moved(at, first)] = x[moved(at, taken)]
        for axis, (before, after) in enumerate(widths):
            # Beside this axis: inside on the axes before, whole on those behind.
            strips: list[tuple[int, Size]] = [(before, 0), (after, inside[axis] + first[axis])]
            for width, start in strips:
                if width > 0:
                    with nest.sweep([*inside[:axis], width, *y.shape[axis + 1 :]]) as at:
                        corner = [*first[:axis], start, *[0] * (x.ndim - axis - 1)]
                        number = as_expr(0, y.dtype) if fill is None else fill.broadcast(at)
                        y[moved(at, corner)] = number

    def _repeated_loops(self, nest: NestBuilder, widths: Sequence[tuple[int, int]]) -> None:
        x = nest.operands[0]
        tables = {}
        for axis, (before, after) in enumerate(widths):
            if before or after:
                (extent,) = static_extents(x.shape[axis : axis + 1])
                tables[axis] = nest.table(_sources(extent, before, after, self.mode))

        def element(*at: Index) -> Any:
            return x[tuple(tables[axis][i] if axis in tables else i for axis, i in enumerate(at))]

        nest.each(element)


def _inner(widths: Sequence[tuple[int, int]], shape: Sequence[int]) -> list[slice]:
    """The index of what lies between the pads of the first axes."""
    pairs = zip(widths, shape, strict=False)
    return [slice(before, extent - after) for (before, after), extent in pairs]


def _sources(extent: int, before: int, after: int, mode: PadMode) -> NDArray:
    """Which element of an axis each element of the padded axis is."""
    line = np.arange(max(-before, 0), extent + min(after, 0))
    outside = max(before, 0), max(after, 0)
    return np.pad(line, outside, mode=mode)


@dataclasses.dataclass(frozen=True)
class PadGrad(_Padded):
    """The adjoint of Pad where the surroundings repeat elements: adds them up again."""

    domain: ClassVar[str] = OURS

    def infer(self, dy: Value) -> Sequence[TensorType]:
        shape = tuple(
            extent - before - after
            for (before, after), extent in zip(self.widths(dy.ndim), dy.shape, strict=True)
        )
        return [TensorType(shape, dy.dtype)]

    def evaluate(self, dy: NDArray) -> NDArray:
        for axis, (before, after) in enumerate(self.static_widths(dy.ndim)):
            if not before and not after:
                continue
            extent = dy.shape[axis] - before - after
            shape = (*dy.shape[:axis], extent, *dy.shape[axis + 1 :])
            dx = np.zeros(shape, dy.dtype)
            add_along(dx, axis, _sources(extent, before, after, self.mode), dy)
            dy = dx
        return dy

    def gradient(self, ddx: Any, dx: Any, dy: Any) -> Sequence[Any]:
        return (Pad(self.pads, self.mode, self.axes)(ddx),)

    def decompose(self, build: Builder, dy: Value) -> Value | None:
        """A product with a matrix of zeros and ones along each axis."""
        for axis, (before, after) in enumerate(self.static_widths(dy.ndim)):
            if before or after:
                (padded,) = static_shape(dy.shape[axis : axis + 1])
                sources = _sources(padded - before - after, before, after, self.mode)
                matrix = sources[:, np.newaxis] == np.arange(padded - before - after)
                dy = product_along(build, dy, axis, matrix.astype(dy.dtype))
        return dy


def product_along(build: Builder, x: Value, axis: int, matrix: NDArray) -> Value:
    """The product of each line along an axis with a matrix (extent before, extent after)."""
    from layerport.ops.matmul import MatMul

    order = [*range(axis), *range(axis + 1, x.ndim), axis]
    back = tuple(order.index(a) for a in range(x.ndim))
    lines = build.one(Transpose(tuple(order)), x)
    made = build.one(MatMul(), lines, build.constant(matrix, x.dtype))
    return build.one(Transpose(back), made)
