"""js-mind's files against js-mind's own outputs; read and written, they stay what they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
import pytest

HERE = Path(__file__).parents[1] / "files"
SHARED = Path(__file__).parents[3] / "shared" / "fixtures" / "jsmind"
KEPT = ["pDropout", "activationFn", "w", "b"]
TINY = HERE / "jsmind_tiny_6-4-3_dropout.json"
FILES = [
    TINY,
    SHARED / "jsmind_tiny_6-4-3_dropout.json",
    SHARED / "jsmind_relu_softmax_784-30-10_dropout.json",
    SHARED / "jsmind_sigmoid_784-30-10_untrained.json",
]
RESAVED = SHARED / "jsmind_relu_softmax_784-30-10_dropout.resaved_after_predict.json"

each_file = pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")


def known(path: Path) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Inputs, js-mind's outputs, and its answers."""
    if not path.exists():
        pytest.skip("the shared fixtures are not here")
    data = json.loads(path.with_name(f"{path.stem}.expected.json").read_text())
    if "inputs" in data:
        rows = data["expected"]
        outputs = [row["output"] for row in rows]
        return np.array(data["inputs"]), np.array(outputs), [row["argmax"] for row in rows]
    images = json.loads((SHARED / "mnist_test200_images_u8x256.json").read_text())["images"]
    return np.array(images) / 256, np.array(data["output"]), data["argmax"]


def essence(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """What must survive, numbers to the last bit."""
    layers = json.loads(path.read_text(), parse_int=float)
    return [(e["className"], {key: e["properties"].get(key) for key in KEPT}) for e in layers]


@each_file
def test_predicts_what_js_mind_computed(path: Path) -> None:
    inputs, outputs, answers = known(path)
    network = lp.load(path)
    predicted = network.predict(inputs)
    assert network.dtype == "float64"
    assert predicted.dtype == np.float64
    np.testing.assert_allclose(predicted, outputs, rtol=0, atol=1e-12)
    assert predicted.argmax(1).tolist() == answers


@each_file
def test_stays_the_same_bit_for_bit(path: Path, tmp_path: Path) -> None:
    known(path)
    lp.save(lp.load(path), tmp_path / "again.json")
    assert essence(tmp_path / "again.json") == essence(path)
    for entry in json.loads((tmp_path / "again.json").read_text()):
        assert list(entry) == ["className", "properties"]
        assert list(entry["properties"]) == KEPT


@each_file
@pytest.mark.parametrize("between", [".onnx", ".json"])
def test_survives_other_formats_bit_for_bit(path: Path, between: str, tmp_path: Path) -> None:
    inputs, outputs, _ = known(path)
    options = {"version": 2} if between == ".json" else {}
    lp.convert(path, tmp_path / f"made{between}", options=options)
    again = lp.load(tmp_path / f"made{between}")
    np.testing.assert_allclose(again.predict(inputs), outputs, rtol=0, atol=1e-12)
    lp.save(again, tmp_path / "again.json")
    assert essence(tmp_path / "again.json") == essence(path)


@each_file
def test_goes_through_keras(path: Path, tmp_path: Path) -> None:
    """Keras's dropout is another, so (1 - p) is folded into the kernel, and that is reported."""
    inputs, outputs, _ = known(path)
    report = lp.convert(path, tmp_path / "made.h5")
    has_dropout = any(properties["pDropout"] for _, properties in essence(path))
    assert [note.kind for note in report.losses] == ["folded"] * len(report.losses)
    assert bool(report.losses) == has_dropout
    again = lp.load(tmp_path / "made.h5")
    np.testing.assert_allclose(again.predict(inputs), outputs, rtol=0, atol=1e-12)
    assert {"Dropout", "Dense"} >= {type(layer).__name__ for layer in again.layers}
    if has_dropout:
        with pytest.raises(lp.LossError, match="folded"):
            lp.save(lp.load(path), tmp_path / "strict.h5", strict=True)
        assert not (tmp_path / "strict.h5").exists()
    lp.save(again, tmp_path / "again.json")
    layers = json.loads((tmp_path / "again.json").read_text())
    assert [e["properties"]["pDropout"] for e in layers] == [
        p["pDropout"] for _, p in essence(path)
    ]
    np.testing.assert_allclose(
        lp.load(tmp_path / "again.json").predict(inputs), outputs, rtol=0, atol=1e-12
    )


def test_training_inputs_are_reported_and_left_out(tmp_path: Path) -> None:
    network = lp.load(TINY)
    assert network.origin is not None
    (notice,) = [note for note in network.origin[1] if "privacy" in note.text]
    assert notice.kind == "notice"
    report = lp.save(network, tmp_path / "m.json")
    assert "input" not in (tmp_path / "m.json").read_text()
    (loss,) = report.losses
    assert loss.kind == "dropped"
    assert "state=keep" in loss.text


def test_the_state_can_be_kept(tmp_path: Path) -> None:
    lp.save(lp.load(TINY), tmp_path / "m.json", state="keep")
    assert json.loads((tmp_path / "m.json").read_text()) == json.loads(TINY.read_text())


def test_a_file_saved_again_after_a_prediction(tmp_path: Path) -> None:
    if not RESAVED.exists():
        pytest.skip("the shared fixtures are not here")
    lp.save(lp.load(RESAVED), tmp_path / "again.json")
    assert essence(tmp_path / "again.json") == essence(RESAVED)


def one_layer(**properties: Any) -> str:
    given = {"pDropout": 0, "activationFn": "sigmoid", "w": [[0.5, -1]], "b": [[0.25]]}
    return json.dumps([{"className": "SigmoidLayer", "properties": {**given, **properties}}])


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"w": [[None, 1]]}, ["[0].properties.w", "null", "NaN"]),
        ({"b": [[None]]}, ["[0].properties.b", "null"]),
        ({"w": [[1, 2], [3]], "b": [[1], [1]]}, ["[0].properties.w", "ragged"]),
        ({"w": []}, ["[0].properties.w"]),
        ({"w": "AAAA"}, ["[0].properties.w"]),
        ({"w": [[True, 1]]}, ["[0].properties.w", "number"]),
        ({"w": [["1", 1]]}, ["[0].properties.w", "number"]),
        ({"b": [[1], [2]]}, ["[0].properties.b", "(2, 1)", "(1, 1)"]),
        ({"b": [0.25]}, ["[0].properties.b"]),
        ({"pDropout": 1}, ["[0].properties.pDropout", "1"]),
        ({"pDropout": -0.1}, ["[0].properties.pDropout"]),
        ({"pDropout": "0.5"}, ["[0].properties.pDropout"]),
        ({"activationFn": "tanh"}, ["[0].properties.activationFn", "tanh", "relu"]),
    ],
)
def test_what_is_refused(tmp_path: Path, properties: dict[str, Any], words: list[str]) -> None:
    path = tmp_path / "m.json"
    path.write_text(one_layer(**properties))
    with pytest.raises(lp.ModelFileError) as refused:
        lp.load(path)
    assert str(path) in str(refused.value)
    assert all(word in str(refused.value) for word in words)


def test_the_activation_decides_not_the_class(tmp_path: Path) -> None:
    text = one_layer(activationFn="relu")
    (tmp_path / "m.json").write_text(text)
    network = lp.load(tmp_path / "m.json")
    np.testing.assert_allclose(network.predict(np.array([[4.0, 1.0]])), [[1.25]], rtol=1e-15)
    lp.save(network, tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(text)


def test_defaults_come_from_the_class(tmp_path: Path) -> None:
    properties = {"w": [[0.5, -1], [2, 1]], "b": [[0.25], [-1]]}
    x = np.array([[1.0, 3.0]])
    z = x @ np.array(properties["w"]).T + [0.25, -1]
    for name, want in (
        ("SigmoidLayer", 1 / (1 + np.exp(-z))),
        ("FullyConnectedLayer", 1 / (1 + np.exp(-z))),
        ("ReLULayer", np.maximum(z, 0)),
        ("SoftmaxLayer", np.exp(z) / np.exp(z).sum()),
    ):
        (tmp_path / "m.json").write_text(
            json.dumps([{"className": name, "properties": properties}])
        )
        np.testing.assert_allclose(lp.load(tmp_path / "m.json").predict(x), want, rtol=1e-14)


def test_what_js_mind_cannot_hold_is_named(tmp_path: Path) -> None:
    layers = [lp.Input((4,)), lp.Dense(3, "tanh"), lp.BatchNormalization(), lp.Dense(2, "relu")]
    network = lp.Sequential(layers)
    with pytest.raises(lp.UnsupportedError) as refused:
        lp.save(network, tmp_path / "m.json", version=1)
    for word in ("dense", "tanh", "batch_normalization", "BatchNormalization"):
        assert word in str(refused.value)
    assert not list(tmp_path.iterdir())
    lp.save(network, tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text())["version"] == 2


def test_keras_dropout_is_written_in_js_minds_terms(tmp_path: Path) -> None:
    """Inverted dropout before a layer: w is divided by what is kept."""
    network = lp.Sequential(
        [lp.Input((3,)), lp.Dropout(0.5, name="dense_dropout"), lp.Dense(2, "softmax")]
    )
    kernel, bias = np.float32([[1, 2], [3, 4], [5, 6]]), np.float32([1, -1])
    network.set_weights([kernel, bias])
    lp.save(network, tmp_path / "m.json", version=1)
    (entry,) = json.loads((tmp_path / "m.json").read_text())
    assert entry["className"] == "SoftmaxLayer"
    assert entry["properties"]["pDropout"] == 0.5
    assert entry["properties"]["w"] == [[2, 6, 10], [4, 8, 12]]
    assert entry["properties"]["b"] == [[1], [-1]]
    x = np.float32([[0.1, 0.2, -0.1]])
    np.testing.assert_allclose(
        lp.load(tmp_path / "m.json").predict(x), network.predict(x), rtol=1e-6
    )
