"""Initializers: the distributions that Keras documents, and the names that files use."""

from __future__ import annotations

import math

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError

SHAPE = (3, 3, 40, 60)
FAN_IN, FAN_OUT = 360, 540


def _draw(given, shape=SHAPE, seed=0, dtype="float32"):
    make = lp.default_registry().initializer(given)
    array = make(shape, np.random.default_rng(seed), np.dtype(dtype))
    assert array.shape == shape
    assert array.dtype == dtype
    return array


UNIFORM = {  # name: limit
    "random_uniform": 0.05,
    "glorot_uniform": math.sqrt(6 / (FAN_IN + FAN_OUT)),
    "he_uniform": math.sqrt(6 / FAN_IN),
    "lecun_uniform": math.sqrt(3 / FAN_IN),
}


@pytest.mark.parametrize(("name", "limit"), UNIFORM.items())
def test_uniform(name, limit):
    array = _draw(name)
    assert abs(array).max() <= limit * (1 + 1e-6)
    assert abs(array).max() > 0.999 * limit
    assert array.mean() == pytest.approx(0, abs=0.02 * limit)
    assert array.std() == pytest.approx(limit / math.sqrt(3), rel=0.01)


TRUNCATED = {  # name: standard deviation of the result
    "truncated_normal": 0.05 * 0.87962566103423978,
    "glorot_normal": math.sqrt(2 / (FAN_IN + FAN_OUT)),
    "he_normal": math.sqrt(2 / FAN_IN),
    "lecun_normal": math.sqrt(1 / FAN_IN),
    "variance_scaling": math.sqrt(1 / FAN_IN),
}


@pytest.mark.parametrize(("name", "stddev"), TRUNCATED.items())
def test_truncated_normal(name, stddev):
    array = _draw(name)
    cut = 2 * stddev / 0.87962566103423978
    assert 0.98 * cut < abs(array).max() <= cut * (1 + 1e-6)
    assert array.std() == pytest.approx(stddev, rel=0.01)


def test_normal():
    array = _draw("random_normal")
    assert array.std() == pytest.approx(0.05, rel=0.01)
    config = {"class_name": "RandomNormal", "config": {"mean": 2, "stddev": 0.5, "seed": None}}
    array = _draw(config)
    assert array.mean() == pytest.approx(2, abs=0.01)
    assert array.std() == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize(
    ("mode", "n"), [("fan_in", FAN_IN), ("fan_out", FAN_OUT), ("fan_avg", (FAN_IN + FAN_OUT) / 2)]
)
@pytest.mark.parametrize("distribution", ["uniform", "truncated_normal", "untruncated_normal"])
def test_variance_scaling(mode, n, distribution):
    config = {"scale": 3.0, "mode": mode, "distribution": distribution, "seed": None}
    array = _draw({"class_name": "VarianceScaling", "config": config})
    assert array.std() == pytest.approx(math.sqrt(3 / n), rel=0.01)


def test_js_mind_scales_kernels_by_their_inputs_and_leaves_biases():
    assert _draw("js_mind", (100, 900)).std() == pytest.approx(0.1, rel=0.01)
    assert _draw("js_mind", (5000,)).std() == pytest.approx(1, rel=0.05)


def test_constants():
    assert (_draw("zeros") == 0).all()
    assert (_draw("ones") == 1).all()
    assert (_draw({"class_name": "Constant", "config": {"value": 0.5}}) == 0.5).all()
    row = {"class_name": "Constant", "config": {"value": [1, 2, 3]}}
    np.testing.assert_array_equal(_draw(row, (2, 3)), [[1, 2, 3]] * 2)
    np.testing.assert_array_equal(_draw("identity", (2, 3)), np.eye(2, 3))


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (2, 3, 4), (5, 5)])
def test_orthogonal(shape):
    array = _draw("orthogonal", shape, dtype="float64").reshape(-1, shape[-1])
    small = array @ array.T if array.shape[0] < array.shape[1] else array.T @ array
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-12)


def test_a_seed_decides_and_none_does_not():
    seeded = {"class_name": "GlorotUniform", "config": {"seed": 5}}
    np.testing.assert_array_equal(_draw(seeded, seed=0), _draw(seeded, seed=1))
    assert (_draw("glorot_uniform", seed=0) != _draw("glorot_uniform", seed=1)).any()


@pytest.mark.parametrize(
    "name",
    [
        "zeros", "ones", "constant", "random_normal", "random_uniform", "truncated_normal",
        "variance_scaling", "glorot_uniform", "glorot_normal", "he_uniform", "he_normal",
        "lecun_uniform", "lecun_normal", "orthogonal", "identity", "js_mind",
    ],
)  # fmt: skip
def test_class_names_stand_for_the_same(name):
    table = lp.default_registry().initializers
    assert table["".join(word.title() for word in name.split("_"))] is table[name]


def test_an_initializer_object_is_kept_as_its_config():
    from layerport_plugins.initializers import RandomNormal

    layer = lp.Dense(3, kernel_initializer=RandomNormal(stddev=0.5, seed=1))
    config = layer.get_config()["kernel_initializer"]
    assert config == {"class_name": "RandomNormal",
                      "config": {"mean": 0.0, "stddev": 0.5, "seed": 1}}  # fmt: skip
    again = lp.Dense.from_config(layer.get_config())
    layer(np.ones((1, 4)))
    again(np.ones((1, 4)))
    np.testing.assert_array_equal(layer.kernel, again.kernel)


def test_layers_take_functions_and_arrays():
    layer = lp.Dense(
        2,
        kernel_initializer=np.arange(6).reshape(3, 2),
        bias_initializer=lambda shape, rng, dtype: np.full(shape, 7, dtype),
    )
    np.testing.assert_array_equal(layer(np.ones((1, 3))), [[13, 16]])


def test_wrong_arguments_are_named():
    registry = lp.default_registry()
    with pytest.raises(LayerportError, match="scale must be positive"):
        registry.initializer({"class_name": "VarianceScaling", "config": {"scale": 0}})
    with pytest.raises(LayerportError, match="mode must be one of fan_in, fan_out, fan_avg"):
        registry.initializer({"class_name": "VarianceScaling", "config": {"mode": "in"}})
    with pytest.raises(LayerportError, match="did you mean glorot_uniform"):
        registry.initializer("glorot_unifrom")
    with pytest.raises(LayerportError, match="orthogonal needs at least two axes"):
        _draw("orthogonal", (3,))
    with pytest.raises(LayerportError, match="identity makes matrices only"):
        _draw("identity", (3, 3, 3))
