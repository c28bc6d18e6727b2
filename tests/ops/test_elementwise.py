"""Arithmetic, functions of one number, logic and activations: one row an operator.

The expected values are onnxruntime's, or a formula in float64 where it has no such kernel.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.errors import LayerportError, ShapeError
from layerport.graph import Builder, Value
from layerport.loops.interpret import run
from layerport.loops.lowering import lower
from layerport.loops.target import Target
from layerport.numpy_engine.reference import evaluate
from layerport.ops.base import Elementwise
from layerport.tensor import Tensor
from layerport.testing import check_op

RANDOM = np.random.default_rng(7)


def real(*shape):
    return np.asarray(RANDOM.standard_normal(shape) * 2, "f4")


def positive(*shape):
    return (RANDOM.random(shape) * 3 + 0.1).astype("f4")


def inside(*shape):
    return (RANDOM.random(shape) * 1.6 - 0.8).astype("f4")


def whole(*shape, low=-9, dtype="i4"):
    return RANDOM.integers(low, 10, shape).astype(dtype)


def truth(*shape):
    return RANDOM.random(shape) < 0.5


X = real(4, 3)

ARITHMETIC = [
    (ops.Add(), real(4, 3), real(3)),
    (ops.Add(), whole(4, 3), whole(4, 1)),
    (ops.Sub(), real(2, 1, 3), real(4, 1)),
    (ops.Mul(), real(4, 3), real()),
    (ops.Mul(), whole(4, 3, dtype="i8"), whole(4, 3, dtype="i8")),
    (ops.Div(), real(4, 3), positive(4, 1)),
    (ops.Div(), whole(5, 4), whole(5, 4, low=1)),
    (ops.Div(), whole(5, 4, low=0), -whole(5, 4, low=1)),
    (ops.Div(), whole(5, 4, low=0, dtype="u1"), whole(5, 4, low=1, dtype="u1")),
    (ops.Pow(), positive(4, 3), real(3)),
    (ops.Pow(), positive(4, 3), whole(4, 3)),
    (ops.Pow(), whole(4, 3, low=0), whole(3, low=0)),
    (ops.Pow(), whole(4, 3), np.array(2, "f4")),
    (ops.Mod(), whole(5, 4), whole(5, 4, low=1)),
    (ops.Mod(), whole(5, 4), -whole(5, 4, low=1)),
    (ops.Mod(fmod=1), whole(5, 4), whole(5, 4, low=1)),
    (ops.Mod(fmod=1), real(4, 3), positive(4, 3)),
    (ops.Neg(), X),
    (ops.Neg(), whole(4)),
    (ops.Reciprocal(), -positive(4, 3)),
    (ops.Sqrt(), positive(4, 3)),
    (ops.Max(), real(4, 3), real(3), real(4, 1)),
    (ops.Max(), X),
    (ops.Min(), real(4, 3), real(4, 1), real(1, 3), real(4, 3)),
    (ops.Max(), whole(4), whole(4)),
    (ops.Sum(), real(4, 3), real(3), real(4, 1)),
    (ops.Mean(), real(4, 3), real(3), real(4, 1)),
    (ops.Clip(), X, np.array(-1, "f4"), np.array(1, "f4")),
    (ops.Clip(), X, None, np.array(0.4, "f4")),
    (ops.Clip(), X, np.array(0.4, "f4"), None),
    (ops.Clip(), X, np.array(1, "f4"), np.array(-1, "f4")),
    (ops.Clip(), whole(7), np.array(-2, "i4"), np.array(5, "i4")),
]

FUNCTIONS = [
    (ops.Abs(), X),
    (ops.Abs(), whole(5)),
    (ops.Exp(), X),
    (ops.Log(), positive(4, 3)),
    (ops.Sign(), np.array([-2, -0.0, 0, 3], "f4")),
    (ops.Floor(), X),
    (ops.Ceil(), X),
    (ops.Round(), np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.4, 2.6], "f4")),
    (ops.Sin(), X),
    (ops.Cos(), X),
    (ops.Tan(), inside(4, 3)),
    (ops.Asin(), inside(4, 3)),
    (ops.Acos(), inside(4, 3)),
    (ops.Atan(), X),
    (ops.Sinh(), X),
    (ops.Cosh(), X),
    (ops.Tanh(), X),
    (ops.Asinh(), X),
    (ops.Acosh(), positive(4, 3) + 1),
    (ops.Atanh(), inside(4, 3)),
    (ops.Erf(), X),
]

LOGIC = [
    (ops.Greater(), whole(4, 3), whole(3)),
    (ops.Greater(), real(4, 3), real(3)),
    (ops.GreaterOrEqual(), whole(4, 3), whole(3)),
    (ops.Less(), whole(4, 3), whole(3)),
    (ops.LessOrEqual(), whole(4, 3), whole(3)),
    (ops.Equal(), whole(4, 3), whole(3)),
    (ops.Equal(), truth(4, 3), truth(3)),
    (ops.And(), truth(4, 3), truth(3)),
    (ops.Or(), truth(4, 3), truth(3)),
    (ops.Xor(), truth(4, 3), truth(3)),
    (ops.Not(), truth(4, 3)),
    (ops.IsNaN(), np.array([0, np.nan, np.inf], "f4")),
    (ops.Where(), truth(4, 1), real(4, 3), real(3)),
    (ops.Where(), truth(3), whole(4, 3), whole(4, 1)),
]

ACTIVATIONS = [
    (ops.Relu(), X),
    (ops.Relu(), whole(5)),
    (ops.LeakyRelu(), X),
    (ops.LeakyRelu(0.3), X),
    (ops.PRelu(), real(2, 3, 4), real(3, 1)),
    (ops.ThresholdedRelu(0.5), X),
    (ops.HardSigmoid(), X),
    (ops.HardSigmoid(0.4, 0.3), X),
    (ops.HardSwish(), real(5, 4)),
    (ops.Elu(), X),
    (ops.Elu(0.7), X),
    (ops.Selu(), X),
    (ops.Selu(1.5, 1.2), X),
    (ops.Celu(), X),
    (ops.Celu(0.6), X),
    (ops.Sigmoid(), X),
    (ops.Softplus(), X),
    (ops.Softsign(), X),
    (ops.Gelu(), X),
    (ops.Gelu("tanh"), X),
    (ops.Mish(), X),
    (ops.Softmax(), real(4, 3)),
    (ops.Softmax(1), real(2, 3, 4)),
    (ops.LogSoftmax(), real(4, 3)),
    (ops.LogSoftmax(-2), real(2, 3, 4)),
]


@pytest.mark.parametrize(
    "row", [*ARITHMETIC, *FUNCTIONS, *LOGIC, *ACTIVATIONS], ids=lambda row: row[0].name
)
def test_operator(row, onnxruntime_outputs):
    op, *operands = row
    expected = onnxruntime_outputs(op, *operands)
    smooth = expected[0].dtype == np.float32 and not isinstance(op, ops.Sign | ops.Round)
    same = all(o is None or o.shape in ((), operands[0].shape) for o in operands)
    dims = [None if o is None or not o.ndim else ("n", *o.shape[1:]) for o in operands]
    check_op(
        op,
        *operands,
        expected=expected,
        dims=dims if same else None,
        differentiate=smooth,
        rtol=2e-6,
        atol=1e-6,
    )


CASTS = [
    (ops.Cast("int32"), X),
    (ops.Cast("uint8"), positive(4)),
    (ops.Cast("bool"), X),
    (ops.Cast("float32"), whole(4)),
    (ops.Cast("float32"), truth(4)),
]
NANS = [(op, np.array([np.nan, 1], "f4")) for op, *rest in ACTIVATIONS if len(rest) == 1]


@pytest.mark.parametrize(
    "row",
    [
        row
        for row in [*ARITHMETIC, *FUNCTIONS, *LOGIC, *ACTIVATIONS, *CASTS, *NANS]
        if isinstance(row[0], Elementwise)
    ],
    ids=lambda row: row[0].name,
)
def test_loop_expression(row):
    op, *operands = row
    build = Builder(rewrite=False)
    inputs = [
        None if array is None else build.input(f"x{place}", array.shape, array.dtype)
        for place, array in enumerate(operands)
    ]
    program = lower(build.finish([build.one(op, *inputs)]), Target())
    (found,) = run(program, [array for array in operands if array is not None])
    expected = op.evaluate(*operands)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("to", ["float32", "float64", "float16", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("source", ["float32", "float64", "int32", "uint8", "bool"])
def test_cast(to, source):
    x = np.array([0, 1, 2.75, 3, 200.5], "f4").astype(source)
    python = {"b": bool, "i": math.trunc, "u": math.trunc, "f": float}[np.dtype(to).kind]
    expected = np.array([python(v) for v in x.tolist()], to)
    check_op(ops.Cast(to), x, expected=expected, differentiate=False)


def test_remainder_of_floats(reference_outputs):
    # onnxruntime still insists on fmod=1, which ONNX has dropped.
    op, x, y = ops.Mod(), real(4, 3), positive(4, 3) * np.array([1, -1, 1], "f4")
    check_op(op, x, y, expected=reference_outputs(op, x, y))


def test_cast_passes_gradients_between_floats_only():
    check_op(ops.Cast("float64"), X)
    assert ops.Cast("int32").gradient(np.array([1]), None, X) == (None,)


@pytest.mark.parametrize("op", [ops.Max(), ops.Min()])
def test_the_first_of_equal_operands_gets_the_gradient(op):
    one = np.ones(3)
    slopes = op.gradient(one, one, one, one, one)
    np.testing.assert_array_equal(slopes, [one, 0 * one, 0 * one])


@pytest.mark.parametrize(
    ("op", "x", "slope"),
    [
        (ops.Relu(), 0.0, 0.0),
        (ops.LeakyRelu(0.2), 0.0, 0.2),
        (ops.Elu(0.5), 0.0, 0.5),
        (ops.HardSwish(), 3.0, 1.0),
        (ops.HardSwish(), -3.0, 0.0),
        (ops.Abs(), 0.0, 0.0),
        (ops.Sqrt(), 0.0, np.inf),
        (ops.ThresholdedRelu(1.0), 1.0, 0.0),
    ],
)
def test_derivative_at_a_corner(op, x, slope):
    x = np.array([x])
    with np.errstate(divide="ignore"):
        (found,) = op.gradient(np.ones(1), op.evaluate(x), x)
    assert found == slope


def test_the_gradient_of_a_power_is_finite_at_zero():
    x, y = np.zeros(3), np.array([0.0, 1.0, 2.0])
    with np.errstate(all="ignore"):
        dx, dy = ops.Pow().gradient(np.ones(3), x**y, x, y)
    np.testing.assert_array_equal(dx, [0, 1, 0])
    np.testing.assert_array_equal(dy, [0, 0, 0])


EXTREME = np.array([-np.inf, -1e30, -200, -100, -20, -0.0, 20, 100, 200, 1e30, np.inf])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("op", "formula"),
    [
        (ops.Sigmoid(), lambda x: 1 / (1 + math.exp(-x)) if x > -700 else 0.0),
        (ops.Softplus(), lambda x: math.log1p(math.exp(x)) if x < 30 else x),
        (ops.Tanh(), math.tanh),
        (ops.Erf(), math.erf),
        (ops.Elu(), lambda x: math.expm1(x) if x < 0 else x),
        (ops.HardSigmoid(), lambda x: min(max(0.2 * x + 0.5, 0), 1)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_extreme_arguments_neither_overflow_nor_warn(op, formula, dtype):
    x = EXTREME.astype(dtype)
    with np.errstate(all="raise", under="ignore"):
        found = op.evaluate(x)
    assert found.dtype == dtype
    expected = [formula(v) for v in x.tolist()]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize("op", [row[0] for row in ACTIVATIONS if len(row) == 2], ids=str)
def test_nan_stays_nan(op):
    assert np.isnan(op.evaluate(np.array([[np.nan, np.nan, np.nan]], "f4"))).all()


@pytest.mark.parametrize(("dtype", "ulps"), [("float64", 1.01), ("float32", 1.3)])
def test_erf_is_accurate(dtype, ulps):
    grid = np.linspace(-6.5, 6.5, 40_001), np.geomspace(1e-30, 1, 10_000)
    x = np.concatenate(grid).astype(dtype)
    exact = np.array([math.erf(v) for v in x.tolist()])
    error = np.abs(ops.erf(x) - exact) / np.spacing(np.abs(exact).astype(dtype))
    assert error.max() <= ulps


@pytest.mark.parametrize(
    ("op", "dtypes", "says"),
    [
        (ops.Add(), ("f4", "f8"), "cast"),
        (ops.Exp(), ("i4",), "floats"),
        (ops.And(), ("bool", "f4"), "bool"),
        (ops.Where(), ("f4", "f4", "f4"), "bool"),
    ],
)
def test_operands_of_the_wrong_dtype_are_refused(op, dtypes, says):
    with pytest.raises(ShapeError, match=says):
        op.infer(*[Value((2,), dtype) for dtype in dtypes])


def test_operands_of_the_wrong_shape_are_refused():
    x = Value((2, 3), "f4")
    with pytest.raises(ShapeError, match="broadcast"):
        ops.Add().infer(x, Value((2,), "f4"))
    with pytest.raises(ShapeError, match="slope"):
        ops.PRelu().infer(Value((3,), "f4"), x)
    with pytest.raises(ShapeError, match="single"):
        ops.Clip().infer(x, Value((3, 2, 3), "f4"))
    with pytest.raises(ShapeError, match="broadcast"):
        ops.Add().infer(Value((Dim("n"), 3), "f4"), Value((Dim("m"), 3), "f4"))
    with pytest.raises(LayerportError, match="approximate"):
        ops.Gelu("erf")


FORMULAS = [
    (ops.relu, lambda x: np.maximum(x, 0)),
    (ops.relu6, lambda x: np.minimum(np.maximum(x, 0), 6)),
    (ops.leaky_relu, lambda x: np.where(x < 0, 0.2 * x, x)),
    (ops.elu, lambda x: np.where(x < 0, np.expm1(x), x)),
    (ops.celu, lambda x: np.where(x < 0, np.expm1(x), x)),
    (ops.selu, lambda x: 1.0507009873554805 * np.where(x < 0, 1.6732632423543772 * np.expm1(x), x)),
    (ops.hard_sigmoid, lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    (ops.hard_swish, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    (ops.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    (ops.silu, lambda x: x / (1 + np.exp(-x))),
    (ops.tanh, np.tanh),
    (ops.softplus, lambda x: np.log1p(np.exp(x))),
    (ops.softsign, lambda x: x / (1 + np.abs(x))),
    (ops.mish, lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    (ops.erf, np.vectorize(math.erf)),
    (
        ops.gelu,
        lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
    (
        lambda x: ops.gelu(x, approximate=False),
        lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    ),
    (lambda x: ops.thresholded_relu(x, 0.3), lambda x: np.where(x > 0.3, x, 0)),
    (lambda x: ops.prelu(x, np.array(0.3)), lambda x: np.where(x < 0, 0.3 * x, x)),
    (ops.softmax, lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    (ops.log_softmax, lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True))),
]


@pytest.mark.parametrize(("function", "formula"), FORMULAS)
def test_functions_work_on_arrays_and_tensors_alike(function, formula):
    x = X.astype("f8") * 2
    expected = formula(x)
    np.testing.assert_allclose(function(x), expected, rtol=1e-6, atol=1e-12)
    build = Builder(float_dtype=np.float64)
    y = function(Tensor(build, build.input("x", x.shape, x.dtype)))
    (found,), _ = evaluate(build.finish([y.value]), {"x": x}, {})
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


def test_elementwise_operators_say_so():
    kinds = [kind for kind in ops.BUILTIN_OPS.values() if issubclass(kind, Elementwise)]
    assert len(kinds) > 60
    assert all(kind.elementwise for kind in kinds)
