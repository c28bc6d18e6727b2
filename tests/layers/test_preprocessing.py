"""Rescaling and Normalization against their formulas in float64."""

from __future__ import annotations

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError, ShapeError


def test_rescaling():
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    np.testing.assert_allclose(lp.Rescaling(0.5, -0.1)(x), x * 0.5 - 0.1, atol=1e-6)
    np.testing.assert_allclose(lp.Rescaling(2)(x), x * 2)
    scales, offsets = [1, 2, 3, 4, 5, 6], np.array([0.5] * 6)
    y = lp.Rescaling(scales, offsets)(x)
    np.testing.assert_allclose(y, x * scales + 0.5)
    assert y.dtype == np.float32


def test_rescaling_of_bytes_gives_floats():
    x = np.array([[0, 51, 255]], np.uint8)
    y = lp.Rescaling(1 / 255)(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, [[0, 0.2, 1]], atol=1e-6)


@pytest.mark.parametrize(("axis", "kept"), [(-1, (3,)), (1, (1,)), ((1, -1), (1, 3)), (None, ())])
@pytest.mark.parametrize("invert", [False, True])
def test_adapt_takes_mean_and_variance(axis, kept, invert, rng):
    data = (rng.standard_normal((8, 3, 4, 5)) * [1, 2, 3, 4, 5] + 7).astype(np.float32)
    layer = lp.Normalization(axis, invert=invert)
    layer.adapt(data)
    others = tuple(a for a in range(4) if a not in kept)
    wide = data.astype(np.float64)
    mean, variance = wide.mean(others), wide.var(others)
    weights = layer.weights
    assert list(weights) == ["mean", "variance", "count"]
    np.testing.assert_allclose(weights["mean"], mean, rtol=1e-6)
    np.testing.assert_allclose(weights["variance"], variance, rtol=1e-6)
    assert weights["count"] == data.size // mean.size
    shape = [data.shape[a] if a in kept else 1 for a in range(4)]
    mean, deviation = mean.reshape(shape), np.sqrt(variance).reshape(shape)
    expected = wide * deviation + mean if invert else (wide - mean) / deviation
    np.testing.assert_allclose(layer(data), expected, rtol=1e-5, atol=1e-5)


def test_adapt_to_batches_is_adapt_to_all(rng):
    data = (rng.standard_normal((90, 4)) * 100 + 1e4).astype(np.float32)
    layer = lp.Normalization()
    layer.adapt(np.zeros((5, 4)))
    layer.adapt(data[start : start + 17] for start in range(0, 90, 17))
    wide = data.astype(np.float64)
    np.testing.assert_allclose(layer.weights["mean"], wide.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.weights["variance"], wide.var(0), rtol=1e-6)
    assert layer.weights["count"] == 90


def test_given_statistics_are_no_weights(rng):
    x = rng.standard_normal((2, 3, 4)).astype(np.float32)
    layer = lp.Normalization(mean=[1, 2, 3, 4], variance=[4, 9, 16, 25])
    expected = (x - [1, 2, 3, 4]) / [2, 3, 4, 5]
    np.testing.assert_allclose(layer(x), expected, atol=1e-6)
    assert not layer.weights
    np.testing.assert_allclose(lp.Normalization(None, 1, 4)(x), (x - 1) / 2, atol=1e-6)
    channels = lp.Normalization(1, mean=[1, 2, 3], variance=[1, 1, 1])(x)
    np.testing.assert_allclose(channels, x - np.array([1, 2, 3]).reshape(3, 1), atol=1e-6)
    with pytest.raises(LayerportError, match="nothing to adapt"):
        layer.adapt(x)


def test_a_vanishing_variance_divides_by_little():
    layer = lp.Normalization(mean=[0], variance=[0])
    np.testing.assert_allclose(layer(np.array([[1e-7]])), [[1.0]], rtol=1e-6)


def test_normalization_is_frozen_state():
    layer = lp.Normalization()
    layer.adapt(np.ones((3, 2)))
    assert not any(weight.trainable for weight in layer.declared_weights.values())
    assert layer.get_config()["mean"] is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lp.Rescaling("a"), "Rescaling: scale must be a finite number"),
        (lambda: lp.Normalization("a"), "axis must be an axis, several of them, or None"),
        (lambda: lp.Normalization(mean=1), "mean and variance are given together"),
        (lambda: lp.Normalization().adapt([]), "there is no data to adapt to"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(LayerportError, match=message):
        make()


def test_statistics_that_do_not_fit():
    layer = lp.Normalization(mean=[1, 2], variance=[1, 2])
    with pytest.raises(ShapeError, match=r"of shape \(2,\) does not fit"):
        layer(np.ones((2, 3)))
