"""Ordering operators against onnxruntime and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from layerport.errors import ShapeError
from layerport.graph import Builder
from layerport.ops import TopK
from layerport.testing import check_op


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize(("axis", "k"), [(-1, 2), (0, 3), (1, 1)])
def test_top_k(axis, k, largest):
    """Elements come several times: the first one counts."""
    x = np.random.default_rng(0).integers(0, 5, (3, 4, 5)).astype(np.float32)
    places = np.argsort(-x if largest else x, axis=axis, kind="stable")
    places = np.take(places, range(k), axis=axis)
    expected = np.take_along_axis(x, places, axis), places
    check_op(TopK(k, axis, largest), x, expected=expected, differentiate=False)


def test_gradient_of_top_k():
    x = np.random.default_rng(1).permutation(12).reshape(3, 4).astype(np.float64)
    check_op(TopK(2), x)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_integers(dtype):
    values, places = TopK(2).evaluate(np.array([0, 200, 3, 200, 1], dtype))
    np.testing.assert_array_equal(values, np.array([200, 200], dtype))
    np.testing.assert_array_equal(places, [1, 3])


def test_too_many():
    build = Builder()
    with pytest.raises(ShapeError, match="no 5 elements along axis 1"):
        build.add(TopK(5), build.input("x", (2, 4), np.float32))
