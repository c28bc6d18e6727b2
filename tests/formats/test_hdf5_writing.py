"""The files that layerport writes: whole, portable, and refused where Keras has no words."""

from __future__ import annotations

import json

import h5py
import layerport as lp
import numpy as np
import pytest
from layerport import ops
from layerport.operator import Operator
from layerport.structure import layer_config

X = np.random.default_rng(3).standard_normal((4, 8)).astype(np.float32)


class Scale(lp.Layer):
    """x * factor * gamma."""

    factor: float = 2.0
    gamma: lp.Array

    def build(self, input_shape):
        return {"gamma": lp.Weight(input_shape[-1:], "random_normal")}

    def call(self, x):
        return x * self.gamma * self.factor


def chain() -> lp.Sequential:
    return lp.Sequential(
        [
            lp.Input((8,), name="x"),
            lp.Dense(
                6, lp.LeakyReLU(0.1),
                kernel_initializer={"class_name": "variance_scaling", "config": {"scale": 2.0}},
                kernel_regularizer="l2",
                bias_regularizer={"class_name": "l1_l2", "config": {"l1": 0.5}},
            ),
            lp.BatchNormalization(axis=1, center=False),
            lp.Dropout(0.25, seed=3),
            Scale(3.0, trainable=False),
            lp.Normalization(),
            lp.Reshape((3, 2)),
            lp.Conv1D(4, 2, padding="causal", activation="silu"),
            lp.Flatten(),
            lp.Dense(3, "softmax", name="last/one"),
        ],
        name="chain",
    )  # fmt: skip


def nested() -> lp.Network:
    """Nested networks, a layer that is shared between them, two outputs, labels."""
    x = lp.Input((8,), name="x")
    shared = lp.Dense(8, "relu", name="shared")
    h = shared(shared(x))
    encoder = lp.Sequential(
        [
            lp.Input((8,)),
            lp.Dense(4, "tanh"),
            lp.BatchNormalization(),
            lp.Dense(4, trainable=False),
        ],
        name="encoder",
    )
    inside = lp.Input((8,))
    branch = lp.Network(inside, [lp.Dense(3, name="leaf")(inside), shared(inside)], name="branch")
    left, right = branch(h)
    joined = lp.Concatenate()([encoder(h), encoder(x), left, lp.Add()([right, x])])
    network = lp.Network(
        x, [joined, lp.Dropout(0.5)(left)], name="nested", output_names=("main", "side")
    )
    network.labels = ["a", "ü"]
    return network


def unbuilt() -> lp.Sequential:
    return lp.Sequential([lp.Dense(3), lp.Dense(2)], name="unbuilt")


def doubles() -> lp.Sequential:
    return lp.Sequential(
        [lp.Input((8,), dtype="float64"), lp.Dense(2, dtype="float64")], dtype="float64"
    )


@pytest.mark.parametrize("option", ["auto", "keras2", "keras3"])
@pytest.mark.parametrize("make", [chain, nested, unbuilt, doubles])
def test_file_comes_back_identical(tmp_path, make, option):
    network = make()
    network.initialize(11)
    lp.save(network, tmp_path / "a.h5", config=option)
    again = lp.load(tmp_path / "a.h5", layers=[Scale])
    assert type(again) is type(network)
    assert layer_config(again) == layer_config(network)
    assert again.labels == network.labels
    assert again.outputs == network.outputs
    assert list(again.weights) == list(network.weights)
    for name, array in network.weights.items():
        assert again.weights[name].dtype == array.dtype
        assert again.weights[name].tobytes() == array.tobytes(), name


def test_sharing_across_networks_comes_back(tmp_path):
    lp.save(nested(), tmp_path / "a.h5")
    again = lp.load(tmp_path / "a.h5")
    assert again.get_layer("branch").get_layer("shared") is again.get_layer("shared")


def test_form_is_that_of_keras2(tmp_path):
    network = lp.Sequential([lp.Input((8,), name="x"), lp.Dense(2, name="d"), lp.Dropout(0.5)])
    lp.save(network, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        config = json.loads(file.attrs["model_config"])
        assert file.attrs["keras_version"].startswith("2.")
        weights = file["model_weights"]
        assert list(weights.attrs["layer_names"]) == [b"d", b"dropout"]
        assert list(weights["d"].attrs["weight_names"]) == [b"d/kernel:0", b"d/bias:0"]
        assert weights["dropout"].attrs["weight_names"].shape == (0,)
        kernel = weights["d/d/kernel:0"]
        assert (kernel.chunks, kernel.compression, kernel.dtype) == (None, None, "<f4")
        np.testing.assert_array_equal(kernel[()], network.weights["d/kernel"])
    first, dense, _ = config["config"]["layers"]
    assert first["config"]["batch_input_shape"] == [None, 8]
    assert dense["config"]["units"] == 2


def test_nested_model_is_one_group_in_keras_order(tmp_path):
    lp.save(nested(), tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        names = [n.decode() for n in file["model_weights/encoder"].attrs["weight_names"]]
        config = json.loads(file.attrs["model_config"])
    assert names == [
        "dense/kernel:0", "dense/bias:0", "batch_normalization/gamma:0",
        "batch_normalization/beta:0", "batch_normalization/moving_mean:0",
        "batch_normalization/moving_variance:0", "dense_1/kernel:0", "dense_1/bias:0",
    ]  # fmt: skip
    (encoder,) = [e for e in config["config"]["layers"] if e["name"] == "encoder"]
    assert len(encoder["inbound_nodes"]) == 2


@pytest.mark.parametrize(
    ("activation", "version", "name"),
    [
        ("relu", "2", "relu"),
        ("silu", "2", "swish"),
        ("hard_sigmoid_keras2", "2", "hard_sigmoid"),
        ("hard_sigmoid", "3", "hard_sigmoid"),
        ("mish", "3", "mish"),
    ],
)
def test_what_needs_one_keras_is_written_for_it(tmp_path, activation, version, name):
    network = lp.Sequential([lp.Input((8,)), lp.Dense(2, activation)])
    report = lp.save(network, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["keras_version"].startswith(version)
        config = json.loads(file.attrs["model_config"])["config"]["layers"][1]["config"]
    assert config["activation"] == name
    portable = activation in ("relu", "silu")
    assert any("only Keras" in note.text for note in report.notes) != portable
    assert not report.losses
    assert lp.load(tmp_path / "a.h5").layers[0].activation == activation


def test_wrong_choice_of_keras_is_refused(tmp_path):
    old = lp.Sequential([lp.Input((8,)), lp.Dense(2, "hard_sigmoid_keras2", name="old")])
    new = lp.Sequential([lp.Input((2,)), lp.Dense(2, "mish", name="new")])
    both = lp.Sequential([lp.Input((8,)), *old.layers, *new.layers])
    for network, option, part in (
        (old, "keras3", "old: activation"),
        (new, "keras2", "new: activation"),
        (both, "auto", "no version of Keras"),
        (new, "keras4", "config=keras4"),
    ):
        with pytest.raises(lp.UnsupportedError, match=part):
            lp.save(network, tmp_path / "a.h5", config=option)
    assert not list(tmp_path.iterdir())


def test_all_operators_are_named_before_anything_is_written(tmp_path):
    x = lp.Input((8,))
    h = Operator(ops.Exp(), ("@0",), {}, name="first")(x)
    inside = lp.Input((8,))
    inner = lp.Network(inside, Operator(ops.Neg(), ("@0",), {}, name="deep")(inside), name="inner")
    network = lp.Network(x, inner(h))
    with pytest.raises(lp.UnsupportedError) as caught:
        lp.save(network, tmp_path / "a.h5")
    assert caught.value.problems == ["operator Exp at first", "operator Neg at inner/deep"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [".", "a/../b", "a//b", "nul\0"])
def test_names_that_a_file_cannot_hold_are_refused(tmp_path, name):
    network = lp.Sequential([lp.Input((8,)), lp.Dense(2, name=name)])
    with pytest.raises(lp.UnsupportedError, match="cannot hold this name"):
        lp.save(network, tmp_path / "a.h5")


@pytest.mark.parametrize("name", ["Größe", "a/b", "a.b", "kernel:0", " ", "x" * 3000])
def test_other_names_are_kept(tmp_path, name):
    network = lp.Sequential([lp.Input((8,)), lp.Dense(2, name=name), lp.Dense(2, name="a")])
    lp.save(network, tmp_path / "a.h5")
    again = lp.load(tmp_path / "a.h5")
    assert list(again.weights) == list(network.weights)
    np.testing.assert_array_equal(again.predict(X), network.predict(X))


def test_long_lists_of_names_are_cut_in_pieces(tmp_path):
    names = [f"layer_{index}_{'n' * 200}" for index in range(700)]
    network = lp.Sequential([lp.Input((2,)), *(lp.Activation("relu", name=n) for n in names)])
    lp.save(network, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        attributes = file["model_weights"].attrs
        assert "layer_names" not in attributes
        pieces = [attributes[f"layer_names{index}"] for index in range(3)]
        assert "layer_names3" not in attributes
        assert all(piece.nbytes <= 64512 for piece in pieces)
        assert [name.decode() for piece in pieces for name in piece] == names
    assert [layer.name for layer in lp.load(tmp_path / "a.h5").layers] == names


def test_custom_layers_are_noted(tmp_path):
    report = lp.save(lp.Sequential([lp.Input((8,)), Scale()]), tmp_path / "a.h5")
    (note,) = report.notes
    assert "Scale" in note.text
    assert note.kind == "notice"


def test_layer_of_a_name_twice_in_different_networks(tmp_path):
    """Leaves of the same name have weights of the same name in their group."""
    deep = lp.Sequential([lp.Input((8,)), lp.Dense(8, name="d")], name="deep")
    outer = lp.Sequential([lp.Input((8,)), deep, lp.Dense(8, name="d")], name="outer")
    network = lp.Sequential([lp.Input((8,)), outer])
    lp.save(network, tmp_path / "a.h5")
    np.testing.assert_array_equal(lp.load(tmp_path / "a.h5").predict(X), network.predict(X))


def js_mind(name: str = "") -> lp.Layer:
    layer: lp.Layer = lp.JsMindDense(8, "sigmoid", 0.25, name=name)
    return layer


def test_js_mind_layers_are_folded(tmp_path):
    network = lp.Sequential([lp.Input((8,)), js_mind("a"), lp.Dense(8, name="a_dropout")])
    network.initialize(4)
    report = lp.save(network, tmp_path / "a.h5")
    assert [note.kind for note in report.losses] == ["folded"]
    again = lp.load(tmp_path / "a.h5")
    assert [(type(layer).__name__, layer.name) for layer in again.layers] == [
        ("Dropout", "a_dropout_1"), ("Dense", "a"), ("Dense", "a_dropout")
    ]  # fmt: skip
    np.testing.assert_allclose(again.predict(X), network.predict(X), atol=1e-6)
    assert [layer.name for layer in network.layers] == ["a", "a_dropout"]


def test_js_mind_layers_are_folded_inside_functional_networks(tmp_path):
    x = lp.Input((8,))
    layer = js_mind()
    inner = lp.Sequential([lp.Input((8,)), js_mind()], name="inner")
    network = lp.Network(x, lp.Add()([layer(layer(x)), inner(x)]))
    network.initialize(4)
    lp.save(network, tmp_path / "a.h5")
    again = lp.load(tmp_path / "a.h5")
    np.testing.assert_allclose(again.predict(X), network.predict(X), atol=1e-6)
    with pytest.raises(lp.UnsupportedError, match="input shape"):
        lp.save(lp.Sequential([js_mind()]), tmp_path / "b.h5")


def test_calls_with_several_arguments_and_options(tmp_path):
    class Mix(lp.Layer):
        def call(self, a, b, c=None, weight=1.0):
            y = a - b * weight
            return y if c is None else y + c[0] * c[1]

    x = lp.Input((8,))
    h = lp.Dense(8)(x)
    network = lp.Network(x, Mix()(h, x, c=[x, h], weight=0.5))
    for option in ("keras2", "keras3"):
        lp.save(network, tmp_path / "a.h5", config=option)
        again = lp.load(tmp_path / "a.h5", layers=[Mix])
        np.testing.assert_array_equal(again.predict(X), network.predict(X))
