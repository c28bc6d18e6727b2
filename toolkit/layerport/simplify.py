"""Idioms that are right on paper and overflow in floats, recognised when a graph is built.

``x / (1 + exp(-x))`` gives NaN gradients at -100 in float32, ``log(sum(exp(x)))`` is infinite at
100. The `simplify` rules of operators ask these functions whether operands make up such an idiom,
and record the operator that computes the same without overflow: the results differ only where the
formula as written rounds, overflows or becomes NaN on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerport.dim import is_extent
from layerport.ops.activation import Sigmoid, Softplus
from layerport.ops.base import number_beside, operand_of, operands_of, operator_of
from layerport.ops.elementwise import Add, Mul, Neg, Reciprocal, Sub, rescaled, scaled
from layerport.ops.reduce import ReduceLogSumExp, ReduceMax, ReduceSum, Reduction
from layerport.ops.softmax import LogSoftmax, Softmax
from layerport.ops.unary import Exp, Tanh

if TYPE_CHECKING:
    from layerport.graph import Builder, Value


# Sigmoid, tanh, softplus ----------------------------------------------------------------


def quotient(build: Builder, x: Value, y: Value) -> Value | None:
    """What ``x / y`` is: a softmax, a tanh, or something times a sigmoid."""
    made = _softmax(build, x, y) or _tanh(build, x, y)
    if made is not None:
        return made
    exponent = _one_plus_exp(y)
    if exponent is None:
        return None
    if operand_of(x, Exp) is exponent:
        return build.one(Sigmoid(), exponent)
    gate = build.one(Sigmoid(), build.one(Neg(), exponent))
    return gate if number_beside(x, y) == 1 else build.one(Mul(), x, gate)


def sigmoid_of_denominator(build: Builder, x: Value) -> Value | None:
    """``1 / (1 + exp(z))`` is sigmoid(-z)."""
    exponent = _one_plus_exp(x)
    return None if exponent is None else build.one(Sigmoid(), build.one(Neg(), exponent))


def complement_of_sigmoid(build: Builder, x: Value, y: Value) -> Value | None:
    """``1 - sigmoid(z)`` is sigmoid(-z), which keeps its digits where it is small."""
    inner = operand_of(y, Sigmoid)
    if inner is None or number_beside(x, y) != 1:
        return None
    return build.one(Sigmoid(), build.one(Neg(), inner))


def _one_plus_exp(value: Value) -> Value | None:
    """z where the value is ``1 + exp(z)``."""
    terms = operands_of(value, Add)
    if terms is None:
        return None
    for one, power in (terms, terms[::-1]):
        exponent = operand_of(power, Exp)
        if exponent is not None and number_beside(one, power) == 1:
            return exponent
    return None


def _tanh(build: Builder, x: Value, y: Value) -> Value | None:
    """``(exp(a) - exp(-a)) / (exp(a) + exp(-a))``, also with both sides times exp(a) or exp(-a)."""
    minus, plus = operands_of(x, Sub), operands_of(y, Add)
    if minus is None or plus is None or set(minus) != set(plus):
        return None
    first, second = (operand_of(term, Exp) for term in minus)
    if first is not None and second is not None and _opposite(first, second):
        return build.one(Tanh(), first)
    if first is not None and number_beside(minus[1], minus[0]) == 1:
        half = rescaled(build, first, 0.5)
    elif second is not None and number_beside(minus[0], minus[1]) == 1:
        half = rescaled(build, second, -0.5)
    else:
        return None
    return None if half is None else build.one(Tanh(), half)


def _opposite(a: Value, b: Value) -> bool:
    x, y = scaled(a) or (a, 1.0), scaled(b) or (b, 1.0)
    return x[0] is y[0] and x[1] == -y[1]


# Softmax and its logarithm --------------------------------------------------------------


def logarithm(build: Builder, x: Value) -> Value | None:
    """What ``log(x)`` is: a softplus, a log-softmax or a log-sum-exp."""
    exponent = _one_plus_exp(x)
    if exponent is not None:
        return build.one(Softplus(), exponent)
    inner = operand_of(x, Sigmoid)
    if inner is not None:
        return build.one(Neg(), build.one(Softplus(), build.one(Neg(), inner)))
    softmax, scores = operator_of(x, Softmax), operand_of(x, Softmax)
    if softmax is not None and scores is not None:
        return build.one(LogSoftmax(softmax.axis), scores)
    total, powers = operator_of(x, ReduceSum), operand_of(x, ReduceSum)
    scores = None if powers is None else operand_of(powers, Exp)
    if total is None or scores is None:
        return None
    axes = total.over(scores.ndim)
    op = ReduceLogSumExp(axes, total.keepdims, noop_with_empty_axes=True)
    return build.one(op, scores)


def exponential(build: Builder, x: Value) -> Value | None:
    """``exp(log_softmax(z))`` is a softmax."""
    op, scores = operator_of(x, LogSoftmax), operand_of(x, LogSoftmax)
    return None if op is None or scores is None else build.one(Softmax(op.axis), scores)


def log_softmax(build: Builder, x: Value, y: Value) -> Value | None:
    """``x - log(sum(exp(x)))`` is a log-softmax."""
    axis = _axis_of(y, ReduceLogSumExp)
    if axis is None or operand_of(y, ReduceLogSumExp) is not x:
        return None
    return build.one(LogSoftmax(axis), x)


def softmax_product(build: Builder, x: Value, y: Value) -> Value | None:
    """``exp(z) * (1 / sum(exp(z)))`` is a softmax."""
    for power, inverse in ((x, y), (y, x)):
        total = operand_of(inverse, Reciprocal)
        made = None if total is None else _softmax(build, power, total)
        if made is not None:
            return made
    return None


def shifted_log_sum_exp(build: Builder, x: Value, y: Value) -> Value | None:
    """``max(z) + log(sum(exp(z - max(z))))`` is a log-sum-exp of z."""
    for peak, rest in ((x, y), (y, x)):
        op, shifted = operator_of(rest, ReduceLogSumExp), operand_of(rest, ReduceLogSumExp)
        terms = None if shifted is None else operands_of(shifted, Sub)
        if op is None or terms is None or terms[1] is not peak or peak.ndim != rest.ndim:
            continue
        same = _axes_of(peak, ReduceMax) == _axes_of(rest, ReduceLogSumExp)
        if same and operand_of(peak, ReduceMax) is terms[0]:
            return build.one(op, terms[0])
    return None


def without_maximum(x: Value, axis: int) -> Value | None:
    """z where x is ``z - max(z)``, a difference that is the same all along the axis."""
    terms = operands_of(x, Sub)
    if terms is None or operand_of(terms[1], ReduceMax) is not terms[0]:
        return None
    peak = terms[1]
    flat = peak.ndim == 0 or (peak.ndim == x.ndim and is_extent(peak.shape[axis], 1))
    return terms[0] if flat else None


def _softmax(build: Builder, power: Value, total: Value) -> Value | None:
    exponent = operand_of(power, Exp)
    axis = _axis_of(total, ReduceSum)
    if exponent is None or axis is None or operand_of(total, ReduceSum) is not power:
        return None
    return build.one(Softmax(axis), exponent)


def _axes_of(value: Value, kind: type[Reduction]) -> tuple[int, ...] | None:
    """The axes of the reduction that made a value."""
    op, source = operator_of(value, kind), operand_of(value, kind)
    return None if op is None or source is None else op.over(source.ndim)


def _axis_of(value: Value, kind: type[Reduction]) -> int | None:
    """The only axis of the reduction that made a value, if it still broadcasts against it."""
    axes = _axes_of(value, kind)
    if axes is None or len(axes) != 1:
        return None
    source = operand_of(value, kind)
    kept = source is not None and (value.ndim == source.ndim or source.ndim == 1)
    return axes[0] if kept else None
