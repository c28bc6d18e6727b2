"""An ONNX graph as a graph of our operators."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from layerport.dim import Shape
from layerport.errors import CaptureError, ShapeError, UnsupportedError
from layerport.format import ReadContext
from layerport.graph import Builder, Graph, Value
from layerport.op import NDArray, Op
from layerport.operator import is_trainable

from . import control, functions
from .facts import Fact, NeedsValueError, Pending, inputs_behind, label_of
from .fields import (
    InvalidNodeError,
    check_node,
    defaults_of,
    make_op,
    newest_schema,
    operand_fields,
    schema_of,
)
from .known import Known, evaluate, least_size
from .names import Names
from .nodes import DOMAIN, MADE_UP, OnnxNode, decode, plain_name
from .recorded import DEFINITIONS, record
from .tensors import TensorReader
from .upgrade import is_upgraded, upgrade
from .upgrade.sketch import LabelsError

Scope: TypeAlias = "MutableMapping[str, Fact]"


@dataclasses.dataclass(frozen=True)
class Frame:
    """Where nodes stand: in the graph itself, in a subgraph, or in a function that is called.

    Attributes
    ----------
    scope : the values that nodes see, by name.
    versions : of the operator sets, by domain.
    attributes : of the node that calls the function.
    path : names of the nodes around, for names of layers.
    depth : how deep it lies.
    absent : names of a function's operands that the call leaves out.
    """

    scope: Scope
    versions: Mapping[str, int]
    attributes: Mapping[str, Any] | None = None
    path: str = ""
    depth: int = 0
    absent: frozenset[str] = frozenset()

    def inner(self, scope: Scope, name: str, **changes: Any) -> Frame:
        """A frame inside this one."""
        path = f"{self.path}/{name}" if self.path else name
        return dataclasses.replace(self, scope=scope, path=path, depth=self.depth + 1, **changes)


class Translator:
    """Puts the nodes of a file into a `Builder`, one operator each.

    Nodes keep their names as scopes. What cannot be expressed is collected in `problems`, so that
    one message can name everything.

    Parameters
    ----------
    context : refuses what is wrong.
    read : reads tensors.
    model_functions : of the file, by domain and name.
    ops : the operators that are known, by ONNX's name.
    values_bound : whether a caller can give data for inputs that shapes depend on; then
        `NeedsValueError` names them, otherwise they are problems.
    """

    def __init__(
        self,
        context: ReadContext,
        read: TensorReader,
        model_functions: Mapping[tuple[str, str], onnx.FunctionProto],
        ops: Mapping[str, type[Op]],
        *,
        values_bound: bool = False,
    ) -> None:
        self.context = context
        self.read = read
        self.functions = model_functions
        self.ops = ops
        self.values_bound = values_bound
        self.builder = Builder(rewrite=False)
        self.arrays: dict[str, NDArray] = {}
        self.problems: dict[str, list[str]] = {}
        self.labels: list[str] | None = None
        self._layers = Names()
        self._weights = Names()
        self._fresh = 0
        self._nodes = 0

    # Values -----------------------------------------------------------------------------

    def input(self, name: str, shape: Shape, dtype: Any) -> Fact:
        """An input of the graph."""
        self._layers.take(name)
        self._weights.take(name)
        return Fact(name, value=self.builder.input(name, shape, dtype))

    def array(self, name: str, array: NDArray) -> Fact:
        """An initializer or constant."""
        return Fact(name, known=Known.of(array), array=array)

    def weight(self, name: str, array: NDArray) -> Fact:
        """An initializer whose numbers may change without a change of the graph."""
        return Fact(name, array=array, is_weight=True)

    def value(self, fact: Fact) -> Value:
        """What stands for a fact in the graph; puts there what is missing."""
        stack = [fact]
        while stack:
            top = stack[-1]
            if top.value is None and top.pending is not None and not _folds(top):
                missing = [f for f in top.pending.inputs if f is not None and f.value is None]
                if missing:
                    stack += missing
                    continue
                self._put(top.pending)
            elif top.value is None:
                top.value = self._constant(top)
            stack.pop()
        assert fact.value is not None
        return fact.value

    def _constant(self, fact: Fact) -> Value:
        array = fact.array if fact.array is not None else fact.known.array if fact.known else None
        assert array is not None
        name = plain_name(fact.name) or "constant"
        if array.dtype == object:
            raise UnsupportedError(f"{name!r} holds strings, which no tensor here can")
        if fact.is_weight or (fact.array is not None and is_trainable(array)):
            name = self._weights.take(name)
            self.arrays[name] = array
            return self.builder.parameter(name, array.shape, array.dtype)
        value = self.builder.constant(array)
        value.name = value.name or name
        return value

    def _put(self, pending: Pending) -> None:
        operands = [None if fact is None else fact.value for fact in pending.inputs]
        while operands and operands[-1] is None:
            operands.pop()
        with self.builder.scope(""):
            self.builder.scope_name = pending.name
            made = self.builder.add(pending.op, *operands)
        for fact, value in zip(pending.outputs, made, strict=False):
            self._check_size(value, pending.name)
            fact.value, fact.pending = value, None
            value.name = value.name or plain_name(fact.name)

    def _check_size(self, value: Value, name: str) -> None:
        size = least_size(value.shape) * value.dtype.itemsize
        if size > self.context.limits.tensor_bytes:
            self.context.fail(
                f"it makes a tensor of {size:,} bytes, more than the limits allow", f"node {name!r}"
            )

    # What upgrades and control flow ask for ---------------------------------------------

    def fresh(self, base: str) -> str:
        """A name that no value of the file has."""
        self._fresh += 1
        return f"{base}{MADE_UP}{self._fresh}"

    def require(self, node: OnnxNode, frame: Frame, position: int) -> Known:
        """What an operand is, which must be known now.

        Raises
        ------
        NeedsValueError : when it depends on data.
        """
        fact = frame.scope[node.inputs[position]]
        if fact.known is not None:
            return fact.known
        if fact.array is not None:
            raise UnsupportedError(f"{label_of(node, position)} is too large to decide a shape")
        raise NeedsValueError(label_of(node, position), inputs_behind(self.value(fact)))

    def report(self, node: OnnxNode, frame: Frame, why: str) -> None:
        """Note a node that cannot be expressed, and mark what it makes."""
        where = f"{frame.path}/{node.label}" if frame.path else node.label
        self.problems.setdefault(f"{node.kind}: {why}", []).append(where)
        _mark(node, frame, broken=True)

    # Nodes ------------------------------------------------------------------------------

    def run(self, protos: Iterable[onnx.NodeProto], frame: Frame) -> None:
        """Put nodes into the graph, in order."""
        if frame.depth > self.context.limits.depth:
            self.context.fail("subgraphs or functions are nested too deeply", frame.path[:200])
        for proto in protos:
            try:
                node = decode(proto, frame.versions, self.read, frame.attributes)
            except ValueError as error:  # names that are no UTF-8 included
                self.context.fail(str(error), f"node {proto.name or list(proto.output)}")
            self.apply(node, frame)

    def apply(self, node: OnnxNode, frame: Frame) -> None:
        """Put one node into the graph, or what stands for it."""
        self._nodes += 1
        if self._nodes > self.context.limits.layers:
            self.context.fail("it has more nodes than the limits allow", node.place)
        node.inputs = ["" if name in frame.absent else name for name in node.inputs]
        self._check_operands(node, frame)
        if not self._is_known(node):
            self.report(node, frame, "layerport has no such operator")
            return
        operands = [frame.scope[name] for name in node.inputs if name]
        if any(fact.broken for fact in operands):
            _mark(node, frame, broken=True)
        elif any(fact.is_label for fact in operands):
            _mark(node, frame, is_label=True)
        else:
            self._try(node, frame)

    def _try(self, node: OnnxNode, frame: Frame) -> None:
        try:
            self._apply(node, frame)
        except InvalidNodeError as error:
            self.context.fail(str(error), node.place)
        except ShapeError as error:
            if not self._is_exotic(node, frame):
                self.context.fail(str(error), node.place)
            self.report(node, frame, str(error))
        except (CaptureError, UnsupportedError) as error:
            self.report(node, frame, str(error))
        except LabelsError as error:
            self.labels = error.labels
            _mark(node, frame, is_label=True)
        except NeedsValueError as error:
            if self.values_bound and error.inputs:
                raise
            self.report(node, frame, str(error))

    def _is_exotic(self, node: OnnxNode, frame: Frame) -> bool:
        """Whether an operand is of a dtype that NumPy lacks, such as bfloat16."""
        kinds = [self.typed(frame.scope[name]).dtype.kind for name in node.inputs if name]
        return any(kind not in "biufc" for kind in kinds)

    def _check_operands(self, node: OnnxNode, frame: Frame) -> None:
        for name in node.inputs:
            if name and name not in frame.scope:
                self.context.fail(f"nothing makes its input {name!r}", node.place)

    def _apply(self, node: OnnxNode, frame: Frame) -> None:
        check_node(node, schema_of(node.op, node.domain, node.version))
        if node.domain == DOMAIN and node.op in control.HANDLERS:
            control.HANDLERS[node.op](self, node, frame)
            return
        upgraded = upgrade(node, Tools(self, frame))
        if upgraded is not None:
            for part in upgraded:
                self.apply(part, frame)
            return
        body = self.functions.get((node.domain, node.op))
        if body is not None:
            functions.call(self, body, node, frame)
            return
        kind = self._class_of(node)
        if kind is not None:
            self._add(kind, node, frame)
        elif node.kind in DEFINITIONS:
            self._record(node, frame)
        else:
            functions.expand(self, node, frame)

    def _class_of(self, node: OnnxNode) -> type[Op] | None:
        kind = self.ops.get(node.op)
        return kind if kind is not None and kind.domain == node.domain else None

    def _is_known(self, node: OnnxNode) -> bool:
        """Whether there is something to put in a node's place."""
        if is_upgraded(node) or (node.domain == DOMAIN and node.op in control.HANDLERS):
            return True
        if self._class_of(node) is not None or node.kind in DEFINITIONS:
            return True
        return functions.is_function(self, node)

    def _add(self, kind: type[Op], node: OnnxNode, frame: Frame) -> None:
        static = operand_fields(kind)
        fields = {
            static[i]: self.require(node, frame, i).plain for i in static if node.has(i)
        }  # fmt: skip
        facts = [
            frame.scope[name] if name else None
            for i, name in enumerate(node.inputs)
            if i not in static
        ]
        # Shape is asked of values that only need to be there for their shape.
        known = [None if fact is None else fact.known for fact in facts]
        inputs = [None if fact is None else self.typed(fact) for fact in facts]
        op = make_op(kind, node, fields, inputs)
        outputs = [Fact(name) for name in node.outputs]
        name = self._layer_name(node, frame)
        pending = Pending(op, facts, outputs, name)
        results = self._known_results(node, op, known, inputs)
        if results is None or len(results) < sum(bool(n) for n in node.outputs):
            for fact in facts:
                if fact is not None:
                    self.value(fact)
            self._put(pending)
            missing = [f.name for f in outputs if f.value is None and f.name]
            if missing:
                raise UnsupportedError(f"its output {', '.join(map(repr, missing))} is not made")
        else:
            for fact, result in zip(outputs, results, strict=False):
                fact.known, fact.pending = result, pending
        for fact in outputs:
            if fact.name:
                frame.scope[fact.name] = fact

    def _record(self, node: OnnxNode, frame: Frame) -> None:
        """Put what stands for a node in NumPy into the graph."""
        attributes = {**defaults_of(newest_schema(node)), **node.attributes}
        values = [self.value(frame.scope[name]) if name else None for name in node.inputs]
        body = record(node.op, attributes, values)
        for part in body.nodes:
            base = f"{node.label or node.op}/{part.op.name}"
            part.scope = self._layers.take(f"{frame.path}/{base}" if frame.path else base)
        given = {str(i): value for i, value in enumerate(values) if value is not None}
        find = self.builder.copy(body, inputs=given)
        for name, value in zip(node.outputs, body.outputs, strict=False):
            frame.scope[name] = Fact(name, value=find(value))

    def typed(self, fact: Fact) -> Value:
        """A value with the shape and dtype of a fact, without putting it into the graph."""
        if fact.value is not None:
            return fact.value
        if fact.array is not None:
            return Value(fact.array.shape, fact.array.dtype)
        assert fact.known is not None
        return Value(fact.known.array.shape, fact.known.dtype)

    def _known_results(
        self,
        node: OnnxNode,
        op: Op,
        known: Sequence[Known | None],
        inputs: Sequence[Value | None],
    ) -> list[Known] | None:
        if node.op == "Shape" and node.domain == DOMAIN and inputs[0] is not None:
            fields = op.attributes
            return [Known.of_extents(inputs[0].shape[fields["start"] : fields["end"]])]
        if not op.deterministic:
            return None
        if any(k is None and value is not None for k, value in zip(known, inputs, strict=True)):
            return None
        return evaluate(node.op, op, known)

    def _layer_name(self, node: OnnxNode, frame: Frame) -> str:
        label = node.label or node.op
        return self._layers.take(f"{frame.path}/{label}" if frame.path else label)

    # The end ----------------------------------------------------------------------------

    def finish(self, outputs: Sequence[Fact], names: Sequence[str]) -> Graph:
        """The graph of these outputs.

        Raises
        ------
        UnsupportedError : naming every operator and node that cannot be expressed.
        """
        if self.problems:
            lines = [f"{what} ({_listed(nodes)})" for what, nodes in self.problems.items()]
            raise UnsupportedError(
                f"{self.context.path}: the file uses what layerport cannot express:", lines
            )
        values = [self.value(fact) for fact in outputs]
        return self.builder.finish(values, output_names=names)


SHOWN = 20
"""How many nodes with the same problem a message names."""


def _listed(nodes: Sequence[str]) -> str:
    names = ", ".join(map(repr, nodes[:SHOWN]))
    more = f" and {len(nodes) - SHOWN} more" if len(nodes) > SHOWN else ""
    return f"node {names}" if len(nodes) == 1 else f"{len(nodes)} nodes {names}{more}"


def _mark(node: OnnxNode, frame: Frame, *, broken: bool = False, is_label: bool = False) -> None:
    """Let what a node makes be no tensor of the graph, for a reason."""
    for name in node.outputs:
        frame.scope[name] = Fact(name, broken=broken, is_label=is_label)


def _folds(fact: Fact) -> bool:
    return fact.known is not None and fact.known.folds


@dataclasses.dataclass(frozen=True)
class Tools:
    """What an upgrade can ask about the values of a node, and the names it can make."""

    translator: Translator
    frame: Frame

    def fresh(self, base: str) -> str:
        """A new name."""
        return self.translator.fresh(base)

    def constant(self, array: Any, dtype: Any = None) -> str:
        """The name of a new constant."""
        made = np.asarray(array, dtype)
        name = self.fresh("constant")
        self.frame.scope[name] = self.translator.array("", made)
        return name

    def shape(self, name: str) -> Shape:
        """The shape of a value."""
        return self.translator.typed(self.frame.scope[name]).shape

    def dtype(self, name: str) -> np.dtype[Any]:
        """The dtype of a value."""
        return self.translator.typed(self.frame.scope[name]).dtype

    def require(self, node: OnnxNode, position: int) -> Known:
        """What an operand is; see `Translator.require`."""
        return self.translator.require(node, self.frame, position)

    def text(self, name: str) -> list[str] | None:
        """The elements of a constant that holds strings; None for any other value."""
        array = self.frame.scope[name].array
        strings = array is not None and array.dtype == object
        return [str(item) for item in array.reshape(-1)] if array is not None and strings else None

    def name_classes(self, labels: list[str]) -> None:
        """Say what the classes are called."""
        self.translator.labels = labels or None
