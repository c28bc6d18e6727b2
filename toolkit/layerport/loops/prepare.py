"""Graph passes before lowering: simpler operators, and transpositions out of the way."""

from __future__ import annotations

from collections.abc import Sequence

from layerport.dim import is_extent, same_shape
from layerport.graph import Builder, Graph, Node, Value
from layerport.numpy_engine.pooling import pool_first
from layerport.ops.shape import Transpose, Unsqueeze


def prepare(graph: Graph) -> Graph:
    """An equal graph that lowers to simpler nests."""
    return _decomposed(pool_first(graph)).replay(_sink_transpose)


def _decomposed(graph: Graph) -> Graph:
    """Replace operators by simpler ones until all are simple."""
    changed = True

    def decompose(
        build: Builder, node: Node, inputs: tuple[Value | None, ...]
    ) -> Value | Sequence[Value] | None:
        nonlocal changed
        made = node.op.decompose(build, *inputs)
        changed = changed or made is not None
        return made

    while changed:
        changed = False
        graph = graph.replay(decompose)
    return graph


def _sink_transpose(
    build: Builder, node: Node, inputs: tuple[Value | None, ...]
) -> Value | None:  # fmt: skip
    """``op(transpose(x), c)`` -> ``transpose(op(x, transposed back c))``.

    An elementwise operator then follows directly on the one that makes its operand, and is fused
    with it.
    """
    if not node.op.elementwise or len(node.outputs) != 1:
        return None
    shape = node.outputs[0].shape
    moved = next(
        (v for v in inputs if v is not None and v.made_by(Transpose) and _fills(v, node)), None
    )
    if moved is None:
        return None
    assert moved.node is not None
    assert isinstance(moved.node.op, Transpose)
    order = moved.node.op.order(len(shape))
    back = Transpose(tuple(order.index(axis) for axis in range(len(order))))
    before = [None if v is None else _moved_back(build, v, back, len(shape)) for v in inputs]
    return build.one(Transpose(order), build.one(node.op, *before))


def _fills(value: Value, node: Node) -> bool:
    """Whether an operand is not broadcast."""
    return same_shape(value.shape, node.outputs[0].shape)


def _moved_back(build: Builder, value: Value, back: Transpose, rank: int) -> Value:
    if all(is_extent(extent, 1) for extent in value.shape):
        return value
    missing = tuple(range(rank - value.ndim))
    whole = build.one(Unsqueeze(missing), value) if missing else value
    return build.one(back, whole)
