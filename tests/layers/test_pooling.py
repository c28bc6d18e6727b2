"""Pooling against its definition, with TensorFlow's padding."""

from __future__ import annotations

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError, ShapeError

CASES = [
    # (shape, pool_size, strides, padding)
    ((2, 8, 6, 3), 2, None, "valid"),
    ((2, 7, 9, 3), (2, 3), None, "valid"),
    ((1, 7, 9, 2), 3, 2, "valid"),
    ((1, 7, 8, 2), 3, 2, "same"),
    ((1, 8, 8, 2), (2, 5), (3, 2), "same"),
    ((1, 5, 5, 2), 2, 1, "same"),
]


def _averages(seen, present):
    """Means over what lies inside the input only."""
    return seen.sum((3, 4)) / present.sum((3, 4))


@pytest.mark.parametrize(("shape", "pool_size", "strides", "padding"), CASES)
@pytest.mark.parametrize("unknown", [(), (1, 2)])
def test_pooling_2d(shape, pool_size, strides, padding, unknown, rng, windows, symbolic):
    x = rng.standard_normal(shape).astype(np.float32)
    layer = lp.MaxPooling2D(pool_size, strides, padding)
    options = (layer.pool_size, layer.strides, (1, 1), padding)
    seen = windows(x, *options, fill=-np.inf)
    np.testing.assert_array_equal(symbolic(layer, x, unknown), seen.max((3, 4)))
    layer = lp.AveragePooling2D(pool_size, strides, padding)
    seen = windows(x, *options, fill=0)
    present = windows(np.ones_like(x), *options, fill=0)
    np.testing.assert_allclose(symbolic(layer, x, unknown), _averages(seen, present), atol=1e-6)


@pytest.mark.parametrize("layer", [lp.MaxPooling2D, lp.AveragePooling2D])
def test_channels_first_is_channels_last_transposed(layer, rng):
    x = rng.standard_normal((2, 7, 8, 3)).astype(np.float32)
    first = layer(3, 2, "same", data_format="channels_first")
    y = first(np.moveaxis(x, -1, 1))
    np.testing.assert_array_equal(np.moveaxis(y, 1, -1), layer(3, 2, "same")(x))


def test_pooling_1d_and_3d(rng):
    x = rng.standard_normal((2, 6, 3)).astype(np.float32)
    pairs = x.reshape(2, 3, 2, 3)
    np.testing.assert_array_equal(lp.MaxPooling1D()(x), pairs.max(2))
    np.testing.assert_allclose(lp.AveragePooling1D()(x), pairs.mean(2), atol=1e-6)
    x = rng.standard_normal((1, 4, 2, 6, 3)).astype(np.float32)
    blocks = x.reshape(1, 2, 2, 1, 2, 3, 2, 3)
    np.testing.assert_array_equal(lp.MaxPooling3D()(x), blocks.max((2, 4, 6)))
    np.testing.assert_allclose(lp.AveragePooling3D()(x), blocks.mean((2, 4, 6)), atol=1e-6)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_pooling(rank, data_format, keepdims, rng, symbolic):
    x = rng.standard_normal((2, 3, 4, 5, 6)[: rank + 2]).astype(np.float32)
    axes = tuple(range(2, rank + 2) if data_format == "channels_first" else range(1, rank + 1))
    average = getattr(lp, f"GlobalAveragePooling{rank}D")(data_format, keepdims)
    expected = x.astype(np.float64).mean(axes, keepdims=keepdims)
    np.testing.assert_allclose(average(x), expected, atol=1e-6)
    np.testing.assert_allclose(symbolic(average, x, axes), expected, atol=1e-6)
    largest = getattr(lp, f"GlobalMaxPooling{rank}D")(data_format, keepdims)
    np.testing.assert_array_equal(largest(x), x.max(axes, keepdims=keepdims))


def test_wrong_arguments_are_named():
    with pytest.raises(LayerportError, match="MaxPooling2D: pool_size must be a positive integer"):
        lp.MaxPooling2D(0)
    with pytest.raises(
        LayerportError, match="MaxPooling2D: padding must be one of 'valid', 'same'"
    ):
        lp.MaxPooling2D(2, padding="causal")
    with pytest.raises(LayerportError, match="keepdims must be one of False, True"):
        lp.GlobalMaxPooling2D(keepdims="yes")
    with pytest.raises(ShapeError, match="GlobalMaxPooling2D takes inputs of 4 axes"):
        lp.GlobalMaxPooling2D()(lp.Input((3, 4)))
