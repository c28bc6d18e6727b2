"""A graph that adds up over samples, as a graph for a part of the batch and one for the rest.

The first one adds what its samples contribute to accumulators; the second one computes outputs
and updates from them. Between the two nothing depends on how the batch was cut.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from layerport.dim import Dim, bind_shape
from layerport.graph import Builder, Graph, Node, Value
from layerport.numpy_engine.sample_axes import Along, Kind, State
from layerport.numpy_engine.samplewise import depends_on_count, states_of
from layerport.op import NDArray, Op
from layerport.ops.elementwise import Add, Div
from layerport.ops.reduce import Count, ReduceMean, ReduceSum

COUNT = "engine/count"
TOTAL = "engine/total"
"""Names of inputs and parameters that only exist here start so."""


@dataclasses.dataclass(frozen=True)
class Counted:
    """An input of both graphs that stands for a number which depends on the size of the batch."""

    name: str
    op: Op
    operand: Value

    def array(self, sizes: Mapping[str, int]) -> NDArray:
        """The number for a batch of these sizes."""
        shape = bind_shape(self.operand.shape, sizes)
        blank = np.broadcast_to(np.zeros((), self.operand.dtype), shape)  # type: ignore[arg-type]
        return np.asarray(self.op.bind(sizes).evaluate(blank))


@dataclasses.dataclass(frozen=True)
class Split:
    """Two graphs that do the work of one.

    Attributes
    ----------
    part : updates the accumulators; its outputs are those with one part a sample.
    rest : reads the accumulators as parameters; its outputs are all others.
    accumulators : the parameters of `part` that start at 0 and add up.
    axes : for inputs and outputs that hold samples, along which axis.
    places : for each output of the whole, whether it is in `part`, and where.
    counted : inputs of both graphs besides those of the whole.
    """

    part: Graph
    rest: Graph
    accumulators: tuple[Value, ...]
    axes: Mapping[str, int]
    places: tuple[tuple[bool, int], ...]
    counted: tuple[Counted, ...]


def split(graph: Graph) -> Split | None:
    """Split a graph, or None where samples mix."""
    graph = graph.replay(_means_as_sums)
    states = states_of(graph)
    if any(states[value] is Kind.MIXED for value in graph.results):
        return None
    if not any(isinstance(states[value], Along) for value in graph.inputs):
        return None
    if any(isinstance(states[value], Along) for _, value in graph.updates):
        return None
    return _Splitter(graph, states).split()


def _means_as_sums(build: Builder, node: Node, inputs: tuple[Value | None, ...]) -> Value | None:
    """A mean over samples, divided by a count that is the same for all parts."""
    op, x = node.op, inputs[0] if inputs else None
    if not isinstance(op, ReduceMean) or x is None or x.dtype.kind != "f":
        return None
    axes = op.over(x.ndim)
    if not any(isinstance(x.shape[axis], Dim) for axis in axes):
        return None
    total = build.one(ReduceSum(axes, op.keepdims, op.noop_with_empty_axes), x)
    return build.one(Div(), total, build.one(Count(axes, x.dtype.name), x))


class _Splitter:
    """One split: what lies on the border, and the two graphs on its sides."""

    def __init__(self, graph: Graph, states: Mapping[Value, State]) -> None:
        self._graph = graph
        self._states = states
        self._counted: dict[Node, Counted] = {}
        for node in graph.nodes:
            if depends_on_count(node) and node.inputs[0] is not None:
                name = f"{COUNT}/{len(self._counted)}"
                self._counted[node] = Counted(name, node.op, node.inputs[0])
        self._border = self._find_border()
        self._names = self._name_accumulators()

    def split(self) -> Split:
        graph = self._graph
        part, accumulators = self._part()
        axes = {
            value.name: state.axis
            for value in graph.inputs
            if isinstance(state := self._states[value], Along)
        }
        places, counts = [], {True: 0, False: 0}
        for value in graph.outputs:
            apart = isinstance(self._states[value], Along)
            places.append((apart, counts[apart]))
            counts[apart] += 1
        counted = tuple(self._counted.values())
        return Split(part, self._rest(), accumulators, axes, tuple(places), counted)

    def _find_border(self) -> list[Value]:
        """The sums that something else than a sum is made of, or that are results."""
        wanted = dict.fromkeys(v for v in self._graph.results if self._is_total(v))
        for node in self._graph.nodes:
            if any(self._states[value] is Kind.LATE for value in node.outputs):
                wanted |= dict.fromkeys(v for v in node.inputs if v and self._is_total(v))
        return list(wanted)

    def _is_total(self, value: Value) -> bool:
        return self._states.get(value) is Kind.TOTAL

    def _name_accumulators(self) -> dict[Value, str]:
        """A parameter that only receives a sum adds it up itself."""
        uses = self._graph.uses()
        names = {value: f"{TOTAL}/{place}" for place, value in enumerate(self._border)}
        for parameter, value in self._graph.updates:
            if value in names and not uses.get(parameter):
                names[value] = parameter.name
        return names

    def _part(self) -> tuple[Graph, tuple[Value, ...]]:
        build = Builder(float_dtype=_float_of(self._graph))
        new = build.copy(self._graph, self._count_rule)
        accumulators, updates = [], []
        for value in self._border:
            accumulator = self._accumulator(build, value)
            accumulators.append(accumulator)
            updates.append((accumulator, build.one(Add(), accumulator, new(value))))
        apart = [v for v in self._graph.outputs if isinstance(self._states[v], Along)]
        graph = build.finish([new(value) for value in apart], updates=updates)
        return _used(graph), tuple(accumulators)

    def _rest(self) -> Graph:
        build = Builder(float_dtype=_float_of(self._graph))

        def rule(
            build: Builder, node: Node, inputs: tuple[Value | None, ...]
        ) -> Sequence[Value] | Value | None:
            if not any(value in self._names for value in node.outputs):
                return self._count_rule(build, node, inputs)
            made = build.add(node.op, *inputs)
            return [
                self._accumulator(build, old) if old in self._names else value
                for old, value in zip(node.outputs, made, strict=True)
            ]

        new = build.copy(self._graph, rule)
        outputs = [v for v in self._graph.outputs if not isinstance(self._states[v], Along)]
        updates = [
            (new(parameter), new(value))
            for parameter, value in self._graph.updates
            if self._names.get(value) != parameter.name
        ]
        return _used(build.finish([new(value) for value in outputs], updates=updates))

    def _accumulator(self, build: Builder, value: Value) -> Value:
        name = self._names[value]
        if name in build.parameters:
            return build.parameters[name]
        return build.parameter(name, value.shape, value.dtype)

    def _count_rule(
        self, build: Builder, node: Node, inputs: tuple[Value | None, ...]
    ) -> Value | None:
        counted = self._counted.get(node)
        if counted is None:
            return None
        (value,) = node.outputs
        known = build.inputs.get(counted.name)
        return known or build.input(counted.name, value.shape, value.dtype)


def _used(graph: Graph) -> Graph:
    """The graph without inputs and parameters that nothing reads or updates."""
    uses = graph.uses()
    updated = {parameter for parameter, _ in graph.updates}
    return dataclasses.replace(
        graph,
        inputs=tuple(value for value in graph.inputs if value in uses),
        parameters=tuple(v for v in graph.parameters if v in uses or v in updated),
    )


def _float_of(graph: Graph) -> np.dtype:
    floats = [v.dtype for v in (*graph.outputs, *graph.parameters) if v.dtype.kind == "f"]
    return floats[0] if floats else np.dtype(np.float32)
