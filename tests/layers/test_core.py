"""Dense and Activation against float64 formulas."""

from __future__ import annotations

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError, ShapeError


def test_dense_is_a_matrix_product_plus_bias(rng):
    layer = lp.Dense(3, activation="tanh", bias_initializer="random_normal")
    x = rng.standard_normal((5, 4)).astype(np.float32)
    y = layer(x)
    kernel, bias = (array.astype(np.float64) for array in layer.get_weights())
    assert kernel.shape == (4, 3)
    assert bias.shape == (3,)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, np.tanh(x.astype(np.float64) @ kernel + bias), atol=1e-6)


def test_dense_works_along_the_last_axis(rng):
    layer = lp.Dense(2, use_bias=False)
    x = rng.standard_normal((3, 5, 4)).astype(np.float32)
    y = layer(x)
    assert list(layer.weights) == ["kernel"]
    np.testing.assert_allclose(y, np.einsum("btf,fu->btu", x, layer.kernel), atol=1e-6)


def test_dense_computes_in_its_dtype(rng):
    layer = lp.Dense(2, dtype="float64")
    x = rng.standard_normal((3, 4))
    np.testing.assert_allclose(layer(x), x @ layer.kernel, rtol=1e-15)
    assert layer.kernel.dtype == np.float64


def test_dense_takes_integers():
    layer = lp.Dense(2)
    y = layer(np.array([[1, 2, 3]]))
    np.testing.assert_allclose(y[0], layer.kernel.T @ [1, 2, 3], atol=1e-5)


def test_dense_lowers_to_matmul_and_add():
    network = lp.Sequential([lp.Input(4), lp.Dense(3)])
    assert [node.op.name for node in network.lower().nodes] == ["MatMul", "Add"]


def test_an_activation_may_be_a_function_or_a_layer(rng):
    x = rng.standard_normal((5, 4)).astype(np.float32)
    by_function = lp.Dense(3, activation=lambda z: z * z)
    np.testing.assert_allclose(by_function(x), (x @ by_function.kernel) ** 2, atol=1e-5)
    by_layer = lp.Dense(3, activation=lp.LeakyReLU(0.5))
    y = by_layer(x)
    plain = x @ by_layer.kernel
    np.testing.assert_allclose(y, np.where(plain < 0, plain / 2, plain), atol=1e-6)
    with_weights = lp.Dense(3, activation=lp.PReLU(alpha_initializer="ones"))
    with_weights(x)
    assert list(with_weights.weights) == ["kernel", "bias", "activation/alpha"]


def test_activation_layer(rng):
    x = rng.standard_normal((5, 4)).astype(np.float32)
    np.testing.assert_array_equal(lp.Activation("relu")(x), np.maximum(x, 0))
    np.testing.assert_allclose(lp.Activation(np.tanh)(x), np.tanh(x), atol=1e-6)
    assert lp.Activation(np.tanh).get_config()["activation"] == "tanh"


def test_the_activity_regularizer_is_a_loss_per_sample(rng, in_training):
    layer = lp.Dense(3, activity_regularizer={"class_name": "L2", "config": {"l2": 0.1}})
    x = rng.standard_normal((5, 4)).astype(np.float32)
    y, _, loss = in_training(layer, x)
    assert loss == pytest.approx(0.1 * np.sum(y.astype(np.float64) ** 2) / 5, rel=1e-5)


@pytest.mark.parametrize("units", [0, -1, 2.5, "3", True, None])
def test_units_must_be_a_positive_integer(units):
    with pytest.raises(LayerportError, match="Dense: units must be an integer of at least 1"):
        lp.Dense(units)


def test_dense_refuses_vectors_and_unknown_features():
    with pytest.raises(ShapeError, match="at least 2 axes"):
        lp.Dense(3)(lp.Input(()))
    with pytest.raises(ShapeError, match=r"'out': axis -1 of the input .* must be known"):
        lp.Dense(3, name="out")(lp.Input((None,)))


def test_an_unknown_activation_is_named_with_a_guess():
    with pytest.raises(LayerportError, match="no activation called 'rleu'; did you mean relu"):
        lp.Dense(3, activation="rleu")(lp.Input(4))


def test_activation_wants_a_name_or_function():
    with pytest.raises(LayerportError, match="Activation: activation must be the name"):
        lp.Activation(3)
