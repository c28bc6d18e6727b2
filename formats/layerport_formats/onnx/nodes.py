"""Nodes as the reader handles them: names, and attributes as Python values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import onnx
from layerport.op import NDArray
from onnx import AttributeProto

NEWEST = onnx.defs.onnx_opset_version()
"""The operator set that nodes are upgraded to: the newest that the installed onnx describes."""

DOMAIN = ""
"""The domain of ONNX's own operators; files may also call it "ai.onnx"."""

ReadTensor: TypeAlias = "Callable[[onnx.TensorProto, str], NDArray]"


MADE_UP = "\0"
"""Separates a name from the number that makes it differ from all names in files."""


def plain_name(name: str) -> str:
    """A name without what was added to make it new."""
    return name.split(MADE_UP)[0]


def plain_domain(domain: str) -> str:
    """The domain with ONNX's own under one name."""
    return DOMAIN if domain == "ai.onnx" else domain


@dataclasses.dataclass
class OnnxNode:
    """One node of a file, or one that stands for it after an upgrade.

    Attributes
    ----------
    op : ONNX's name of the operator.
    inputs, outputs : names of values; "" for one that is left out.
    attributes : numbers, strings, arrays, subgraphs (`GraphProto`), and tuples of them.
    name : as in the file, may be "".
    domain : "" for ONNX's own.
    version : of the domain's operator set that the node is written for.
    """

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)
    name: str = ""
    domain: str = DOMAIN
    version: int = NEWEST

    @property
    def label(self) -> str:
        """The node's name, or that of its first output."""
        return self.name or plain_name(next((name for name in self.outputs if name), ""))

    @property
    def kind(self) -> str:
        """The operator with its domain, where that is not ONNX's own."""
        return f"{self.domain}.{self.op}" if self.domain else self.op

    @property
    def place(self) -> str:
        """How messages name the node."""
        return f"node {self.label!r} ({self.kind})"

    def has(self, position: int) -> bool:
        """Whether the operand at this position is given."""
        return position < len(self.inputs) and bool(self.inputs[position])

    def with_(self, **changes: Any) -> OnnxNode:
        """A changed copy."""
        return dataclasses.replace(self, **changes)


def decode(
    proto: onnx.NodeProto,
    versions: Mapping[str, int],
    read: ReadTensor,
    given: Mapping[str, Any] | None = None,
) -> OnnxNode:
    """The node of a file.

    Parameters
    ----------
    versions : operator set version by domain.
    read : turns tensors into arrays.
    given : inside a function, the attributes of the node that calls it.

    Raises
    ------
    ValueError : for an attribute of a kind that does not exist, or a name that is no UTF-8.
    """
    names = [proto.op_type, proto.name, proto.domain, *proto.input, *proto.output]
    for name in [*names, *(attribute.name for attribute in proto.attribute)]:
        if not isinstance(name, str):
            raise ValueError(f"the name {name!r} is no UTF-8")
    domain = plain_domain(proto.domain)
    node = OnnxNode(
        proto.op_type,
        list(proto.input),
        list(proto.output),
        name=proto.name,
        domain=domain,
        version=versions.get(domain, NEWEST),
    )
    for attribute in proto.attribute:
        if attribute.ref_attr_name:
            if given is not None and attribute.ref_attr_name in given:
                node.attributes[attribute.name] = given[attribute.ref_attr_name]
        else:
            node.attributes[attribute.name] = attribute_value(attribute, read)
    return node


def _text(data: bytes) -> str | bytes:
    """A string of a file; what is no text stays bytes, which ONNX allows."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


_PLAIN: Mapping[int, Callable[[AttributeProto], Any]] = {
    AttributeProto.FLOAT: lambda a: a.f,
    AttributeProto.INT: lambda a: a.i,
    AttributeProto.STRING: lambda a: _text(a.s),
    AttributeProto.GRAPH: lambda a: a.g,
    AttributeProto.TYPE_PROTO: lambda a: a.tp,
    AttributeProto.FLOATS: lambda a: tuple(a.floats),
    AttributeProto.INTS: lambda a: tuple(a.ints),
    AttributeProto.STRINGS: lambda a: tuple(map(_text, a.strings)),
    AttributeProto.GRAPHS: lambda a: tuple(a.graphs),
}


def attribute_value(attribute: AttributeProto, read: ReadTensor) -> Any:
    """The Python value of an attribute; see `OnnxNode.attributes`."""
    if attribute.type in _PLAIN:
        return _PLAIN[attribute.type](attribute)
    place = f"attribute {attribute.name!r}"
    if attribute.type == AttributeProto.TENSOR:
        return read(attribute.t, place)
    if attribute.type == AttributeProto.TENSORS:
        return tuple(read(tensor, place) for tensor in attribute.tensors)
    if attribute.type == AttributeProto.SPARSE_TENSOR:
        return attribute.sparse_tensor
    raise ValueError(f"{place} is of the unknown kind {attribute.type}")
