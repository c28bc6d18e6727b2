"""A graph that meets its samples only in reductions, as graphs for a part of the batch each.

A *segment* is what can be computed sample by sample between two such reductions. It consists of two
graphs: `part` runs once for each part of the batch, adds what its samples contribute to
accumulators and keeps what later segments read; `rest` runs once behind all parts, on what does not
depend on single samples. A graph that only adds up in the end (a loss, gradients) is one segment;
statistics of the batch, as BatchNormalization takes them, begin another one, and so do their
gradients. Nothing depends on how the batch was cut, but for rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from layerport.dim import Dim, bind_shape
from layerport.graph import Builder, Graph, Node, Value
from layerport.numpy_engine.keeping import values_to_keep
from layerport.numpy_engine.sample_axes import Along, Kind
from layerport.numpy_engine.samplewise import Knowledge, depends_on_count, knowledge_of
from layerport.op import NDArray, Op
from layerport.ops.elementwise import Add, Div
from layerport.ops.moments import Moments
from layerport.ops.reduce import Count, ReduceMean, ReduceSum
from layerport.tensor import Tensor

COUNT, KEPT, ROWS, SHARED, TOTAL = (
    f"engine/{name}" for name in ("count", "kept", "rows", "shared", "total")
)
"""Names of inputs, outputs and parameters that only exist here start so."""

SHARES = "engine/shares"
"""Input of `rest`: what share of the samples each part has."""

PARTS = "parts"
"""The extent that counts the parts of a segment."""


@dataclasses.dataclass(frozen=True)
class Counted:
    """An input of all graphs that stands for a number which depends on the size of the batch."""

    name: str
    op: Op
    operand: Value

    def array(self, sizes: Mapping[str, int]) -> NDArray:
        """The number for a batch of these sizes."""
        shape = bind_shape(self.operand.shape, sizes)
        blank = np.broadcast_to(np.zeros((), self.operand.dtype), shape)  # type: ignore[arg-type]
        return np.asarray(self.op.bind(sizes).evaluate(blank))


@dataclasses.dataclass(frozen=True)
class Kept:
    """What one segment computes for each sample, and another one or the caller reads.

    Attributes
    ----------
    name : of an output of the segment's `part`, and of an input of others.
    value : the value, with `axis` as the axis of the samples.
    first, last : the segment that computes it, and the last one that reads it.
    """

    name: str
    value: Value
    axis: int
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class Segment:
    """What is done between two reductions over all samples.

    Attributes
    ----------
    part : updates the accumulators; outputs what is kept, then the rows.
    rest : reads accumulators as parameters, and rows with those of all parts stacked; updates what
        later segments share. That of the last segment has the outputs and updates of the whole.
    shared : the parameters that `rest` updates for later segments.
    accumulators : the parameters of `part` that start at 0 and add up.
    kept : the names of outputs of `part` with one part a sample.
    rows : the outputs of `part` of which each part of the batch has one.
    """

    part: Graph
    rest: Graph
    shared: tuple[Value, ...]
    accumulators: tuple[Value, ...]
    kept: tuple[str, ...]
    rows: tuple[Value, ...]


@dataclasses.dataclass(frozen=True)
class Segments:
    """Segments that do the work of one graph.

    Attributes
    ----------
    segments : to be run one after the other.
    axes : for inputs that hold samples, along which axis.
    kept : what segments leave to one another, or to the caller.
    outputs : for each output of the whole, the name under which it is kept, or where it is among
        the outputs of the last `rest`.
    counted : inputs of all graphs besides those of the whole.
    """

    segments: tuple[Segment, ...]
    axes: Mapping[str, int]
    kept: tuple[Kept, ...]
    outputs: tuple[str | int, ...]
    counted: tuple[Counted, ...]


def cut(graph: Graph) -> Segments | None:
    """Cut a graph into segments, or None where samples meet otherwise than in reductions."""
    graph = graph.replay(_means_as_sums)
    known = knowledge_of(graph)
    states = known.states
    if any(states[value] is Kind.MIXED for value in graph.results):
        return None
    if not any(isinstance(states[value], Along) for value in graph.inputs):
        return None
    if any(isinstance(states[value], Along) for _, value in graph.updates):
        return None
    return _Cutter(graph, known).cut()


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


class _Half(NamedTuple):
    """One of the two graphs of a segment: its nodes, and the values that come from elsewhere."""

    nodes: tuple[Node, ...]
    border: tuple[Value, ...]


class _Cutter:
    """Works from the last segment to the first, which must provide what later ones read."""

    def __init__(self, graph: Graph, known: Knowledge) -> None:
        self._graph = graph
        self._states, self._levels = known
        self._parameters = frozenset(graph.parameters)
        self._counted: dict[Value, Counted] = {}
        for node in graph.nodes:
            if depends_on_count(node) and node.inputs[0] is not None:
                counted = Counted(f"{COUNT}/{len(self._counted)}", node.op, node.inputs[0])
                self._counted[node.outputs[0]] = counted
        self._count = 1 + max(0, *(self._home(value) for value in graph.results))
        uses = graph.uses()
        self._own_sums = {
            value: parameter.name
            for parameter, value in graph.updates
            if self._states[value] is Kind.TOTAL and not uses.get(parameter)
        }
        """A parameter that only receives a sum adds it up itself."""
        self._keep: frozenset[Value] | None = None
        self._forget()

    def _forget(self) -> None:
        """What segments have to provide is found out anew."""
        self._kept: dict[Value, int] = {
            value: self._count for value in self._graph.outputs if self._is_apart(value)
        }
        """For each value that is kept, the last segment that reads it."""
        self._totals = dict.fromkeys(self._own_sums)
        self._rows: dict[Value, None] = {}
        self._shared: dict[Value, None] = {}

    def cut(self) -> Segments | None:
        self._halves()
        # What crosses borders decides what of it is rather computed again.
        self._keep = values_to_keep(self._kept, self._is_apart) | frozenset(
            value for value in self._graph.outputs if self._is_apart(value)
        )
        self._forget()
        halves = self._halves()
        if any(self._along(value).rounds > 1 for value in self._kept):
            return None
        self._name_all()
        late = [value for value in self._graph.outputs if not self._is_apart(value)]
        return Segments(
            tuple(self._segment(number, *pair) for number, pair in enumerate(halves)),
            {v.name: self._along(v).axis for v in self._graph.inputs if self._is_apart(v)},
            tuple(
                Kept(self._names[value], value, self._along(value).axis, self._home(value), last)
                for value, last in self._kept.items()
            ),
            tuple(
                self._names[value] if self._is_apart(value) else late.index(value)
                for value in self._graph.outputs
            ),
            tuple(self._counted.values()),
        )

    def _name_all(self) -> None:
        self._names = {value: counted.name for value, counted in self._counted.items()}
        # A row has a name of its own besides that of what it becomes.
        self._row_names = {value: f"{ROWS}/{place}" for place, value in enumerate(self._rows)}
        tables: Mapping[str, Iterable[Value]] = {
            KEPT: self._kept, TOTAL: self._totals, SHARED: self._shared
        }  # fmt: skip
        for prefix, values in tables.items():
            for place, value in enumerate(values):
                self._names[value] = f"{prefix}/{place}"
        self._names |= self._own_sums

    # Where values belong ------------------------------------------------------------------

    def _is_apart(self, value: Value) -> bool:
        return isinstance(self._states.get(value), Along)

    def _along(self, value: Value) -> Along:
        state = self._states[value]
        assert isinstance(state, Along)
        return state

    def _is_row(self, value: Value) -> bool:
        """Whether a value is put together of what each part has."""
        node = value.made_by(Moments)
        if node is None or self._states[value] is not Kind.LATE:
            return False
        return any(v is not None and self._is_apart(v) for v in node.inputs)

    def _home(self, value: Value) -> int:
        """The segment that computes a value; -1 for what depends on no sample."""
        state = self._states.get(value, Kind.SHARED)
        if state is Kind.SHARED:
            return -1
        return self._levels.get(value, 0) - (not isinstance(state, Along))

    def _at_home(self, values: Iterable[Value], number: int) -> list[Value]:
        return [value for value in values if self._home(value) == number]

    # What is needed -----------------------------------------------------------------------

    def _halves(self) -> list[tuple[_Half, _Half]]:
        """Part and rest of each segment."""
        found = []
        for number in reversed(range(self._count)):
            rest = self._walk(self._rest_results(number), number, apart=False)
            wanted = [*self._kept, *self._totals, *self._rows]
            part = self._walk(self._at_home(wanted, number), number, apart=True)
            found.append((part, rest))
        return found[::-1]

    def _rest_results(self, number: int) -> list[Value]:
        results = self._at_home(self._shared, number)
        if number == self._count - 1:
            results += [value for value in self._graph.outputs if not self._is_apart(value)]
            results += [value for _, value in self._late_updates()]
        return results

    def _late_updates(self) -> list[tuple[Value, Value]]:
        """The updates that are not sums to begin with."""
        updates = self._graph.updates
        return [(p, v) for p, v in updates if self._own_sums.get(v) != p.name]

    def _walk(self, results: Iterable[Value], number: int, *, apart: bool) -> _Half:
        """What results need of the nodes, back to what comes from elsewhere."""
        nodes: set[Node] = set()
        border: dict[Value, None] = {}
        stack = list(results)
        while stack:
            value = stack.pop()
            if value.constant is not None or value.node in nodes:
                continue
            if value.node is None or self._crosses(value, number, apart):
                border[value] = None
                continue
            nodes.add(value.node)
            stack += [v for v in value.node.inputs if v is not None]
        return _Half(tuple(node for node in self._graph.nodes if node in nodes), tuple(border))

    def _crosses(self, value: Value, number: int, apart: bool) -> bool:
        """Whether a value comes from elsewhere; notes what has to be provided there."""
        if value in self._counted:
            return True
        state, home = self._states[value], self._home(value)
        if state is Kind.SHARED or (apart and home == number):
            return False
        if isinstance(state, Along):
            if self._keep is not None and value not in self._keep:
                return False
            self._kept[value] = max(number, self._kept.get(value, 0))
        elif state is Kind.TOTAL:
            self._totals.setdefault(value)
        elif home < number:
            self._shared.setdefault(value)
        elif self._is_row(value) and value.node is not None:
            self._rows |= dict.fromkeys(value.node.outputs)
        else:
            return False
        return True

    # Building -----------------------------------------------------------------------------

    def _segment(self, number: int, part: _Half, rest: _Half) -> Segment:
        kept, totals, rows = (
            self._at_home(values, number) for values in (self._kept, self._totals, self._rows)
        )
        build, new = self._copied(part, number)
        accumulators = [self._parameter(build, value) for value in totals]
        updates = [
            (accumulator, build.one(Add(), accumulator, new(value)))
            for accumulator, value in zip(accumulators, totals, strict=True)
        ]
        outputs = [new(value) for value in (*kept, *rows)]
        names = [*(self._names[v] for v in kept), *(self._row_names[v] for v in rows)]
        return Segment(
            _used(build.finish(outputs, updates=updates, output_names=names)),
            *self._rest(number, rest),
            tuple(accumulators),
            tuple(names[: len(kept)]),
            tuple(Value(v.shape, v.dtype, name=self._row_names[v]) for v in rows),
        )

    def _rest(self, number: int, half: _Half) -> tuple[Graph, tuple[Value, ...]]:
        build, new = self._copied(half, number)
        shared = self._at_home(self._shared, number)
        targets = [self._parameter(build, value) for value in shared]
        updates = list(zip(targets, map(new, shared), strict=True))
        outputs: list[Value] = []
        if number == self._count - 1:
            outputs = [new(value) for value in self._graph.outputs if not self._is_apart(value)]
            updates += [(self._parameter(build, p), new(v)) for p, v in self._late_updates()]
        return _used(build.finish(outputs, updates=updates)), tuple(targets)

    def _copied(self, half: _Half, number: int) -> tuple[Builder, Callable[[Value], Value]]:
        build = Builder(float_dtype=_float_of(self._graph))
        known = {value: self._stand_in(build, value, number) for value in half.border}
        return build, build.copy(Graph((), (), (), half.nodes), known=known)

    def _stand_in(self, build: Builder, value: Value, number: int) -> Value:
        """A value that comes from elsewhere, as an input or a parameter."""
        if value.node is None and value not in self._parameters:
            return build.input(value.name, value.shape, value.dtype)
        if value in self._counted or self._is_apart(value):
            return build.input(self._names[value], value.shape, value.dtype)
        if value in self._rows and self._home(value) == number:
            return self._together(build, value)
        return self._parameter(build, value)

    def _parameter(self, build: Builder, value: Value) -> Value:
        name = self._names.get(value, value.name)
        return build.parameters.get(name) or build.parameter(name, value.shape, value.dtype)

    def _together(self, build: Builder, value: Value) -> Value:
        """Mean or variance over the batch, from those of all parts.

        The variance is that within the parts plus that of their means, so nothing cancels.
        """
        assert value.node is not None
        means, variances = (
            Tensor(build, build.parameters.get(name) or build.parameter(name, shape, value.dtype))
            for name, shape in (
                (self._row_names[v], (Dim(PARTS), *v.shape)) for v in value.node.outputs
            )
        )
        known = build.inputs.get(SHARES) or build.input(SHARES, (Dim(PARTS),), np.float64)
        shares = Tensor(build, known).astype(value.dtype).reshape((-1, *[1] * value.ndim))
        mean: Tensor = (shares * means).sum(axis=0)
        if value is value.node.outputs[0]:
            return mean.value
        deviations = means - mean
        variance: Tensor = (shares * (variances + deviations * deviations)).sum(axis=0)
        return variance.value


def _used(graph: Graph) -> Graph:
    """The graph without inputs and parameters that nothing reads or updates."""
    uses = graph.uses()
    updated = {parameter for parameter, _ in graph.updates}
    return dataclasses.replace(
        graph,
        inputs=tuple(value for value in graph.inputs if value in uses),
        parameters=tuple(v for v in graph.parameters if v in uses or v in updated),
    )


def _float_of(graph: Graph) -> np.dtype[Any]:
    floats = [v.dtype for v in (*graph.outputs, *graph.parameters) if v.dtype.kind == "f"]
    return floats[0] if floats else np.dtype(np.float32)
