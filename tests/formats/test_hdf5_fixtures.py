"""Real Keras files against the outputs that Keras computed."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import layerport as lp
import numpy as np
import pytest
from layerport.network import Network
from layerport.op import NDArray
from layerport.sequential import Sequential
from layerport_formats.keras_config.dialect import NETWORK_CLASSES, layer_entries
from layerport_formats.keras_config.order import keras_layers

from .conftest import SHARED

FIXTURES = SHARED / "fixtures"
WEIGHTS = re.compile(r"(\.weights\.h5|_weights_legacy\.h5)$")
RAW_OPERATORS = frozenset({"TFOpLambda", "GetItem", "Relu"})


def _rows() -> list[dict[str, str]]:
    if not FIXTURES.is_dir():
        return []
    with (FIXTURES / "MANIFEST.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [row for row in rows if row["file"].endswith(".h5") and row["expected"] not in ("", "-")]


MODELS = [row for row in _rows() if not WEIGHTS.search(row["file"])]
ONLY_WEIGHTS = [row for row in _rows() if WEIGHTS.search(row["file"])]


def _name(row: dict[str, str]) -> str:
    return row["file"].removesuffix(".h5")


def _config(path: Path) -> Any:
    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"])


def _skip_without_layers(path: Path) -> None:
    used = {str(entry["class_name"]) for entry in layer_entries(_config(path))}
    inner = re.findall(r'"class_name": ?"(\w+)"', json.dumps(_config(path)))
    known = {*lp.default_registry().layers, *NETWORK_CLASSES, *RAW_OPERATORS}
    wrapped = {"LSTM", "GRU", "SimpleRNN"} & set(inner)
    missing = sorted((used | wrapped) - known)
    if missing:
        pytest.skip(f"there is no layer {', '.join(missing)}")


def _expected(row: dict[str, str]) -> tuple[list[NDArray], list[NDArray], float]:
    with np.load(FIXTURES / row["expected"].split(",")[0]) as stored:
        count = sum(key.startswith("input_") for key in stored.files)
        inputs = [stored[f"input_{index}"] for index in range(count)]
        outputs = [stored[key] for key in stored.files if key.startswith("output_")]
    return inputs, outputs, float(row["abs_tolerance"])


def _check(network: Network, row: dict[str, str]) -> None:
    inputs, outputs, tolerance = _expected(row)
    made = network.predict(inputs if len(inputs) > 1 else inputs[0])
    for got, want in zip(made if isinstance(made, list) else [made], outputs, strict=True):
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("row", MODELS, ids=_name)
def test_model_computes_what_keras_computed(row, tmp_path):
    path = FIXTURES / row["file"]
    _skip_without_layers(path)
    network = lp.load(path)
    _check(network, row)
    if any(type(layer).__name__ == "Operator" for _, layer in network.walk()):
        with pytest.raises(lp.UnsupportedError, match="operator"):
            lp.save(network, tmp_path / "again.h5")
        return
    lp.save(network, tmp_path / "again.h5")
    again = lp.load(tmp_path / "again.h5")
    _check(again, row)
    assert list(again.weights) == list(network.weights)
    for name, array in network.weights.items():
        assert array.tobytes() == again.weights[name].tobytes(), name


@pytest.mark.parametrize("row", ONLY_WEIGHTS, ids=_name)
def test_weights_replace_those_of_a_network(row):
    stem = WEIGHTS.sub("", row["file"])
    whole = FIXTURES / f"{stem}.h5"
    _skip_without_layers(whole)
    network = lp.load(whole)
    network.initialize(5)
    inputs, outputs, _ = _expected(row)
    if any(array.size for array in network.weights.values()):
        before = network.predict(inputs if len(inputs) > 1 else inputs[0])
        first = before[0] if isinstance(before, list) else before
        assert not np.allclose(first, outputs[0])
    network.load_weights(FIXTURES / row["file"])
    _check(network, row)


def _functional_networks(config: Any, network: Network) -> Iterator[tuple[list[str], Network]]:
    """Each functional model with the names that its config lists, in order."""
    entries = config["config"]["layers"]
    if not isinstance(network, Sequential):
        yield [entry["name"] for entry in entries], network
    for entry in entries:
        if entry["class_name"] in NETWORK_CLASSES:
            inner = network.get_layer(entry["config"]["name"])
            assert isinstance(inner, Network)
            yield from _functional_networks(entry, inner)


@pytest.mark.parametrize("row", MODELS, ids=_name)
def test_layers_have_the_order_in_which_keras_lists_them(row):
    path = FIXTURES / row["file"]
    _skip_without_layers(path)
    for listed, network in _functional_networks(_config(path), lp.load(path)):
        assert [layer.name for layer in keras_layers(network)] == listed


def test_half_precision_is_computed_in_float32_and_said(shared):
    for kind, layers in (
        ("float16", ["dense (float16)", "dense_1 (mixed_float16)"]),
        ("bfloat16", ["dense (bfloat16)"]),
    ):
        network = lp.load(shared / f"fixtures/keras3/p_{kind}.h5")
        assert network.origin is not None
        (note,) = [note for note in network.origin[1] if note.kind == "approximated"]
        assert all(layer in note.text for layer in layers)
        assert network.weights["dense/kernel"].dtype == np.float32


def test_training_state_is_noted(shared):
    network = lp.load(shared / "fixtures/keras3/l_trained_adam.h5")
    assert network.origin is not None
    assert any("optimizer" in note.text for note in network.origin[1])


def test_partial_file_is_refused_naming_what_is_missing(shared):
    with pytest.raises(lp.LayerportError) as caught:
        lp.load(shared / "fixtures/invalid/keras30_partial_save.h5")
    assert "keras30_partial_save.h5" in str(caught.value)
