"""Mean and variance together, as normalization over a batch needs them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.op import OURS, NDArray, Op, TensorType, apply
from layerport.ops.axes import normalize_axes
from layerport.ops.base import check_real
from layerport.ops.reduce import Count, kept_shape

if TYPE_CHECKING:
    from layerport.graph import Value
    from layerport.loops.index import Index
    from layerport.loops.nest import NestBuilder
    from layerport.numpy_engine.emit import Emitter


@dataclasses.dataclass(frozen=True)
class Moments(Op):
    """The mean over some axes, which keep extent 1, and the mean of the squared deviations from it.

    As one operator it can be taken of parts that are put together afterwards, and its gradient
    knows that the deviations add up to 0: that of the variance does not flow through the mean.

    Parameters
    ----------
    axes : which.
    """

    axes: tuple[int, ...]
    domain: ClassVar[str] = OURS

    def over(self, rank: int) -> tuple[int, ...]:
        """The axes, counted from the front, in order."""
        return tuple(sorted(normalize_axes(self.axes, rank)))

    def infer(self, x: Value) -> Sequence[TensorType]:
        check_real(x)
        kept = kept_shape(x.shape, self.over(x.ndim))
        return [TensorType(kept, x.dtype), TensorType(kept, x.dtype)]

    def evaluate(self, x: NDArray) -> tuple[NDArray, NDArray]:
        wide = x.astype(np.result_type(x.dtype, np.float32), copy=False)
        mean = np.mean(wide, axis=self.axes, keepdims=True)
        variance = np.mean(np.square(wide - mean), axis=self.axes, keepdims=True)
        return mean.astype(x.dtype, copy=False), variance.astype(x.dtype, copy=False)

    def gradient(self, dys: Any, ys: Any, x: Any) -> Sequence[Any]:
        (dmean, dvariance), (mean, _) = dys, ys
        count = apply(Count(self.over(len(x.shape)), x.dtype.name), x)
        shift = 0.0 if dmean is None else dmean / count
        if dvariance is None:
            return (np.broadcast_to(shift, x.shape),)
        slope = dvariance * (2.0 / count)
        return (x * slope + (shift - mean * slope),)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (x,), (mean, variance) = inputs, outputs
        if x.dtype.itemsize < 4:
            super().emit(emitter, inputs, outputs)
            return
        axes = self.over(x.ndim)
        share = mean.size / x.size
        emitter.sum(x, axes, mean, share)
        squares = emitter.temp_like(x)
        emitter.ufunc(np.subtract, [x, mean], squares)
        emitter.ufunc(np.multiply, [squares, squares], squares)
        emitter.sum(squares, axes, variance, share)

    def loops(self, nest: NestBuilder) -> None:
        (x,), (mean_out, variance_out) = nest.operands, nest.outputs
        axes = self.over(x.ndim)
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        inner = [x.shape[axis] for axis in axes]
        count = nest.count(inner)
        with nest.loops([x.shape[axis] for axis in kept], parallel=True) as outer:
            places = dict(zip(kept, outer, strict=True))

            def element(*along: Index) -> Any:
                at = places | dict(zip(axes, along, strict=True))
                return x[tuple(at[axis] for axis in range(x.ndim))]

            mean = nest.let(nest.sum(inner, element) / count)

            def square(*along: Index) -> Any:
                deviation = nest.let(element(*along) - mean)
                return deviation * deviation

            target = tuple(places.get(axis, 0) for axis in range(x.ndim))
            mean_out[target] = mean
            variance_out[target] = nest.sum(inner, square) / count
