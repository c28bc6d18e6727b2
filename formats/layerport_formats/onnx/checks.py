"""What makes a graph of a file valid, apart from what its operators ask for."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence

import onnx
from layerport.format import ReadContext


def reads_of(node: onnx.NodeProto) -> Iterator[str]:
    """The names that a node reads, those that its subgraphs take from outside included."""
    stack = [node]
    while stack:
        found = stack.pop()
        yield from filter(None, found.input)
        for attribute in found.attribute:
            graphs = [attribute.g] if attribute.HasField("g") else []
            for graph in [*graphs, *attribute.graphs]:
                stack += graph.node


def in_order(
    nodes: Iterable[onnx.NodeProto], context: ReadContext, place: str = ""
) -> Sequence[onnx.NodeProto]:
    """The nodes, each after those that make what it reads.

    ONNX asks files for this order; other orders are put right.

    Raises
    ------
    ModelFileError : when a value is made twice, or depends on itself.
    """
    given = list(nodes)
    makers: dict[str, int] = {}
    for index, node in enumerate(given):
        for name in filter(None, node.output):
            if name in makers:
                context.fail(f"the value {name!r} is made by two nodes", place or _label(node))
            makers[name] = index
    needs = [{makers[name] for name in reads_of(node) if name in makers} for node in given]
    if all(max(need, default=-1) < index for index, need in enumerate(needs)):
        return given
    return _sorted(given, needs, context)


def _sorted(
    nodes: Sequence[onnx.NodeProto], needs: Sequence[set[int]], context: ReadContext
) -> Sequence[onnx.NodeProto]:
    waiting = [len(need) for need in needs]
    readers: list[list[int]] = [[] for _ in nodes]
    for index, need in enumerate(needs):
        for other in need:
            readers[other].append(index)
    ready = deque(index for index, count in enumerate(waiting) if not count)
    order: list[int] = []
    while ready:
        index = ready.popleft()
        order.append(index)
        for reader in readers[index]:
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    if len(order) < len(nodes):
        stuck = next(index for index, count in enumerate(waiting) if count)
        context.fail("it depends on its own output: the graph has a cycle", _label(nodes[stuck]))
    return [nodes[index] for index in order]


def _label(node: onnx.NodeProto) -> str:
    name = node.name or next(iter(node.output), "")
    return f"node {name!r} ({node.op_type})"


def check_names(graph: onnx.GraphProto, context: ReadContext) -> None:
    """Check that every input, initializer and node output has a name of its own.

    Raises
    ------
    ModelFileError : naming the first that has not.
    """
    limit = context.limits.name_length
    inputs = [value.name for value in graph.input]
    tensors = [t.name for t in graph.initializer]
    tensors += [t.values.name for t in graph.sparse_initializer]
    for kind, names in (("inputs", inputs), ("initializers", tensors)):
        seen: set[str] = set()
        for name in names:
            if not name:
                context.fail(f"one of the {kind} has no name", "graph")
            if len(name) > limit:
                context.fail(f"a name has {len(name)} characters", "graph")
            if name in seen:
                context.fail(f"two {kind} are called {name!r}", "graph")
            seen.add(name)
    taken = {*inputs, *tensors}
    for node in graph.node:
        for name in (*node.output, node.name):
            if len(name) > limit:
                context.fail(f"a name has {len(name)} characters", "graph")
        for name in node.output:
            if name in taken:
                context.fail(f"it makes {name!r}, which is an input or initializer", _label(node))
    outputs = [value.name for value in graph.output]
    if not outputs:
        context.fail("the graph has no output", "graph")
    for name, count in Counter(outputs).items():
        if count > 1:
            context.fail(f"the output {name!r} is declared twice", "graph")
