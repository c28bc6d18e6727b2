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
from layerport.op import OURS, NDArray, Op, TensorType
from layerport.ops.axes import normalize_axes, normalize_axis
from layerport.ops.base import common_dtype
from layerport.ops.indexing import Slice, SliceGrad, add_along

if TYPE_CHECKING:
    from layerport.graph import Builder, Value

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

    def gradient(self, dy: Any, y: Any, *inputs: Any) -> Sequence[Any]:
        axis = normalize_axis(self.axis, len(dy.shape))
        parts = _bounds([x.shape[axis] for x in inputs])
        return [Slice((start,), (end,), (axis,))(dy) for start, end in parts]

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

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        pairs = zip(self.repeats, x.shape, strict=True)
        apart = tuple(extent for pair in pairs for extent in pair)
        return (dy.reshape(apart).sum(axis=tuple(range(0, len(apart), 2))),)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        return x if all(is_extent(n, 1) for n in self.repeats) else None


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
