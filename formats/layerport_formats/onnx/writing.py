"""Writing: the graph of a network as an ONNX model."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import layerport
import numpy as np
import onnx
from layerport.dim import Dim
from layerport.errors import UnsupportedError
from layerport.graph import Builder, Graph, Node, Value
from layerport.layer import Layer
from layerport.network import Network
from layerport.op import OURS, NDArray, Op
from layerport.operator import Operator
from layerport.ops import Expand, Identity, Reshape, Slice
from layerport.recording import Recording, arrays_of
from layerport.registry import Registry
from onnx import helper

from .definition import decomposed, defined, in_scope
from .extents import ExtentWriter, simpler_ends, simpler_shape, simpler_target
from .fields import (
    Written,
    dtype_code,
    holds_many,
    minimum,
    operand_fields,
    schema_of,
    takes_dtypes,
    write_op,
)
from .names import Names
from .nodes import DOMAIN, NEWEST

OPSET = 17
"""The operator set that is written unless an operator needs a newer one: runtimes of 2022 and
later know it, and it has LayerNormalization."""

VECTORS_OF_ONE = frozenset({("TopK", "k")})
"""(operator, field) for single numbers that ONNX has as vectors."""

OLDEST = 13
"""The oldest operator set that is written."""


@dataclasses.dataclass(frozen=True)
class Lowered:
    """A network as a graph, with what its parameters are.

    Attributes
    ----------
    graph : in inference mode, unchanged.
    weights : name of a parameter -> (layer, name of the weight).
    """

    graph: Graph
    weights: Mapping[str, tuple[Layer, str]]
    recording: Recording

    @property
    def arrays(self) -> dict[str, NDArray]:
        """The weights by the parameters' names."""
        return arrays_of(self.recording)


def lower(network: Network, registry: Registry) -> Lowered:
    """The graph of a network as its layers state it, nothing simplified."""
    recording = Recording(rewrite=False, registry=registry, float_dtype=network.dtype)
    _, outputs = network.record(recording)
    graph = recording.finish(outputs, [port.name for port in network.outputs])
    return Lowered(graph, recording.parameters, recording)


# Operator sets --------------------------------------------------------------------------


def fits(node: Node, op: Op, opset: int) -> bool:
    """Whether an operator set has a node's operator, as it is and for its dtypes."""
    if op.domain not in (DOMAIN, OURS):
        return True
    schema = schema_of(op.name, DOMAIN, opset) if op.domain == DOMAIN else None
    if schema is None or schema.deprecated or opset < minimum(op, node.inputs):
        return False
    if not takes_dtypes(op, schema, node.inputs):
        return False
    try:
        write_op(op, schema, node.inputs)
    except UnsupportedError:
        return False
    return True


def fitting(graph: Graph, opset: int | None, registry: Registry) -> tuple[Graph, int]:
    """The graph in operators of one operator set, and that set's version.

    Operators that the set lacks are written as what they are defined by.

    Parameters
    ----------
    opset : the version asked for; None for `OPSET`, or as much newer as operators need.

    Raises
    ------
    UnsupportedError : naming every operator that ONNX cannot express in that version.
    """
    if opset is not None and not OLDEST <= opset <= NEWEST:
        raise UnsupportedError(f"operator set {opset}: written are {OLDEST} to {NEWEST}")
    fitter = _Fitter(OPSET if opset is None else opset, registry)
    written = graph.replay(fitter.rule, rewrite=False)
    if fitter.newest == fitter.opset and not fitter.impossible:
        return written, fitter.opset
    if opset is None and not fitter.impossible:
        return fitting(graph, fitter.newest, registry)
    raise UnsupportedError(
        f"ONNX operator set {fitter.opset} cannot express:",
        [f"{what} in {', '.join(dict.fromkeys(w))}" for what, w in fitter.missing.items()],
    )


class _Fitter:
    """Puts what an operator set has in place of what it lacks.

    Attributes
    ----------
    newest : the operator set that has everything.
    missing : operator -> the layers that use it, for those that the set cannot express.
    impossible : whether no operator set can express one of them.
    """

    def __init__(self, opset: int, registry: Registry) -> None:
        self.opset = self.newest = opset
        self.registry = registry
        self.missing: dict[str, list[str]] = {}
        self.impossible = False

    def rule(self, build: Builder, node: Node, inputs: tuple[Value | None, ...]) -> Any:
        """The rule for `Graph.replay`."""
        if fits(node, node.op, self.opset):
            return None
        for definition in (decomposed(node), defined(node, self.registry)):
            if definition is None:
                continue
            inner = _Fitter(self.opset, self.registry)
            body = in_scope(definition.graph, node.scope).replay(inner.rule, rewrite=False)
            if not inner.missing:
                given = {str(i): value for i, value in enumerate(inputs) if value is not None}
                find = build.copy(body, constants=definition.arrays, inputs=given)
                return [find(value) for value in body.outputs]
        self._miss(node)
        return None

    def _miss(self, node: Node) -> None:
        versions = range(self.opset, NEWEST + 1)
        newer = next((v for v in versions if fits(node, node.op, v)), None)
        since = "" if newer is None else f" (operator set {newer} has it)"
        self.missing.setdefault(f"{node.op.name}{since}", []).append(node.scope)
        self.impossible |= newer is None
        self.newest = max(self.newest, newer or 0)


# The model ------------------------------------------------------------------------------


@dataclasses.dataclass
class Model:
    """An ONNX model in the making.

    Attributes
    ----------
    proto : the model without the arrays.
    constants : name -> array.
    weights : name of an initializer -> name of the graph's parameter.
    opset : the operator set.
    literal : whether every operator is written as it is, none by its definition.
    """

    proto: onnx.ModelProto
    constants: dict[str, NDArray]
    weights: dict[str, str]
    opset: int
    literal: bool


def to_model(network: Network, lowered: Lowered, opset: int | None = None) -> Model:
    """The model of a network, without its weights.

    Raises
    ------
    UnsupportedError : naming every operator that ONNX cannot express.
    """
    graph, version = fitting(lowered.graph, opset, lowered.recording.registry)
    writer = _Writer(graph, version, _weight_names(lowered))
    nodes = writer.write()
    proto = onnx.GraphProto(name=network.name or "network", node=nodes)
    proto.input.extend(_info(value, value.name) for value in graph.inputs)
    proto.output.extend(map(_info, graph.outputs, graph.output_names))
    imports = [helper.make_opsetid("", version)]
    imports += [helper.make_opsetid(domain, 1) for domain in sorted(writer.domains)]
    model = onnx.ModelProto(
        ir_version=helper.find_min_ir_version_for(imports[:1]),
        producer_name="layerport",
        producer_version=layerport.__version__,
        opset_import=imports,
        graph=proto,
    )
    literal = len(graph.nodes) == len(lowered.graph.nodes)
    return Model(model, writer.constants, writer.weights, version, literal)


def _weight_names(lowered: Lowered) -> dict[str, str]:
    """Names of initializers: those of parameters; for raw operators, the names they had."""
    own = {
        full: name if isinstance(layer, Operator) else full
        for full, (layer, name) in lowered.weights.items()
    }
    taken = Counter(own.values())
    inputs = {value.name for value in lowered.graph.inputs}
    return {full: full if taken[name] > 1 or name in inputs else name for full, name in own.items()}


def _info(value: Value, name: str) -> onnx.ValueInfoProto:
    shape = [str(extent) if isinstance(extent, Dim) else int(extent) for extent in value.shape]
    return helper.make_tensor_value_info(name, dtype_code(value.dtype), shape)


class _Writer:
    """Writes the nodes of a graph."""

    def __init__(self, graph: Graph, opset: int, weight_names: Mapping[str, str]) -> None:
        self.graph = graph
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray] = {}
        self.weights: dict[str, str] = {}
        self.domains: set[str] = set()
        self._names: dict[Value, str] = {}
        self._arrays: dict[Any, str] = {}
        self._sizes = Counter(node.scope for node in graph.nodes)
        self._values = Names([*(value.name for value in graph.inputs), *graph.output_names])
        self._labels = Names()
        for value in graph.inputs:
            self._names[value] = value.name
        for value in graph.parameters:
            name = self._values.take(weight_names.get(value.name, value.name))
            self._names[value] = name
            self.weights[name] = value.name
        self._extents = ExtentWriter(
            [(value, value.name) for value in graph.inputs], self._array, self._apply
        )

    def write(self) -> list[onnx.NodeProto]:
        """The nodes, in order."""
        ends = self._output_names()
        for node in self.graph.nodes:
            self._node(node, ends)
        for value, name in zip(self.graph.outputs, self.graph.output_names, strict=True):
            if self._names.get(value) != name:
                label = self._labels.take(name)
                self._add("Identity", [self._name(value)], [name], label)
        return self.nodes

    def _output_names(self) -> dict[Value, str]:
        """The names of values that leave the graph; one that leaves twice has its first."""
        ends: dict[Value, str] = {}
        for value, name in zip(self.graph.outputs, self.graph.output_names, strict=True):
            if value.node is not None:
                ends.setdefault(value, name)
        return ends

    # Names ------------------------------------------------------------------------------

    def _name(self, value: Value) -> str:
        if value not in self._names:
            if value.constant is None:
                raise UnsupportedError(f"{value} is made by nothing")
            self._names[value] = self._array(value.constant, value.name)
        return self._names[value]

    def _array(self, array: NDArray, hint: str) -> str:
        """The name of a constant; small equal ones are one."""
        key = (array.dtype.name, array.shape, array.tobytes()) if array.size <= 64 else id(array)
        if key not in self._arrays:
            name = self._values.take(hint or "constant")
            self._arrays[key] = name
            self.constants[name] = array
        return self._arrays[key]

    # Nodes ------------------------------------------------------------------------------

    def _node(self, node: Node, ends: Mapping[Value, str]) -> None:
        op = node.op
        if isinstance(op, Identity) and self._is_alias(node, ends):
            value = node.inputs[0]
            assert value is not None
            self._names[node.outputs[0]] = self._name(value)
            return
        schema = schema_of(op.name, op.domain, self.opset)
        written = _custom(op) if schema is None else write_op(op, schema, node.inputs)
        inputs = self._inputs(op, node, written)
        shared = node.scope and self._sizes[node.scope] > 1
        label = self._labels.take(f"{node.scope}/{op.name}" if shared else node.scope or op.name)
        outputs = []
        for index, value in enumerate(node.outputs):
            end = ends.get(value)
            self._names[value] = end or self._values.take(f"{label}_output_{index}")
            outputs.append(self._names[value])
        if op.domain:
            self.domains.add(op.domain)
        self._add(op.name, inputs, outputs, label, op.domain, written.attributes)

    @staticmethod
    def _is_alias(node: Node, ends: Mapping[Value, str]) -> bool:
        """Whether an Identity only names a weight."""
        source = node.inputs[0]
        return source is not None and source.node is None and node.outputs[0] not in ends

    def _inputs(self, op: Op, node: Node, written: Written) -> list[str]:
        fields = operand_fields(type(op))
        simpler = _simpler_operands(op, node)
        operands = iter(node.inputs)
        names: list[str] = []
        left = len(node.inputs)
        position = 0
        while left or any(place >= position for place in written.operands):
            if position in fields:
                name = ""
                if position in written.operands:
                    field = fields[position]
                    value = simpler.get(field, written.operands[position])
                    name = self._operand(op, field, value, node.scope)
                names.append(name)
            else:
                operand = next(operands, None)
                left = max(left - 1, 0)
                names.append("" if operand is None else self._name(operand))
            position += 1
        while names and not names[-1]:
            names.pop()
        return names

    def _operand(self, op: Op, name: str, value: Any, scope: str) -> str:
        """The name of what a field holds, as an operand."""
        hint = f"{scope}/{name}" if scope else name
        field = next(f for f in dataclasses.fields(op) if f.name == name)
        if "float" in str(field.type):
            return self._array(np.array(value, np.float32), hint)
        if holds_many(field) or (op.name, name) in VECTORS_OF_ONE:
            items = value if isinstance(value, tuple) else (value,)
            return self._extents.vector(items, hint)
        if not isinstance(value, Dim):
            return self._array(np.array(value, np.int64), hint)
        axes = self._array(np.array([0], np.int64), "axes")
        return self._apply("Squeeze", [self._extents.vector([value], hint), axes], {})

    def _apply(self, op: str, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        """A node of a computation of extents."""
        label = self._labels.take(f"shapes/{op}")
        name = self._values.take(label)
        made = {key: helper.make_attribute(key, value) for key, value in attributes.items()}
        self._add(op, inputs, [name], label, DOMAIN, made)
        return name

    def _add(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        name: str,
        domain: str = DOMAIN,
        attributes: Mapping[str, onnx.AttributeProto] | None = None,
    ) -> None:
        node = onnx.NodeProto(op_type=op, input=inputs, output=outputs, name=name, domain=domain)
        node.attribute.extend((attributes or {}).values())
        self.nodes.append(node)


def _simpler_operands(op: Op, node: Node) -> dict[str, Any]:
    """Fields for which ONNX has ways to leave symbolic extents unnamed, written in them."""
    x = node.inputs[0] if node.inputs else None
    if x is None:
        return {}
    if isinstance(op, Reshape):
        return {"shape": simpler_shape(op.shape, x.shape)}
    if isinstance(op, Expand):
        return {"shape": simpler_target(op.shape, x.shape)}
    if isinstance(op, Slice):
        axes = list(range(len(op.ends)) if op.axes is None else op.axes)
        return {"ends": simpler_ends(op.ends, axes, x.shape)}
    return {}


def _custom(op: Op) -> Written:
    """An operator of a domain that ONNX does not describe: every field is an attribute."""
    attributes = {}
    for name, value in op.attributes.items():
        if value is None:
            continue
        plain = int(value) if isinstance(value, bool) else value
        try:
            attributes[name] = helper.make_attribute(name, plain)
        except (TypeError, ValueError) as error:
            raise UnsupportedError(f"{op}: {name} cannot be an attribute ({error})") from error
    return Written(attributes, {})
