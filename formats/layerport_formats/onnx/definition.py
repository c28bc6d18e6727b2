"""Operators by ONNX's own definitions of them: what a file for older runtimes gets instead."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
from layerport.errors import LayerportError
from layerport.format import ReadContext
from layerport.graph import Builder, Graph, Node
from layerport.limits import Limits
from layerport.op import Op
from layerport.registry import Registry
from onnx import helper

from .fields import dtype_code, operand_fields, schema_of, write_op
from .functions import is_defined
from .nodes import DOMAIN, NEWEST
from .reading import Translation, translate


def decomposed(node: Node) -> Translation | None:
    """What a node's operator says it is made of; see `defined`."""
    build = Builder(rewrite=False)
    inputs = [
        v if v is None or v.constant is not None else build.input(str(i), v.shape, v.dtype)
        for i, v in enumerate(node.inputs)
    ]
    made = node.op.decompose(build, *inputs)
    if made is None:
        return None
    graph = build.finish([made])
    return None if any(n.op == node.op for n in graph.nodes) else Translation(graph, {})


def defined(node: Node, registry: Registry) -> Translation | None:
    """What ONNX defines a node's operator by, as a graph of the same inputs; None where it
    does not.

    The inputs are called "0", "1"..., absent ones left out.
    """
    op = node.op
    schema = schema_of(op.name, DOMAIN, NEWEST) if op.domain == DOMAIN else None
    if schema is None or not is_defined(schema):
        return None
    others = {name: kind for name, kind in registry.ops.items() if name != op.name}
    context = ReadContext(
        Path(op.name), dataclasses.replace(registry, ops=MappingProxyType(others)), Limits()
    )
    shapes = {str(i): v.shape for i, v in enumerate(node.inputs) if v is not None}
    try:
        return translate(_model(node, op, schema), context, shapes=shapes)
    except LayerportError:
        return None


def _model(node: Node, op: Op, schema: onnx.defs.OpSchema) -> onnx.ModelProto:
    """A model of one node."""
    written = write_op(op, schema, node.inputs)
    places = iter(enumerate(node.inputs))
    names: list[str] = []
    constants = []
    for position in range(len(node.inputs) + len(operand_fields(type(op)))):
        if position not in operand_fields(type(op)):
            index, value = next(places, (0, None))
            names.append("" if value is None else str(index))
        elif position in written.operands:
            names.append(f"field_{position}")
            array = np.asarray(written.operands[position])
            constants.append(onnx.numpy_helper.from_array(array, names[-1]))
        else:
            names.append("")
    while names and not names[-1]:
        names.pop()
    proto = onnx.NodeProto(op_type=op.name, input=names, name=op.name)
    proto.output.extend(f"output_{i}" for i in range(len(node.outputs)))
    proto.attribute.extend(written.attributes.values())
    inputs = [
        helper.make_tensor_value_info(str(i), dtype_code(v.dtype), [None] * v.ndim)
        for i, v in enumerate(node.inputs)
        if v is not None
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in proto.output]
    graph = helper.make_graph([proto], op.name, inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", NEWEST)])


def in_scope(graph: Graph, scope: str) -> Graph:
    """The same graph, all of whose nodes belong to a layer."""
    for node in graph.nodes:
        node.scope = scope
    return graph
