"""layerport inspect, formats, layers, ops, plugins."""

from __future__ import annotations

import json
from pathlib import Path

import layerport as lp
import pytest


def test_inspect(run, known) -> None:
    ran = run("inspect", known.path)
    assert ran.code == 0
    for word in ("layers_json", "float32[n, 4]", "float32[n, 3]", "dense (Dense)", "(None, 5)",
                 "43 parameters"):  # fmt: skip
        assert word in ran.out


def test_what_is_piped_is_not_folded(run, tmp_path: Path, monkeypatch) -> None:
    name = "a_name_that_is_longer_than_a_line_" * 5
    lp.save(lp.Sequential([lp.Input((2,)), lp.Dense(1, name=name)]), tmp_path / "m.json")
    monkeypatch.delenv("COLUMNS")
    assert f"{name} (Dense)" in run("inspect", tmp_path / "m.json").out


def test_inspect_as_json(run, known) -> None:
    facts = json.loads(run("inspect", known.path, "--json").out)
    assert facts["format"] == "layers_json"
    assert facts["bytes"] == known.path.stat().st_size
    assert facts["parameters"] == (4 + 1) * 5 + (5 + 1) * 3
    assert [(p["shape"], p["dtype"]) for p in facts["inputs"]] == [([None, 4], "float32")]
    assert [(p["shape"], p["dtype"]) for p in facts["outputs"]] == [([None, 3], "float32")]
    layers = [(row["name"], row["kind"], row["parameters"]) for row in facts["layers"]]
    assert layers[-2:] == [("dense", "Dense", 25), ("dense_1", "Dense", 18)]


def test_inspect_shows_labels(run, tmp_path: Path) -> None:
    network = lp.Sequential([lp.Input((2,)), lp.Dense(2, "softmax")])
    network.labels = ["cat", "dog"]
    lp.save(network, tmp_path / "m.json")
    assert "labels: cat, dog" in run("inspect", tmp_path / "m.json").out
    assert json.loads(run("inspect", tmp_path / "m.json", "--json").out)["labels"] == ["cat", "dog"]


def test_inspect_warns_of_training_data(run, tmp_path: Path) -> None:
    properties = {"w": [[1.0]], "b": [[0.0]], "input": [[0.5, 0.25]]}
    path = tmp_path / "leaky.json"
    path.write_text(json.dumps([{"className": "SigmoidLayer", "properties": properties}]))
    assert "privacy" in run("inspect", path).out


@pytest.mark.parametrize(
    ("verb", "named", "word"),
    [("formats", "name", "hdf5"), ("layers", "layer", "Conv2D"), ("ops", "operator", "Gemm"),
     ("plugins", "plugin", "layerport")],
)  # fmt: skip
def test_lists(run, verb: str, named: str, word: str) -> None:
    shown, listed = run(verb), run(verb, "--json")
    assert (shown.code, listed.code) == (0, 0)
    assert word in shown.out
    rows = json.loads(listed.out)
    assert word in [row[named] for row in rows]


def test_lists_hold_what_the_registry_has(run) -> None:
    registry = lp.default_registry()
    for verb, named, table in (
        ("formats", "name", registry.formats),
        ("layers", "layer", registry.layers),
        ("ops", "operator", registry.ops),
        ("plugins", "plugin", registry.plugins),
    ):
        rows = json.loads(run(verb, "--json").out)
        assert sorted(row[named] for row in rows) == sorted(table)


def test_formats_say_what_they_can(run) -> None:
    rows = {row["name"]: row for row in json.loads(run("formats", "--json").out)}
    both = {"read": True, "write": True}
    for name, suffix in (("layers_json", ".json"), ("hdf5", ".h5"), ("onnx", ".onnx")):
        assert rows[name].items() >= both.items()
        assert suffix in rows[name]["suffixes"]
    assert rows["javascript"].items() >= {"read": False, "write": True}.items()
    assert {"version", "encoding", "state"} <= set(rows["layers_json"]["options"])
    assert "opset" in rows["onnx"]["options"]
