"""Small ONNX models for tests, and what onnxruntime says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str | None]


def node(op: str, inputs: str, outputs: str, name: str = "", **attributes: Any) -> onnx.NodeProto:
    """A node; names of values are separated by blanks, "-" stands for one that is left out."""
    ins, outs = ([n.replace("-", "") for n in names.split()] for names in (inputs, outputs))
    return helper.make_node(op, ins, outs, name=name, **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    arrays: Mapping[str, Any] | None = None,
    *,
    opset: int = 20,
    dtypes: Mapping[str, int] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    """A model; inputs and outputs are float unless `dtypes` says otherwise."""
    kinds = dtypes or {}

    def info(name: str, shape: Shape) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shape)

    tensors = [numpy_helper.from_array(np.asarray(a), name) for name, a in (arrays or {}).items()]
    graph = helper.make_graph(
        nodes,
        "graph",
        [info(name, shape) for name, shape in inputs.items()],
        [info(name, shape) for name, shape in outputs.items()],
        tensors,
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    made = helper.make_model(graph, opset_imports=imports, functions=functions)
    made.ir_version = 10
    return made


def write(made: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    """Write a model as it is, valid or not."""
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return path


def run(made: onnx.ModelProto | Path, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs by onnxruntime."""
    runtime = pytest.importorskip("onnxruntime")
    source = str(made) if isinstance(made, Path) else made.SerializeToString()
    session = runtime.InferenceSession(source, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(feeds)))


def outputs_of(network: lp.Network, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs of a network, as a list."""
    made = network.predict(dict(feeds))
    return made if isinstance(made, list) else [made]


def assert_equal_to_runtime(
    made: onnx.ModelProto, feeds: Mapping[str, np.ndarray], folder: Path, tolerance: float = 1e-6
) -> lp.Network:
    """Read a model and check that it computes what onnxruntime says; returns the network."""
    network = lp.load(write(made, folder))
    expected = run(made, feeds)
    got = outputs_of(network, feeds)
    assert len(got) == len(expected)
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.dtype == theirs.dtype
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)
    return network


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    """Random float32 numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
