"""Which operators are computed together in one nest.

A group is one operator that brings the loops (its anchor) and the elementwise operators that are
applied to each of its elements before it is stored: bias, activation, residual, mask. A pooling
operator may also take in the group that makes its operand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from layerport.dim import same_shape
from layerport.graph import Graph, Node, Value
from layerport.op import Op

Uses: TypeAlias = "dict[Value, list[Node | None]]"


@dataclass(eq=False)
class Group:
    """Operators that become one nest.

    Attributes
    ----------
    anchor : the operator that brings the loops.
    epilogue : elementwise operators on its result, in order.
    inlined : the group that may be computed inside the anchor, which uses each of its elements
        once; or None.
    stored : the values that somebody outside reads.
    """

    anchor: Node
    epilogue: list[Node] = field(default_factory=list)
    inlined: Group | None = None
    stored: list[Value] = field(default_factory=list)

    @property
    def nodes(self) -> list[Node]:
        """Anchor and epilogue."""
        return [self.anchor, *self.epilogue]

    @property
    def values(self) -> list[Value]:
        """What the nodes make."""
        return [value for node in self.nodes for value in node.outputs]

    @property
    def operands(self) -> list[Value]:
        """What the nodes read."""
        own = set(self.values)
        found = [v for node in self.nodes for v in node.inputs if v is not None and v not in own]
        if self.inlined is not None:
            made = set(self.inlined.values)
            found = [v for v in found if v not in made] + self.inlined.operands
        return found


def is_view(op: Op) -> bool:
    """Whether an operator makes a view of its operand (where strides allow it)."""
    return type(op).view is not Op.view


def lays_operands(op: Op) -> bool:
    """Whether an operator only lays its operands into its output."""
    return type(op).window is not Op.window


def group(graph: Graph, *, widest: int) -> list[Group]:
    """The groups of a graph in the order in which they run.

    Parameters
    ----------
    widest : how many elements of an inlined, costly operand may be computed side by side.
    """
    uses = graph.uses()
    groups: list[Group] = []
    origin: dict[Value, int] = {}
    for node in graph.nodes:
        made_in = max((origin.get(v, -1) for v in node.inputs if v is not None), default=-1)
        if is_view(node.op):
            place = made_in
        elif node.op.elementwise and made_in >= 0 and _joins(node, groups, made_in, origin, uses):
            groups[made_in].epilogue.append(node)
            place = made_in
        else:
            groups.append(Group(node))
            place = len(groups) - 1
        origin.update(dict.fromkeys(node.outputs, place))
    for item in groups:
        own = set(item.nodes)
        item.stored = [v for v in item.values if any(n not in own for n in uses.get(v, []))]
    return _with_inlined(groups, uses, widest)


def _joins(
    node: Node, groups: list[Group], place: int, origin: dict[Value, int], uses: Uses
) -> bool:
    target = groups[place]
    used = [value for value in target.anchor.outputs if value in uses]
    if used != [target.anchor.outputs[0]] or lays_operands(target.anchor.op):
        return False
    shape = target.anchor.outputs[0].shape
    made = set(target.values)
    fitting = all(
        v in made for v in node.inputs if v is not None and origin.get(v, -1) == place
    )  # not a view of something that is not stored yet
    return fitting and same_shape(node.outputs[0].shape, shape)


def _with_inlined(groups: list[Group], uses: Uses, widest: int) -> list[Group]:
    """Move the producers of pooling operators into them."""
    by_value = {value: item for item in groups for value in item.values}
    gone: set[Group] = set()
    for item in groups:
        operand = item.anchor.inputs[0] if item.anchor.inputs else None
        width = item.anchor.op.absorbs
        if operand is None or not width or operand not in by_value:
            continue
        producer = by_value[operand]
        alone = producer.stored == [operand] and uses[operand] == [item.anchor]
        cheap = all(node.op.elementwise for node in producer.nodes)
        if alone and producer.inlined is None and (cheap or width <= widest):
            item.inlined = producer
            gone.add(producer)
    return [item for item in groups if item not in gone]
