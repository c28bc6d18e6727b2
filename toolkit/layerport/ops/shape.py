"""Operators that change the shape and keep the elements, and those that make or read shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.dim import (
    Extent,
    broadcast_shapes,
    is_extent,
    is_static,
    same_extent,
    same_shape,
    size_of,
    static_shape,
)
from layerport.dim import (
    Shape as Extents,
)
from layerport.errors import ShapeError
from layerport.op import NDArray, Op, TensorType, apply
from layerport.ops.axes import normalize_axes, normalize_axis
from layerport.ops.broadcasting import unbroadcast

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.nest import NestBuilder


def reshaped(shape: Extents, wanted: Sequence[Extent], *, allowzero: bool = True) -> Extents:
    """The final shape of a reshape in which one extent may be -1.

    Parameters
    ----------
    shape : the shape before.
    wanted : the shape after; -1 stands for whatever is left.
    allowzero : False makes an extent 0 a copy of the extent at the same place, as ONNX has it.

    Raises
    ------
    ShapeError : when the sizes do not agree, or several extents are -1.
    """
    extents = [
        shape[axis] if not allowzero and is_extent(extent, 0) and axis < len(shape) else extent
        for axis, extent in enumerate(wanted)
    ]
    free = [axis for axis, extent in enumerate(extents) if is_extent(extent, -1)]
    if len(free) > 1:
        raise ShapeError(f"the shape {tuple(wanted)} leaves more than one extent open")
    if free:
        total = size_of(shape)
        rest = size_of(extent for axis, extent in enumerate(extents) if axis != free[0])
        extents[free[0]] = 0 if is_extent(rest, 0) else total // rest
    _check_sizes(shape, tuple(extents))
    return tuple(extents)


def _check_sizes(before: Extents, after: Extents) -> None:
    # Symbolic sizes that differ may still agree once they are bound, and are checked then.
    known = is_static(before) and is_static(after)
    if known and not same_extent(size_of(before), size_of(after)):
        raise ShapeError(f"{before} has {size_of(before)} elements, {after} has {size_of(after)}")


@dataclasses.dataclass(frozen=True)
class Identity(Op):
    def infer(self, x: Value) -> Sequence[TensorType]:
        return [TensorType(x.shape, x.dtype)]

    def evaluate(self, x: NDArray) -> NDArray:
        return x.copy()

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy,)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        return x

    def view(self, array: NDArray) -> NDArray | None:
        return array


@dataclasses.dataclass(frozen=True)
class Reshaping(Op):
    """An operator that is a reshape; subclasses say to which shape."""

    def target(self, shape: Extents) -> Extents:
        """The shape of the result for an operand of this shape."""
        raise NotImplementedError(self.name)

    def infer(self, x: Value) -> Sequence[TensorType]:
        return [TensorType(self.target(x.shape), x.dtype)]

    def evaluate(self, x: NDArray) -> NDArray:
        return x.reshape(static_shape(self.target(x.shape))).copy()

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (Reshape(x.shape)(dy),)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        target = self.target(x.shape)
        if same_shape(x.shape, target):
            return x
        inner = x.made_by(Reshaping)
        if inner is None or inner.inputs[0] is None:
            return None
        return build.one(Reshape(target), inner.inputs[0])

    def view(self, array: NDArray) -> NDArray | None:
        wanted = static_shape(self.target(array.shape))
        result = array.view()
        try:
            # Unlike reshape, this refuses where a copy would be needed.
            result.shape = wanted
        except AttributeError:
            return None
        return result


@dataclasses.dataclass(frozen=True)
class Reshape(Reshaping):
    """ONNX's Reshape with its final shape: neither 0 (copy) nor -1 (see `reshaped`)."""

    shape: Extents
    static: ClassVar[Mapping[int, str]] = {1: "shape"}

    def target(self, shape: Extents) -> Extents:
        _check_sizes(shape, self.shape)
        return self.shape


@dataclasses.dataclass(frozen=True)
class Flatten(Reshaping):
    """To two axes: those before `axis`, and the rest."""

    axis: int = 1

    def target(self, shape: Extents) -> Extents:
        rank = len(shape)
        axis = self.axis if self.axis == rank else normalize_axis(self.axis, rank)
        return size_of(shape[:axis]), size_of(shape[axis:])


@dataclasses.dataclass(frozen=True)
class Squeeze(Reshaping):
    """Drop axes of extent 1; without `axes` all that are known to be 1."""

    axes: tuple[int, ...] | None = None
    static: ClassVar[Mapping[int, str]] = {1: "axes"}

    def target(self, shape: Extents) -> Extents:
        if self.axes is None:
            return tuple(extent for extent in shape if not is_extent(extent, 1))
        axes = normalize_axes(self.axes, len(shape))
        for axis in axes:
            if is_static(shape[axis : axis + 1]) and not is_extent(shape[axis], 1):
                raise ShapeError(f"axis {axis} of {shape} is not 1 and cannot be dropped")
        return tuple(extent for axis, extent in enumerate(shape) if axis not in axes)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        if self.axes is None:
            # Stated, so that a symbolic extent that turns out to be 1 does not go too.
            axes = tuple(axis for axis, extent in enumerate(x.shape) if is_extent(extent, 1))
            return build.one(Squeeze(axes), x)
        return super().simplify(build, x)


@dataclasses.dataclass(frozen=True)
class Unsqueeze(Reshaping):
    """Insert axes of extent 1; `axes` are places in the result."""

    axes: tuple[int, ...]
    static: ClassVar[Mapping[int, str]] = {1: "axes"}

    def target(self, shape: Extents) -> Extents:
        rank = len(shape) + len(self.axes)
        axes = normalize_axes(self.axes, rank)
        kept = iter(shape)
        return tuple(1 if axis in axes else next(kept) for axis in range(rank))


@dataclasses.dataclass(frozen=True)
class Transpose(Op):
    """Permute the axes; without `perm` reverse them."""

    perm: tuple[int, ...] | None = None

    def order(self, rank: int) -> tuple[int, ...]:
        """The permutation for an operand of this rank."""
        if self.perm is None:
            return tuple(reversed(range(rank)))
        order = normalize_axes(self.perm, rank)
        if len(order) != rank:
            raise ShapeError(f"{self.perm} does not order the axes of a tensor of rank {rank}")
        return order

    def infer(self, x: Value) -> Sequence[TensorType]:
        return [TensorType(tuple(x.shape[axis] for axis in self.order(x.ndim)), x.dtype)]

    def evaluate(self, x: NDArray) -> NDArray:
        return x.transpose(self.order(x.ndim)).copy()

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        order = self.order(len(x.shape))
        return (Transpose(tuple(order.index(axis) for axis in range(len(order))))(dy),)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        order = self.order(x.ndim)
        if order == tuple(range(x.ndim)):
            return x
        inner = x.made_by(Transpose)
        if inner is None or inner.inputs[0] is None or not isinstance(inner.op, Transpose):
            return None
        before = inner.op.order(x.ndim)
        return build.one(Transpose(tuple(before[axis] for axis in order)), inner.inputs[0])

    def view(self, array: NDArray) -> NDArray | None:
        return array.transpose(self.order(array.ndim))


@dataclasses.dataclass(frozen=True)
class Expand(Op):
    """Broadcast together with `shape` (so an extent 1 in `shape` keeps the operand's)."""

    shape: Extents
    static: ClassVar[Mapping[int, str]] = {1: "shape"}

    def infer(self, x: Value) -> Sequence[TensorType]:
        return [TensorType(broadcast_shapes(x.shape, self.shape), x.dtype)]

    def evaluate(self, x: NDArray) -> NDArray:
        return np.broadcast_to(x, self._target(x)).copy()

    def _target(self, x: NDArray) -> tuple[int, ...]:
        return static_shape(broadcast_shapes(x.shape, self.shape))

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (unbroadcast(dy, x.shape),)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        target = broadcast_shapes(x.shape, self.shape)
        if same_shape(target, x.shape):
            return x
        inner = x.made_by(Expand)
        if inner is None or inner.inputs[0] is None:
            return None
        return build.one(Expand(target), inner.inputs[0])

    def view(self, array: NDArray) -> NDArray | None:
        return np.broadcast_to(array, self._target(array))


@dataclasses.dataclass(frozen=True)
class Shape(Op):
    """The extents from axis `start` up to `end` as int64."""

    start: int = 0
    end: int | None = None

    def infer(self, x: Value) -> Sequence[TensorType]:
        return [TensorType((len(x.shape[self.start : self.end]),), np.dtype(np.int64))]

    def evaluate(self, x: NDArray) -> NDArray:
        return np.array(x.shape[self.start : self.end], np.int64)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (None,)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        extents = x.shape[self.start : self.end]
        return build.constant(extents, np.int64) if is_static(extents) else None

    def loops(self, nest: NestBuilder) -> None:
        x, y = nest.operands[0], nest.outputs[0]
        for place, extent in enumerate(x.shape[self.start : self.end]):
            y[place] = nest.count((extent,), y.dtype)


@dataclasses.dataclass(frozen=True)
class ConstantOfShape(Op):
    """A tensor of one number. ONNX's one-element `value` tensor is `value` and `dtype` here."""

    shape: Extents
    value: float | int | bool = 0.0
    dtype: str = "float32"
    static: ClassVar[Mapping[int, str]] = {0: "shape"}

    def infer(self) -> Sequence[TensorType]:
        return [TensorType(self.shape, np.dtype(self.dtype))]

    def evaluate(self) -> NDArray:
        return np.full(static_shape(self.shape), self.value, self.dtype)

    def gradient(self, dy: Any, y: Any) -> Sequence[Any]:
        return ()

    def simplify(self, build: Builder) -> Value | None:
        return build.one(Expand(self.shape), build.constant(self.value, self.dtype))


def count(x: Any, axis: int | None = None) -> Any:
    """The number of elements of `x`, or its extent along `axis`, as an int64 tensor without axes.

    This is the way to compute with an extent that is symbolic while a layer is recorded.
    """
    if axis is None:
        return apply(Shape(), x).prod()
    axis = normalize_axis(axis, len(x.shape))
    return apply(Squeeze((0,)), apply(Shape(axis, axis + 1), x))
