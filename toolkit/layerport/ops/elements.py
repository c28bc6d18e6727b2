"""Operators that move elements along one axis, and running sums."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.dim import is_static
from layerport.errors import ShapeError, UnsupportedError
from layerport.op import NDArray, Op, TensorType, apply
from layerport.ops.axes import normalize_axis
from layerport.ops.base import common_dtype

if TYPE_CHECKING:
    from layerport.graph import Value
    from layerport.loops.index import Index
    from layerport.loops.nest import NestBuilder


@dataclasses.dataclass(frozen=True)
class CumSum(Op):
    """Running sums along `axis`.

    Parameters
    ----------
    exclusive : leave each element out of its own sum.
    reverse : sum from the end.
    """

    axis: int
    exclusive: int = 0
    reverse: int = 0
    static: ClassVar[Mapping[int, str]] = {1: "axis"}

    def infer(self, x: Value) -> Sequence[TensorType]:
        normalize_axis(self.axis, x.ndim)
        return [TensorType(x.shape, x.dtype)]

    def evaluate(self, x: NDArray) -> NDArray:
        turned = np.flip(x, self.axis) if self.reverse else x
        sums: NDArray = np.cumsum(turned, axis=self.axis, dtype=x.dtype)
        if self.exclusive:
            sums = sums - turned
        return np.ascontiguousarray(np.flip(sums, self.axis) if self.reverse else sums)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dataclasses.replace(self, reverse=1 - self.reverse)(dy),)

    def loops(self, nest: NestBuilder) -> None:
        (x,), (y,) = nest.operands, nest.outputs
        axis = normalize_axis(self.axis, x.ndim)
        extent = x.shape[axis]
        with nest.along(x.shape, axis) as at:
            total = nest.local(0, x.dtype)
            with nest.loop(extent) as k:
                place = at(extent - 1 - k if self.reverse else k)
                if self.exclusive:
                    y[place] = total
                total += x[place]
                if not self.exclusive:
                    y[place] = total


@dataclasses.dataclass(frozen=True)
class GatherElements(Op):
    """``y[i, j] = x[indices[i, j], j]`` for axis 0, likewise for others; negatives from the end."""

    axis: int = 0

    def infer(self, x: Value, indices: Value) -> Sequence[TensorType]:
        _check_elements(self.axis, x, indices)
        return [TensorType(indices.shape, x.dtype)]

    def evaluate(self, x: NDArray, indices: NDArray) -> NDArray:
        return np.asarray(x[_index(x, indices, self.axis)])

    def gradient(self, dy: Any, y: Any, x: Any, indices: Any) -> Sequence[Any]:
        scatter = ScatterElements(self.axis, "add")
        return scatter(np.zeros_like(x), indices, dy), None

    def loops(self, nest: NestBuilder) -> None:
        x, indices = nest.operands
        axis = normalize_axis(self.axis, x.ndim)

        def element(*at: Index) -> Any:
            place = nest.gather_index(indices[at], x.shape[axis])
            return x[*at[:axis], place, *at[axis + 1 :]]

        nest.each(element)


@dataclasses.dataclass(frozen=True)
class ScatterElements(Op):
    """`x` with ``y[indices[i, j], j] = updates[i, j]`` for axis 0, likewise for others.

    Parameters
    ----------
    reduction : "none" to put updates in place of elements, each at most once; "add", "mul", "max"
        or "min" to combine them with what is there.
    """

    axis: int = 0
    reduction: str = "none"

    _COMBINE: ClassVar[Mapping[str, np.ufunc]] = {
        "add": np.add,
        "mul": np.multiply,
        "max": np.maximum,
        "min": np.minimum,
    }

    def infer(self, x: Value, indices: Value, updates: Value) -> Sequence[TensorType]:
        _check_elements(self.axis, x, indices)
        if len(updates.shape) != len(indices.shape):
            raise ShapeError(f"updates {updates.shape} should have the shape {indices.shape}")
        if self.reduction != "none" and self.reduction not in self._COMBINE:
            raise ShapeError(
                f"reduction is {self.reduction!r}, not one of none, add, mul, max, min"
            )
        return [TensorType(x.shape, common_dtype(x, updates))]

    def evaluate(self, x: NDArray, indices: NDArray, updates: NDArray) -> NDArray:
        y = x.copy()
        places = _index(x, indices, self.axis)
        if self.reduction == "none":
            y[places] = updates
        else:
            self._COMBINE[self.reduction].at(y, places, updates)
        return y

    def gradient(self, dy: Any, y: Any, x: Any, indices: Any, updates: Any) -> Sequence[Any]:
        picked = GatherElements(self.axis)(dy, indices)
        if self.reduction == "add":
            return dy, None, picked
        if self.reduction != "none":
            raise UnsupportedError(
                f"ScatterElements has no gradient for reduction={self.reduction}"
            )
        return self(dy, indices, np.zeros_like(updates)), None, picked

    def loops(self, nest: NestBuilder) -> None:
        (x, indices, updates), (y,) = nest.operands, nest.outputs
        if self.reduction not in ("none", "add"):
            raise UnsupportedError(f"ScatterElements with {self.reduction} has no loop nest")
        axis = normalize_axis(self.axis, x.ndim)
        made = nest.temporary(y.shape, y.dtype)
        with nest.loops(x.shape, parallel=True) as at:
            made[at] = x[at]
        with nest.along(indices.shape, axis) as along, nest.loop(indices.shape[axis]) as k:
            source = along(k)
            place = nest.gather_index(indices[source], x.shape[axis])
            target = (*source[:axis], place, *source[axis + 1 :])
            new = updates[source]
            made[target] = made[target] + new if self.reduction == "add" else new
        nest.each(lambda *at: made[at])


def _check_elements(axis: int, x: Value, indices: Value) -> None:
    if x.ndim != indices.ndim or indices.dtype.kind not in "iu":
        raise ShapeError(f"{x.shape} needs integer indices of as many axes, not {indices}")
    place = normalize_axis(axis, x.ndim)
    for other, (extent, count) in enumerate(zip(x.shape, indices.shape, strict=True)):
        if other != place and is_static((extent, count)) and int(count) > int(extent):
            raise ShapeError(f"the indices {indices.shape} reach beyond {x.shape}")


def _index(x: NDArray, indices: NDArray, axis: int) -> tuple[NDArray, ...]:
    """NumPy's index for elements along an axis."""
    places: list[NDArray] = list(np.indices(indices.shape, sparse=True))
    places[normalize_axis(axis, x.ndim)] = indices
    return tuple(places)


def cumsum(x: Any, axis: int, *, exclusive: bool = False, reverse: bool = False) -> Any:
    """Running sums; see `CumSum`."""
    return apply(CumSum(axis, int(exclusive), int(reverse)), x)
