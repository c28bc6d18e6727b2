"""The activations of recurrent operators as loop expressions."""

from __future__ import annotations

from layerport.loops.functions import (
    absolute,
    exp,
    expm1,
    greater,
    less,
    log1p,
    logical_and,
    maximum,
    minimum,
    select,
    sigmoid,
    tanh,
)
from layerport.loops.ir import Expr, Operand, as_expr
from layerport.ops.recurrent.activations import Activation


def activated(activation: Activation, x: Operand) -> Expr:
    """The activation of a sum."""
    alpha, beta, limit = activation.alpha, activation.beta, activation.clip
    if limit is not None:
        x = maximum(minimum(x, limit), -limit)
    match activation.name:
        case "tanh":
            return tanh(x)
        case "sigmoid":
            return sigmoid(x)
        case "relu":
            return maximum(x, 0.0)
        case "affine":
            return as_expr(x * alpha + beta)
        case "leakyrelu":
            return select(less(x, 0.0), x * alpha, x)
        case "thresholdedrelu":
            return select(greater(x, alpha), x, 0.0)
        case "scaledtanh":
            return as_expr(tanh(x * beta) * alpha)
        case "hardsigmoid":
            return maximum(minimum(x * alpha + beta, 1.0), 0.0)
        case "elu":
            return select(less(x, 0.0), expm1(x) * alpha, x)
        case "softsign":
            return as_expr(x / (absolute(x) + 1.0))
        case _:  # softplus
            return as_expr(log1p(exp(-absolute(x))) + maximum(x, 0.0))


EDGE = 1e-6
"""How near to an end of its range a result counts as clipped, relative to the range: results are
kept in single precision, whatever a language computes in."""


def derivative(activation: Activation, y: Expr) -> Expr:
    """The derivative of an activation where its result is `y`."""
    slope = _slope(activation.name, activation.alpha, activation.beta, y)
    if activation.clip is None:
        return slope
    low, high = (float(end) for end in activation.range("float64"))
    margin = EDGE * (high - low)
    inside = logical_and(greater(y, low + margin), less(y, high - margin))
    return select(inside, slope, 0.0)


def _slope(name: str, alpha: float, beta: float, y: Expr) -> Expr:
    match name:
        case "tanh":
            return as_expr(1.0 - y * y)
        case "sigmoid":
            return as_expr(y - y * y)
        case "relu" | "thresholdedrelu":
            return select(greater(absolute(y), 0.0), 1.0, 0.0)
        case "affine":
            return as_expr(alpha)
        case "leakyrelu":
            return select(less(y, 0.0), alpha, 1.0)
        case "scaledtanh":
            return as_expr((alpha - y * y / alpha) * beta)
        case "hardsigmoid":
            return select(logical_and(greater(y, 0.0), less(y, 1.0)), alpha, 0.0)
        case "elu":
            return select(less(y, 0.0), y + alpha, 1.0)
        case "softsign":
            rest = 1.0 - absolute(y)
            return as_expr(rest * rest)
        case _:  # softplus
            return as_expr(-expm1(-y))
