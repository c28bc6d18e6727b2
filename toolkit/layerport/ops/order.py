"""Operators that order elements."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.dim import Extent, is_static, static_shape
from layerport.errors import ShapeError
from layerport.op import NDArray, Op, TensorType
from layerport.ops.axes import normalize_axis
from layerport.ops.elements import ScatterElements

if TYPE_CHECKING:
    from layerport.graph import Value


@dataclasses.dataclass(frozen=True)
class TopK(Op):
    """The `k` largest elements along `axis`, and where they were; of equal ones, the first.

    Parameters
    ----------
    largest : 0 for the smallest.
    sorted : whether the order matters; they are in order in any case.
    """

    k: Extent
    axis: int = -1
    largest: int = 1
    sorted: int = 1
    static: ClassVar[Mapping[int, str]] = {1: "k"}

    def infer(self, x: Value) -> Sequence[TensorType]:
        axis = normalize_axis(self.axis, x.ndim)
        extent = x.shape[axis]
        if is_static((extent, self.k)) and not 0 <= int(self.k) <= int(extent):
            raise ShapeError(f"there are no {self.k} elements along axis {axis} of {x.shape}")
        shape = (*x.shape[:axis], self.k, *x.shape[axis + 1 :])
        return [TensorType(shape, x.dtype), TensorType(shape, np.dtype(np.int64))]

    def evaluate(self, x: NDArray) -> tuple[NDArray, ...]:
        (k,) = static_shape((self.k,))
        # Backwards through the backwards order: descending, and of equal elements the first.
        order = np.argsort(np.flip(x, self.axis), axis=self.axis, kind="stable")
        places = x.shape[self.axis] - 1 - np.flip(order, self.axis)
        if not self.largest:
            places = np.argsort(x, axis=self.axis, kind="stable")
        first = np.take(places, np.arange(k), axis=self.axis)
        return np.take_along_axis(x, first, self.axis), first

    def gradient(self, dys: Any, ys: Any, x: Any) -> Sequence[Any]:
        if dys[0] is None:
            return (None,)
        return (ScatterElements(self.axis, "add")(np.zeros_like(x), ys[1], dys[0]),)
