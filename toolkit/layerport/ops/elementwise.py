"""Arithmetic: element by element, with NumPy's broadcasting."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.op import NDArray
from layerport.ops.base import (
    Elementwise,
    absorb,
    number_beside,
    operand_of,
    operands_of,
)

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.ir import Expr
    from layerport.numpy_engine.emit import Emitter


@dataclasses.dataclass(frozen=True)
class Add(Elementwise):
    ufunc: ClassVar[Any] = np.add

    def gradient(self, dz: Any, z: Any, x: Any, y: Any) -> Sequence[Any]:
        return dz, dz

    def simplify(self, build: Builder, x: Value, y: Value) -> Value | None:
        from layerport.simplify import shifted_log_sum_exp

        # x + 0 may turn -0 into 0: not worth an operator.
        kept = absorb(0, x, y)
        if kept is not None:
            return kept
        for left, right in ((x, y), (y, x)):
            positive = operand_of(right, Neg)
            if positive is not None:
                return build.one(Sub(), left, positive)
        return shifted_log_sum_exp(build, x, y)


@dataclasses.dataclass(frozen=True)
class Sub(Elementwise):
    ufunc: ClassVar[Any] = np.subtract

    def gradient(self, dz: Any, z: Any, x: Any, y: Any) -> Sequence[Any]:
        return dz, -dz

    def simplify(self, build: Builder, x: Value, y: Value) -> Value | None:
        from layerport.simplify import complement_of_sigmoid, log_softmax

        if number_beside(y, x) == 0:
            return x
        if number_beside(x, y) == 0:
            return build.one(Neg(), y)
        positive = operand_of(y, Neg)
        if positive is not None:
            return build.one(Add(), x, positive)
        return complement_of_sigmoid(build, x, y) or log_softmax(build, x, y)


@dataclasses.dataclass(frozen=True)
class Neg(Elementwise):
    ufunc: ClassVar[Any] = np.negative

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (-dy,)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        inner = scaled(x)
        return None if inner is None else rescaled(build, inner[0], -inner[1])


@dataclasses.dataclass(frozen=True)
class Mul(Elementwise):
    ufunc: ClassVar[Any] = np.multiply

    def gradient(self, dz: Any, z: Any, x: Any, y: Any) -> Sequence[Any]:
        return dz * y, dz * x

    def simplify(self, build: Builder, x: Value, y: Value) -> Value | None:
        from layerport.simplify import softmax_product

        kept = absorb(1, x, y)
        if kept is not None:
            return kept
        for value, other in ((x, y), (y, x)):
            number = number_beside(other, value)
            if number is None:
                continue
            if number == -1:
                return build.one(Neg(), value)
            inner = scaled(value)
            if inner is not None:
                return rescaled(build, inner[0], inner[1] * number)
        return softmax_product(build, x, y)


@dataclasses.dataclass(frozen=True)
class Div(Elementwise):
    """``x / y``; integers are divided towards zero."""

    ufunc: ClassVar[Any] = np.divide

    def evaluate(self, x: NDArray, y: NDArray) -> NDArray:
        if x.dtype.kind not in "iu":
            return np.asarray(np.divide(x, y))
        quotient = np.floor_divide(x, y)
        towards_zero = (np.remainder(x, y) != 0) & ((x < 0) != (y < 0))
        return np.asarray(quotient + towards_zero.astype(x.dtype))

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        if inputs[0].dtype.kind == "f":
            emitter.ufunc(np.divide, inputs, outputs[0])
        else:
            super().emit(emitter, inputs, outputs)

    def gradient(self, dz: Any, z: Any, x: Any, y: Any) -> Sequence[Any]:
        quotient = dz / y
        return quotient, -(quotient * z)

    def simplify(self, build: Builder, x: Value, y: Value) -> Value | None:
        from layerport.simplify import quotient

        divisor = number_beside(y, x)
        if divisor == 1:
            return x
        if x.dtype.kind != "f":
            return None
        if divisor is not None:
            return _divided(build, x, divisor)
        idiom = quotient(build, x, y)
        if idiom is not None:
            return idiom
        return build.one(Reciprocal(), y) if number_beside(x, y) == 1 else None


@dataclasses.dataclass(frozen=True)
class Reciprocal(Elementwise):
    ufunc: ClassVar[Any] = np.reciprocal
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (-dy * (y * y),)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        from layerport.simplify import sigmoid_of_denominator

        return sigmoid_of_denominator(build, x)


@dataclasses.dataclass(frozen=True)
class Sqrt(Elementwise):
    ufunc: ClassVar[Any] = np.sqrt
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy * 0.5 / y,)


@dataclasses.dataclass(frozen=True)
class Pow(Elementwise):
    """``x ** y`` in the dtype of x; y may have another one."""

    ufunc: ClassVar[Any] = np.power

    def dtype_of(self, *inputs: Value) -> np.dtype[Any]:
        return inputs[0].dtype

    def evaluate(self, x: NDArray, y: NDArray) -> NDArray:
        if x.dtype == y.dtype and x.dtype.kind == "f":
            return np.asarray(np.power(x, y))
        if x.dtype.kind in "iu" and y.dtype.kind in "iu" and not np.any(y < 0):
            return np.asarray(np.power(x, y)).astype(x.dtype)
        return np.asarray(np.power(x.astype(np.float64), y)).astype(x.dtype)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        x, y = inputs
        if x.dtype == y.dtype and x.dtype.kind == "f":
            emitter.ufunc(np.power, inputs, outputs[0])
        else:
            super().emit(emitter, inputs, outputs)

    def gradient(self, dz: Any, z: Any, x: Any, y: Any) -> Sequence[Any]:
        if x.dtype.kind != "f":
            return None, None
        exponent = y.astype(x.dtype)
        constant = getattr(getattr(y, "value", None), "constant", None)
        dx = dz * (exponent * np.power(x, exponent - 1))
        if constant is None or np.any(constant == 0):
            # 0 ** -1 is infinite, but the derivative of x ** 0 is 0 everywhere.
            dx = np.where(exponent == 0, 0, dx)
        if constant is not None or y.dtype.kind != "f":
            return dx, None
        # 0 ** y is 0 for every y > 0, whose derivative is 0 and not 0 * log(0).
        return dx, dz * (z * np.log(np.where(x == 0, 1, x)))

    def simplify(self, build: Builder, x: Value, y: Value) -> Value | None:
        # As NumPy's own operator does: x ** 0.5 is a square root, so NaN for -inf.
        exponent = number_beside(y, x)
        if exponent == 1:
            return x
        if exponent == 2:
            return build.one(Mul(), x, x)
        if exponent == 3:
            return build.one(Mul(), build.one(Mul(), x, x), x)
        if x.dtype.kind != "f":
            return None
        if exponent == 0.5:
            return build.one(Sqrt(), x)
        if exponent == -1:
            return build.one(Reciprocal(), x)
        if exponent == -0.5:
            return build.one(Reciprocal(), build.one(Sqrt(), x))
        return None

    def scalar(self, x: Expr, y: Expr) -> Expr:
        from layerport.loops.functions import cast, power

        if x.dtype == y.dtype:
            return power(x, y)
        return cast(power(cast(x, "f32"), cast(y, "f32")), x.dtype)


@dataclasses.dataclass(frozen=True)
class Mod(Elementwise):
    """The rest of a division: with the sign of y, or of x (`fmod`)."""

    fmod: int = 0

    def evaluate(self, x: NDArray, y: NDArray) -> NDArray:
        return np.asarray(np.fmod(x, y) if self.fmod else np.remainder(x, y))

    def gradient(self, dz: Any, z: Any, x: Any, y: Any) -> Sequence[Any]:
        if x.dtype.kind != "f":
            return None, None
        return dz, dz * ((z - x) / y)

    def scalar(self, x: Expr, y: Expr) -> Expr:
        from layerport.loops.functions import remainder

        return remainder(x, y, truncated=bool(self.fmod))


# Constant factors -----------------------------------------------------------------------
# Merging them rounds once where it was twice; products that leave the dtype's range stay apart.


def scaled(value: Value) -> tuple[Value, float] | None:
    """(x, c) where a float value is x times the number c, a quotient or a negation; or None."""
    if value.dtype.kind != "f":
        return None
    positive = operand_of(value, Neg)
    if positive is not None:
        return positive, -1.0
    factors = operands_of(value, Mul)
    if factors is not None:
        for kept, other in (factors, factors[::-1]):
            number = number_beside(other, kept)
            if number is not None:
                return kept, float(number)
    quotient = operands_of(value, Div)
    if quotient is not None:
        number = number_beside(quotient[1], quotient[0])
        if number is not None and number != 0:
            return quotient[0], 1 / float(number)
    return None


def rescaled(build: Builder, x: Value, factor: float) -> Value | None:
    """x times a number, or None where the number is no normal one of x's dtype."""
    if factor == 1:
        return x
    if factor == -1:
        return build.one(Neg(), x)
    limits = np.finfo(x.dtype)
    if not limits.tiny <= abs(factor) <= limits.max:
        return None
    return build.one(Mul(), x, build.constant(factor, x.dtype))


def _divided(build: Builder, x: Value, divisor: float) -> Value | None:
    if divisor == -1:
        return build.one(Neg(), x)
    inner = scaled(x)
    if inner is not None and divisor != 0:
        return rescaled(build, inner[0], inner[1] / divisor)
    # The inverse of a power of two is exact, and multiplying is faster.
    if abs(math.frexp(divisor)[0]) == 0.5:
        return rescaled(build, x, 1 / divisor)
    return None
