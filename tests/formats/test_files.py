"""Files of Keras and PyTorch: what they must give, and what they must survive."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport.format import ToolMissing

FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures"

KERAS = [
    "keras3/a_mlp.h5", "keras3/b_lenet.h5", "keras3/c_xception.h5",
    "tfkeras2/a_mlp.h5", "tfkeras2/b_lenet.h5", "tfkeras2/c_xception.h5",
    "keras212/a_mlp.h5", "keras212/c_xception.h5", "keras225/a_mlp.h5", "keras225/b_cnn.h5",
]  # fmt: skip
ONNX = [
    "torch/mlp_dynamo_static.onnx", "torch/mlp_ts17.onnx", "torch/mlp_ts11.onnx",
    "torch/mlp_ts9.onnx", "torch/mlp_ts13_train.onnx", "torch/mlp_extdata.onnx",
    "torch/lenet_dynamo.onnx", "torch/lenet_dynamo_static.onnx", "torch/lenet_ts17.onnx",
    "torch/lenet_ts11.onnx", "keras_export_onnx/a_mlp.onnx", "keras_export_onnx/b_lenet.onnx",
    "keras_export_onnx/c_xception.onnx",
]  # fmt: skip
COMPUTING = {"Gemm", "MatMul", "Conv", "Relu", "Tanh", "Sigmoid", "Softmax", "MaxPool",
             "AveragePool"}  # fmt: skip
"""Operators of these files that no reader can do without."""

Arrays = list[np.ndarray]


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, str]]:
    """The manifest, by file."""
    if not FIXTURES.is_dir():
        pytest.skip("the shared fixtures are not here")
    with (FIXTURES / "MANIFEST.tsv").open(encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file, delimiter="\t")}


def expected(row: dict[str, str]) -> tuple[Arrays, Arrays, float]:
    """Inputs, outputs and tolerance of a file."""
    with np.load(FIXTURES / row["expected"]) as stored:
        inputs = [stored[f"input_{i}"] for i in range(len(stored.files)) if f"input_{i}" in stored]
        outputs = [stored[name] for name in stored.files if name.startswith("output_")]
    return inputs, outputs, float(row["abs_tolerance"])


def predict(network: lp.Network, inputs: Arrays) -> Arrays:
    outputs = network.predict(inputs if len(inputs) > 1 else inputs[0])
    return outputs if isinstance(outputs, list) else [outputs]


def check(outputs: Sequence[np.ndarray], wanted: Sequence[np.ndarray], tolerance: float) -> None:
    assert len(outputs) == len(wanted)
    for got, want in zip(outputs, wanted, strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


def facts(network: lp.Network) -> list[tuple[str, str, Any]]:
    """Layers, their names and configs, those inside others too."""
    return [
        (path, type(layer).__name__, layer.get_config())
        for path, layer in network.walk()
        if not isinstance(layer, lp.Network)
    ]


def check_same(again: lp.Network, network: lp.Network, inputs: Arrays) -> None:
    """The same layers, names, weights and, bit for bit, outputs."""
    assert facts(again) == facts(network)
    assert type(again) is type(network)
    assert [port for port in again.inputs] == [port for port in network.inputs]  # noqa: C416
    assert list(again.outputs) == list(network.outputs)
    assert list(again.weights) == list(network.weights)
    for name, array in network.weights.items():
        np.testing.assert_array_equal(again.weights[name], array, strict=True)
    for got, want in zip(predict(again, inputs), predict(network, inputs), strict=True):
        np.testing.assert_array_equal(got, want, strict=True)


@pytest.mark.parametrize("name", [*KERAS, *ONNX])
def test_predicts_what_its_producer_computed(rows, name: str) -> None:
    inputs, outputs, tolerance = expected(rows[name])
    check(predict(lp.load(FIXTURES / name), inputs), outputs, tolerance)


@pytest.mark.parametrize("name", KERAS)
def test_h5_to_onnx_to_h5(rows, tmp_path: Path, name: str) -> None:
    inputs, outputs, tolerance = expected(rows[name])
    network = lp.load(FIXTURES / name)
    for source, target in ((FIXTURES / name, "b.onnx"), (tmp_path / "b.onnx", "c.h5")):
        report = lp.convert(source, tmp_path / target)
        assert report.verification.passed
        assert report.verification.max_difference < 1e-6
        assert not report.losses
    for made in ("b.onnx", "c.h5"):
        again = lp.load(tmp_path / made)
        check_same(again, network, inputs)
        check(predict(again, inputs), outputs, tolerance)


@pytest.mark.parametrize("name", KERAS)
def test_h5_to_json_to_onnx(rows, tmp_path: Path, name: str) -> None:
    inputs, outputs, tolerance = expected(rows[name])
    network = lp.load(FIXTURES / name)
    lp.convert(FIXTURES / name, tmp_path / "b.json", options={"version": 2})
    lp.convert(tmp_path / "b.json", tmp_path / "c.onnx")
    for made in ("b.json", "c.onnx"):
        check_same(lp.load(tmp_path / made), network, inputs)
    check(run_in_onnxruntime(tmp_path / "c.onnx", inputs), outputs, tolerance)


def run_in_onnxruntime(path: Path, inputs: Arrays) -> Arrays:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


def run_in_node(network: lp.Network, path: Path, inputs: Arrays) -> Arrays:
    report = lp.save(network, path)
    try:
        return lp.default_registry().formats[report.format].run(path, inputs, network)
    except ToolMissing as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("name", ["keras3/b_lenet.h5", "keras225/b_cnn.h5", *ONNX])
def test_runs_as_javascript(rows, tmp_path: Path, name: str) -> None:
    inputs, outputs, tolerance = expected(rows[name])
    network = lp.load(FIXTURES / name)
    check(run_in_node(network, tmp_path / "m.mjs", inputs), outputs, tolerance)


@pytest.mark.parametrize("name", ONNX)
def test_onnx_cycles(rows, tmp_path: Path, name: str) -> None:
    inputs, outputs, tolerance = expected(rows[name])
    network = lp.load(FIXTURES / name)
    lp.convert(FIXTURES / name, tmp_path / "b.onnx")
    lp.convert(tmp_path / "b.onnx", tmp_path / "c.json", options={"version": 2})
    lp.convert(tmp_path / "c.json", tmp_path / "d.onnx")
    for made in ("b.onnx", "c.json", "d.onnx"):
        check_same(lp.load(tmp_path / made), network, inputs)
    for made in ("b.onnx", "d.onnx"):
        check(run_in_onnxruntime(tmp_path / made, inputs), outputs, tolerance)


@pytest.mark.parametrize("name", ONNX)
def test_operators_are_no_keras_layers(rows, tmp_path: Path, name: str) -> None:
    onnx = pytest.importorskip("onnx")
    network = lp.load(FIXTURES / name)
    target = tmp_path / "made.h5"
    target.write_bytes(b"what was here before")
    with pytest.raises(lp.UnsupportedError) as refused:
        lp.save(network, target)
    message = str(refused.value)
    kinds = {node.op_type for node in onnx.load(FIXTURES / name).graph.node}
    assert kinds & COMPUTING
    for kind in kinds & COMPUTING:
        assert kind in message
    operators = [layer for _, layer in network.walk() if isinstance(layer, lp.Operator)]
    assert operators
    for layer in operators:
        assert layer.name in message
    assert target.read_bytes() == b"what was here before"
    assert [p.name for p in tmp_path.iterdir()] == ["made.h5"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("invalid/keras30_partial_save.h5", []),
        ("invalid/tf2onnx_h_transformer.onnx", ["Erfc"]),
        ("invalid/tf2onnx_o_samepads.onnx", ["StatefulPartitionedCall"]),
    ],
)
def test_broken_files_are_refused(rows, name: str, words: list[str]) -> None:
    with pytest.raises((lp.ModelFileError, lp.UnsupportedError)) as refused:
        lp.load(FIXTURES / name)
    assert Path(name).name in str(refused.value)
    assert all(word in str(refused.value) for word in words)
