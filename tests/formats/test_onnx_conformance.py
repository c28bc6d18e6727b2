"""The node cases of ONNX's own backend suite."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
import pytest
from layerport.errors import UnsupportedError
from layerport.registry import default_registry
from layerport_formats.onnx.recorded import DEFINITIONS
from onnx import TensorProto, numpy_helper

loader = pytest.importorskip("onnx.backend.test.loader")

PLAIN = {
    getattr(TensorProto, name)
    for name in ("FLOAT", "DOUBLE", "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16",
                 "UINT32", "UINT64", "FLOAT16")
}  # fmt: skip

CANNOT: dict[str, str] = {
    "test_causal_conv_with_state_silu_fp16": "accumulates in float16",
    "test_scan_sum": "Scan before operator set 9 had a batch axis of its own",
}
"""Cases, by the start of their names, that fail for a stated reason."""


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _is_plain(model: onnx.ModelProto) -> bool:
    values = [*model.graph.input, *model.graph.output]
    types = {v.type.tensor_type.elem_type if v.type.HasField("tensor_type") else -1 for v in values}
    types |= {
        a.i for n in _nodes(model.graph) for a in n.attribute
        if n.op_type == "Cast" and a.name == "to"
    }  # fmt: skip
    return types <= PLAIN


@lru_cache(maxsize=1)
def _cases() -> dict[str, list[Any]]:
    """The cases by the operator that they test."""
    found: dict[str, list[Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in loader.load_model_tests(kind="node"):
            model = case.model if case.model is not None else onnx.load(case.model_dir)
            nodes = list(_nodes(model.graph))
            ours = {n.op_type for n in nodes if n.domain in ("", "ai.onnx")}
            if len(ours) == len({n.op_type for n in nodes}) and ours and _is_plain(model):
                found.setdefault(nodes[0].op_type, []).append((case, model))
    return found


def _array(value: Any) -> np.ndarray:
    is_proto = isinstance(value, onnx.TensorProto)
    return numpy_helper.to_array(value) if is_proto else np.asarray(value)


def _check(case: Any, model: onnx.ModelProto) -> None:
    from layerport_formats.onnx import backend

    prepared = backend.prepare(model)
    for inputs, expected in case.data_sets:
        outputs = prepared.run([_array(value) for value in inputs])
        assert len(outputs) == len(expected)
        for got, want in zip(outputs, map(_array, expected), strict=True):
            assert got.dtype == want.dtype, case.name
            assert got.shape == want.shape, case.name
            np.testing.assert_allclose(got, want, case.rtol, case.atol, err_msg=case.name)


BY_OTHERS = {"CastLike", "Constant", "Dropout", "If", "Loop", "NonZero", "Scan", "Size", "Upsample"}
"""What other operators stand for, and what is decided while reading."""

OPERATORS = sorted(
    {name for name, op in default_registry().ops.items() if op.domain == ""}
    | BY_OTHERS
    | set(DEFINITIONS)
)


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator(operator: str) -> None:
    cases = _cases().get(operator, [])
    if not cases:
        pytest.skip("the suite has no case for it")
    ran = 0
    for case, model in cases:
        if case.name.startswith(tuple(CANNOT)):
            continue
        try:
            with np.errstate(all="ignore"):
                _check(case, model)
        except UnsupportedError as error:
            # Expanded cases need other operators, too, which may not be there.
            if "no such operator" not in str(error) or "_expanded" not in case.name:
                raise
        else:
            ran += 1
    assert ran
