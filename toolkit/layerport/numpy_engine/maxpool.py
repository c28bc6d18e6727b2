"""Max-pooling axis by axis, as maxima of slices.

The gradient is a tournament played back: of the elements of a window, the last one takes what it
has won against those before it, and so on down to the first. Of equal maxima in different rows
*and* columns, the one in the first column wins, where the operator itself takes the one in the
first row; either is a subgradient.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from layerport.dim import is_extent, static_shape
from layerport.numpy_engine.windows import padded_extents
from layerport.op import OURS, NDArray, Op, TensorType
from layerport.ops.conv import padded
from layerport.ops.indexing import Slice
from layerport.ops.pool import MaxPool, MaxPoolGrad, lowest_number
from layerport.ops.windows import Axis

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.numpy_engine.emit import Emitter


@dataclasses.dataclass(frozen=True)
class _Sliding(Op):
    """`count` windows along an axis: `size` elements `dilation` apart, every `stride` elements."""

    axis: int
    size: int
    stride: int
    dilation: int
    count: int
    domain: ClassVar[str] = OURS

    def members(self, x: NDArray) -> list[NDArray]:
        """The first elements of all windows, the second ones, and so on."""
        before = (slice(None),) * self.axis
        starts = range(0, self.size * self.dilation, self.dilation)
        reach = (self.count - 1) * self.stride + 1
        return [x[(*before, slice(start, start + reach, self.stride))] for start in starts]

    def is_identity(self, x: Value) -> bool:
        """Whether every element of x is a window."""
        return self.size == self.stride == 1 and is_extent(x.shape[self.axis], self.count)

    @property
    def are_apart(self) -> bool:
        """Whether no element is in two windows."""
        return self.size == 1 or (self.stride >= self.size and self.dilation == 1)


@dataclasses.dataclass(frozen=True)
class SlideMax(_Sliding):
    """The maximum of each window."""

    def infer(self, x: Value) -> Sequence[TensorType]:
        shape = list(x.shape)
        shape[self.axis] = self.count
        return [TensorType(tuple(shape), x.dtype)]

    def simplify(self, build: Builder, x: Value) -> Value | None:
        return x if self.is_identity(x) else None

    def evaluate(self, x: NDArray) -> NDArray:
        return np.asarray(np.maximum.reduce(self.members(x)))

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        first, *others = self.members(inputs[0])
        if not others:
            emitter.copy(outputs[0], first)
        for member in others:
            emitter.ufunc(np.maximum, [first, member], outputs[0])
            first = outputs[0]


@dataclasses.dataclass(frozen=True)
class SlideMaxGrad(_Sliding):
    """The gradient of SlideMax, from `dy` and `x`."""

    def infer(self, dy: Value, x: Value) -> Sequence[TensorType]:
        return [TensorType(x.shape, x.dtype)]

    def simplify(self, build: Builder, dy: Value, x: Value) -> Value | None:
        return dy if self.is_identity(x) else None

    def evaluate(self, dy: NDArray, x: NDArray) -> NDArray:
        first, *others = self.members(x)
        bests = list(np.maximum.accumulate([first, *others[:-1]])) if others else []
        dx = np.zeros_like(x)
        slopes = self.members(dx)
        for slope, member, best in zip(slopes[:0:-1], others[::-1], bests[::-1], strict=True):
            won = dy * (member > best)
            slope += won
            dy = dy - won
        slopes[0][...] += dy
        return dx

    def memory_order(
        self, inputs: Sequence[NDArray | None], shape: tuple[int, ...]
    ) -> tuple[int, ...]:
        return super().memory_order(inputs[1:], shape)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (dy, x), (dx,) = inputs, outputs
        if not self.are_apart or self.count * self.size < dx.shape[self.axis]:
            emitter.fill(dx, 0)
        first, *others = self.members(x)
        bests = self._bests(emitter, first, others[:-1], dy)
        won = emitter.temp_like(dy, bool)
        slopes = self.members(dx)
        for place in range(self.size - 1, 0, -1):
            emitter.ufunc(np.greater, [others[place - 1], bests[place - 1]], won)
            slope = slopes[place] if self.are_apart else emitter.temp_like(dy)
            rest = slopes[0] if self.are_apart and place == 1 else emitter.temp_like(dy)
            emitter.ufunc(np.multiply, [dy, won], slope)
            emitter.ufunc(np.subtract, [dy, slope], rest)
            if not self.are_apart:
                emitter.ufunc(np.add, [slopes[place], slope], slopes[place])
            dy = rest
        if not self.are_apart:
            emitter.ufunc(np.add, [slopes[0], dy], slopes[0])
        elif self.size == 1:
            emitter.copy(slopes[0], dy)

    def _bests(
        self, emitter: Emitter, first: NDArray, others: Sequence[NDArray], like: NDArray
    ) -> list[NDArray]:
        """The maxima of the elements up to each one."""
        bests = [first]
        for member in others:
            best = emitter.temp_like(like)
            emitter.ufunc(np.maximum, [bests[-1], member], best)
            bests.append(best)
        return bests


# Lowering -------------------------------------------------------------------------------


def lower_max_pool(build: Builder, op: MaxPool, x: Value) -> Value | None:
    """As SlideMax along each axis."""
    if op.indices:
        return None
    axes = op.axes(static_shape(x.shape[2:]), op.kernel_shape)
    return _stages(build, _surrounded(build, x, axes), axes)[-1]


def lower_max_pool_grad(build: Builder, op: MaxPoolGrad, dy: Value, x: Value, y: Value) -> Value:
    """As SlideMaxGrad along each axis, the last one first."""
    axes = op.axes(static_shape(x.shape[2:]), op.kernel_shape)
    stages = _stages(build, _surrounded(build, x, axes), axes)
    for place in range(len(axes) - 1, -1, -1):
        dy = build.one(SlideMaxGrad(*_along(axes, place)), dy, stages[place])
    starts = tuple(axis.before for axis in axes)
    ends = tuple(axis.before + axis.extent for axis in axes)
    return build.one(Slice(starts, ends, tuple(range(2, x.ndim))), dy)


def _along(axes: Sequence[Axis], place: int) -> tuple[int, int, int, int, int]:
    axis = axes[place]
    return place + 2, axis.kernel, axis.stride, axis.dilation, axis.count


def _stages(build: Builder, x: Value, axes: Sequence[Axis]) -> list[Value]:
    """The operand, and the result after each axis."""
    stages = [x]
    for place in range(len(axes)):
        stages.append(build.one(SlideMax(*_along(axes, place)), stages[-1]))
    return stages


def _surrounded(build: Builder, x: Value, axes: Sequence[Axis]) -> Value:
    """The images with the lowest number around them, so that all windows lie inside."""
    extents = padded_extents(axes)
    before = tuple(axis.before for axis in axes)
    after = tuple(
        extent - axis.extent - axis.before for extent, axis in zip(extents, axes, strict=True)
    )
    return padded(build, x, (*before, *after), lowest_number(x.dtype))
