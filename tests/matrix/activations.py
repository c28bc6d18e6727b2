"""Every activation, as a layer and as an argument, and the layers that are activations."""

from __future__ import annotations

from collections.abc import Callable

import layerport as lp
import numpy as np

from matrix import naive
from matrix.case import SAMPLES, Case, Drawn, chain, f64

LARGE = np.array([[0, -0.0, 1, -1, 0.5, -0.5, 3, -3], [6, -6, 9, -9, 20, -20, 60, -60]], np.float32)
"""Corners, and where a careless formula overflows."""


def elu(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def log_softmax(x: np.ndarray) -> np.ndarray:
    moved = x - x.max(-1, keepdims=True)
    return moved - np.log(np.exp(moved).sum(-1, keepdims=True))


def glu(x: np.ndarray) -> np.ndarray:
    value, gate = np.split(x, 2, -1)
    return value * naive.sigmoid(gate)


FORMULAS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda x: x,
    "relu": naive.relu,
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": elu,
    "celu": elu,
    "selu": lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772),
    "gelu": naive.gelu,
    "sigmoid": naive.sigmoid,
    "log_sigmoid": lambda x: -naive.softplus(-x),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_sigmoid_keras2": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "silu": naive.swish,
    "swish": naive.swish,
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "mish": lambda x: x * np.tanh(naive.softplus(x)),
    "glu": glu,
    "softmax": naive.softmax,
    "log_softmax": log_softmax,
    "softplus": naive.softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanh": np.tanh,
    "exponential": np.exp,
    "step": lambda x: np.where(x > 0, 1.0, 0.0),
}
"""Name -> definition, after FORMATS.md and Keras 3."""


def activation(name: str) -> Case:
    draw = Drawn(100)
    x = np.concatenate([LARGE, 3 * draw(SAMPLES, 8)])
    k, b = draw(8, 8), draw(8)
    X, K, B = f64(x, k, b)
    formula = FORMULAS[name]
    want = formula(X)
    after = formula(naive.dense(X / 8, K, B))

    def network() -> lp.Network:
        source = lp.Input((8,))
        dense = lp.Dense(8, name, name="dense")(lp.Rescaling(1 / 8, name="smaller")(source))
        outputs = [lp.Activation(name, name="alone")(source), dense]
        made = lp.Network(source, outputs, name="activation")
        made.set_weights([k, b])
        return made

    return Case(f"activation {name}", network, [x], [want, after])


def rectifiers() -> Case:
    draw = Drawn(101)
    x = 3 * draw(SAMPLES, 4, 6)
    alpha, shared = draw(4, 6), draw(1, 6)
    X, A, S = f64(x, alpha, shared)
    capped = np.where(X >= 0.5, np.minimum(X, 2.0), 0.25 * (X - 0.5))
    want = [
        naive.relu(X), capped, np.where(X > 0, X, 0.3 * X), np.where(X > 0, X, 0.125 * X),
        elu(X, 0.7), np.where(X > 0, X, A * X), np.where(X > 0, X, S * X),
    ]  # fmt: skip

    def network() -> lp.Network:
        source = lp.Input((4, 6))
        layers = [
            lp.ReLU(), lp.ReLU(max_value=2.0, negative_slope=0.25, threshold=0.5), lp.LeakyReLU(),
            lp.LeakyReLU(0.125), lp.ELU(0.7), lp.PReLU(), lp.PReLU(shared_axes=[1]),
        ]  # fmt: skip
        made = lp.Network(source, [layer(source) for layer in layers], name="rectifiers")
        made.set_weights([alpha, shared])
        return made

    return Case("rectifiers", network, [x], want)


def softmax_over_axes() -> Case:
    x = 3 * Drawn(102)(SAMPLES, 4, 3)
    (X,) = f64(x)

    def network() -> lp.Network:
        source = lp.Input((4, 3))
        outputs = [
            lp.Softmax()(source),
            lp.Softmax(axis=1)(source),
            lp.Activation("softmax")(source),
        ]
        return lp.Network(source, outputs, name="softmaxes")

    want = [naive.softmax(X), naive.softmax(X, 1), naive.softmax(X)]
    return Case("softmax over axes", network, [x], want)


def noise_is_for_training_only() -> Case:
    x, k, b = Drawn(103)(SAMPLES, 6), Drawn(104)(6, 4), Drawn(105)(4)
    X, K, B = f64(x, k, b)

    def network() -> lp.Network:
        return chain((6,), lp.GaussianNoise(0.5), lp.Dropout(0.3), lp.Dense(4),
                     lp.GaussianDropout(0.2), weights=[k, b])  # fmt: skip

    return Case("noise", network, [x], [naive.dense(X, K, B)])


CASES = [
    *(activation(name) for name in FORMULAS),
    rectifiers(),
    softmax_over_axes(),
    noise_is_for_training_only(),
]
