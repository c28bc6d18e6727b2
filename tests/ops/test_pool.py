"""Pooling against onnxruntime and against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.errors import ShapeError
from layerport.graph import Builder, Value
from layerport.ops.global_pool import GlobalAveragePool, GlobalMaxPool
from layerport.ops.pool import (
    AveragePool,
    AveragePoolGrad,
    MaxPool,
    MaxPoolGrad,
)
from layerport.testing import check_op


def _random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _distinct(*shape, seed=0):
    """Numbers that lie apart, so that a small step changes no maximum."""
    count = int(np.prod(shape))
    return np.random.default_rng(seed).permutation(count).reshape(shape).astype(np.float32) / 8


SHAPES = {1: (2, 3, 11), 2: (2, 3, 9, 8), 3: (1, 2, 6, 5, 7)}
GEOMETRIES = [
    {"kernel_shape": (2, 2), "strides": (2, 2)},
    {"kernel_shape": (3, 2)},
    {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
    {"kernel_shape": (3, 2), "strides": (2, 3), "pads": (0, 1, 2, 0)},
    {"kernel_shape": (3, 2), "strides": (2, 3), "ceil_mode": 1},
    {"kernel_shape": (2, 3), "strides": (3, 2), "pads": (1, 1, 1, 2), "ceil_mode": 1},
    {"kernel_shape": (2, 2), "strides": (3, 3), "pads": (0, 0, 1, 1), "ceil_mode": 1},
    {"kernel_shape": (1, 1), "strides": (2, 2), "ceil_mode": 1},
    {"kernel_shape": (2, 3), "dilations": (3, 2)},
    {"kernel_shape": (3, 2), "dilations": (2, 3), "strides": (2, 1), "pads": (2, 1, 1, 1)},
    {"kernel_shape": (2, 2), "dilations": (2, 2), "strides": (2, 3), "ceil_mode": 1},
    {"kernel_shape": (3, 2), "strides": (2, 2), "auto_pad": "SAME_UPPER"},
    {"kernel_shape": (4, 3), "strides": (3, 2), "auto_pad": "SAME_LOWER"},
    {"kernel_shape": (2, 2), "auto_pad": "SAME_UPPER"},
    {"kernel_shape": (3, 2), "strides": (2, 3), "auto_pad": "VALID"},
    {"kernel_shape": (3,), "strides": (2,), "pads": (1, 1)},
    {"kernel_shape": (4,), "strides": (3,), "pads": (2, 1), "ceil_mode": 1},
    {"kernel_shape": (3,), "dilations": (2,), "pads": (2, 2)},
    {"kernel_shape": (2, 3, 2), "strides": (2, 1, 3), "pads": (1, 1, 0, 0, 1, 1)},
    {"kernel_shape": (2, 2, 3), "strides": (2, 2, 2), "ceil_mode": 1},
]


def _symbolic(shape):
    return ("n", shape[1], *"abc"[: len(shape) - 2])


@pytest.mark.parametrize("fields", GEOMETRIES)
def test_max_pool(fields, onnxruntime_outputs):
    shape = SHAPES[len(fields["kernel_shape"])]
    x = _distinct(*shape)
    op = MaxPool(**fields)
    check_op(op, x, expected=onnxruntime_outputs(op, x), dims=[_symbolic(shape)])


@pytest.mark.parametrize("storage_order", [0, 1])
@pytest.mark.parametrize("fields", GEOMETRIES)
def test_max_pool_with_indices(fields, storage_order, onnxruntime_outputs):
    # Few different numbers: many ties, of which the first counts.
    shape = SHAPES[len(fields["kernel_shape"])]
    x = np.random.default_rng(1).integers(0, 4, shape).astype(np.float32)
    op = MaxPool(**fields, indices=True, storage_order=storage_order)
    check_op(op, x, expected=onnxruntime_outputs(op, x), differentiate=False)
    check_op(op, _distinct(*shape))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float64])
def test_max_pool_of_other_dtypes(dtype, onnxruntime_outputs):
    x = (np.random.default_rng(1).standard_normal((1, 2, 7, 7)) * 40).astype(dtype)
    op = MaxPool((3, 3), (2, 2), (1, 1, 1, 1))
    check_op(op, x, expected=onnxruntime_outputs(op, x), differentiate=False)


@pytest.mark.parametrize("count_include_pad", [0, 1])
@pytest.mark.parametrize("fields", GEOMETRIES)
def test_average_pool(fields, count_include_pad, onnxruntime_outputs):
    shape = SHAPES[len(fields["kernel_shape"])]
    x = _random(*shape)
    op = AveragePool(**fields, count_include_pad=count_include_pad)
    check_op(op, x, expected=onnxruntime_outputs(op, x), dims=[_symbolic(shape)])


def test_the_gradient_of_average_pool_has_a_gradient():
    op = AveragePool((3, 2), (2, 3), (1, 0, 1, 1), count_include_pad=1)
    dy = _random(*op.infer(Value((2, 3, 7, 8), np.float32))[0].shape)
    check_op(AveragePoolGrad(**op.attributes, extents=(7, 8)), dy)


@pytest.mark.parametrize("op", [GlobalAveragePool(), GlobalMaxPool()])
@pytest.mark.parametrize("shape", SHAPES.values())
def test_global_pools(op, shape, onnxruntime_outputs):
    x = _distinct(*shape)
    check_op(op, x, expected=onnxruntime_outputs(op, x), dims=[_symbolic(shape)])


def test_the_first_of_equal_maxima_gets_the_gradient():
    """As in PyTorch: row by row."""
    x = np.array([[[[1, 2, 2], [2, 0, 2], [0, 2, 1]]]], np.float32)
    op = MaxPoolGrad((2, 2))
    dx = op.evaluate(
        np.array([[[[1, 10], [100, 1000]]]], np.float32), x, np.full_like(x, 2)[..., :2, :2]
    )
    assert dx.tolist() == [[[[0, 11, 0], [100, 0, 1000], [0, 0, 0]]]]


def test_same_padding_with_dilations(onnxruntime_outputs):
    """ceil(extent / stride) windows, as ONNX says; onnxruntime forgets the dilations here."""
    x = _distinct(2, 3, 11)
    expected = onnxruntime_outputs(MaxPool((3,), pads=(2, 2), dilations=(2,)), x)
    check_op(MaxPool((3,), dilations=(2,), auto_pad="SAME_LOWER"), x, expected=expected)


def test_padding_never_wins():
    x = np.full((1, 1, 2, 2), -np.inf, np.float32)
    assert np.all(MaxPool((3, 3), pads=(1, 1, 1, 1)).evaluate(x) == -np.inf)


def test_not_a_number_survives():
    x = _random(1, 1, 4, 4)
    x[0, 0, 1, 2] = np.nan
    y, indices = MaxPool((2, 2), (2, 2), indices=True).evaluate(x)
    assert np.isnan(y[0, 0]).tolist() == [[False, True], [False, False]]
    assert indices[0, 0, 0, 1] == 6
    assert np.isnan(MaxPool((2, 2), (2, 2)).evaluate(x)[0, 0, 0, 1])


def test_same_padding_is_resolved_once_the_extents_are_known():
    build = Builder()
    x = build.input("x", (Dim("n"), 3, Dim("h"), Dim("h")), np.float32)
    graph = build.finish([build.one(MaxPool((3, 3), (2, 2), auto_pad="SAME_UPPER"), x)])
    (node,) = graph.bind({"h": 8}).nodes
    assert node.op == MaxPool((3, 3), (2, 2), (0, 0, 1, 1), (1, 1))


def test_windows_that_do_not_fit():
    with pytest.raises(ShapeError, match="a window of 5 does not fit into 4 elements"):
        MaxPool((5, 5)).infer(Value((1, 1, 4, 6), np.float32))
    with pytest.raises(ShapeError, match="is not batch, channels"):
        MaxPool((5, 5)).infer(Value((1, 4, 6), np.float32))


def test_functions_take_one_number_for_all_axes():
    x = _random(1, 2, 6, 6)
    wide = {"strides": (2, 2), "pads": (1, 1, 1, 1)}
    assert np.array_equal(
        ops.max_pool(x, 3, strides=2, pads=1), MaxPool((3, 3), **wide).evaluate(x)
    )
    mean = AveragePool((3, 3), **wide, count_include_pad=1)
    assert np.array_equal(
        ops.average_pool(x, 3, strides=2, pads=1, count_include_pad=True), mean.evaluate(x)
    )
    assert np.array_equal(ops.global_max_pool(x)[..., 0, 0], x.max(axis=(2, 3)))
    assert np.allclose(ops.global_average_pool(x)[..., 0, 0], x.mean(axis=(2, 3)))
