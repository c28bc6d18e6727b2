"""Operators on elements along an axis against onnxruntime and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from layerport.errors import ShapeError
from layerport.graph import Value
from layerport.ops.elements import CumSum, GatherElements, ScatterElements
from layerport.testing import check_op

RNG = np.random.default_rng(5)
X = RNG.standard_normal((3, 4, 2)).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_cumsum(axis, exclusive, reverse, reference_outputs):
    op = CumSum(axis, exclusive, reverse)
    sums = np.cumsum(np.flip(X, axis) if reverse else X, axis)
    if exclusive:
        sums = sums - (np.flip(X, axis) if reverse else X)
    check_op(op, X, expected=np.flip(sums, axis) if reverse else sums)
    check_op(op, np.array([[1, 2], [3, 4]]), differentiate=False)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather_elements(axis, onnxruntime_outputs):
    extent = X.shape[axis]
    indices = RNG.integers(-extent, extent, X.shape)
    op = GatherElements(axis)
    check_op(op, X, indices, expected=onnxruntime_outputs(op, X, indices))
    fewer = indices[:2, :3, :1]
    check_op(op, X, fewer, expected=onnxruntime_outputs(op, X, fewer))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scatter_elements(axis, onnxruntime_outputs):
    # Each place at most once.
    indices = np.argsort(RNG.random(X.shape), axis)
    indices[:1] -= X.shape[axis]
    updates = RNG.standard_normal(X.shape).astype(np.float32)
    op = ScatterElements(axis)
    check_op(op, X, indices, updates, expected=onnxruntime_outputs(op, X, indices, updates))


@pytest.mark.parametrize("reduction", ["add", "mul", "max", "min"])
def test_scatter_with_a_reduction(reduction, onnxruntime_outputs):
    indices = RNG.integers(-4, 4, X.shape)
    updates = RNG.standard_normal(X.shape).astype(np.float32)
    op = ScatterElements(1, reduction)
    expected = onnxruntime_outputs(op, X, indices, updates)
    check_op(op, X, indices, updates, expected=expected, differentiate=reduction == "add")


def test_what_does_not_fit():
    x = Value((3, 4), np.float32)
    with pytest.raises(ShapeError, match="as many axes"):
        GatherElements(0).infer(x, Value((3,), np.int64))
    with pytest.raises(ShapeError, match="reach beyond"):
        GatherElements(0).infer(x, Value((3, 5), np.int64))
    with pytest.raises(ShapeError, match="reduction is 'sum'"):
        ScatterElements(0, "sum").infer(x, Value((3, 4), np.int64), x)
