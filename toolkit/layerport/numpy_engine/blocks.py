"""Max-pooling with windows side by side: axis by axis, as maxima of slices.

The gradient is a tournament played back: of two halves, the second takes what it has won, the
first the rest. Of equal maxima in different rows *and* columns, the one in the first column wins,
where the operator itself takes the one in the first row; either is a subgradient.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.dim import static_shape
from layerport.op import OURS, NDArray, Op, TensorType
from layerport.ops.indexing import Slice, SliceGrad
from layerport.ops.pool import MaxPool, MaxPoolGrad

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.numpy_engine.emit import Emitter


@dataclasses.dataclass(frozen=True)
class _Blocks(Op):
    """Blocks of `size` neighbours along an axis, which they fill without a rest."""

    axis: int
    size: int
    domain: ClassVar[str] = OURS

    def members(self, x: NDArray) -> list[NDArray]:
        """The first elements of all blocks, the second ones, and so on."""
        before = (slice(None),) * self.axis
        return [x[(*before, slice(place, None, self.size))] for place in range(self.size)]


@dataclasses.dataclass(frozen=True)
class BlockMax(_Blocks):
    """The maximum of each block."""

    def infer(self, x: Value) -> Sequence[TensorType]:
        shape = list(static_shape(x.shape))
        shape[self.axis] //= self.size
        return [TensorType(tuple(shape), x.dtype)]

    def evaluate(self, x: NDArray) -> NDArray:
        return np.asarray(np.maximum.reduce(self.members(x)))

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        first, *others = self.members(inputs[0])
        for member in others:
            emitter.ufunc(np.maximum, [first, member], outputs[0])
            first = outputs[0]


@dataclasses.dataclass(frozen=True)
class BlockMaxGrad(_Blocks):
    """The gradient of BlockMax, from `dy` and `x`."""

    def infer(self, dy: Value, x: Value) -> Sequence[TensorType]:
        return [TensorType(x.shape, x.dtype)]

    def evaluate(self, dy: NDArray, x: NDArray) -> NDArray:
        first, *others = self.members(x)
        bests = [first]
        for member in others[:-1]:
            bests.append(np.maximum(bests[-1], member))
        dx = np.empty_like(x)
        slopes = self.members(dx)
        for slope, member, best in zip(slopes[:0:-1], others[::-1], bests[::-1], strict=True):
            slope[...] = dy * (member > best)
            dy = dy - slope
        slopes[0][...] = dy
        return dx

    def memory_order(
        self, inputs: Sequence[NDArray | None], shape: tuple[int, ...]
    ) -> tuple[int, ...]:
        return super().memory_order(inputs[1:], shape)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        dy, x = inputs
        first, *others = self.members(x)
        bests = [first]
        for member in others[:-1]:
            best = emitter.temp_like(dy)
            emitter.ufunc(np.maximum, [bests[-1], member], best)
            bests.append(best)
        won = emitter.temp_like(dy, bool)
        slopes = self.members(outputs[0])
        for place in range(self.size - 1, 0, -1):
            left = slopes[0] if place == 1 else emitter.temp_like(dy)
            emitter.ufunc(np.greater, [others[place - 1], bests[place - 1]], won)
            emitter.ufunc(np.multiply, [dy, won], slopes[place])
            emitter.ufunc(np.subtract, [dy, slopes[place]], left)
            dy = left


def lower_max_pool(build: Builder, op: MaxPool, x: Value) -> Value | None:
    """As BlockMax along each axis, where windows lie side by side."""
    if op.indices or not _is_side_by_side(op, x):
        return None
    return _stages(build, op, _cropped(build, op, x))[-1]


def lower_max_pool_grad(
    build: Builder, op: MaxPoolGrad, dy: Value, x: Value, y: Value
) -> Value | None:
    """As BlockMaxGrad along each axis, the last one first."""
    if not _is_side_by_side(op, x):
        return None
    whole = _cropped(build, op, x)
    stages = iter(_stages(build, op, whole)[-2::-1])
    for axis, size in reversed(list(enumerate(op.kernel_shape, 2))):
        if size > 1:
            dy = build.one(BlockMaxGrad(axis, size), dy, next(stages))
    if whole is x:
        return dy
    cut = whole.node.op if whole.node is not None else None
    assert isinstance(cut, Slice)
    return build.one(SliceGrad(cut.starts, cut.ends, cut.axes, cut.steps, x.shape), dy)


def _stages(build: Builder, op: MaxPool | MaxPoolGrad, x: Value) -> list[Value]:
    """The operand, and the result after each axis along which blocks have several elements."""
    stages = [x]
    for axis, size in enumerate(op.kernel_shape, 2):
        if size > 1:
            stages.append(build.one(BlockMax(axis, size), stages[-1]))
    return stages


def _is_side_by_side(op: Any, x: Value) -> bool:
    axes = op.axes(static_shape(x.shape[2:]), op.kernel_shape)
    return any(size > 1 for size in op.kernel_shape) and all(
        axis.stride == axis.kernel
        and axis.dilation == 1
        and axis.before == 0
        and axis.count * axis.kernel <= axis.extent
        for axis in axes
    )


def _cropped(build: Builder, op: Any, x: Value) -> Value:
    """Without the elements behind the last window."""
    axes = op.axes(static_shape(x.shape[2:]), op.kernel_shape)
    ends = tuple(axis.count * axis.kernel for axis in axes)
    starts, spatial = (0,) * len(ends), tuple(range(2, x.ndim))
    return build.one(Slice(starts, ends, spatial), x)
