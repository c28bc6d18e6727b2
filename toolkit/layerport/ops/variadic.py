"""Extrema, sums and means of any number of operands; clipping."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.dim import broadcast_shapes, same_shape
from layerport.errors import ShapeError
from layerport.op import NDArray, TensorType
from layerport.ops.base import Elementwise, common_dtype, masked, number_beside
from layerport.ops.elementwise import Add, rescaled

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.ir import Expr
    from layerport.numpy_engine.emit import Emitter


@dataclasses.dataclass(frozen=True)
class Variadic(Elementwise):
    """A two-operand ufunc folded over at least one operand, from the left."""

    def infer(self, *inputs: Value) -> Sequence[TensorType]:
        if not inputs:
            raise ShapeError("needs at least one operand")
        return super().infer(*inputs)

    def evaluate(self, *inputs: NDArray) -> NDArray:
        return reduce(self.ufunc, inputs[1:], inputs[0].copy())

    def simplify(self, build: Builder, *inputs: Value) -> Value | None:
        if len(inputs) == 1:
            return inputs[0]
        if len(inputs) == 2:
            return None
        return reduce(lambda x, y: build.one(self, x, y), inputs)

    def scalar(self, *inputs: Expr) -> Expr:
        return reduce(super().scalar, inputs)


@dataclasses.dataclass(frozen=True)
class _Extremum(Variadic):
    """Among equal operands the first one gets the whole gradient, as in TensorFlow."""

    beats: ClassVar[Any] = None
    """The comparison by which a later operand replaces an earlier one."""

    def gradient(self, dz: Any, z: Any, *inputs: Any) -> Sequence[Any]:
        best = [inputs[0]]
        for operand in inputs[1:-1]:
            best.append(self.ufunc(best[-1], operand))
        found = []
        for operand, before in zip(inputs[:0:-1], best[::-1], strict=True):
            won = self.beats(operand, before)
            found.append(masked(dz, won))
            dz = masked(dz, np.logical_not(won))
        return [dz, *found[::-1]]

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        if len(inputs) == 2:
            emitter.ufunc(self.ufunc, inputs, outputs[0])
        else:
            super().emit(emitter, inputs, outputs)


@dataclasses.dataclass(frozen=True)
class Max(_Extremum):
    ufunc: ClassVar[Any] = np.maximum
    beats: ClassVar[Any] = np.greater

    def simplify(self, build: Builder, *inputs: Value) -> Value | None:
        from layerport.ops.activation import Relu

        if len(inputs) == 2:
            for x, other in (inputs, inputs[::-1]):
                if x.dtype.kind == "f" and number_beside(other, x) == 0:
                    return build.one(Relu(), x)
        return super().simplify(build, *inputs)


@dataclasses.dataclass(frozen=True)
class Min(_Extremum):
    ufunc: ClassVar[Any] = np.minimum
    beats: ClassVar[Any] = np.less


@dataclasses.dataclass(frozen=True)
class Sum(Variadic):
    ufunc: ClassVar[Any] = np.add

    def gradient(self, dz: Any, z: Any, *inputs: Any) -> Sequence[Any]:
        return [dz] * len(inputs)

    def simplify(self, build: Builder, *inputs: Value) -> Value | None:
        return reduce(lambda x, y: build.one(Add(), x, y), inputs)


@dataclasses.dataclass(frozen=True)
class Mean(Variadic):
    ufunc: ClassVar[Any] = np.add
    real: ClassVar[bool] = True

    def evaluate(self, *inputs: NDArray) -> NDArray:
        return np.asarray(super().evaluate(*inputs) / len(inputs))

    def gradient(self, dz: Any, z: Any, *inputs: Any) -> Sequence[Any]:
        return [dz * (1 / len(inputs))] * len(inputs)

    def simplify(self, build: Builder, *inputs: Value) -> Value | None:
        return rescaled(build, build.one(Sum(), *inputs), 1 / len(inputs))

    def scalar(self, *inputs: Expr) -> Expr:
        return super().scalar(*inputs) / len(inputs)


@dataclasses.dataclass(frozen=True)
class Clip(Elementwise):
    """``min(max(x, low), high)``; the bounds are single numbers, and either may be missing."""

    def infer(
        self, x: Value, low: Value | None = None, high: Value | None = None
    ) -> Sequence[TensorType]:
        for bound in (low, high):
            if bound is None:
                continue
            if not same_shape(broadcast_shapes(x.shape, bound.shape), x.shape):
                raise ShapeError(f"a bound must be a single number, not {bound.shape}")
            common_dtype(x, bound)
        return [TensorType(x.shape, x.dtype)]

    def evaluate(
        self, x: NDArray, low: NDArray | None = None, high: NDArray | None = None
    ) -> NDArray:
        raised = x.copy() if low is None else np.maximum(x, low)
        return np.asarray(raised if high is None else np.minimum(raised, high))

    def emit(
        self,
        emitter: Emitter,
        inputs: Sequence[NDArray | None],
        outputs: Sequence[NDArray],
    ) -> None:
        x, low, high = (*inputs, None, None)[:3]
        (y,) = outputs
        if x is None:
            return
        if low is not None:
            emitter.ufunc(np.maximum, [x, low], y)
            x = y
        if high is not None:
            emitter.ufunc(np.minimum, [x, high], y)

    def gradient(self, dy: Any, y: Any, x: Any, low: Any = None, high: Any = None) -> Sequence[Any]:
        """On a bound itself the gradient flows to x, as in PyTorch."""
        dlow = dhigh = None
        if high is not None:
            over = (x if low is None else np.maximum(x, low)) > high
            dhigh, dy = masked(dy, over), masked(dy, np.logical_not(over))
        if low is not None:
            under = x < low
            dlow, dy = masked(dy, under), masked(dy, np.logical_not(under))
        return dy, dlow, dhigh

    def simplify(
        self, build: Builder, x: Value, low: Value | None = None, high: Value | None = None
    ) -> Value | None:
        from layerport.ops.activation import Relu

        if low is None and high is None:
            return x
        if high is None and low is not None and low.scalar == 0 and x.dtype.kind == "f":
            return build.one(Relu(), x)
        return None

    def scalar(self, x: Expr, low: Expr | None = None, high: Expr | None = None) -> Expr:
        from layerport.loops.functions import maximum, minimum

        raised = x if low is None else maximum(x, low)
        return raised if high is None else minimum(raised, high)
