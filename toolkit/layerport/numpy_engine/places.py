"""Where the values of a graph lie, and the calls that compute them there.

One walk over the nodes in order. A view of an array costs nothing. An elementwise operator works in
place where an operand is read for the last time. What is concatenated or padded is computed inside
the larger array, and an updated parameter inside the parameter, if nobody reads there any more.
Everything else gets a buffer of its own, which shares memory with others by lifetime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from layerport.dim import static_shape
from layerport.graph import Graph, Node, Value
from layerport.numpy_engine.arrays import (
    Order,
    bounds,
    has_repeats,
    is_dense,
    natural_order,
    overlaps,
    same_place,
    view_as,
)
from layerport.numpy_engine.emit import Call, Emitter
from layerport.numpy_engine.storage import Storage, Storages, apart
from layerport.op import NDArray, Op
from layerport.ops.shape import Identity, Reshaping, Transpose


class Places:
    """The places of all values of a graph whose sizes are known, and the calls on them.

    Parameters
    ----------
    graph : what is computed.
    parameters : the arrays of the graph's parameters.
    borrowed : by the name of an input or output, in which order its axes lie in memory that is
        handed over at each run. Such memory is a line of bytes.

    Attributes
    ----------
    arguments : a stand-in for each input, and for each output in memory that is handed over.
    outputs : where the graph's outputs are after the calls.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[str, NDArray],
        borrowed: Mapping[str, Order] = MappingProxyType({}),
    ) -> None:
        self.graph = graph
        self._borrowed = borrowed
        self.storages = Storages()
        self._end = len(graph.nodes)
        self._last = _last_reads(graph)
        self._places: dict[Value, NDArray] = {}
        self._wanted: dict[Value, NDArray] = {}
        self._emitter = Emitter(self.storages)
        self.arguments: dict[str, NDArray] = {}
        for value in graph.inputs:
            self._bind(value, self._argument(value.name, value), -1)
        self._take_parameters(parameters)
        self._results = {
            value: self._argument(name, value)
            for name, value in zip(graph.output_names, graph.outputs, strict=True)
            if name in borrowed
        }
        for value, place in self._results.items():
            self._want(value, place)
        self._want_updates()
        self._want_parts()
        for step, node in enumerate(graph.nodes):
            self._emitter.step = step
            self._place(node, step)
        self._emitter.step = self._end
        self.outputs = self._finish()

    @property
    def calls(self) -> list[Call]:
        """What is to be called, in order."""
        return self._emitter.calls

    # What is there before the first call -------------------------------------------------

    def _argument(self, name: str, value: Value) -> NDArray:
        """Where the value of an argument lies; the stand-in for the argument itself."""
        shape = static_shape(value.shape)
        order = self._borrowed.get(name, natural_order(len(shape)))
        place = self.storages.allocate(shape, value.dtype, order, 0)
        storage = self.storages.of(place)
        if storage is not None:
            storage.owned = storage.writable = False
        ordered = place.transpose(order)
        self.arguments[name] = (
            ordered.reshape(-1).view(np.uint8) if name in self._borrowed else ordered
        )
        return place

    def _take_parameters(self, parameters: Mapping[str, NDArray]) -> None:
        for low, high in apart(parameters[value.name] for value in self.graph.parameters):
            self.storages.add(Storage(low, high, -1))
        for value in self.graph.parameters:
            self._bind(value, parameters[value.name], -1)
        updated = {parameter for parameter, _ in self.graph.updates}
        for storage in self.storages:
            # What is overwritten in the end can hold something else on the way.
            held = [value for value, _, _ in storage.held]
            storage.writable = bool(held) and all(value in updated for value in held)

    def _bind(self, value: Value, place: NDArray, now: int) -> None:
        self._places[value] = place
        storage = self.storages.of(place)
        if storage is not None:
            storage.hold(value, place, now, self._last.get(value, now))

    def _place_of(self, value: Value | None) -> NDArray | None:
        if value is None:
            return None
        return self._places[value] if value.constant is None else value.constant

    # Places that are wanted by those who read ---------------------------------------------

    def _want_updates(self) -> None:
        for parameter, value in self.graph.updates:
            self._want(value, self._places[parameter])

    def _want_parts(self) -> None:
        """Let what is laid into a larger array be computed there."""
        for step, node in reversed(list(enumerate(self.graph.nodes))):
            value = node.outputs[0]
            if not _lays_operands(node.op) or value in self._wanted:
                continue
            shape = static_shape(value.shape)
            if self._operands_to_place(node, np.empty(shape, value.dtype)):
                order = natural_order(len(shape))
                self._want(value, self.storages.allocate(shape, value.dtype, order, step))

    def _want(self, value: Value, place: NDArray) -> None:
        """Ask for a value to be computed at a place, and what it is a view of accordingly."""
        node = value.node
        if node is None or value in self._wanted or value in self._places:
            return
        self._wanted[value] = place
        if _is_view(node.op):
            (source,) = node.inputs
            before = None if source is None else _unviewed(node.op, source, place)
            if source is not None and before is not None:
                self._want(source, before)
        elif _lays_operands(node.op):
            for operand, part in self._operands_to_place(node, place):
                self._want(operand, part)

    def _operands_to_place(self, node: Node, place: NDArray) -> list[tuple[Value, NDArray]]:
        """The operands that can be computed inside a node's result, and where."""
        operands = [value for value in node.inputs if value is not None]
        blanks = [np.broadcast_to(np.zeros((), v.dtype), static_shape(v.shape)) for v in operands]
        # Rows apart from one another would be slow to compute in and to read.
        return [
            (operand, part)
            for operand, part in zip(operands, _parts(node.op, place, blanks), strict=True)
            if part is not None and is_dense(part) and operand.node is not None
        ]

    # One node -----------------------------------------------------------------------------

    def _place(self, node: Node, now: int) -> None:
        inputs = [self._place_of(value) for value in node.inputs]
        if _is_view(node.op) and inputs[0] is not None:
            self._place_view(node, inputs[0], now)
            return
        outputs = []
        for value in node.outputs:
            place = self._place_for(node, value, inputs, now)
            self._bind(value, place, now)
            outputs.append(place)
        if not any(place.size for place in outputs):
            return
        arrays = [array for array in inputs if array is not None]
        if all(array.size for array in (*arrays, *outputs)):
            node.op.emit(self._emitter, inputs, outputs)  # type: ignore[arg-type]
        else:
            self._emitter.evaluate(node.op, inputs, outputs)

    def _place_view(self, node: Node, source: NDArray, now: int) -> None:
        (value,) = node.outputs
        view = node.op.view(source)
        place = self._wanted.get(value)
        is_there = place is not None and view is not None and same_place(place, view)
        if place is not None and not is_there:
            blocked = overlaps(place, source) or self._is_read_later(place, now)
            place = None if blocked else place
        if place is None and view is not None:
            self._bind(value, view, now)
            return
        if place is None:
            shape = static_shape(value.shape)
            place = self.storages.allocate(shape, value.dtype, natural_order(len(shape)), now)
        self._bind(value, place, now)
        flat = place if view is not None else view_as(place, source.shape)
        if flat is None:
            self._emitter.evaluate(node.op, [source], [place])
        else:
            self._emitter.copy(flat, source if view is None else view)

    def _place_for(
        self, node: Node, value: Value, inputs: Sequence[NDArray | None], now: int
    ) -> NDArray:
        arrays = [array for array in inputs if array is not None]
        place = self._wanted.get(value)
        if place is not None and self._can_compute_at(place, node.op, arrays, now):
            return place
        if node.op.elementwise:
            place = self._in_place(value, arrays, now)
            if place is not None:
                return place
        shape = static_shape(value.shape)
        order = node.op.memory_order(inputs, shape)
        return self.storages.allocate(shape, value.dtype, order, now)

    def _can_compute_at(self, place: NDArray, op: Op, inputs: Sequence[NDArray], now: int) -> bool:
        """Whether an operator may write at a place that is wanted for its result."""
        parts = [place] * len(inputs) if op.elementwise else _parts(op, place, inputs)
        stay = [
            part is not None and same_place(part, array)
            for part, array in zip(parts, inputs, strict=True)
        ]
        if any(overlaps(place, a) for a, stays in zip(inputs, stay, strict=True) if not stays):
            return False
        # Operands that are laid into the result are not overwritten, others are.
        kept = [] if op.elementwise else [
            bounds(array) for array, stays in zip(inputs, stay, strict=True) if stays
        ]  # fmt: skip
        return not self._is_read_later(place, now, kept)

    def _in_place(self, value: Value, inputs: Sequence[NDArray], now: int) -> NDArray | None:
        """The place of an operand that can be overwritten."""
        for array in inputs:
            if array.shape != value.shape or array.dtype != value.dtype or has_repeats(array):
                continue
            storage = self.storages.of(array)
            if storage is None or not storage.writable or self._is_read_later(array, now):
                continue
            if not storage.owned and self._last.get(value, 0) >= self._end:
                continue  # an output must survive until it is copied
            if all(same_place(array, a) or not overlaps(array, a) for a in inputs):
                return array
        return None

    def _is_read_later(
        self, place: NDArray, now: int, kept: Sequence[tuple[int, int]] = ()
    ) -> bool:
        """Whether a value that lies here is still needed; `kept` are stretches left as they are."""
        storage = self.storages.of(place)
        if storage is None:
            return False
        low, high = bounds(place)
        return any(
            start < high
            and low < end
            and self._last.get(value, -1) > now
            and not any(left <= start and end <= right for left, right in kept)
            for value, start, end in storage.held
        )

    # The end ------------------------------------------------------------------------------

    def _finish(self) -> list[NDArray]:
        """Copy what is not yet where it belongs; returns the places of the outputs."""
        copies = []
        for parameter, value in self.graph.updates:
            source, target = self._place_of(value), self._places[parameter]
            if source is not None and not same_place(source, target):
                copies.append((target, source))
        copies = [(target, self._saved(source)) for target, source in copies]
        for value, target in self._results.items():
            place = self._place_of(value)
            assert place is not None
            self._emitter.copy(target, place)
        outputs = [self._output(value) for value in self.graph.outputs]
        for target, source in copies:
            self._emitter.copy(target, source)
        return outputs

    def _saved(self, source: NDArray) -> NDArray:
        """Somewhere that no update reaches."""
        storage = self.storages.of(source)
        if storage is None or storage.owned:
            return source
        saved = self._emitter.temp(source.shape, source.dtype)
        self._emitter.copy(saved, source)
        return saved

    def _output(self, value: Value) -> NDArray:
        """A place of the plan's own: parameters and inputs change, and belong to others."""
        if value in self._results:
            return self._results[value]
        place = self._place_of(value)
        assert place is not None
        storage = self.storages.of(place)
        if storage is not None and storage.owned:
            return place
        copied = self._emitter.temp_like(place)
        self._emitter.copy(copied, place)
        return copied


def _last_reads(graph: Graph) -> dict[Value, int]:
    """The step of the last node that reads each value; results are read after all of them."""
    last = {v: step for step, node in enumerate(graph.nodes) for v in node.inputs if v is not None}
    last.update({value: len(graph.nodes) for value in graph.results})
    return last


def _is_view(op: Op) -> bool:
    return type(op).view is not Op.view


def _lays_operands(op: Op) -> bool:
    return type(op).window is not Op.window


def _parts(op: Op, place: NDArray, inputs: Sequence[NDArray]) -> list[NDArray | None]:
    """Where each operand ends up inside the result."""
    return [op.window(place, position, *inputs) for position in range(len(inputs))]


def _unviewed(op: Op, operand: Value, place: NDArray) -> NDArray | None:
    """Where the operand of a view must lie for its result to lie at `place`, if it can."""
    if isinstance(op, Identity):
        return place
    if isinstance(op, Transpose):
        order = op.order(place.ndim)
        return place.transpose([order.index(axis) for axis in range(place.ndim)])
    if isinstance(op, Reshaping):
        return view_as(place, static_shape(operand.shape))
    return None
