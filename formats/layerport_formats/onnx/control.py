"""Nodes that are no operators: constants, branches and loops that are decided while reading."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from layerport.dim import Dim
from layerport.errors import UnsupportedError
from layerport.op import NDArray

from .checks import in_order
from .facts import Fact, NeedsValueError, inputs_behind
from .nodes import OnnxNode

if TYPE_CHECKING:
    from .translate import Frame, Translator


def add_initializers(translator: Translator, graph: onnx.GraphProto, frame: Frame) -> None:
    """Put a graph's initializers into its scope."""
    for tensor in graph.initializer:
        frame.scope[tensor.name] = translator.array(tensor.name, translator.read(tensor))
    for sparse in graph.sparse_initializer:
        name = sparse.values.name
        frame.scope[name] = translator.array(name, translator.read.sparse(sparse))


def run_subgraph(
    translator: Translator,
    graph: onnx.GraphProto,
    frame: Frame,
    path: str,
    given: Sequence[Fact] = (),
) -> list[Fact]:
    """Put the nodes of a subgraph into the graph; returns its outputs."""
    if len(given) != len(graph.input):
        translator.context.fail(f"a subgraph takes {len(graph.input)} values, not {len(given)}",
                                path)  # fmt: skip
    scope: ChainMap[str, Fact] = ChainMap({}, frame.scope)
    inner = frame.inner(scope, path)
    scope.update(zip([value.name for value in graph.input], given, strict=True))
    add_initializers(translator, graph, inner)
    translator.run(in_order(graph.node, translator.context, path), inner)
    for value in graph.output:
        if value.name not in scope:
            translator.context.fail(f"nothing makes the subgraph's output {value.name!r}", path)
    return [scope[value.name] for value in graph.output]


# Constant -------------------------------------------------------------------------------

_FORMS: Mapping[str, Callable[[Any], NDArray]] = {
    "value": np.asarray,
    "value_int": lambda value: np.array(value, np.int64),
    "value_ints": lambda value: np.array(value, np.int64),
    "value_float": lambda value: np.array(value, np.float32),
    "value_floats": lambda value: np.array(value, np.float32),
    "value_string": lambda value: np.array(value, object),
    "value_strings": lambda value: np.array(value, object),
}


def _constant(translator: Translator, node: OnnxNode, frame: Frame) -> None:
    if len(node.attributes) != 1 or len(node.outputs) != 1:
        translator.context.fail("a Constant has one value in one form", node.place)
    ((form, value),) = node.attributes.items()
    if form == "sparse_value":
        array = translator.read.sparse(value, node.place)
    elif form in _FORMS:
        array = _FORMS[form](value)
    else:
        translator.context.fail(f"a Constant has no form {form!r}", node.place)
    name = node.outputs[0]
    frame.scope[name] = translator.array(name, array)


# If -------------------------------------------------------------------------------------


def _if(translator: Translator, node: OnnxNode, frame: Frame) -> None:
    condition = translator.require(node, frame, 0)
    if condition.is_symbolic or condition.array.size != 1:
        raise UnsupportedError("its condition is not one truth value")
    chosen = node.attributes["then_branch" if condition.array.item() else "else_branch"]
    _bind_outputs(node, frame, run_subgraph(translator, chosen, frame, node.label))


def _bind_outputs(node: OnnxNode, frame: Frame, facts: Sequence[Fact]) -> None:
    for name, fact in zip(node.outputs, facts, strict=False):
        if name:
            frame.scope[name] = fact


# Loop -----------------------------------------------------------------------------------

ROUNDS_SHARE = 10
"""A loop may have as many rounds as a tenth of the layers that are allowed."""


def _loop(translator: Translator, node: OnnxNode, frame: Frame) -> None:
    """Unroll a Loop whose number of rounds is known."""
    body: onnx.GraphProto = node.attributes["body"]
    limit = translator.context.limits.layers // ROUNDS_SHARE
    most = int(translator.require(node, frame, 0).array.item()) if node.has(0) else limit + 1
    going = bool(translator.require(node, frame, 1).array.item()) if node.has(1) else True
    carried = [frame.scope[name] for name in node.inputs[2:]]
    collected: list[list[Fact]] = [[] for _ in range(len(node.outputs) - len(carried))]
    done = 0
    while going and done < most:
        if done >= limit:
            translator.context.fail("it has more rounds than the limits allow", node.place)
        path = f"{node.label}/{done}"
        counters = [_number(translator, done, np.int64), _number(translator, True, bool)]
        made = run_subgraph(translator, body, frame, path, [*counters, *carried])
        going = _goes_on(translator, made[0])
        carried = made[1 : 1 + len(carried)]
        for gathered, fact in zip(collected, made[1 + len(carried) :], strict=False):
            gathered.append(fact)
        done += 1
    if not done and any(node.outputs[len(carried) :]):
        raise UnsupportedError("it runs no round, so what it collects has no shape")
    results = [_stack(translator, frame, facts, 0, node.label) for facts in collected if facts]
    _bind_outputs(node, frame, [*carried, *results])


def _goes_on(translator: Translator, fact: Fact) -> bool:
    if fact.broken:
        return False
    if fact.known is None or fact.known.is_symbolic:
        raise NeedsValueError("how often it runs", inputs_behind(translator.value(fact)))
    return bool(fact.known.array.item())


def _number(translator: Translator, number: Any, dtype: Any) -> Fact:
    return translator.array("", np.array(number, dtype))


# Scan -----------------------------------------------------------------------------------


def _scan(translator: Translator, node: OnnxNode, frame: Frame) -> None:
    """Unroll a Scan over an axis of known extent."""
    if node.version < 9:
        raise UnsupportedError("Scan before operator set 9 is not supported")
    body: onnx.GraphProto = node.attributes["body"]
    scanned = int(node.attributes["num_scan_inputs"])
    facts = [frame.scope[name] for name in node.inputs]
    state, sequences = facts[: len(facts) - scanned], facts[len(facts) - scanned :]
    axes = _per_value(node, "scan_input_axes", scanned)
    backwards = _per_value(node, "scan_input_directions", scanned)
    extent = translator.typed(sequences[0]).shape[axes[0]]
    if isinstance(extent, Dim):
        raise UnsupportedError(f"it scans an axis of unknown extent {extent}")
    count = len(node.outputs) - len(state)
    collected: list[list[Fact]] = [[] for _ in range(count)]
    for step in range(extent):
        path = f"{node.label}/{step}"
        parts = [
            _pick(translator, frame, fact, axis, extent - 1 - step if back else step, path)
            for fact, axis, back in zip(sequences, axes, backwards, strict=True)
        ]
        made = run_subgraph(translator, body, frame, path, [*state, *parts])
        state = made[: len(state)]
        for gathered, fact in zip(collected, made[len(state) :], strict=False):
            gathered.append(fact)
    if not extent:
        raise UnsupportedError("it scans an axis of extent 0, so what it collects has no shape")
    results = []
    reversed_ = _per_value(node, "scan_output_directions", count)
    for gathered, axis, back in zip(
        collected, _per_value(node, "scan_output_axes", count), reversed_, strict=True
    ):
        ordered = gathered[::-1] if back else gathered
        results.append(_stack(translator, frame, ordered, axis, node.label))
    _bind_outputs(node, frame, [*state, *results])


def _per_value(node: OnnxNode, name: str, count: int) -> tuple[int, ...]:
    given: tuple[int, ...] = node.attributes.get(name, (0,) * count)
    if len(given) != count:
        raise UnsupportedError(f"{name} has {len(given)} numbers for {count} values")
    return given


def _pick(translator: Translator, frame: Frame, fact: Fact, axis: int, at: int, name: str) -> Fact:
    """One element of an axis, which goes."""
    index = translator.array("", np.array(at, np.int64))
    return _applied(translator, frame, OnnxNode("Gather", [], [], {"axis": axis}, name),
                    [fact, index])  # fmt: skip


def _stack(
    translator: Translator, frame: Frame, facts: Sequence[Fact], axis: int, name: str
) -> Fact:
    """Values behind one another along a new axis."""
    axes = translator.array("", np.array([axis], np.int64))
    rows = [
        _applied(translator, frame, OnnxNode("Unsqueeze", [], [], {}, name), [fact, axes])
        for fact in facts
    ]
    return _applied(translator, frame, OnnxNode("Concat", [], [], {"axis": axis}, name), rows)


def _applied(translator: Translator, frame: Frame, node: OnnxNode, facts: Sequence[Fact]) -> Fact:
    """The result of an operator on facts."""
    node.outputs = [translator.fresh(node.op)]
    for fact in facts:
        name = translator.fresh("operand")
        frame.scope[name] = fact
        node.inputs.append(name)
    translator.apply(node, frame)
    return frame.scope[node.outputs[0]]


HANDLERS: Mapping[str, Callable[[Translator, OnnxNode, Frame], None]] = {
    "Constant": _constant,
    "If": _if,
    "Loop": _loop,
    "Scan": _scan,
}
