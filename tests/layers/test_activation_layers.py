"""Activations with parameters against their formulas."""

from __future__ import annotations

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError, ShapeError

X = np.linspace(-9, 9, 73).reshape(1, 73).astype(np.float32)


@pytest.mark.parametrize("max_value", [None, 4.0, 6])
@pytest.mark.parametrize("slope", [0.0, 0.1])
@pytest.mark.parametrize("threshold", [0.0, 1.5])
def test_relu(max_value, slope, threshold):
    y = lp.ReLU(max_value, slope, threshold)(X)
    x = X.astype(np.float64)
    expected = np.where(x > threshold, x, slope * (x - threshold))
    if max_value is not None:
        expected = np.minimum(expected, max_value)
    np.testing.assert_allclose(y, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "operator"),
    [
        ({}, "Relu"),
        ({"max_value": 6.0}, "Clip"),
        ({"negative_slope": 0.1}, "LeakyRelu"),
        ({"threshold": 1.0}, "ThresholdedRelu"),
    ],
)
def test_relu_lowers_to_one_operator(layer, operator):
    network = lp.Sequential([lp.Input(3), lp.ReLU(**layer)])
    assert [node.op.name for node in network.lower().nodes] == [operator]


def test_leaky_relu_has_keras_default():
    np.testing.assert_allclose(lp.LeakyReLU()(X), np.where(X < 0, 0.3 * X, X), atol=1e-6)


def test_elu():
    np.testing.assert_allclose(lp.ELU(0.7)(X), np.where(X < 0, 0.7 * np.expm1(X), X), atol=1e-6)


def test_thresholded_relu():
    np.testing.assert_array_equal(lp.ThresholdedReLU(2.0)(X), np.where(X > 2, X, 0))


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), (-1,), [2, 3]])
def test_softmax(axis, rng):
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32) * 20
    y = lp.Softmax(axis)(x)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    wide = x.astype(np.float64)
    e = np.exp(wide - wide.max(axes, keepdims=True))
    np.testing.assert_allclose(y, e / e.sum(axes, keepdims=True), atol=1e-6)


def test_prelu_has_one_alpha_for_each_element_or_shared(rng):
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    own = lp.PReLU("random_normal")
    y = own(x)
    assert own.alpha.shape == (3, 4, 5)
    np.testing.assert_allclose(y, np.where(x < 0, own.alpha * x, x), atol=1e-6)
    shared = lp.PReLU("random_normal", shared_axes=[1, 2])
    y = shared(x)
    assert shared.alpha.shape == (1, 1, 5)
    np.testing.assert_allclose(y, np.where(x < 0, shared.alpha * x, x), atol=1e-6)


def test_prelu_can_share_unknown_axes(rng, symbolic):
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    layer = lp.PReLU("random_normal", shared_axes=(1, 2))
    y = symbolic(layer, x, unknown=(1, 2))
    np.testing.assert_allclose(y, np.where(x < 0, layer.alpha * x, x), atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lp.ReLU(max_value=-1), "ReLU: max_value must be a finite number of at least 0"),
        (lambda: lp.ReLU(negative_slope="a"), "negative_slope must be a finite number"),
        (lambda: lp.LeakyReLU(float("nan")), "negative_slope must be a finite number"),
        (lambda: lp.Softmax("last"), "Softmax: axis must be an axis, or several"),
        (lambda: lp.PReLU(shared_axes=(0,)), "shared_axes must be axes counted from 1"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(LayerportError, match=message):
        make()


def test_prelu_needs_known_extents():
    with pytest.raises(ShapeError, match="axis 1 of the input"):
        lp.PReLU()(lp.Input((None, 3)))
