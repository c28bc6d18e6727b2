"""js-mind's layer against js-mind's own files, and against Keras's layers that stand for it."""

from __future__ import annotations

import json
from pathlib import Path

import layerport as lp
import numpy as np
import pytest

FILES = Path(__file__).parents[3] / "shared" / "fixtures" / "jsmind"
TINY = FILES / "jsmind_tiny_6-4-3_dropout.json"


def _layers(path):
    made = []
    for entry in json.loads(path.read_text()):
        p = entry["properties"]
        layer = lp.JsMindDense(
            len(p["w"]), p["activationFn"], p["pDropout"], entry["className"], dtype="float64"
        )
        layer.ensure_built((None, len(p["w"][0])))
        layer.set_weights([p["w"], p["b"]])
        made.append(layer)
    return made


@pytest.mark.skipif(not TINY.exists(), reason="the shared fixtures are not here")
@pytest.mark.parametrize("as_keras", [False, True])
def test_outputs_are_those_of_js_mind(as_keras):
    layers = _layers(TINY)
    if as_keras:
        layers = [made for layer in layers for made in layer.as_keras()]
    network = lp.Sequential([lp.Input(6, dtype="float64"), *layers], dtype="float64")
    known = json.loads(TINY.with_suffix(".expected.json").read_text())
    y = np.array(known["inputs"])
    for layer in network.layers:
        y = layer(y)
    expected = np.array([entry["output"] for entry in known["expected"]])
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-14)


@pytest.fixture
def layer():
    made = lp.JsMindDense(3, "sigmoid", 0.25, b_initializer="random_normal", dtype="float64")
    made(np.ones((1, 40)))
    return made


def test_inference_scales_the_weighted_sum_but_not_the_bias(layer, rng):
    x = rng.standard_normal((5, 40))
    assert layer.w.shape == (3, 40)
    assert layer.b.shape == (3, 1)
    expected = 1 / (1 + np.exp(-(0.75 * (layer.w @ x.T) + layer.b))).T
    np.testing.assert_allclose(layer(x), expected, rtol=1e-12)


def test_training_drops_inputs_and_scales_nothing(rng, in_training):
    layer = lp.JsMindDense(1, None, 0.25, w_initializer="ones", b_initializer="zeros")
    x = np.ones((2000, 40), np.float32)
    layer(x)
    y, _, _ = in_training(layer, x)
    assert np.array_equal(y, y.round())
    # A sum of 40 elements, each kept with probability 3/4.
    assert y.mean() == pytest.approx(30, abs=0.31)
    assert y.var() == pytest.approx(40 * 0.25 * 0.75, rel=0.16)


def test_the_keras_form_computes_the_same_in_training(layer, rng, in_training):
    x = rng.standard_normal((50, 40))
    dropout, dense = layer.as_keras()
    assert (type(dropout), dropout.rate) == (lp.Dropout, 0.25)
    np.testing.assert_allclose(dense.kernel, 0.75 * layer.w.T)
    np.testing.assert_array_equal(dense.bias, layer.b[:, 0])
    dropped, _, _ = in_training(dropout, x)
    y, _, _ = in_training(layer, x)
    np.testing.assert_allclose(dense(dropped), y, rtol=1e-10)


def test_without_dropout_the_keras_form_is_one_layer(rng):
    layer = lp.JsMindDense(3, "relu", name="first")
    x = rng.standard_normal((5, 4)).astype(np.float32)
    y = layer(x)
    (dense,) = layer.as_keras()
    assert (dense.name, dense.activation, dense.dtype) == ("first", "relu", "float32")
    np.testing.assert_allclose(dense(x), y, atol=1e-6)


def test_weights_start_as_in_js_mind():
    layer = lp.JsMindDense(400)
    layer.ensure_built((None, 100))
    layer.initialize(0)
    assert layer.w.std() == pytest.approx(0.1, rel=0.02)
    assert layer.b.std() == pytest.approx(1, rel=0.1)
