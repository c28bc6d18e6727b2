"""Activations, named and defined as in Keras 3: functions of a Tensor or an array.

Files of older Kerases mean another function by hard_sigmoid; their readers call it
`hard_sigmoid_keras2`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from layerport import ops
from layerport.errors import ShapeError, UnsupportedError
from layerport.layer import Array


def linear(x: Array) -> Array:
    """The identity."""
    return x


def selu(x: Array) -> Array:
    """`elu` scaled so that activations keep mean 0 and variance 1 (arXiv:1706.02515).

    The constants are the paper's; those of ONNX's operator are rounded to float32.
    """
    return ops.Selu(alpha=1.6732632423543772, gamma=1.0507009873554805)(x)


def gelu(x: Array) -> Array:
    """x times the standard normal distribution function of x, exact."""
    return ops.gelu(x, approximate=False)


def log_sigmoid(x: Array) -> Array:
    """log(sigmoid(x)), without overflow."""
    return -ops.softplus(-x)


def hard_sigmoid_keras2(x: Array) -> Array:
    """0.2 x + 0.5 between 0 and 1."""
    return ops.HardSigmoid(alpha=0.2, beta=0.5)(x)


def sparse_sigmoid(x: Array) -> Array:
    """(x + 1) / 2 between 0 and 1."""
    return ops.HardSigmoid(alpha=0.5, beta=0.5)(x)


def glu(x: Array) -> Array:
    """One half of the last axis times the sigmoid of the other half."""
    extent = x.shape[-1]
    if not isinstance(extent, int) or extent % 2:
        raise ShapeError(f"glu halves the last axis, which must be even and known, not {extent}")
    value, gate = np.split(x, 2, axis=-1)
    return value * ops.sigmoid(gate)


def squareplus(x: Array) -> Array:
    """(x + sqrt(x^2 + 4)) / 2."""
    return 0.5 * (x + np.sqrt(x * x + 4.0))


def sparse_plus(x: Array) -> Array:
    """0 up to -1, x from 1 on, (x + 1)^2 / 4 between."""
    bent = np.clip(x, -1.0, 1.0) + 1.0
    return 0.25 * bent * bent + ops.relu(x - 1.0)


def soft_shrink(x: Array) -> Array:
    """x moved towards 0 by 0.5, and 0 where it is nearer."""
    return x - np.clip(x, -0.5, 0.5)


def hard_shrink(x: Array) -> Array:
    """x, or 0 where |x| is at most 0.5."""
    return np.where(np.abs(x) > 0.5, x, 0.0)


def tanh_shrink(x: Array) -> Array:
    """x - tanh(x)."""
    return x - np.tanh(x)


def hard_tanh(x: Array) -> Array:
    """x cut off at -1 and 1."""
    return np.clip(x, -1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class _SignForStep(ops.Sign):
    """ONNX's Sign. Its derivative, 0 wherever there is one, would silently stop training."""

    @property
    def name(self) -> str:
        return "Sign"

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        raise UnsupportedError(
            "the step function of a perceptron is flat, so nothing before it can be trained by "
            "gradients; train with sigmoid in its place"
        )


def step(x: Array) -> Array:
    """1 where x is positive, else 0: the perceptron. It cannot be trained through."""
    return ops.relu(_SignForStep()(x))


ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "linear": linear,
        "relu": ops.relu,
        "relu6": ops.relu6,
        "leaky_relu": ops.leaky_relu,
        "elu": ops.elu,
        "celu": ops.celu,
        "selu": selu,
        "gelu": gelu,
        "sigmoid": ops.sigmoid,
        "log_sigmoid": log_sigmoid,
        "hard_sigmoid": ops.hard_sigmoid,
        "hard_sigmoid_keras2": hard_sigmoid_keras2,
        "sparse_sigmoid": sparse_sigmoid,
        "silu": ops.silu,
        "hard_silu": ops.hard_swish,
        "mish": ops.mish,
        "glu": glu,
        "softmax": ops.softmax,
        "log_softmax": ops.log_softmax,
        "softplus": ops.softplus,
        "softsign": ops.softsign,
        "squareplus": squareplus,
        "sparse_plus": sparse_plus,
        "soft_shrink": soft_shrink,
        "hard_shrink": hard_shrink,
        "tanh": np.tanh,
        "tanh_shrink": tanh_shrink,
        "hard_tanh": hard_tanh,
        "exponential": np.exp,
        "step": step,
        # Other names for the same functions.
        "swish": ops.silu,
        "hard_swish": ops.hard_swish,
    }
)
"""Every name that stands for an activation; `Registry.name_of` gives the first."""
