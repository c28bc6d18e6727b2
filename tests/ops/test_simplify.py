"""Which formulas are recognised, and that they compute the same afterwards."""

from __future__ import annotations

import numpy as np
import pytest
from layerport import ops
from layerport.gradient import gradient
from layerport.graph import Builder, Graph, verify
from layerport.numpy_engine.reference import evaluate
from layerport.tensor import Tensor

X = np.random.default_rng(0).standard_normal((3, 4)) * 2


def recorded(function, shape=(3, 4), dtype=np.float64, *, rewrite=True) -> Graph:
    build = Builder(rewrite=rewrite, float_dtype=dtype)
    y = function(Tensor(build, build.input("x", shape, dtype)))
    graph = build.finish([y.value])
    verify(graph)
    return graph


def names(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


def value(graph: Graph, x):
    (y,), _ = evaluate(graph, {"x": x}, {})
    return y


def total_max(x):
    return x - np.max(x)


def shifted(x, axis=-1):
    return x - np.max(x, axis=axis, keepdims=True)


def powers_over_sum(x, axis=-1):
    powers = np.exp(x)
    return powers / powers.sum(axis=axis, keepdims=True)


def inverse_times(x):
    powers = np.exp(x)
    return powers * (1 / powers.sum(-1, keepdims=True))


def log_sum_exp(x):
    return np.log(np.exp(x).sum(-1, keepdims=True))


def log_sum_exp_by_hand(x):
    peak = np.max(x, axis=1, keepdims=True)
    return peak + np.log(np.exp(x - peak).sum(1, keepdims=True))


IDIOMS = [
    # (what is written, the operators that it becomes)
    (lambda x: 1 / (1 + np.exp(-x)), ["Sigmoid"]),
    (lambda x: 1 / (np.exp(-x) + 1), ["Sigmoid"]),
    (lambda x: np.reciprocal(1 + np.exp(-x)), ["Sigmoid"]),
    (lambda x: (1 + np.exp(-x)) ** -1, ["Sigmoid"]),
    (lambda x: 1 / (1 + np.exp(x)), ["Neg", "Sigmoid"]),
    (lambda x: np.exp(x) / (1 + np.exp(x)), ["Sigmoid"]),
    (lambda x: 1 - 1 / (1 + np.exp(-x)), ["Neg", "Sigmoid"]),
    (lambda x: x / (1 + np.exp(-x)), ["Sigmoid", "Mul"]),
    (lambda x: x * (1 / (1 + np.exp(-x))), ["Sigmoid", "Mul"]),
    (lambda x: x / (1 + np.exp(-1.5 * x)), ["Mul", "Sigmoid", "Mul"]),
    (lambda x: x / (1 + np.exp(-(1.5 * x))), ["Mul", "Sigmoid", "Mul"]),
    (lambda x: x / (1 + np.exp(x * -1.0)), ["Sigmoid", "Mul"]),
    (lambda x: x / (1 + np.exp(-x / 2)), ["Mul", "Sigmoid", "Mul"]),
    (lambda x: np.log(1 + np.exp(x)), ["Softplus"]),
    (lambda x: np.log(np.exp(-x) + 1), ["Neg", "Softplus"]),
    (lambda x: np.log1p(np.exp(x)), ["Softplus"]),
    (lambda x: np.log(1 / (1 + np.exp(-x))), ["Neg", "Softplus", "Neg"]),
    (lambda x: x * np.tanh(np.log(1 + np.exp(x))), ["Softplus", "Tanh", "Mul"]),
    (lambda x: tanh_by_hand(x), ["Tanh"]),
    (lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1), ["Tanh"]),
    (lambda x: (1 - np.exp(-2 * x)) / (1 + np.exp(-2 * x)), ["Tanh"]),
    (lambda x: powers_over_sum(x), ["Softmax"]),
    (lambda x: powers_over_sum(x, axis=0), ["Softmax"]),
    (lambda x: powers_over_sum(shifted(x)), ["Softmax"]),
    (lambda x: powers_over_sum(total_max(x)), ["Softmax"]),
    (lambda x: powers_over_sum(x[0]), ["Slice", "Reshape", "Softmax"]),
    (lambda x: inverse_times(shifted(x)), ["Softmax"]),
    (lambda x: np.log(powers_over_sum(x)), ["LogSoftmax"]),
    (lambda x: np.exp(ops.log_softmax(x)), ["Softmax"]),
    (lambda x: log_sum_exp(x), ["ReduceLogSumExp"]),
    (lambda x: np.log(np.exp(x).sum()), ["ReduceLogSumExp"]),
    (lambda x: np.log(np.exp(x).sum((0, 1), keepdims=True)), ["ReduceLogSumExp"]),
    (lambda x: log_sum_exp_by_hand(x), ["ReduceLogSumExp"]),
    (lambda x: x - log_sum_exp(x), ["LogSoftmax"]),
    (lambda x: x - log_sum_exp_by_hand(x), ["LogSoftmax"]),
    (lambda x: shifted(x) - log_sum_exp(shifted(x)), ["LogSoftmax"]),
    (lambda x: ops.log_softmax(shifted(x)), ["LogSoftmax"]),
]

ARITHMETIC = [
    (lambda x: np.maximum(x, 0), ["Relu"]),
    (lambda x: np.maximum(0, x), ["Relu"]),
    (lambda x: np.clip(x, 0, None), ["Relu"]),
    (lambda x: ops.relu(ops.relu(x)), ["Relu"]),
    (lambda x: np.negative(-x) + 0, []),
    (lambda x: (x - 0) * 1 / 1, []),
    (lambda x: 0 - x, ["Neg"]),
    (lambda x: x * -1, ["Neg"]),
    (lambda x: x / -1, ["Neg"]),
    (lambda x: x + -(x * x), ["Mul", "Sub"]),
    (lambda x: -(x * x) + x, ["Mul", "Sub"]),
    (lambda x: x - -(x * x), ["Mul", "Add"]),
    (lambda x: x * 2 * 3, ["Mul"]),
    (lambda x: -(x * 2), ["Mul"]),
    (lambda x: (-x) * 2, ["Mul"]),
    (lambda x: x * 2 / 4, ["Mul"]),
    (lambda x: x / 3 / 5, ["Mul"]),
    (lambda x: x / 3 * 3, []),
    (lambda x: x / 8, ["Mul"]),
    (lambda x: x / 3, ["Div"]),
    (lambda x: 1 / x, ["Reciprocal"]),
    (lambda x: x**1, []),
    (lambda x: x**2, ["Mul"]),
    (lambda x: x**3, ["Mul", "Mul"]),
    (lambda x: x**-1, ["Reciprocal"]),
    (lambda x: np.abs(x) ** 0.5, ["Abs", "Sqrt"]),
    (lambda x: np.abs(x) ** -0.5, ["Abs", "Sqrt", "Reciprocal"]),
    (lambda x: x.astype("f8"), []),
    (lambda x: (x > 0).astype("i4").astype("f8"), ["Greater", "Cast"]),
    (lambda x: np.where(np.array(True), x, -x), []),
    (lambda x: np.where(x > 0, x, x), []),
    (lambda x: ~~(x > 0), ["Greater"]),
]


def check(function, expected):
    simple, plain = recorded(function), recorded(function, rewrite=False)
    assert names(simple) == expected
    np.testing.assert_allclose(value(simple, X), value(plain, X), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("function", "expected"), IDIOMS)
def test_idiom(function, expected):
    check(function, expected)


@pytest.mark.parametrize(("function", "expected"), ARITHMETIC)
def test_arithmetic(function, expected):
    check(function, expected)


KEPT = [
    (lambda x: x * 0, ["Mul"]),
    (lambda x: x - x, ["Sub"]),
    (lambda x: x / x, ["Div"]),
    (lambda x: x**0, ["Pow"]),
    (lambda x: 1 / (1 / x), ["Reciprocal", "Reciprocal"]),
    (lambda x: x * 1e-300 * 1e-300, ["Mul", "Mul"]),
    (lambda x: x * 1e300 * 1e300, ["Mul", "Mul"]),
    (lambda x: 1 / (2 + np.exp(-x)), ["Neg", "Exp", "Add", "Reciprocal"]),
    (lambda x: np.exp(x) / np.exp(x).sum((0, 1), keepdims=True), ["Exp", "ReduceSum", "Div"]),
    (lambda x: x - log_sum_exp(2 * x), ["Mul", "ReduceLogSumExp", "Sub"]),
    (lambda x: x.astype("f4").astype("f8"), ["Cast", "Cast"]),
    (lambda x: x + np.zeros((2, 3, 4)), ["Add"]),
    (lambda x: x * np.ones((1, 1, 1)), ["Mul"]),
]


@pytest.mark.parametrize(("function", "expected"), KEPT)
def test_what_would_change_the_result_is_kept(function, expected):
    assert names(recorded(function)) == expected


def swish(x):
    return x / (1 + np.exp(-x))


def tanh_by_hand(x):
    return (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))


STABLE = [
    # (what is written, x, y, d(sum of y)/dx)
    (swish, [-100.0, 100.0], [0, 100], [0, 1]),
    (lambda x: np.log(1 + np.exp(x)), [-100.0, 100.0], [0, 100], [0, 1]),
    (lambda x: np.log1p(np.exp(x)), [-100.0, 100.0], [0, 100], [0, 1]),
    (lambda x: np.logaddexp(0, x), [-100.0, 100.0], [0, 100], [0, 1]),
    (lambda x: np.exp(x) / (1 + np.exp(x)), [-100.0, 100.0], [0, 1], [0, 0]),
    (lambda x: np.log(1 / (1 + np.exp(-x))), [-100.0, 100.0], [-100, 0], [1, 0]),
    (lambda x: np.log(1 - 1 / (1 + np.exp(-x))), [-100.0, 100.0], [0, -100], [0, -1]),
    (tanh_by_hand, [-100.0, 100.0], [-1, 1], [0, 0]),
    (powers_over_sum, [-100.0, 200.0], [0, 1], [0, 0]),
    (log_sum_exp, [-100.0, 200.0], [200], [0, 1]),
    (lambda x: x - log_sum_exp(x), [-100.0, 200.0], [-300, 0], [1, -1]),
]


@pytest.mark.parametrize(("function", "x", "y", "slope"), STABLE)
def test_results_and_gradients_are_finite_in_single_precision(function, x, y, slope):
    build = Builder()
    source = build.input("x", (2,), np.float32)
    result = function(Tensor(build, source))
    loss = result.sum()
    graph = gradient(build.finish([result.value, loss.value]), loss.value, [source])
    (found, _, dx), _ = evaluate(graph, {"x": np.array(x, "f4")}, {})
    np.testing.assert_allclose(found, y, rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(dx, slope, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize(("function", "expected"), IDIOMS)
def test_nan_stays_nan(function, expected):
    assert np.isnan(value(recorded(function), np.full((3, 4), np.nan))).all()


def test_integers_are_left_alone():
    for function in (lambda x: x * 2 * 3, lambda x: -(x * 2)):
        graph = recorded(function, dtype=np.int32)
        assert len(graph.nodes) == 2
