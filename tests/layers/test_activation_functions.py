"""Every activation against its formula in float64, far from 0 as well."""

from __future__ import annotations

import math

import layerport as lp
import numpy as np
import pytest
from layerport.errors import ShapeError, UnsupportedError
from layerport.gradient import gradient
from layerport.recording import Recording

X = np.array([-100.0, -30, -6, -3.5, -2.5, -1, -0.5, -0.3, 0, 0.2, 0.5, 1, 2.7, 3, 6, 7, 40, 100])


def _sigmoid(x):
    return np.where(x < 0, np.exp(np.minimum(x, 0)), 1) / (1 + np.exp(-np.abs(x)))


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _erf(x):
    return np.array([math.erf(v) for v in x])


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805

FORMULAS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x < 0, 0.2 * x, x),
    "elu": lambda x: np.where(x < 0, np.expm1(x), x),
    "celu": lambda x: np.maximum(x, 0) + np.minimum(0, np.expm1(x)),
    "selu": lambda x: SELU_SCALE * np.where(x < 0, SELU_ALPHA * np.expm1(x), x),
    "gelu": lambda x: x * 0.5 * (1 + _erf(x / math.sqrt(2))),
    "sigmoid": _sigmoid,
    "log_sigmoid": lambda x: -_softplus(-x),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_sigmoid_keras2": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "sparse_sigmoid": lambda x: np.where(x <= -1, 0, np.where(x >= 1, 1, 0.5 * (x + 1))),
    "silu": lambda x: x * _sigmoid(x),
    "hard_silu": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "glu": lambda x: x[:9] * _sigmoid(x[9:]),
    "softmax": _softmax,
    "log_softmax": lambda x: x - x.max() - np.log(np.exp(x - x.max()).sum()),
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "squareplus": lambda x: (x + np.sqrt(x**2 + 4)) / 2,
    "sparse_plus": lambda x: np.where(x <= -1, 0, np.where(x < 1, 0.25 * (x + 1) ** 2, x)),
    "soft_shrink": lambda x: np.where(x > 0.5, x - 0.5, np.where(x < -0.5, x + 0.5, 0)),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "tanh": np.tanh,
    "tanh_shrink": lambda x: x - np.tanh(x),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "exponential": np.exp,
    "step": lambda x: (x > 0).astype(float),
}  # fmt: skip
FORMULAS["swish"] = FORMULAS["silu"]
FORMULAS["hard_swish"] = FORMULAS["hard_silu"]


def test_every_activation_has_a_formula_here():
    assert set(lp.default_registry().activations) == set(FORMULAS)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activation(name, dtype):
    x = X[X < 85] if name == "exponential" else X
    rows = np.stack([x, x[::-1]]).astype(dtype)
    y = lp.Activation(name, dtype=dtype)(rows)
    assert y.dtype == dtype
    expected = np.stack([FORMULAS[name](row) for row in rows.astype(np.float64)])
    tolerance = 2e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", sorted(set(FORMULAS) - {"glu"}))
def test_activation_on_arrays_keeps_float32(name):
    x = X[X < 85].astype(np.float32)
    y = lp.default_registry().activation(name)(x)
    assert y.dtype == np.float32
    expected = FORMULAS[name](x.astype(np.float64))
    # Composed of NumPy's own functions, a difference of large numbers may round once more.
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=2e-6)


def _slope(name, x):
    recording = Recording(float_dtype="float64")
    tensor = recording.input("x", x.shape, x.dtype)
    y = lp.default_registry().activation(name)(tensor)
    weights = np.arange(1.0, y.shape[-1] + 1)
    graph = recording.finish([(y * weights).sum()])
    derived = gradient(graph, graph.outputs[0], [graph.inputs[0]])
    from layerport.numpy_engine.reference import evaluate

    outputs, _ = evaluate(derived, {"x": x}, {})
    return weights, outputs[1]


SMOOTH = sorted(set(FORMULAS) - {"step", "glu"})


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_is_that_of_the_formula(name):
    x = np.array([-90.0, -30.2, -6.2, -2.9, -1.1, -0.7, -0.31, 0.21, 0.8, 1.1, 2.7, 6.3, 40, 90])
    x = x[x < 41] if name == "exponential" else x
    weights, slope = _slope(name, x)
    h = 1e-5
    expected = np.empty_like(x)
    for i in range(len(x)):
        step = np.zeros_like(x)
        step[i] = h
        change = FORMULAS[name](x + step) - FORMULAS[name](x - step)
        expected[i] = change @ weights / (2 * h)
    assert np.isfinite(slope).all()
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-5)


def test_training_through_a_step_is_refused_with_advice():
    recording = Recording()
    x = recording.input("x", (3, 2), np.float32)
    graph = recording.finish([lp.default_registry().activation("step")(x).sum()])
    with pytest.raises(UnsupportedError, match=r"step function.*train with sigmoid"):
        gradient(graph, graph.outputs[0], [graph.inputs[0]])


def test_what_is_behind_a_step_can_be_trained():
    recording = Recording()
    x = recording.input("x", (3, 2), np.float32)
    w = recording.input("w", (3, 2), np.float32)
    y = lp.default_registry().activation("step")(x)
    graph = recording.finish([(y * w).sum()])
    gradient(graph, graph.outputs[0], [graph.inputs[1]])


def test_glu_halves_an_even_axis():
    with pytest.raises(ShapeError, match="glu halves the last axis"):
        lp.Activation("glu")(np.ones((2, 3)))
