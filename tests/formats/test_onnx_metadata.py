"""The layers in the metadata: files of our own come back as they were, changed ones do not."""

from __future__ import annotations

import json
from pathlib import Path

import layerport as lp
import numpy as np
import onnx
import pytest
from layerport.errors import UnsupportedError
from layerport.operator import Operator
from onnx import numpy_helper, version_converter

from formats.onnx_models import floats, run

KEY = "layerport.network"


def convolutional() -> lp.Sequential:
    network = lp.Sequential(
        [lp.Input((10, 10, 1), name="image"), lp.Conv2D(4, 3, padding="same", activation="relu"),
         lp.BatchNormalization(), lp.MaxPooling2D(), lp.Dropout(0.25), lp.Flatten(),
         lp.Dense(3, "softmax", kernel_regularizer="l2")], name="digits",
    )  # fmt: skip
    network.initialize(3)
    network.labels = ["one", "two", "three"]
    return network


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "network.onnx"
    lp.save(convolutional(), file)
    return file


def assert_same(again: lp.Network, network: lp.Network) -> None:
    assert type(again) is type(network)
    assert again.get_config() == network.get_config()
    assert list(again.weights) == list(network.weights)
    for name, array in network.weights.items():
        assert again.weights[name].dtype == array.dtype
        assert again.weights[name].tobytes() == array.tobytes(), name


def assert_operators(path: Path, why: str) -> lp.Network:
    """The file is read as operators, and a note says why."""
    network = lp.load(path)
    assert all(isinstance(layer, Operator) for layer in network.layers[1:])
    assert network.origin is not None
    assert why in " ".join(map(str, network.origin[1]))
    return network


def test_files_of_our_own_come_back(path: Path) -> None:
    network = convolutional()
    again = lp.load(path)
    assert_same(again, network)
    assert again.labels == ["one", "two", "three"]
    assert again.origin == ("onnx", ())
    x = floats(4, 10, 10, 1)
    np.testing.assert_array_equal(again.predict(x), network.predict(x))


def test_saving_says_what_stands_in_the_metadata_alone(tmp_path: Path) -> None:
    report = lp.save(convolutional(), tmp_path / "network.onnx")
    assert [note.kind for note in report.notes] == ["notice"]
    assert "dropout" in str(report.notes[0])


def test_weights_of_the_file_count(path: Path) -> None:
    """Another tool may have trained them on."""
    made = onnx.load(path)
    (kernel,) = (t for t in made.graph.initializer if t.name == "dense/kernel")
    kernel.CopyFrom(numpy_helper.from_array(np.full((100, 3), 2, np.float32), "dense/kernel"))
    onnx.save(made, path)
    again = lp.load(path)
    assert isinstance(again, lp.Sequential)
    assert (again.weights["dense/kernel"] == 2).all()


def test_other_names_of_values_and_nodes_do_not_matter(path: Path) -> None:
    made = onnx.load(path)
    keep = {t.name for t in made.graph.initializer} | {"image", made.graph.output[0].name}
    for node in made.graph.node:
        node.name = f"renamed {node.name}"
        for names in (node.input, node.output):
            names[:] = [n if n in keep or not n else f"other {n}" for n in names]
    onnx.save(made, path)
    assert_same(lp.load(path), convolutional())


@pytest.mark.parametrize("opset", [18, 21])
def test_another_operator_set_does_not_matter(opset: int, path: Path) -> None:
    made = version_converter.convert_version(onnx.load(path), opset)
    kept = onnx.load(path).metadata_props
    del made.metadata_props[:]
    made.metadata_props.extend(kept)
    onnx.save(made, path)
    assert_same(lp.load(path), convolutional())


def test_a_changed_operator_is_seen(path: Path) -> None:
    made = onnx.load(path)
    (relu,) = (n for n in made.graph.node if n.op_type == "Relu")
    relu.op_type = "Sigmoid"
    onnx.save(made, path)
    network = assert_operators(path, "another tool has changed the graph")
    x = floats(2, 10, 10, 1)
    np.testing.assert_allclose(network.predict(x), run(path, {"image": x})[0], atol=1e-6)


def test_a_changed_attribute_is_seen(path: Path) -> None:
    made = onnx.load(path)
    (norm,) = (n for n in made.graph.node if n.op_type == "BatchNormalization")
    next(a for a in norm.attribute if a.name == "epsilon").f = 0.5
    onnx.save(made, path)
    assert_operators(path, "another tool has changed the graph")


def test_a_changed_constant_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    network = lp.Sequential([lp.Input((3,)), lp.Rescaling(2.0, 1.0)])
    lp.save(network, path)
    assert_same(lp.load(path), network)
    made = onnx.load(path)
    for tensor in made.graph.initializer:
        array = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(array + 1, tensor.name))
    onnx.save(made, path)
    again = assert_operators(path, "another tool has changed the graph")
    x = floats(2, 3)
    np.testing.assert_allclose(again.predict(x), x * 3 + 2, rtol=1e-6)


def test_missing_weights_are_seen(path: Path) -> None:
    """As after an optimiser that folds them into others."""
    made = onnx.load(path)
    for tensor in made.graph.initializer:
        if tensor.name == "dense/bias":
            tensor.name = "folded"
    for node in made.graph.node:
        node.input[:] = ["folded" if n == "dense/bias" else n for n in node.input]
    onnx.save(made, path)
    assert_operators(path, "dense/bias are not in the file any more")


def test_optimised_by_onnxruntime(path: Path) -> None:
    """Whatever the optimiser leaves, it computes the same."""
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path.with_name("optimised.onnx"))
    runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = floats(3, 10, 10, 1)
    again = lp.load(options.optimized_model_filepath)
    np.testing.assert_allclose(again.predict(x), convolutional().predict(x), atol=1e-6)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"class_name": "Sequential"}',
     '{"class_name": "os.system", "config": {}}',
     '{"class_name": "Sequential", "config": {"layers": 3}}',
     '{"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": {}}]}}',
     '{"class_name": "Network", "config": {"layers": [], "calls": [], "inputs": [{"call": 9, '
     '"output": 0}], "outputs": []}}', "[" * 5000],
)  # fmt: skip
def test_damaged_metadata_does_not_matter(text: str, path: Path) -> None:
    made = onnx.load(path)
    made.metadata_props[0].value = text
    onnx.save(made, path)
    x = floats(2, 10, 10, 1)
    want = convolutional().predict(x)
    np.testing.assert_allclose(assert_operators(path, "").predict(x), want, atol=1e-6)


def test_metadata_of_another_network_does_not_matter(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    lp.save(lp.Sequential([lp.Input((3,)), lp.Dense(2)]), other)
    made = onnx.load(path)
    made.metadata_props[0].value = onnx.load(other).metadata_props[0].value
    onnx.save(made, path)
    assert_operators(path, "")


class Doubling(lp.Layer):
    """A layer that no plugin offers."""

    times: int = 1

    def call(self, x: lp.Array) -> lp.Array:
        return x * float(2**self.times)


def test_layers_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    network = lp.Sequential([lp.Input((3,)), Doubling(3)])
    lp.save(network, path)
    assert_same(lp.load(path, layers=[Doubling]), network)
    unknown = assert_operators(path, "Doubling")
    np.testing.assert_array_equal(unknown.predict(floats(2, 3)), floats(2, 3) * 8)


def test_functional_and_nested_networks(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    encoder = lp.Sequential([lp.Input((3,)), lp.Dense(4, "tanh")], name="encoder")
    one, two = lp.Input((3,), name="one"), lp.Input((3,), name="two")
    joined = lp.Concatenate(name="joined")([encoder(one), encoder(two)])
    network = lp.Network([one, two], [lp.Dense(2, name="head")(joined), joined], name="siamese")
    network.initialize(0)
    lp.save(network, path)
    assert_same(lp.load(path), network)


def test_frozen_layers_stay_frozen(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    network = convolutional()
    network.layers[0].trainable = False
    lp.save(network, path)
    assert not lp.load(path).layers[0].trainable


def test_without_metadata(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    lp.save(convolutional(), path, metadata=False)
    assert not onnx.load(path).metadata_props
    network = lp.load(path)
    assert {name.rsplit("/", 2)[1] for name in network.weights} >= {"dense", "conv2d"}
    x = floats(2, 10, 10, 1)
    np.testing.assert_allclose(network.predict(x), convolutional().predict(x), atol=1e-6)


def test_what_no_file_keeps_is_reported(tmp_path: Path) -> None:
    network = lp.Sequential([lp.Input((3,)), lp.Activation(lambda x: x * 2)])
    report = lp.save(network, tmp_path / "network.onnx")
    assert [note.kind for note in report.notes] == ["dropped"]
    assert "function" in str(report.notes[0])
    with pytest.raises(lp.LossError if hasattr(lp, "LossError") else Exception, match="function"):
        lp.save(network, tmp_path / "network.onnx", strict=True)


def test_the_metadata_is_json(path: Path) -> None:
    entry = json.loads(onnx.load(path).metadata_props[0].value)
    assert onnx.load(path).metadata_props[0].key == KEY
    assert entry["class_name"] == "Sequential"
    assert [layer["class_name"] for layer in entry["config"]["layers"]][:3] == [
        "InputLayer", "Conv2D", "BatchNormalization",
    ]  # fmt: skip


def test_unsupported_networks_are_refused_before_writing(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError):
        lp.save(convolutional(), tmp_path / "network.onnx", opset=5)
