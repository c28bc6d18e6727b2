"""Which values of a graph have one part a sample, and which mix samples.

A batch can be computed in parts only where no sample sees another one. What is known about a value
is its `State`; an operator without a rule that reads samples counts as mixing them, so that what is
not understood is never split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layerport.graph import Graph, Node, Value
from layerport.numpy_engine.sample_axes import Along, Kind, State, declared, names_batch
from layerport.numpy_engine.sample_rules import rule_for
from layerport.ops.arrange import Concat, PadGrad
from layerport.ops.elementwise import Add, Div, Mul, Neg, Sub
from layerport.ops.indexing import Slice, SliceGrad
from layerport.ops.logic import Cast
from layerport.ops.random import RandomUniform
from layerport.ops.reduce import Count, ReduceSum
from layerport.ops.shape import Expand, Identity, Reshaping, Shape, Transpose


def states_of(graph: Graph) -> dict[Value, State]:
    """What is known about every value of a graph whose batch is the extent `BATCH`."""
    states: dict[Value, State] = {}
    for value in (*graph.inputs, *graph.parameters):
        states[value] = declared(value)
    for node in graph.nodes:
        for value, state in zip(node.outputs, _results(node, states), strict=True):
            states[value] = state
    for value in graph.results:
        states.setdefault(value, Kind.SHARED)
    return states


def depends_on_count(node: Node) -> bool:
    """Whether a node computes with the number of samples."""
    if not isinstance(node.op, Count | Shape):
        return False
    return any(names_batch(extent) for x in node.inputs if x is not None for extent in x.shape)


def is_samplewise(graph: Graph) -> bool:
    """Whether every output has one part a sample, along the first axis, and no samples mix."""
    states = states_of(graph)
    apart = all(states[value] == Along(0) for value in graph.outputs)
    return apart and not graph.updates and not any(map(depends_on_count, graph.nodes))


def _results(node: Node, states: Mapping[Value, State]) -> Sequence[State]:
    operands = [Kind.SHARED if v is None else states.get(v, Kind.SHARED) for v in node.inputs]
    if Kind.MIXED in operands:
        return [Kind.MIXED] * len(node.outputs)
    if all(state is Kind.SHARED for state in operands):
        return [_made_of_nothing(node, value) for value in node.outputs]
    if not any(isinstance(state, Along) for state in operands):
        made: State | Sequence[State] = _of_totals(node, operands)
    elif any(state in (Kind.TOTAL, Kind.LATE) for state in operands):
        made = Kind.MIXED
    else:
        made = rule_for(node)(node, operands)
    found = [made] * len(node.outputs) if isinstance(made, Along | Kind) else list(made)
    return [state if _fits(value, state) else Kind.MIXED
            for value, state in zip(node.outputs, found, strict=True)]  # fmt: skip


def _made_of_nothing(node: Node, value: Value) -> State:
    state = declared(value)
    # Random numbers are counted by sample, along the first axis.
    is_random = isinstance(node.op, RandomUniform)
    return Kind.MIXED if is_random and state != Along(0) else state


def _fits(value: Value, state: State) -> bool:
    """Whether a state is possible for a value of this shape: rules may not invent samples."""
    if not isinstance(state, Along):
        return not any(map(names_batch, value.shape)) or state is Kind.MIXED
    return declared(value) == Along(state.axis, state.width * state.rounds)


# Sums over samples ----------------------------------------------------------------------

_LINEAR = (Neg, Reshaping, Transpose, Identity, ReduceSum, Slice, SliceGrad, Expand, PadGrad)


def _of_totals(node: Node, operands: Sequence[State]) -> State:
    """Of sums: whether the result is a sum as well."""
    op = node.op
    totals = [state is Kind.TOTAL for state in operands]
    if isinstance(op, (*_LINEAR, Add, Sub, Concat)):
        return Kind.TOTAL if all(totals) else Kind.LATE
    if isinstance(op, Cast) and node.outputs[0].dtype.kind == "f":
        return Kind.TOTAL if all(totals) else Kind.LATE
    scaled = isinstance(op, Mul) and totals.count(True) == 1 and Kind.SHARED in operands
    divided = isinstance(op, Div) and totals[0] and operands[1] is Kind.SHARED
    return Kind.TOTAL if scaled or divided else Kind.LATE
