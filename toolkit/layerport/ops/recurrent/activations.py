"""The activations of ONNX's recurrent operators, on arrays that are changed in place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from layerport.errors import ShapeError
from layerport.op import NDArray
from layerport.ops.recurrent.tape import Tape


@dataclasses.dataclass(frozen=True)
class Activation:
    """One activation with its parameters.

    Attributes
    ----------
    name : in lower case.
    alpha, beta : 0 for activations without them.
    clip : bound on the operand's absolute value, or None.
    """

    name: str
    alpha: float = 0.0
    beta: float = 0.0
    clip: float | None = None

    @property
    def scale(self) -> float:
        """What the weights before it are multiplied with.

        ``sigmoid(x) = tanh(x / 2) / 2 + 1 / 2``: NumPy's tanh takes a fraction of the time of its
        exp, and all gates become one call.
        """
        return 0.5 if self.name == "sigmoid" else 1.0

    def bound(self, tape: Tape, x: NDArray) -> None:
        """Clip a scaled operand."""
        if self.clip is not None:
            limit = self.clip * self.scale
            tape.add(np.clip, x, -limit, limit, x)

    def range(self, dtype: Any) -> tuple[Any, Any]:
        """The least and the largest result where the operand is clipped."""
        ends = np.array([-1, 1], dtype) * np.asarray((self.clip or 0) * self.scale, dtype)
        now = Tape()
        apply(now, [(self, ends)])
        now()
        return ends.min(), ends.max()

    def finish(self, tape: Tape, x: NDArray) -> None:
        """What is left to do after the tanh of `is_tanh` ones; all of it for others."""
        if self.name == "sigmoid":
            half = tape.number(0.5, x)
            tape.add(np.multiply, x, half, x)
            tape.add(np.add, x, half, x)
        elif self.name == "relu":
            tape.add(_relu, x)
        elif self.name != "tanh":
            tape.add(_FUNCTIONS[self.name], x, self.alpha, self.beta)

    @property
    def is_tanh(self) -> bool:
        """Whether it begins with a tanh."""
        return self.name in ("tanh", "sigmoid")

    def slope(self, tape: Tape, y: NDArray, out: NDArray, *, squared: bool = False) -> None:
        """The derivative where the result is `y`; `out` is other memory, or holds y * y."""
        if self.is_tanh:
            if not squared:
                tape.add(np.multiply, y, y, out)
            start = y if self.name == "sigmoid" else tape.number(1.0, y)
            tape.add(np.subtract, start, out, out)
        else:
            tape.add(_SLOPES[self.name], y, out, self.alpha, self.beta)
        if self.clip is not None:
            tape.add(_unclipped, y, out, *self.range(y.dtype))


def apply(tape: Tape, parts: Sequence[tuple[Activation, NDArray]], whole: NDArray | None = None
          ) -> None:  # fmt: skip
    """Apply activations to arrays, in place.

    Parameters
    ----------
    parts : activations with what each is applied to, scaled.
    whole : all of it as one array, where it is one.
    """
    for activation, x in parts:
        activation.bound(tape, x)
    if whole is not None and all(activation.is_tanh for activation, _ in parts):
        tape.add(np.tanh, whole, whole)
    else:
        for activation, x in parts:
            if activation.is_tanh:
                tape.add(np.tanh, x, x)
    for activation, x in parts:
        activation.finish(tape, x)


def slopes(
    tape: Tape, parts: Sequence[tuple[Activation, NDArray, NDArray]], y: NDArray, out: NDArray
) -> None:
    """The derivatives of several activations.

    Parameters
    ----------
    parts : activations, with the results and the place for the derivatives of each.
    y, out : all results and all places as one array each.
    """
    squared = all(activation.is_tanh for activation, _, _ in parts)
    if squared:
        tape.add(np.multiply, y, y, out)
    for activation, result, place in parts:
        activation.slope(tape, result, place, squared=squared)


def parse(
    names: Sequence[str], alphas: Sequence[float], betas: Sequence[float], clip: float | None
) -> tuple[Activation, ...]:
    """The activations of a node. Alphas and betas go to those that have one, in order.

    Raises
    ------
    ShapeError : for an activation that ONNX does not know.
    """
    alpha, beta = iter(alphas), iter(betas)
    found = []
    for given in names:
        name = given.lower()
        if name not in _PARAMETERS:
            raise ShapeError(f"{given!r} is none of ONNX's activations: {', '.join(_PARAMETERS)}")
        first, second = _PARAMETERS[name]
        found.append(Activation(name, _next(alpha, first), _next(beta, second), clip))
    return tuple(found)


def _next(given: Iterator[float], default: float | None) -> float:
    return 0.0 if default is None else float(next(given, default))


_PARAMETERS: Mapping[str, tuple[float | None, float | None]] = MappingProxyType(
    {
        "sigmoid": (None, None),
        "tanh": (None, None),
        "relu": (None, None),
        "affine": (1.0, 0.0),
        "leakyrelu": (0.01, None),
        "thresholdedrelu": (1.0, None),
        "scaledtanh": (1.0, 1.0),
        "hardsigmoid": (0.2, 0.5),
        "elu": (1.0, None),
        "softsign": (None, None),
        "softplus": (None, None),
    }
)
"""The default alpha and beta of each activation; None for one that it does not have."""


def _relu(x: NDArray) -> None:
    np.maximum(x, 0, out=x)


def _affine(x: NDArray, alpha: float, beta: float) -> None:
    x *= alpha
    x += beta


def _leaky_relu(x: NDArray, alpha: float, beta: float) -> None:
    np.copyto(x, x * alpha, casting="same_kind", where=x < 0)


def _thresholded_relu(x: NDArray, alpha: float, beta: float) -> None:
    x *= x > alpha


def _scaled_tanh(x: NDArray, alpha: float, beta: float) -> None:
    x *= beta
    np.tanh(x, out=x)
    x *= alpha


def _hard_sigmoid(x: NDArray, alpha: float, beta: float) -> None:
    _affine(x, alpha, beta)
    np.clip(x, 0, 1, out=x)


def _elu(x: NDArray, alpha: float, beta: float) -> None:
    np.copyto(x, alpha * np.expm1(np.minimum(x, 0)), casting="same_kind", where=x < 0)


def _softsign(x: NDArray, alpha: float, beta: float) -> None:
    x /= 1 + np.abs(x)


def _softplus(x: NDArray, alpha: float, beta: float) -> None:
    np.logaddexp(x, 0, out=x)


_FUNCTIONS: Mapping[str, Callable[[NDArray, float, float], None]] = MappingProxyType(
    {
        "affine": _affine,
        "leakyrelu": _leaky_relu,
        "thresholdedrelu": _thresholded_relu,
        "scaledtanh": _scaled_tanh,
        "hardsigmoid": _hard_sigmoid,
        "elu": _elu,
        "softsign": _softsign,
        "softplus": _softplus,
    }
)


def _step_slope(y: NDArray, out: NDArray, alpha: float, beta: float) -> None:
    np.not_equal(y, 0, out=out, casting="unsafe")


def _affine_slope(y: NDArray, out: NDArray, alpha: float, beta: float) -> None:
    out[...] = alpha


def _leaky_relu_slope(y: NDArray, out: NDArray, alpha: float, beta: float) -> None:
    # With a negative alpha no result is negative, and which branch it came from is lost; the
    # reader of files refuses none, so the usual sign is assumed.
    out[...] = np.where(y < 0, alpha, 1)


def _scaled_tanh_slope(y: NDArray, out: NDArray, alpha: float, beta: float) -> None:
    out[...] = beta * (alpha - y * y / alpha)


def _hard_sigmoid_slope(y: NDArray, out: NDArray, alpha: float, beta: float) -> None:
    out[...] = alpha * ((y > 0) & (y < 1))


def _elu_slope(y: NDArray, out: NDArray, alpha: float, beta: float) -> None:
    out[...] = np.where(y < 0, y + alpha, 1)


def _softsign_slope(y: NDArray, out: NDArray, alpha: float, beta: float) -> None:
    out[...] = (1 - np.abs(y)) ** 2


def _softplus_slope(y: NDArray, out: NDArray, alpha: float, beta: float) -> None:
    out[...] = -np.expm1(-y)


_SLOPES: Mapping[str, Callable[[NDArray, NDArray, float, float], None]] = MappingProxyType(
    {
        "relu": _step_slope,
        "thresholdedrelu": _step_slope,
        "affine": _affine_slope,
        "leakyrelu": _leaky_relu_slope,
        "scaledtanh": _scaled_tanh_slope,
        "hardsigmoid": _hard_sigmoid_slope,
        "elu": _elu_slope,
        "softsign": _softsign_slope,
        "softplus": _softplus_slope,
    }
)
"""Derivatives as functions of the result."""


def _unclipped(y: NDArray, slope: NDArray, low: float, high: float) -> None:
    """No slope where the operand was clipped, which the result (it is monotonic) tells."""
    slope *= (y > low) & (y < high)
