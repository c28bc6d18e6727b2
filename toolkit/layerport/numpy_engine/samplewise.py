"""Which values of a graph have one part a sample, and which mix samples.

A batch can be computed in parts where no sample sees another one, except by way of sums over all
samples and the like: those divide the work into levels, one after another. What is known about a
value is its `State`; an operator without a rule that reads samples counts as mixing them, so that
what is not understood is never split.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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


class Knowledge(NamedTuple):
    """What is known about the values of a graph.

    Attributes
    ----------
    states : where each value has its samples.
    levels : how many reductions over all samples lie on the way to each value, itself included.
    """

    states: dict[Value, State]
    levels: dict[Value, int]


def states_of(graph: Graph) -> dict[Value, State]:
    """What is known about every value of a graph whose batch is the extent `BATCH`."""
    return knowledge_of(graph).states


def knowledge_of(graph: Graph) -> Knowledge:
    """States and levels of the values of a graph whose batch is the extent `BATCH`."""
    known = Knowledge({}, {})
    for value in (*graph.inputs, *graph.parameters):
        known.states[value] = declared(value)
    for node in graph.nodes:
        operands = [Kind.SHARED if v is None else known.states.get(v, Kind.SHARED)
                    for v in node.inputs]  # fmt: skip
        reached = [0 if v is None else known.levels.get(v, 0) for v in node.inputs]
        states = _results(node, operands, reached)
        apart = any(isinstance(state, Along) for state in operands)
        for value, state in zip(node.outputs, states, strict=True):
            known.states[value] = state
            ends = apart and state in (Kind.TOTAL, Kind.LATE)
            known.levels[value] = max(reached, default=0) + ends
    for value in graph.results:
        known.states.setdefault(value, Kind.SHARED)
    return known


def depends_on_count(node: Node) -> bool:
    """Whether a node computes with the number of samples."""
    if not isinstance(node.op, Count | Shape):
        return False
    return any(names_batch(extent) for x in node.inputs if x is not None for extent in x.shape)


def is_samplewise(graph: Graph) -> bool:
    """Whether every output has one part a sample, along the first axis, and no samples mix."""
    states, levels = knowledge_of(graph)
    apart = all(states[v] == Along(0) and not levels.get(v, 0) for v in graph.outputs)
    return apart and not graph.updates and not any(map(depends_on_count, graph.nodes))


def _results(node: Node, operands: Sequence[State], reached: Sequence[int]) -> Sequence[State]:
    if Kind.MIXED in operands:
        return [Kind.MIXED] * len(node.outputs)
    if all(state is Kind.SHARED for state in operands):
        return [_made_of_nothing(node, value) for value in node.outputs]
    if any(isinstance(state, Along) for state in operands):
        # What all samples were reduced to is then the same for each of them.
        plain = [state if isinstance(state, Along) else Kind.SHARED for state in operands]
        made = rule_for(node)(node, plain)
    elif isinstance(node.op, Expand):
        made = _expanded(node, operands[0])
    else:
        made = _of_totals(node, operands, reached)
    found = [made] * len(node.outputs) if isinstance(made, Along | Kind) else list(made)
    return [state if _fits(value, state) else Kind.MIXED
            for value, state in zip(node.outputs, found, strict=True)]  # fmt: skip


def _expanded(node: Node, state: State) -> State:
    """A sum that is repeated for each sample, or otherwise."""
    wide = declared(node.outputs[0])
    return state if wide is Kind.SHARED else wide


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


def _of_totals(node: Node, operands: Sequence[State], reached: Sequence[int]) -> State:
    """Of sums: whether the result is a sum as well, over what is there at the same time."""
    op = node.op
    summed = [level for level, state in zip(reached, operands, strict=True)
              if state is not Kind.SHARED]  # fmt: skip
    if len(set(summed)) > 1:
        return Kind.LATE
    totals = [state is Kind.TOTAL for state in operands]
    if isinstance(op, (*_LINEAR, Add, Sub, Concat)):
        return Kind.TOTAL if all(totals) else Kind.LATE
    if isinstance(op, Cast) and node.outputs[0].dtype.kind == "f":
        return Kind.TOTAL if all(totals) else Kind.LATE
    scaled = isinstance(op, Mul) and totals.count(True) == 1 and Kind.SHARED in operands
    divided = isinstance(op, Div) and totals[0] and operands[1] is Kind.SHARED
    return Kind.TOTAL if scaled or divided else Kind.LATE
