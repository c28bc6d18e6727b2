"""Operators that are formulas of others, written out.

The pieces then work in place, and what a gradient computes as well is computed once: the formulas
are those that the gradients use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from layerport.ops.activation import Gelu, HardSigmoid, HardSwish, Mish, PRelu, Softsign, softplus
from layerport.ops.normalization import BatchNormalization, LayerNormalization
from layerport.tensor import Tensor

if TYPE_CHECKING:
    from layerport.graph import Builder, Value

Rule = Callable[..., "Value | Sequence[Value] | None"]


def formula(function: Callable[..., Any]) -> Rule:
    """A rule for an operator from a function of the operator and Tensors."""

    def rule(build: Builder, op: Any, *inputs: Value | None) -> Value | Sequence[Value] | None:
        if any(value is not None and value.dtype.itemsize < 4 for value in inputs):
            return None  # rounding after each step would differ
        made = function(op, *(None if v is None else Tensor(build, v) for v in inputs))
        return [part.value for part in made] if isinstance(made, tuple) else made.value

    return rule


def gelu(op: Gelu, x: Any) -> Any:
    """``x * P(X <= x)``."""
    return 0.5 * x * (1 + op.odd(x))


def hard_sigmoid(op: HardSigmoid, x: Any) -> Any:
    """A line between 0 and 1."""
    return np.minimum(np.maximum(op.alpha * x + op.beta, 0), 1)


def hard_swish(op: HardSwish, x: Any) -> Any:
    """``x`` times a line between 0 and 1."""
    return x * np.minimum(np.maximum(x / 6 + 0.5, 0), 1)


def mish(op: Mish, x: Any) -> Any:
    """``x * tanh(softplus(x))``."""
    return x * np.tanh(softplus(x))


def prelu(op: PRelu, x: Any, slope: Any) -> Any:
    """One of the two summands is 0."""
    return np.maximum(x, 0) + slope * np.minimum(x, 0)


def softsign(op: Softsign, x: Any) -> Any:
    """``x / (1 + |x|)``."""
    return x / (1 + np.abs(x))


def batch_normalization(
    op: BatchNormalization, x: Any, scale: Any, bias: Any, mean: Any, var: Any
) -> Any:
    """``x * factor + shift``: two passes over x, the rest on one element a channel."""
    factor = scale / np.sqrt(var + op.epsilon)
    shift = bias - mean * factor
    vector = (-1,) + (1,) * (x.ndim - 2)
    return x * factor.reshape(vector) + shift.reshape(vector)


def layer_normalization(
    op: LayerNormalization, x: Any, scale: Any, bias: Any = None
) -> tuple[Any, Any, Any]:
    """The result, the mean, and the inverse of the standard deviation."""
    axes = op.axes(x.ndim)
    mean = x.mean(axes, keepdims=True)
    deviation = x - mean
    variance = (deviation * deviation).mean(axes, keepdims=True)
    inverse = 1 / np.sqrt(variance + op.epsilon)
    y = deviation * inverse * scale
    return (y if bias is None else y + bias), mean, inverse
