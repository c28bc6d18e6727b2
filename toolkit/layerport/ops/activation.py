"""Activation functions, element by element."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.dim import broadcast_shapes, same_shape
from layerport.errors import LayerportError, ShapeError
from layerport.loops.functions import exp
from layerport.op import NDArray, TensorType, apply
from layerport.ops import special
from layerport.ops.base import Elementwise, masked
from layerport.ops.unary import erf

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.ir import Expr
    from layerport.numpy_engine.emit import Emitter

SELU_ALPHA = 1.67326319217681884765625
SELU_GAMMA = 1.05070102214813232421875
"""ONNX's constants: those of the paper (arXiv:1706.02515), rounded to float32."""


@dataclasses.dataclass(frozen=True)
class Activation(Elementwise):
    """A function of one float."""

    real: ClassVar[bool] = True


# Piecewise linear -----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Relu(Elementwise):
    """``max(x, 0)``; its derivative at 0 is 0."""

    def evaluate(self, x: NDArray) -> NDArray:
        return np.asarray(np.maximum(x, 0))

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        zero = emitter.constant(0, inputs[0].dtype)
        emitter.ufunc(np.maximum, [inputs[0], zero], outputs[0])

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (masked(dy, y > 0),)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        return x if x.made_by(Relu) else None

    def scalar(self, x: Expr) -> Expr:
        from layerport.loops.functions import maximum

        return maximum(x, 0)


@dataclasses.dataclass(frozen=True)
class LeakyRelu(Activation):
    """``x``, or ``alpha * x`` where x is negative; its derivative at 0 is alpha."""

    alpha: float = 0.01

    def evaluate(self, x: NDArray) -> NDArray:
        return np.where(x < 0, self.alpha * x, x)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (x,), (y,) = inputs, outputs
        if not 0 < self.alpha <= 1:
            super().emit(emitter, inputs, outputs)
            return
        scaled = emitter.temp_like(y)
        emitter.ufunc(np.multiply, [x, emitter.constant(self.alpha, x.dtype)], scaled)
        emitter.ufunc(np.maximum, [x, scaled], y)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (np.where(x > 0, dy, self.alpha * dy),)

    def scalar(self, x: Expr) -> Expr:
        from layerport.loops.functions import less, select

        return select(less(x, 0), self.alpha * x, x)


@dataclasses.dataclass(frozen=True)
class PRelu(Elementwise):
    """`LeakyRelu` with a slope that is an operand, which broadcasts to x."""

    real: ClassVar[bool] = True

    def infer(self, x: Value, slope: Value) -> Sequence[TensorType]:
        if not same_shape(broadcast_shapes(x.shape, slope.shape), x.shape):
            raise ShapeError(f"the slope {slope.shape} does not broadcast to {x.shape}")
        return super().infer(x, slope)

    def evaluate(self, x: NDArray, slope: NDArray) -> NDArray:
        return np.where(x < 0, slope * x, x)

    def gradient(self, dy: Any, y: Any, x: Any, slope: Any) -> Sequence[Any]:
        return np.where(x > 0, dy, slope * dy), dy * np.minimum(x, 0)

    def scalar(self, x: Expr, slope: Expr) -> Expr:
        from layerport.loops.functions import less, select

        return select(less(x, 0), slope * x, x)


@dataclasses.dataclass(frozen=True)
class ThresholdedRelu(Activation):
    """``x`` where it is above alpha, 0 elsewhere."""

    alpha: float = 1.0

    def evaluate(self, x: NDArray) -> NDArray:
        return np.where(x <= self.alpha, np.zeros((), x.dtype), x)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (masked(dy, x > self.alpha),)

    def scalar(self, x: Expr) -> Expr:
        from layerport.loops.functions import less_equal, select

        return select(less_equal(x, self.alpha), 0.0, x)


@dataclasses.dataclass(frozen=True)
class HardSigmoid(Activation):
    """``min(max(alpha * x + beta, 0), 1)``; no gradient flows where it is 0 or 1."""

    alpha: float = 0.2
    beta: float = 0.5

    def evaluate(self, x: NDArray) -> NDArray:
        return np.asarray(np.minimum(np.maximum(self.alpha * x + self.beta, 0), 1))

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (masked(self.alpha * dy, np.logical_and(y > 0, y < 1)),)

    def scalar(self, x: Expr) -> Expr:
        from layerport.loops.functions import maximum, minimum

        return minimum(maximum(self.alpha * x + self.beta, 0.0), 1.0)


@dataclasses.dataclass(frozen=True)
class HardSwish(Activation):
    """``x * HardSigmoid(x)`` with alpha = 1/6; its derivative is 0 at -3 and 1 at 3."""

    def evaluate(self, x: NDArray) -> NDArray:
        return np.asarray(x * np.minimum(np.maximum(x / 6 + 0.5, 0), 1))

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        middle = masked(dy * (x / 3 + 0.5), x > -3)
        return (np.where(x >= 3, dy, middle),)

    def scalar(self, x: Expr) -> Expr:
        from layerport.loops.functions import maximum, minimum

        return x * minimum(maximum(x * (1 / 6) + 0.5, 0.0), 1.0)


# Exponential ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _ExponentialUnit(Activation):
    """``above * x``, or ``below * (exp(x / width) - 1)`` where x is not positive."""

    @property
    def shape(self) -> tuple[float, float, float]:
        """(above, below, width)."""
        raise NotImplementedError(self.name)

    def evaluate(self, x: NDArray) -> NDArray:
        above, below, width = self.shape
        return np.where(x > 0, above * x, below * np.expm1(np.minimum(x, 0) / width))

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (x,), (y,) = inputs, outputs
        above, below, width = (emitter.constant(number, x.dtype) for number in self.shape)
        zero = emitter.constant(0, x.dtype)
        # One of the two summands is 0.
        negative = emitter.temp_like(y)
        emitter.ufunc(np.minimum, [x, zero], negative)
        if self.shape[2] != 1:
            emitter.ufunc(np.divide, [negative, width], negative)
        emitter.ufunc(np.expm1, [negative], negative)
        if self.shape[1] != 1:
            emitter.ufunc(np.multiply, [negative, below], negative)
        emitter.ufunc(np.maximum, [x, zero], y)
        if self.shape[0] != 1:
            emitter.ufunc(np.multiply, [y, above], y)
        emitter.ufunc(np.add, [y, negative], y)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        above, below, width = self.shape
        slope = (below / width) * np.exp(np.minimum(x, 0) / width)
        return (np.where(x > 0, above * dy, dy * slope),)

    def scalar(self, x: Expr) -> Expr:
        from layerport.loops.functions import expm1, greater, minimum, select

        above, below, width = self.shape
        scaled = minimum(x, 0.0) if width == 1 else minimum(x, 0.0) * (1 / width)
        return select(greater(x, 0.0), x if above == 1 else above * x, below * expm1(scaled))


@dataclasses.dataclass(frozen=True)
class Elu(_ExponentialUnit):
    """``x``, or ``alpha * (exp(x) - 1)`` where x is not positive."""

    alpha: float = 1.0

    @property
    def shape(self) -> tuple[float, float, float]:
        return 1.0, self.alpha, 1.0


@dataclasses.dataclass(frozen=True)
class Selu(_ExponentialUnit):
    """`Elu` times gamma."""

    alpha: float = SELU_ALPHA
    gamma: float = SELU_GAMMA

    @property
    def shape(self) -> tuple[float, float, float]:
        return self.gamma, self.gamma * self.alpha, 1.0


@dataclasses.dataclass(frozen=True)
class Celu(_ExponentialUnit):
    """``x``, or ``alpha * (exp(x / alpha) - 1)`` where x is not positive."""

    alpha: float = 1.0

    @property
    def shape(self) -> tuple[float, float, float]:
        return 1.0, self.alpha, self.alpha


# Smooth ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Sigmoid(Activation):
    """``1 / (1 + exp(-x))``."""

    def evaluate(self, x: NDArray) -> NDArray:
        return special.sigmoid(x)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (x,), (y,) = inputs, outputs
        # The power overflows to infinity, whose inverse is 0.
        emitter.ufunc(np.negative, [x], y)
        emitter.ufunc(np.exp, [y], y)
        emitter.ufunc(np.add, [y, emitter.constant(1, x.dtype)], y)
        emitter.ufunc(np.reciprocal, [y], y)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy * (y * (1 - y)),)

    def scalar(self, x: Expr) -> Expr:
        from layerport.loops.functions import sigmoid

        return sigmoid(x)


@dataclasses.dataclass(frozen=True)
class Softplus(Activation):
    """``log(1 + exp(x))``."""

    def evaluate(self, x: NDArray) -> NDArray:
        return np.asarray(special.softplus(x))

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (x,), (y,) = inputs, outputs
        rest = emitter.temp_like(y)
        emitter.ufunc(np.absolute, [x], rest)
        emitter.ufunc(np.negative, [rest], rest)
        emitter.ufunc(np.exp, [rest], rest)
        emitter.ufunc(np.log1p, [rest], rest)
        emitter.ufunc(np.maximum, [x, emitter.constant(0, x.dtype)], y)
        emitter.ufunc(np.add, [y, rest], y)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy * sigmoid(x),)

    def scalar(self, x: Expr) -> Expr:
        from layerport.loops.functions import absolute, log1p, maximum

        return maximum(x, 0.0) + log1p(exp(-absolute(x)))


@dataclasses.dataclass(frozen=True)
class Softsign(Activation):
    """``x / (1 + |x|)``."""

    def evaluate(self, x: NDArray) -> NDArray:
        return np.asarray(x / (1 + np.abs(x)))

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        slope = 1 / (1 + np.abs(x))
        return (dy * (slope * slope),)

    def scalar(self, x: Expr) -> Expr:
        from layerport.loops.functions import absolute

        return x / (1.0 + absolute(x))


_TANH_CUBIC = 0.044715
_TANH_SCALE = math.sqrt(2 / math.pi)


@dataclasses.dataclass(frozen=True)
class Gelu(Activation):
    """``x * P(X <= x)`` for a standard normal X (arXiv:1606.08415).

    Parameters
    ----------
    approximate : ``"none"`` for the error function, ``"tanh"`` for the paper's approximation.
    """

    approximate: str = "none"

    def __post_init__(self) -> None:
        if self.approximate not in ("none", "tanh"):
            raise LayerportError(f"Gelu: approximate is 'none' or 'tanh', not {self.approximate!r}")

    def evaluate(self, x: NDArray) -> NDArray:
        return np.asarray(0.5 * x * (1 + self.odd(x)))

    def odd(self, x: Any) -> Any:
        """The odd part of the normal distribution, twice."""
        if self.approximate == "none":
            return erf(x * math.sqrt(0.5))
        return np.tanh(_TANH_SCALE * (x + _TANH_CUBIC * (x * x * x)))

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        odd = self.odd(x)
        square = x * x
        if self.approximate == "none":
            slope = _TANH_SCALE * np.exp(-0.5 * square)
        else:
            slope = (1 - odd * odd) * (_TANH_SCALE * (1 + 3 * _TANH_CUBIC * square))
        return (dy * (0.5 * (1 + odd) + 0.5 * (x * slope)),)

    def scalar(self, x: Expr) -> Expr:
        from layerport.loops.functions import erf, tanh

        if self.approximate == "none":
            odd = erf(x * math.sqrt(0.5))
        else:
            odd = tanh(_TANH_SCALE * (x + _TANH_CUBIC * (x * x * x)))
        return 0.5 * x * (1.0 + odd)


@dataclasses.dataclass(frozen=True)
class Mish(Activation):
    """``x * tanh(softplus(x))`` (arXiv:1908.08681)."""

    def evaluate(self, x: NDArray) -> NDArray:
        return np.asarray(x * np.tanh(special.softplus(x)))

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        gate = np.tanh(softplus(x))
        return (dy * (gate + x * ((1 - gate * gate) * sigmoid(x))),)

    def scalar(self, x: Expr) -> Expr:
        from layerport.loops.functions import tanh

        return x * tanh(Softplus().scalar(x))


# Functions ------------------------------------------------------------------------------


def relu(x: Any) -> Any:
    """``max(x, 0)``."""
    return apply(Relu(), x)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """``x``, or ``negative_slope * x`` where x is negative."""
    return apply(LeakyRelu(negative_slope), x)


def prelu(x: Any, slope: Any) -> Any:
    """``x``, or ``slope * x`` where x is negative."""
    return apply(PRelu(), x, slope)


def thresholded_relu(x: Any, threshold: float = 1.0) -> Any:
    """``x`` where it is above the threshold, 0 elsewhere."""
    return apply(ThresholdedRelu(threshold), x)


def relu6(x: Any) -> Any:
    """``min(max(x, 0), 6)``."""
    return np.clip(x, 0, 6)


def hard_sigmoid(x: Any) -> Any:
    """``x / 6 + 0.5`` between 0 and 1, as in Keras 3 (earlier: ``0.2 * x + 0.5``)."""
    return apply(HardSigmoid(1 / 6, 0.5), x)


def hard_swish(x: Any) -> Any:
    """``x * hard_sigmoid(x)``."""
    return apply(HardSwish(), x)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """``x``, or ``alpha * (exp(x) - 1)`` where x is negative."""
    return apply(Elu(alpha), x)


def selu(x: Any) -> Any:
    """The scaled exponential unit, which keeps mean 0 and variance 1 (arXiv:1706.02515)."""
    return apply(Selu(), x)


def celu(x: Any, alpha: float = 1.0) -> Any:
    """``x``, or ``alpha * (exp(x / alpha) - 1)`` where x is negative."""
    return apply(Celu(alpha), x)


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``, without overflow."""
    return apply(Sigmoid(), x)


def silu(x: Any) -> Any:
    """``x * sigmoid(x)``."""
    return x * sigmoid(x)


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return np.tanh(x)


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))``, without overflow."""
    return apply(Softplus(), x)


def softsign(x: Any) -> Any:
    """``x / (1 + |x|)``."""
    return apply(Softsign(), x)


def gelu(x: Any, approximate: bool = True) -> Any:
    """The Gaussian error linear unit; `approximate` takes tanh for the error function."""
    return apply(Gelu("tanh" if approximate else "none"), x)


def mish(x: Any) -> Any:
    """``x * tanh(softplus(x))``."""
    return apply(Mish(), x)
