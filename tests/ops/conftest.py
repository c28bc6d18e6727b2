"""What operators are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from layerport.graph import Value
from layerport.op import NDArray, Op

OPSET = 23


@pytest.fixture(scope="session")
def onnxruntime_outputs() -> Callable[..., list[NDArray]]:
    """A function (op, *operands) -> what onnxruntime computes for the same ONNX node."""
    pytest.importorskip("onnxruntime")
    return _run_onnxruntime


@pytest.fixture(scope="session")
def reference_outputs() -> Callable[..., list[NDArray]]:
    """The same with ONNX's own reference evaluator, for what onnxruntime refuses."""
    pytest.importorskip("onnx.reference")
    return _run_reference


def _run_onnxruntime(op: Op, *operands: NDArray | None) -> list[NDArray]:
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(
        _model(op, operands).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found: list[NDArray] = session.run(None, _feeds(operands))
    return found


def _run_reference(op: Op, *operands: NDArray | None) -> list[NDArray]:
    from onnx.reference import ReferenceEvaluator

    found = ReferenceEvaluator(_model(op, operands)).run(None, _feeds(operands))
    return [np.asarray(array) for array in found]


def _feeds(operands: Sequence[NDArray | None]) -> dict[str, NDArray]:
    return {f"x{place}": array for place, array in enumerate(operands) if array is not None}


def _model(op: Op, operands: Sequence[NDArray | None]) -> Any:
    """An ONNX model of one node."""
    import onnx

    values = [None if array is None else Value(array.shape, array.dtype) for array in operands]
    outputs = [f"y{place}" for place in range(len(op.infer(*values)))]
    names, static = _inputs(op, operands)
    node = onnx.helper.make_node(op.name, names, outputs, **_attributes(op))
    graph = onnx.helper.make_graph(
        [node],
        op.name,
        [_info(onnx, name, array) for name, array in _feeds(operands).items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in static.items()],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _info(onnx: Any, name: str, array: NDArray) -> Any:
    kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    return onnx.helper.make_tensor_value_info(name, kind, array.shape)


def _inputs(op: Op, operands: Sequence[NDArray | None]) -> tuple[list[str], dict[str, NDArray]]:
    """ONNX's operand names in order, and the arrays of those that are fields here."""
    given = iter(enumerate(operands))
    names: list[str] = []
    static: dict[str, NDArray] = {}
    last = max(len(operands) + len(op.static), *(place + 1 for place in op.static), 0)
    for place in range(last):
        field = op.static.get(place)
        if field is None:
            at, array = next(given, (0, None))
            names.append("" if array is None else f"x{at}")
            continue
        value = getattr(op, field)
        absent = value is None or value == ()
        names.append("" if absent and op.name != "Reshape" else field)
        if names[-1]:
            floats = field in ("scales", "roi")
            static[field] = np.array(value, np.float32 if floats else np.int64)
    while names and not names[-1]:
        names.pop()
    return names, static


def _attributes(op: Op) -> dict[str, Any]:
    found = {}
    for name, value in op.attributes.items():
        ours = name in op.static.values() or (op.name, name) == ("MaxPool", "indices")
        if not ours and value is not None and value != ():
            found[name] = int(value) if isinstance(value, bool) else value
    return found
