"""Functions: those that a file defines, and those by which ONNX defines an operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from layerport.dim import Dim
from layerport.errors import UnsupportedError
from onnx import helper, numpy_helper

from .checks import in_order
from .facts import Fact
from .fields import defaults_of, dtype_code, newest_schema
from .nodes import OnnxNode, attribute_value, plain_domain

if TYPE_CHECKING:
    from .translate import Frame, Translator


def is_function(translator: Translator, node: OnnxNode) -> bool:
    """Whether a node calls a function, or an operator that ONNX defines as one."""
    if (node.domain, node.op) in translator.functions:
        return True
    schema = newest_schema(node)
    return schema is not None and is_defined(schema)


def is_defined(schema: onnx.defs.OpSchema) -> bool:
    """Whether ONNX defines an operator by other operators."""
    described: Any = schema  # onnx's type stubs lack what they say about functions
    return bool(described.has_function or described.has_context_dependent_function)


def call(translator: Translator, body: onnx.FunctionProto, node: OnnxNode, frame: Frame) -> None:
    """Put the nodes of a function into the graph in place of a node that calls it."""
    if len(node.inputs) > len(body.input) or len(node.outputs) > len(body.output):
        translator.context.fail("it gives or takes more values than the function has", node.place)
    scope: dict[str, Fact] = {}
    for formal, actual in zip(body.input, node.inputs, strict=False):
        if actual:
            scope[formal] = frame.scope[actual]
    defaults = {a.name: attribute_value(a, translator.read) for a in body.attribute_proto}
    inner = frame.inner(
        scope,
        node.label,
        versions=_versions(body, frame),
        attributes={**defaults, **node.attributes},
        absent=frozenset(body.input) - set(scope),
    )
    translator.run(in_order(body.node, translator.context, node.place), inner)
    for formal, actual in zip(body.output, node.outputs, strict=False):
        if actual and formal not in scope:
            translator.context.fail(f"nothing makes the function's output {formal!r}", node.place)
        if actual:
            frame.scope[actual] = scope[formal]


def _versions(body: onnx.FunctionProto, frame: Frame) -> Mapping[str, int]:
    own = {plain_domain(entry.domain): entry.version for entry in body.opset_import}
    return {**frame.versions, **own}


def expand(translator: Translator, node: OnnxNode, frame: Frame) -> None:
    """Put the function by which ONNX defines an operator in its place.

    Raises
    ------
    UnsupportedError : when ONNX defines it by none for these operands.
    """
    schema: Any = newest_schema(node)
    if schema.has_function:
        body = schema.function_body
    else:
        versions = schema.context_dependent_function_opset_versions
        types = [_type_of(translator, frame, name) for name in node.inputs]
        serialized = schema.get_context_dependent_function_with_opset_version(
            max(versions), _proto(node).SerializeToString(), types
        )
        body = onnx.FunctionProto.FromString(serialized)
    node = node.with_(attributes={**defaults_of(schema), **node.attributes})
    if not body.node:
        raise UnsupportedError("ONNX does not define it by other operators for these operands")
    call(translator, body, node, frame)


def _type_of(translator: Translator, frame: Frame, name: str) -> bytes:
    if not name:
        return bytes(onnx.TypeProto().SerializeToString())
    value = translator.typed(frame.scope[name])
    shape = [None if isinstance(extent, Dim) else extent for extent in value.shape]
    kind = helper.make_tensor_type_proto(dtype_code(value.dtype), shape)
    return bytes(kind.SerializeToString())


def _proto(node: OnnxNode) -> onnx.NodeProto:
    attributes = {name: _plain(value) for name, value in node.attributes.items()}
    return helper.make_node(
        node.op, node.inputs, node.outputs, node.name, domain=node.domain, **attributes
    )


def _plain(value: Any) -> Any:
    return numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
