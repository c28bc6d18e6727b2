"""Normalization against onnxruntime and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.errors import ShapeError
from layerport.graph import Value
from layerport.testing import check_op

RANDOM = np.random.default_rng(5)


def real(*shape):
    return RANDOM.standard_normal(shape).astype("f4")


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 3, 4, 2)])
@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
def test_batch_normalization(shape, epsilon, onnxruntime_outputs):
    op = ops.BatchNormalization(epsilon)
    operands = [real(*shape), real(3), real(3), real(3), np.abs(real(3)) + 0.2]
    expected = onnxruntime_outputs(op, *operands)
    check_op(op, *operands, expected=expected, dims=[("n", *shape[1:]), *[None] * 4])


@pytest.mark.parametrize("op", [ops.LayerNormalization(), ops.LayerNormalization(1, 0.1)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_layer_normalization(op, with_bias, onnxruntime_outputs):
    shape = (4,) if op.axis == -1 else (3, 4)
    operands = [real(2, 3, 4), real(*shape), *([real(*shape)] if with_bias else [])]
    expected = onnxruntime_outputs(op, *operands)
    check_op(op, *operands, expected=expected, dims=[("n", 3, 4), *[None] * (1 + with_bias)])


def test_layer_normalization_of_half_precision_keeps_its_statistics_in_single():
    x, scale = real(2, 4).astype("f2"), np.ones(4, "f2")
    y, mean, inverse = ops.LayerNormalization().evaluate(x, scale)
    assert (y.dtype, mean.dtype, inverse.dtype) == ("f2", "f4", "f4")
    np.testing.assert_allclose(mean, x.astype("f8").mean(1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize("axes", [(0,), (0, 2), (-1, 0), (0, 1, 2)])
def test_moments(axes):
    x = 3 * real(4, 3, 5) + 2
    wide = x.astype("f8")
    moments = (wide.mean(axes, keepdims=True), wide.var(axes, keepdims=True))
    expected = tuple(array.astype("f4") for array in moments)
    check_op(ops.Moments(axes), x, expected=expected, dims=[("n", 3, 5)])


def test_moments_of_half_precision_do_not_overflow():
    mean, variance = ops.Moments((0,)).evaluate(np.full((4, 1), 1000, "f2"))
    assert (mean.dtype, variance.dtype) == ("f2", "f2")
    np.testing.assert_array_equal([mean[0, 0], variance[0, 0]], [1000, 0])


def lrn(op, x):
    """The formula of ONNX's documentation, in float64."""
    wide, channels = x.astype("f8"), x.shape[1]
    result = np.empty_like(wide)
    for c in range(channels):
        first = max(0, c - (op.size - 1) // 2)
        last = min(channels - 1, c + -(-(op.size - 1) // 2))
        squares = (wide[:, first : last + 1] ** 2).sum(1)
        result[:, c] = wide[:, c] / (op.bias + op.alpha / op.size * squares) ** op.beta
    return result.astype("f4")


@pytest.mark.parametrize("op", [ops.LRN(3), ops.LRN(4, 0.5, 0.6, 2.0), ops.LRN(9), ops.LRN(1)])
@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 3), (1, 5, 2, 3)])
def test_local_response_normalization(op, shape):
    x = 3 * real(*shape)
    check_op(op, x, expected=lrn(op, x), dims=[("n", *shape[1:])])


def test_local_response_normalization_is_onnxruntime_s(onnxruntime_outputs):
    # It takes four axes and odd sizes only.
    op, x = ops.LRN(5, 0.3, 0.7, 1.5), 3 * real(2, 7, 2, 3)
    check_op(op, x, expected=onnxruntime_outputs(op, x))


def test_shapes_that_do_not_fit_are_refused():
    x, c, d = Value((2, 3, 4), "f4"), Value((3,), "f4"), Value((4,), "f4")
    with pytest.raises(ShapeError, match=r"bias .*3 channels"):
        ops.BatchNormalization().infer(x, c, d, c, c)
    with pytest.raises(ShapeError, match="channel axis"):
        ops.BatchNormalization().infer(c, c, c, c, c)
    with pytest.raises(ShapeError, match="scale"):
        ops.LayerNormalization().infer(x, Value((2, 2, 3, 4), "f4"))
    with pytest.raises(ShapeError, match="channels"):
        ops.LRN(3).infer(Value((2, Dim("c")), "f4"))
