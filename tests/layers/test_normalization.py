"""Normalisation against its formulas in float64."""

from __future__ import annotations

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError, ShapeError


def _statistics(layer, rng):
    """Random weights, variances positive."""
    for name, array in layer.weights.items():
        values = rng.standard_normal(array.shape)
        array[...] = values**2 + 0.1 if name == "moving_variance" else values


def _along(vector, axis, ndim):
    shape = [1] * ndim
    shape[axis] = -1
    return vector.astype(np.float64).reshape(shape)


SHAPES = [((6, 4), -1), ((3, 5, 4), -1), ((2, 5, 6, 3), -1), ((2, 3, 5, 6), 1), ((2, 5, 6, 3), 2)]


@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", [True, False])
def test_batch_normalization_in_inference(shape, axis, center, scale, rng):
    x = rng.standard_normal(shape).astype(np.float32)
    layer = lp.BatchNormalization(axis, center=center, scale=scale, epsilon=0.01)
    layer(x)
    _statistics(layer, rng)
    names = ["gamma"] * scale + ["beta"] * center + ["moving_mean", "moving_variance"]
    assert list(layer.weights) == names
    w = {name: _along(array, axis, x.ndim) for name, array in layer.weights.items()}
    expected = (x - w["moving_mean"]) / np.sqrt(w["moving_variance"] + 0.01)
    expected = expected * w.get("gamma", 1) + w.get("beta", 0)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize("affine", [True, False])
def test_batch_normalization_in_training(shape, axis, affine, rng, in_training):
    x = (rng.standard_normal(shape) * 3 + 2).astype(np.float32)
    layer = lp.BatchNormalization(axis, momentum=0.9, center=affine, scale=affine)
    layer(x)
    _statistics(layer, rng)
    y, updates, _ = in_training(layer, x)
    others = tuple(a for a in range(x.ndim) if a != axis % x.ndim)
    mean = x.astype(np.float64).mean(others, keepdims=True)
    variance = x.astype(np.float64).var(others, keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-3)
    if affine:
        expected = expected * _along(layer.gamma, axis, x.ndim) + _along(layer.beta, axis, x.ndim)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    for name, statistic in (("moving_mean", mean), ("moving_variance", variance)):
        new = 0.9 * layer.weights[name] + 0.1 * statistic.ravel()
        np.testing.assert_allclose(updates[f"layer/{name}"], new, rtol=1e-5, atol=1e-6)


def test_frozen_batch_normalization_keeps_its_averages(rng, in_training):
    x = rng.standard_normal((6, 4)).astype(np.float32)
    layer = lp.BatchNormalization(trainable=False)
    expected = layer(x)
    y, updates, _ = in_training(layer, x)
    np.testing.assert_array_equal(y, expected)
    assert not updates


def test_batch_normalization_with_unknown_extents(rng, symbolic):
    x = rng.standard_normal((2, 5, 6, 3)).astype(np.float32)
    layer = lp.BatchNormalization()
    layer(x)
    _statistics(layer, rng)
    np.testing.assert_array_equal(symbolic(layer, x, (1, 2)), layer(x))


def test_moving_statistics_are_not_trainable():
    layer = lp.BatchNormalization()
    layer(np.ones((2, 3)))
    trainable = {name: weight.trainable for name, weight in layer.declared_weights.items()}
    assert trainable == {
        "gamma": True, "beta": True, "moving_mean": False, "moving_variance": False
    }  # fmt: skip


@pytest.mark.parametrize("axis", [-1, 2, (1, 2), (-1, -2), [1, 2, 3], 1, (1, 3)])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", [True, False])
def test_layer_normalization(axis, center, scale, rng):
    x = (rng.standard_normal((2, 3, 4, 5)) * 3 + 1).astype(np.float32)
    layer = lp.LayerNormalization(axis, epsilon=0.01, center=center, scale=scale)
    layer(x)
    _statistics(layer, rng)
    given = (axis,) if isinstance(axis, int) else tuple(axis)
    axes = tuple(sorted(a % 4 for a in given))
    wide = x.astype(np.float64)
    expected = wide - wide.mean(axes, keepdims=True)
    expected /= np.sqrt(wide.var(axes, keepdims=True) + 0.01)
    spread = [x.shape[a] if a in axes else 1 for a in range(4)]
    for name, array in layer.weights.items():
        assert array.shape == tuple(x.shape[a] for a in axes)
        spread_array = array.reshape(spread)
        expected = expected * spread_array if name == "gamma" else expected + spread_array
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_layer_normalization_with_unknown_steps(rng, symbolic):
    x = rng.standard_normal((2, 5, 3)).astype(np.float32)
    layer = lp.LayerNormalization()
    np.testing.assert_array_equal(symbolic(layer, x, (1,)), layer(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lp.BatchNormalization(0), "axis must be one axis other than 0"),
        (lambda: lp.BatchNormalization((1, 2)), "axis must be one axis other than 0"),
        (lambda: lp.BatchNormalization(momentum=1.5), "momentum must be a finite number from 0"),
        (lambda: lp.BatchNormalization(epsilon=-1), "epsilon must be a finite number of at least"),
        (lambda: lp.LayerNormalization(axis=()), "LayerNormalization: axis must be an axis"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(LayerportError, match=message):
        make()


def test_axes_that_the_input_does_not_have():
    with pytest.raises(ShapeError, match=r"has no axis 4"):
        lp.BatchNormalization(4)(lp.Input((2, 3)))
    with pytest.raises(ShapeError, match="hold the batch, or one axis twice"):
        lp.LayerNormalization((1, -2))(lp.Input((2, 3)))
    with pytest.raises(ShapeError, match=r"axis -1 of the input .* must be known"):
        lp.BatchNormalization()(lp.Input((2, None)))
