"""Convolution against onnxruntime and against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.errors import ShapeError
from layerport.graph import Builder, Value
from layerport.ops.conv import Conv, ConvInputGrad, ConvTranspose, ConvWeightGrad
from layerport.testing import check_op


def _random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


CONVOLUTIONS = [
    # (op, shape of x, shape of w)
    (Conv(), (2, 3, 7, 6), (4, 3, 3, 2)),
    (Conv(kernel_shape=(3, 3), pads=(1, 1, 1, 1)), (1, 2, 5, 5), (3, 2, 3, 3)),
    (Conv(strides=(2, 3), pads=(1, 0, 2, 1)), (2, 3, 8, 9), (4, 3, 3, 2)),
    (Conv(dilations=(2, 3)), (1, 2, 9, 11), (2, 2, 3, 3)),
    (Conv(strides=(2, 1), dilations=(1, 2), pads=(3, 2, 0, 4)), (2, 2, 7, 8), (3, 2, 2, 3)),
    (Conv(group=2), (2, 4, 6, 6), (6, 2, 3, 3)),
    (Conv(group=2, strides=(2, 2), pads=(1, 1, 0, 0)), (1, 4, 7, 6), (2, 2, 3, 3)),
    (Conv(group=4, pads=(1, 1, 1, 1)), (2, 4, 5, 6), (4, 1, 3, 3)),
    (Conv(group=3, strides=(2, 2), dilations=(1, 2)), (2, 3, 8, 9), (6, 1, 3, 2)),
    (Conv(auto_pad="SAME_UPPER", strides=(2, 2)), (1, 2, 7, 8), (3, 2, 3, 3)),
    (Conv(auto_pad="SAME_LOWER", strides=(2, 3)), (1, 2, 8, 7), (3, 2, 4, 2)),
    (Conv(auto_pad="SAME_UPPER"), (1, 1, 5, 6), (2, 1, 4, 2)),
    (Conv(auto_pad="SAME_UPPER", strides=(3, 3)), (1, 1, 7, 8), (2, 1, 1, 2)),
    (Conv(auto_pad="VALID", strides=(2, 1)), (1, 2, 7, 8), (3, 2, 3, 3)),
    (Conv(), (2, 3, 4, 5), (6, 3, 1, 1)),
    (Conv(strides=(2,), pads=(2, 1)), (2, 3, 9), (4, 3, 4)),
    (Conv(group=3, dilations=(2,)), (1, 3, 8), (3, 1, 3)),
    (Conv(auto_pad="SAME_LOWER", strides=(2,)), (1, 2, 9), (2, 2, 4)),
    (Conv(strides=(1, 2, 1), pads=(1, 0, 1, 0, 2, 1)), (1, 2, 4, 6, 5), (3, 2, 2, 3, 3)),
    (Conv(group=2, dilations=(1, 2, 1)), (2, 2, 4, 6, 4), (4, 1, 2, 2, 3)),
]

DIMS = {3: ("n", 3, "a"), 4: ("n", 3, "a", "b"), 5: ("n", 3, "a", "b", "c")}


def _symbolic(shape):
    names = DIMS[len(shape)]
    return (names[0], shape[1], *names[2:])


@pytest.mark.parametrize(("op", "x", "w"), CONVOLUTIONS)
@pytest.mark.parametrize("with_bias", [False, True])
def test_conv(op, x, w, with_bias, onnxruntime_outputs):
    operands = [_random(*x), _random(*w, seed=1), *([_random(w[0], seed=2)] if with_bias else [])]
    dims = [_symbolic(x), *([None] * (len(operands) - 1))]
    expected = onnxruntime_outputs(op, *operands)
    check_op(op, *operands, expected=expected, dims=dims, atol=1e-5)


TRANSPOSED = [
    (ConvTranspose(), (2, 3, 4, 5), (3, 4, 3, 2)),
    (ConvTranspose(strides=(2, 3)), (2, 3, 4, 5), (3, 4, 3, 2)),
    (ConvTranspose(strides=(2, 2), pads=(1, 0, 1, 2)), (1, 2, 4, 5), (2, 3, 3, 3)),
    (ConvTranspose(strides=(2, 2), output_padding=(1, 1), pads=(1, 1, 1, 1)), (1, 2, 3, 4),
     (2, 3, 3, 3)),
    (ConvTranspose(dilations=(2, 1), strides=(1, 2)), (1, 2, 4, 4), (2, 2, 3, 3)),
    (ConvTranspose(dilations=(3, 3), strides=(2, 2), output_padding=(1, 1)), (1, 2, 4, 4),
     (2, 2, 2, 2)),
    (ConvTranspose(group=2, strides=(2, 2)), (2, 4, 3, 3), (4, 3, 2, 2)),
    (ConvTranspose(group=3, strides=(2, 1)), (2, 3, 4, 3), (3, 1, 3, 2)),
    (ConvTranspose(group=2), (1, 4, 3, 3), (4, 1, 2, 2)),
    (ConvTranspose(auto_pad="SAME_UPPER", strides=(2, 2)), (1, 2, 4, 5), (2, 3, 3, 3)),
    (ConvTranspose(auto_pad="SAME_LOWER", strides=(2, 3)), (1, 2, 4, 5), (2, 3, 4, 4)),
    (ConvTranspose(auto_pad="VALID", strides=(2, 2)), (1, 2, 4, 5), (2, 3, 3, 3)),
    (ConvTranspose(output_shape=(10, 8), strides=(3, 2)), (1, 1, 3, 3), (1, 2, 3, 3)),
    (ConvTranspose(output_shape=(8, 6), strides=(3, 2)), (1, 1, 3, 3), (1, 2, 3, 3)),
    (ConvTranspose(output_shape=(8, 6), strides=(3, 2), auto_pad="SAME_UPPER"), (1, 1, 3, 3),
     (1, 2, 3, 3)),
    (ConvTranspose(strides=(3,), pads=(1, 0)), (2, 2, 5), (2, 3, 4)),
    (ConvTranspose(strides=(2, 1, 2), pads=(0, 1, 0, 1, 0, 1)), (1, 2, 3, 4, 2),
     (2, 2, 2, 3, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("op", "x", "w"), TRANSPOSED)
@pytest.mark.parametrize("with_bias", [False, True])
def test_conv_transpose(op, x, w, with_bias, onnxruntime_outputs):
    filters = w[1] * op.group
    operands = [_random(*x), _random(*w, seed=1)]
    operands += [_random(filters, seed=2)] if with_bias else []
    dims = [("n", *x[1:]), *([None] * (len(operands) - 1))]
    expected = onnxruntime_outputs(op, *operands)
    check_op(op, *operands, expected=expected, dims=dims, atol=1e-5)


def test_conv_transpose_with_output_padding_over_the_stride(onnxruntime_outputs):
    """ONNX allows less than the dilation, onnxruntime less than the stride: add a row of zeros."""
    op = ConvTranspose(dilations=(3, 3), strides=(2, 2), output_padding=(1, 1))
    x, w = _random(1, 2, 4, 4), _random(2, 2, 2, 2)
    (y,) = onnxruntime_outputs(op, x, w)
    wide = ConvTranspose(dilations=(3, 3), strides=(2, 2), output_padding=(2, 1))
    check_op(wide, x, w, expected=np.pad(y, [(0, 0), (0, 0), (0, 1), (0, 0)]), atol=1e-5)


@pytest.mark.parametrize(("op", "x", "w"), CONVOLUTIONS)
def test_gradients_of_conv_have_gradients(op, x, w):
    """They are linear in each operand, so second derivatives are convolutions again."""
    shape = op.infer(Value(x, np.float32), Value(w, np.float32))[0].shape
    fields = op.like(w[2:])
    dy = _random(*shape, seed=3)
    check_op(ConvInputGrad(**fields, extents=x[2:]), dy, _random(*w))
    check_op(ConvWeightGrad(**fields), _random(*x), dy)


def test_same_padding_is_resolved_once_the_extents_are_known():
    build = Builder()
    n, h = Dim("n"), Dim("h")
    w = build.parameter("w", (4, 3, 3, 3), np.float32)
    x = build.input("x", (n, 3, h, h), np.float32)
    y = build.one(Conv(auto_pad="SAME_UPPER", strides=(2, 2)), x, w)
    assert str(y.shape) == str((n, 4, (h + 1) // 2, (h + 1) // 2))
    graph = build.finish([y])
    (node,) = graph.bind({"h": 8}).nodes
    assert node.op == Conv((3, 3), (2, 2), (0, 0, 1, 1), (1, 1))
    (node,) = graph.bind({"h": 7}).nodes
    assert node.op == Conv((3, 3), (2, 2), (1, 1, 1, 1), (1, 1))


@pytest.mark.parametrize(
    ("op", "x", "w", "message"),
    [
        (Conv(), (1, 3, 5, 5), (4, 2, 3, 3), "take 2"),
        (Conv(group=2), (1, 4, 5, 5), (3, 2, 3, 3), "3 output channels do not make 2 groups"),
        (Conv(), (1, 3, 2, 5), (4, 3, 3, 3), "a window of 3 does not fit into 2 elements"),
        (Conv(kernel_shape=(2, 2)), (1, 3, 5, 5), (4, 3, 3, 3), "kernel_shape is"),
        (Conv(pads=(1, 1, 1)), (1, 3, 5, 5), (4, 3, 3, 3), "pads needs 4 numbers"),
        (Conv(), (3, 5, 5), (4, 3, 3, 3), "spatial axes"),
        (ConvTranspose(pads=(9, 9, 9, 9)), (1, 3, 5, 5), (3, 4, 3, 3), "leave nothing"),
    ],
)
def test_operands_that_do_not_fit(op, x, w, message):
    with pytest.raises(ShapeError, match=message):
        op.infer(Value(x, np.float32), Value(w, np.float32))


def test_functions_take_one_number_for_all_axes():
    x, w, b = _random(1, 2, 6, 6), _random(3, 2, 3, 3), _random(3)
    full = Conv(strides=(2, 2), pads=(1, 1, 1, 1), dilations=(1, 1))
    assert np.array_equal(ops.conv(x, w, b, strides=2, pads=1), full.evaluate(x, w, b))
    back = ConvTranspose(strides=(2, 2), output_padding=(1, 1))
    y = ops.conv_transpose(x, _random(2, 3, 3, 3), strides=2, output_padding=1)
    assert np.array_equal(y, back.evaluate(x, _random(2, 3, 3, 3)))
