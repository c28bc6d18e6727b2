"""Reductions against onnxruntime, NumPy's float64 and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.errors import ShapeError
from layerport.gradient import gradient
from layerport.graph import Builder, Value
from layerport.numpy_engine.reference import evaluate
from layerport.tensor import Tensor
from layerport.testing import check_op

RANDOM = np.random.default_rng(3)
REAL = [
    ops.ReduceSum,
    ops.ReduceMean,
    ops.ReduceMax,
    ops.ReduceMin,
    ops.ReduceProd,
    ops.ReduceLogSumExp,
]


def real(*shape):
    return RANDOM.standard_normal(shape).astype("f4")


@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"axes": (1,)},
        {"axes": (-1,), "keepdims": False},
        {"axes": (2, 0)},
        {"axes": (0, -2), "keepdims": False},
        {"keepdims": False},
        {"axes": ()},
        {"noop_with_empty_axes": True},
    ],
    ids=str,
)
def test_reduction(kind, options, onnxruntime_outputs):
    op, x = kind(**options), real(3, 2, 4)
    if kind is ops.ReduceProd:
        x += 2 * np.sign(x)
    check_op(op, x, expected=onnxruntime_outputs(op, x), dims=[("n", 2, "m")], rtol=1e-6)


@pytest.mark.parametrize("kind", [k for k in REAL if k is not ops.ReduceLogSumExp])
def test_reduction_of_integers(kind, onnxruntime_outputs):
    op, x = kind(axes=(0,)), RANDOM.integers(-5, 6, (3, 4)).astype("i4")
    check_op(op, x, expected=onnxruntime_outputs(op, x), differentiate=False)


@pytest.mark.parametrize("kind", [ops.ReduceMax, ops.ReduceMin])
def test_extremum_of_bools(kind):
    x = np.array([[True, False], [True, True]])
    expected = np.array([True, kind is ops.ReduceMax])
    check_op(kind(axes=(0,), keepdims=False), x, expected=expected, differentiate=False)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ops.ReduceSum, 0),
        (ops.ReduceProd, 1),
        (ops.ReduceMax, -np.inf),
        (ops.ReduceMin, np.inf),
        (ops.ReduceLogSumExp, -np.inf),
        (ops.ReduceMean, np.nan),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:Mean of empty")
def test_reduction_of_nothing(kind, value):
    x = np.zeros((2, 0), "f4")
    np.testing.assert_array_equal(kind(axes=(1,)).evaluate(x), np.full((2, 1), value))


def test_equal_extrema_share_the_gradient():
    x = np.array([[1.0, 3, 3, 0], [2, 2, 2, 2]])
    op = ops.ReduceMax(axes=(1,), keepdims=False)
    (dx,) = op.gradient(np.array([1.0, 4.0]), op.evaluate(x), x)
    np.testing.assert_array_equal(dx, [[0, 0.5, 0.5, 0], [1, 1, 1, 1]])


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_product_with_zeros(zeros):
    x = np.array([[1.5, -2, 3, 0.5], [1, 2, 3, 4]])
    x[0, :zeros] = 0
    check_op(ops.ReduceProd(axes=(1,)), x)


@pytest.mark.parametrize("extreme", [np.inf, -np.inf, 1000.0, -1000.0])
def test_log_sum_exp_of_large_numbers(extreme):
    x = np.array([[extreme, extreme], [extreme, 0]])
    with np.errstate(all="raise", under="ignore"):
        found = ops.ReduceLogSumExp(axes=(1,), keepdims=False).evaluate(x)
    np.testing.assert_allclose(found, [extreme + np.log(2), max(extreme, 0)], rtol=1e-15)


@pytest.mark.parametrize("kind", REAL)
def test_nan_stays_nan(kind):
    assert np.isnan(kind().evaluate(np.array([1, np.nan, 2], "f4")))


@pytest.mark.parametrize("op", [ops.ArgMax(), ops.ArgMax(-1, False), ops.ArgMax(1, True, True)])
def test_argmax(op, onnxruntime_outputs):
    x = RANDOM.integers(0, 3, (4, 5)).astype("f4")
    expected = onnxruntime_outputs(op, x)
    check_op(op, x, expected=expected, differentiate=False, dims=[("n", 5)])


def test_the_gradient_of_a_mean_over_a_symbolic_batch():
    build = Builder(float_dtype=np.float64)
    x = build.input("x", (Dim("n"), 3), np.float64)
    loss = Tensor(build, x).mean(axis=0).sum()
    graph = gradient(build.finish([loss.value]), loss.value, [x])
    for samples in (1, 5):
        (_, dx), _ = evaluate(graph, {"x": np.zeros((samples, 3))}, {})
        np.testing.assert_allclose(dx, np.full((samples, 3), 1 / samples))
    bound = graph.bind({"n": 4})
    assert not any(isinstance(node.op, ops.Count) for node in bound.nodes)


def test_count():
    x = np.zeros((2, 3, 4), "f4")
    expected = np.array(8, "f8")
    check_op(ops.Count((0, 2), "float64"), x, expected=expected, differentiate=False)


def test_wrong_axes_are_refused():
    x = Value((2, 3), "f4")
    with pytest.raises(ShapeError, match="no axis 2"):
        ops.ReduceSum((2,)).infer(x)
    with pytest.raises(ShapeError, match="twice"):
        ops.ReduceSum((1, -1)).infer(x)
    with pytest.raises(ShapeError, match="no axis -3"):
        ops.ArgMax(-3).infer(x)
    with pytest.raises(ShapeError, match="floats"):
        ops.ReduceLogSumExp().infer(Value((2,), "i4"))


def test_a_reduction_over_extents_of_one_is_left_out():
    build = Builder()
    x = build.input("x", (3, 1, 4), np.float32)
    for kind in REAL:
        assert build.one(kind((1,)), x) is x
        assert build.one(kind((1,), keepdims=False), x) is not x
