"""Matrix products against onnxruntime and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from layerport.errors import ShapeError
from layerport.graph import Value
from layerport.ops.matmul import Gemm, MatMul
from layerport.testing import check_op


def _random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 4), (4, 2)),
        ((2, 3, 4), (4, 2)),
        ((2, 5, 3, 4), (4, 2)),
        ((2, 3, 4), (2, 4, 5)),
        ((1, 3, 4), (2, 4, 5)),
        ((5, 1, 3, 4), (2, 4, 2)),
        ((3, 4), (2, 4, 5)),
        ((4,), (4, 2)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((4,), (2, 4, 3)),
        ((2, 3, 4), (4,)),
        ((0, 4), (4, 2)),
    ],
)
def test_matmul(a, b, onnxruntime_outputs):
    operands = [_random(*a), _random(*b, seed=1)]
    check_op(MatMul(), *operands, expected=onnxruntime_outputs(MatMul(), *operands))


def test_matmul_of_a_symbolic_batch():
    check_op(MatMul(), _random(2, 3, 4), _random(4, 5), dims=[("n", "m", 4), None])
    check_op(MatMul(), _random(2, 3, 4), _random(2, 4, 5), dims=[("n", 3, 4), ("n", 4, 5)])


@pytest.mark.parametrize("c", [None, (), (2,), (3, 1), (1, 2), (3, 2)])
@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 2.0), (1.0, 0.25)])
def test_gemm(c, trans_a, trans_b, alpha, beta, onnxruntime_outputs):
    operands = [_random(*((4, 3) if trans_a else (3, 4)))]
    operands.append(_random(*((2, 4) if trans_b else (4, 2)), seed=1))
    if c is not None:
        operands.append(_random(*c, seed=2))
    op = Gemm(alpha, beta, trans_a, trans_b)
    check_op(op, *operands, expected=onnxruntime_outputs(op, *operands))


def test_integers():
    a, b = np.arange(6).reshape(2, 3), np.arange(3)
    check_op(MatMul(), a, b, expected=a @ b, differentiate=False)


@pytest.mark.parametrize(
    ("op", "a", "b", "message"),
    [
        (MatMul(), (2, 3), (4, 2), "3 columns meet 4 rows"),
        (MatMul(), (), (4, 2), "both need an axis"),
        (MatMul(), (2, 3, 4), (3, 4, 5), "do not broadcast"),
        (Gemm(), (2, 3, 4), (4, 2), "not both matrices"),
        (Gemm(transA=1), (2, 3), (3, 2), "2 columns meet 3 rows"),
    ],
)
def test_operands_that_do_not_fit(op, a, b, message):
    with pytest.raises(ShapeError, match=message):
        op.infer(Value(a, np.float32), Value(b, np.float32))


def test_operands_of_two_dtypes():
    with pytest.raises(ShapeError, match="cast"):
        MatMul().infer(Value((2, 3), np.float32), Value((3, 2), np.float64))
