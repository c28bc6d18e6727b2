"""Whether two graphs compute the same, whatever their values and nodes are called."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from layerport.graph import Graph, Value
from layerport.op import NDArray


def digest(graph: Graph, arrays: Mapping[str, NDArray], weights: Collection[str]) -> str:
    """A checksum of a graph's structure.

    It depends on operators, attributes, connections, shapes, dtypes and constants, not on names
    (of weights excepted) nor on the values of weights.

    Parameters
    ----------
    arrays : for the graph's parameters that are no weights; they count as constants.
    weights : names of the parameters whose values do not matter.
    """
    simple = graph.replay()
    known: dict[Value, str] = {}
    for index, value in enumerate(simple.inputs):
        known[value] = _hash("input", index, value.shape, value.dtype.name)
    for value in simple.parameters:
        if value.name in weights:
            known[value] = _hash("weight", value.name, value.shape, value.dtype.name)
        else:
            known[value] = _of_array(arrays[value.name])
    for node in simple.nodes:
        operands = [None if v is None else _of(v, known) for v in node.inputs]
        made = _hash(node.op.domain, node.op.name, _plain(node.op.attributes), operands)
        for index, value in enumerate(node.outputs):
            known[value] = _hash(made, index)
    return _hash([_of(value, known) for value in simple.outputs])


def _of(value: Value, known: dict[Value, str]) -> str:
    if value not in known:
        assert value.constant is not None
        known[value] = _of_array(value.constant)
    return known[value]


def _of_array(array: NDArray) -> str:
    data = np.ascontiguousarray(array).tobytes()
    return _hash("constant", array.shape, array.dtype.name, hashlib.sha256(data).hexdigest())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return sorted((key, _plain(item)) for key, item in value.items())
    if isinstance(value, np.ndarray):
        return _of_array(value)
    if isinstance(value, float):
        return float(np.float32(value))  # attributes of ONNX are float32
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _hash(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
