"""Where every value of a graph lies in memory, chosen before any nest is written.

A result of a convolution or pooling lies channels last, and operators that follow keep the order.
Then places are handed *backwards*: what a transposition or reshape turns into an output is
computed in that output's buffer, and what is concatenated or padded inside the larger buffer. What
a parameter becomes is computed where the parameter lies, if the caller says so (`updated`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from layerport.graph import Graph, Node, Value
from layerport.loops.fusion import Group, is_view, lays_operands
from layerport.loops.ir import Buffer, Names
from layerport.loops.sources import dtype_of
from layerport.loops.views import (
    Batch,
    Order,
    View,
    order_of,
    strides_for,
    unviewed,
    viewed,
    window,
)


class Places:
    """The views of a graph's inputs and of the values that groups store.

    Attributes
    ----------
    views : the place of each.
    in_place : (node, operand position) where the operand is computed inside the node's output.
    """

    def __init__(
        self,
        graph: Graph,
        groups: Sequence[Group],
        batch: Batch,
        names: Names,
        *,
        compact_views: bool,
        updated: Mapping[Value, View],
    ) -> None:
        self.views: dict[Value, View] = {}
        self.in_place: set[tuple[Node, int]] = set()
        self.buffers: list[Buffer] = []
        self.outputs: list[Buffer] = []
        self._batch = batch
        self._names = names
        self._orders: dict[Value, Order] = {}
        self._stored = {v for item in groups for v in item.stored}
        self._uses = graph.uses()
        for value in graph.inputs:
            self.views[value] = self._new(value, tuple(range(value.ndim)), "input")
        self._choose_orders(graph)
        for value, view in updated.items():
            self._claim(value, view)
        for value in graph.outputs:
            view = self._new(value, tuple(range(value.ndim)), "output")
            self.outputs.append(view.buffer)
            self._claim(value, view)
        for item in reversed(groups):
            for value in item.stored:
                self.place(value, compact_views=compact_views)

    def place(self, value: Value, *, compact_views: bool = False) -> View:
        """The place of a stored value; it gets a temporary of its own where it has none."""
        if value not in self.views:
            order = self._orders.get(value, tuple(range(value.ndim)))
            if compact_views and self._has_broken_view(value, order):
                order = tuple(range(value.ndim))
            self._stored.add(value)
            self._claim(value, self._new(value, order, "temporary"))
        return self.views[value]

    def _new(self, value: Value, order: Order, kind: str) -> View:
        prefixes = {"input": "x", "output": "y", "temporary": "t"}
        shape = self._batch.sizes(value.shape)
        room = self._batch.room(shape)
        buffer = Buffer(
            self._names.fresh(prefixes[kind]),
            math.prod(room),
            dtype_of(value.dtype),
            kind,  # type: ignore[arg-type]
        )
        self.buffers.append(buffer)
        return View(buffer, shape, strides_for(room, order))

    def _claim(self, value: Value, view: View) -> None:
        """Have a value computed at this place, if it can be."""
        node = value.node
        if node is None or value in self.views:
            return
        if is_view(node.op):
            (operand,) = (v for v in node.inputs if v is not None)
            before = unviewed(node.op, operand.shape, view, self._batch)
            if before is not None:
                self._claim(operand, before)
            return
        if value not in self._stored:
            return
        self.views[value] = view
        if not lays_operands(node.op):
            return
        shapes = [v.shape for v in node.inputs if v is not None]
        for position, laid in enumerate(node.inputs):
            part = window(node.op, shapes, position, view, self._batch) if laid else None
            if laid is not None and part is not None and self._claims(laid, part):
                self.in_place.add((node, position))

    def _claims(self, value: Value, view: View) -> bool:
        """Claim a place, and tell whether the value really lies there."""
        self._claim(value, view)
        node = value.node
        if value in self.views or node is None or not is_view(node.op):
            return self.views.get(value) == view
        (viewed_from,) = (v for v in node.inputs if v is not None)
        before = unviewed(node.op, viewed_from.shape, view, self._batch)
        return before is not None and self._claims(viewed_from, before)

    # Orders ---------------------------------------------------------------------------------

    def _choose_orders(self, graph: Graph) -> None:
        for value in graph.inputs:
            self._orders[value] = tuple(range(value.ndim))
        for node in graph.nodes:
            for value in node.outputs:
                self._orders[value] = self._order(node, value)

    def _order(self, node: Node, value: Value) -> Order:
        if is_view(node.op):
            (operand,) = (v for v in node.inputs if v is not None)
            if operand in self._orders:
                return self._viewed_order(node, operand, value)
        if node.op.channels_last and value.ndim > 2:
            return (0, *range(2, value.ndim), 1)
        for known in node.inputs:
            if known in self._orders and known.ndim == value.ndim:
                return self._orders[known]
        return tuple(range(value.ndim))

    def _viewed_order(self, node: Node, operand: Value, value: Value) -> Order:
        view = viewed(node.op, self._imagined(operand, self._orders[operand]), value.shape,
                      self._batch)  # fmt: skip
        return tuple(range(value.ndim)) if view is None else order_of(view.strides)

    def _imagined(self, value: Value, order: Order) -> View:
        shape = self._batch.sizes(value.shape)
        return View(Buffer("imagined", 0), shape, strides_for(self._batch.room(shape), order))

    def _has_broken_view(self, value: Value, order: Order) -> bool:
        """Whether somebody reshapes a value that does not lie so that this is free."""
        view = self._imagined(value, order)
        return any(
            node is not None
            and is_view(node.op)
            and viewed(node.op, view, node.outputs[0].shape, self._batch) is None
            for node in self._uses.get(value, [])
        )
