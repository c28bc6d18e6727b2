"""From a graph to a program: groups of operators become nests over placed buffers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count

from layerport.errors import LayerportError, UnsupportedError
from layerport.graph import Graph, Value
from layerport.loops.alone import with_batch
from layerport.loops.arena import arrange
from layerport.loops.blocks import is_splittable
from layerport.loops.canonical import canonical
from layerport.loops.fusion import Group, group, is_view
from layerport.loops.index import Index, Size
from layerport.loops.ir import (
    Body,
    Buffer,
    Call,
    DType,
    Expr,
    Function,
    Load,
    Names,
    Port,
    Program,
    Store,
    as_expr,
)
from layerport.loops.math import expand
from layerport.loops.nest import Memory, NestBuilder
from layerport.loops.pack import pack_weights
from layerport.loops.places import Places
from layerport.loops.prepare import prepare
from layerport.loops.schedule import schedule
from layerport.loops.sources import At, Emitter, Result, Source, as_index, dtype_of, view_source
from layerport.loops.target import Target
from layerport.loops.updates import OverwrittenError, check_updates
from layerport.loops.views import Batch, MixedBatchError, View, strides_for, viewed
from layerport.loops.walk import renumbered
from layerport.loops.weights import Shared, Weights
from layerport.op import NDArray, Op
from layerport.ops.base import Elementwise

__all__ = ["NestBuilder", "lower"]

LONGEST_CHAIN = 12
"""So many elementwise operators are written as one expression before it gets a name."""


def lower(
    graph: Graph, target: Target, *, batch: int | None = None, shared: Shared | None = None
) -> Program:
    """Lower a graph to loops, scheduled for a target.

    Parameters
    ----------
    graph : constants are weights with data; parameters are weights that somebody fills in.
    target : see `Target`.
    batch : the largest batch that the program can take at once; None chooses it so that
        temporaries stay within the target's arena. Where `Program.splittable`, a longer batch can
        be computed block by block.
    shared : makes states of all parameters, which other programs may work on, too.

    Raises
    ------
    UnsupportedError : naming every operator that has no loop nest, every extent besides the batch
        that is not a number, and whatever else cannot be expressed.
    """
    prepared = prepare(graph)
    _check(prepared)
    try:
        return _lowered(prepared, target, batch, shared)
    except MixedBatchError:
        if graph.updates:
            raise
        dim = next(iter(prepared.dims), "")
        one = _lowered(prepare(graph.bind({dim: 1})), target, None, shared)
        return with_batch(one, graph, Batch(dim, "n", 1))


def _lowered(graph: Graph, target: Target, batch: int | None, shared: Shared | None) -> Program:
    """Parameters are updated where they lie, save those whose old values are needed afterwards."""
    in_place = {parameter for parameter, _ in graph.updates}
    while True:
        try:
            return _Lowering(graph, target, batch, shared, in_place).run()
        except OverwrittenError as error:
            in_place -= error.parameters


def _check(graph: Graph) -> None:
    problems = [
        f"{node.op.name}{f' in layer {node.scope!r}' if node.scope else ''} has no loop nest"
        for node in graph.nodes
        if not (is_view(node.op) or node.op.elementwise or type(node.op).loops is not Op.loops)
    ]
    if len(graph.dims) > 1:
        problems.append(
            f"the inputs leave several extents open ({', '.join(sorted(graph.dims))}); only the "
            "batch may be"
        )
    if problems:
        raise UnsupportedError("this model cannot be printed as loops", dict.fromkeys(problems))


def _capacity(graph: Graph, groups: Sequence[Group], target: Target) -> int:
    """How many samples to compute at once: what a nest works on stays within the target's arena.

    Whole tiles of rows, where there is room for one.
    """
    one = Batch(next(iter(graph.dims), ""), "n", 1)

    def size(value: Value) -> int:
        is_weight = value.constant is not None or value in graph.parameters
        return 0 if is_weight else math.prod(one.room(one.sizes(value.shape)))

    largest = max((sum(map(size, {*item.operands, *item.stored})) for item in groups), default=1)
    room = max(1, min(target.largest_batch, target.arena // max(1, largest)))
    return room - room % target.rows or room


class _Lowering(Memory):
    """One run of `lower`."""

    def __init__(
        self,
        graph: Graph,
        target: Target,
        batch: int | None,
        shared: Shared | None,
        in_place: set[Value],
    ) -> None:
        self._graph = graph
        self._target = target
        self._names = Names() if shared is None else shared.names
        self._groups = group(graph, widest=target.rows)
        dim = next(iter(graph.dims), "")
        capacity = batch or (_capacity(graph, self._groups, target) if dim else 1)
        self._batch = Batch(dim, self._names.fresh("n"), capacity)
        self._weights = Weights(self._names, {parameter for parameter, _ in graph.updates}, shared)
        self._updated = {p: self._weights.view(p) for p, _ in graph.updates if p in in_place}
        self._places = Places(
            graph,
            self._groups,
            self._batch,
            self._names,
            compact_views=target.lanes == 1,
            updated={v: self._updated[p] for p, v in graph.updates if p in in_place},
        )
        self._scratch: list[Buffer] = []
        self._functions: list[Function] = []

    def run(self) -> Program:
        """The program."""
        self._write_nests()
        symbol = self._batch.variable if self._batch.dim else ""
        naive = self._functions
        check_updates(naive, {view.buffer: p for p, view in self._updated.items()})
        done, weights = pack_weights(
            [self._scheduled(function) for function in naive],
            self._weights.buffers,
            self._target.packing,
        )
        args = (Index.variable(symbol),) if symbol else ()
        entry = tuple(Call(function.name, args) for function in naive)
        parameters = (symbol,) if symbol else ()
        done.append(Function(self._names.fresh("f"), parameters, entry))
        inputs, outputs = self._ports()
        buffers = (*self._places.buffers, *self._scratch, *weights)
        splittable = bool(symbol) and self._keeps_samples_apart()
        offsets, size = arrange(done, [b for b in buffers if b.kind == "temporary"])
        used = tuple(b for b in buffers if b.kind != "temporary" or b in offsets)
        return Program(
            tuple(done), inputs, outputs, used, symbol, self._batch.capacity, splittable, offsets,
            size,
        )  # fmt: skip

    def _write_nests(self) -> None:
        """Write naive nests for everything, in order."""
        for item in self._groups:
            self._lower_group(item)
        for value, buffer in zip(self._graph.outputs, self._places.outputs, strict=True):
            self._copy_out(value, buffer)
        self._update()

    def _keeps_samples_apart(self) -> bool:
        """Whether no sample influences another one, as the strides of the naive nests show."""
        if self._batch.capacity == 1 and not self._graph.updates:
            # In room for one sample its stride may be anything.
            wider = _Lowering(self._graph, self._target, 2, None, set())
            wider._write_nests()
            return wider._keeps_samples_apart()
        inputs, outputs = self._ports()
        buffers = (*self._places.buffers, *self._scratch)
        return is_splittable(self._functions, inputs, outputs, buffers, self._batch)

    def _ports(self) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
        def port(name: str, value: Value, buffer: Buffer) -> Port:
            shape = self._batch.sizes(value.shape)
            return Port(name, buffer, shape, strides_for(self._batch.room(shape)), value.dtype)

        graph, places = self._graph, self._places
        named = zip(graph.output_names, graph.outputs, places.outputs, strict=True)
        inputs = tuple(port(v.name, v, places.views[v].buffer) for v in graph.inputs)
        return inputs, tuple(port(*output) for output in named)

    def _scheduled(self, function: Function) -> Function:
        plain = expand(canonical(function.body), self._target.native, self._names)
        body = plain if self._target.whole else schedule(plain, self._target, self._names)
        return renumbered(Function(function.name, function.parameters, body, function.note))

    # Values ---------------------------------------------------------------------------------

    def _source(self, value: Value, emitter: Emitter, *, in_place: bool = False) -> Source:
        if self._is_weight(value):
            return self._weights.source(value, emitter)
        return view_source(self._view(value), emitter, in_place=in_place)

    def _is_weight(self, value: Value) -> bool:
        return value.constant is not None or value in self._graph.parameters

    def _view(self, value: Value) -> View:
        """Where a value lies; copies it first where a view operator cannot do without."""
        if self._is_weight(value):
            return self._weights.view(value)
        views = self._places.views
        node = value.node
        if value in views or node is None or not is_view(node.op):
            return self._places.place(value)
        (operand,) = (v for v in node.inputs if v is not None)
        before = self._view(operand)
        made = viewed(node.op, before, value.shape, self._batch)
        if made is None:
            compact = self.temporary(before.shape, before.buffer.dtype)
            self._copy(before, compact, f"copy for {node.op.name}")
            made = viewed(node.op, compact, value.shape, self._batch)
        if made is None:
            raise MixedBatchError(
                f"{node.op.name} from {operand.shape} to {value.shape} mixes the batch with other "
                "axes, which cannot be printed as loops"
            )
        views[value] = made
        return made

    def temporary(self, shape: tuple[Size, ...], dtype: DType) -> View:
        room = self._batch.room(shape)
        buffer = Buffer(self._names.fresh("t"), math.prod(room), dtype)
        self._scratch.append(buffer)
        return View(buffer, shape, strides_for(room))

    def constant(self, array: NDArray, emitter: Emitter) -> Source:
        return self._weights.table(array, emitter)

    # Nests ----------------------------------------------------------------------------------

    def _add(self, body: Body, note: str) -> None:
        if body:
            parameters = (self._batch.variable,) if self._batch.dim else ()
            self._functions.append(Function(self._names.fresh("f"), parameters, body, note))

    def _copy(self, source: View, target: View, note: str) -> None:
        emitter = Emitter(self._names)

        def store(index: tuple[At, ...], value: Expr) -> None:
            emitter.add(
                Store(target.buffer, target.at([as_index(emitter, i) for i in index]), value)
            )

        result = Result(target.shape, target.buffer.dtype, target, store)
        nest = NestBuilder(emitter, [view_source(source, emitter)], [result], self)
        nest.each(lambda *index: nest.operands[0][index])
        self._add(emitter.finish(), note)

    def _lower_group(self, item: Group) -> None:
        if item.inlined is not None and self._element(item.inlined, Emitter(self._names)) is None:
            self._lower_group(item.inlined)
            item = Group(item.anchor, item.epilogue, None, item.stored)
        for value in item.operands:
            if not self._is_weight(value):
                self._view(value)  # emits copies before this nest
        body = self._traced(item)
        if self._weights.settle(canonical(body)):
            body = self._traced(item)
        self._add(body, _note(item))

    def _traced(self, item: Group) -> Body:
        emitter = Emitter(self._names)
        sources = self._operands(item, emitter)
        if item.inlined is not None:
            element = self._element(item.inlined, emitter)
            assert element is not None
            (operand,) = item.inlined.stored
            shape = self._batch.sizes(operand.shape)
            sources[0] = Source(shape, dtype_of(operand.dtype), element)
        results = [self._result(value, item, emitter) for value in item.anchor.outputs]
        self._write(item, NestBuilder(emitter, sources, results, self))
        return emitter.finish()

    def _operands(self, item: Group, emitter: Emitter) -> list[Source | None]:
        node = item.anchor
        return [
            None
            if value is None or (position == 0 and item.inlined is not None)
            else self._source(value, emitter, in_place=(node, position) in self._places.in_place)
            for position, value in enumerate(node.inputs)
        ]

    def _write(self, item: Group, nest: NestBuilder) -> None:
        op = item.anchor.op
        if isinstance(op, Elementwise):
            inputs = nest.inputs
            nest.each(lambda *at: op.scalar(*[x and x.broadcast(at) for x in inputs]))
            return
        try:
            op.loops(nest)
        except (TypeError, IndexError) as error:
            where = f" in layer {item.anchor.scope!r}" if item.anchor.scope else ""
            raise LayerportError(f"the loop nest of {op.name}{where} is wrong: {error}") from error

    def _element(self, item: Group, emitter: Emitter) -> Callable[[tuple[At, ...]], Expr] | None:
        """A function that computes one element of a group's result; None if its nest has none."""
        sources = self._operands(item, emitter)
        results = [self._virtual(value) for value in item.anchor.outputs]
        nest = NestBuilder(emitter, sources, results, self, capture=True)
        self._write(item, nest)
        captured = nest.captured
        if captured is None:
            return None
        (stored,) = item.stored

        def element(index: tuple[At, ...]) -> Expr:
            made = self._finish(item, emitter, index, captured(*index))
            return made[stored]

        return element

    def _virtual(self, value: Value) -> Result:
        shape = self._batch.sizes(value.shape)
        strides = strides_for(self._batch.room(shape))
        view = View(Buffer("virtual", 0), shape, strides)
        return Result(shape, dtype_of(value.dtype), view, lambda index, value: None)

    def _result(self, value: Value, item: Group, emitter: Emitter) -> Result:
        """Where the anchor's elements go: through the epilogue, if they have one, into buffers."""
        first = value is item.anchor.outputs[0]
        reached = [value, *(v for node in item.epilogue for v in node.outputs if first)]
        stored = [v for v in reached if v in item.stored]
        if not stored:
            return self._virtual(value)

        def store(index: tuple[At, ...], element: Expr) -> None:
            place = tuple(as_index(emitter, i) for i in index)
            made = self._finish(item, emitter, place, element) if first else {value: element}
            for target in stored:
                view = self._places.place(target)
                emitter.add(Store(view.buffer, view.at(place), made[target]))

        view = self._places.place(stored[0])
        return Result(self._batch.sizes(value.shape), dtype_of(value.dtype), view, store)

    def _finish(
        self, item: Group, emitter: Emitter, index: tuple[At, ...], element: Expr
    ) -> dict[Value, Expr]:
        """The anchor's element, and what the epilogue makes of it."""
        made: dict[Value, Expr] = {}
        read = (v for node in item.epilogue for v in node.inputs)
        readers = Counter([*read, *item.stored])
        links = count()

        def keep(value: Value, result: Expr) -> None:
            several = readers[value] > 1 and not isinstance(result, Load)
            deep = next(links) % LONGEST_CHAIN == LONGEST_CHAIN - 1
            made[value] = emitter.let(result) if several or deep else result

        keep(item.anchor.outputs[0], element)
        for node in item.epilogue:
            assert isinstance(node.op, Elementwise)
            operands = [
                None if v is None else made[v] if v in made
                else self._source(v, emitter).broadcast(index)
                for v in node.inputs
            ]  # fmt: skip
            keep(node.outputs[0], as_expr(node.op.scalar(*operands)))
        return made

    # Results --------------------------------------------------------------------------------

    def _copy_out(self, value: Value, buffer: Buffer) -> None:
        """Bring an output to its buffer unless it was computed there."""
        view = self._view(value)
        if view.buffer is not buffer:
            target = View(buffer, view.shape, strides_for(self._batch.room(view.shape)))
            self._copy(view, target, "output")

    def _update(self) -> None:
        """Give updated parameters their new values, after everything has read the old ones."""
        pairs = []
        for parameter, value in self._graph.updates:
            view = self._view(value)
            if view == self._weights.view(parameter):
                continue  # computed there
            if view.buffer.kind == "state":
                kept = self.temporary(view.shape, view.buffer.dtype)
                self._copy(view, kept, "keep before updates")
                view = kept
            pairs.append((view, self._view(parameter)))
        for view, target in pairs:
            self._copy(view, target, "update")


def _note(item: Group) -> str:
    """What a nest computes, for a comment."""
    nodes = [*(item.inlined.nodes if item.inlined else []), *item.nodes]
    scopes = dict.fromkeys(node.scope for node in nodes if node.scope)
    names = " + ".join(node.op.name for node in nodes)
    return f"{', '.join(scopes)}: {names}" if scopes else names
