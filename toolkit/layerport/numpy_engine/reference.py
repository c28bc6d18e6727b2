"""The plain evaluator: walks the graph, allocates everything. The oracle for all other engines."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from layerport.dim import same_shape
from layerport.errors import LayerportError
from layerport.graph import Graph, Node, Value
from layerport.numpy_engine.binding import sizes_of
from layerport.op import NDArray


def evaluate(
    graph: Graph, inputs: Mapping[str, NDArray], parameters: Mapping[str, NDArray]
) -> tuple[list[NDArray], dict[str, NDArray]]:
    """Compute a graph operator by operator, without any rewriting.

    Parameters
    ----------
    graph : what to compute; symbolic extents take the sizes of the arrays.
    inputs, parameters : arrays by name, of exactly the dtypes that the graph states.

    Returns
    -------
    outputs, updates
        The outputs in order; and what each updated parameter becomes, by name. All are new arrays.

    Raises
    ------
    ShapeError : when arrays do not fit the graph.
    LayerportError : when an operator computes something else than its shape rule says.
    """
    sizes = sizes_of(graph, inputs, parameters)
    if sizes:
        graph = graph.replay(sizes=sizes, rewrite=False)
    known: dict[Value, NDArray] = {}
    for values, arrays in ((graph.inputs, inputs), (graph.parameters, parameters)):
        known.update({value: arrays[value.name] for value in values})
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            operands = [None if value is None else _array(value, known) for value in node.inputs]
            made = node.op.evaluate(*operands)
            results = made if isinstance(made, tuple) else (made,)
            for value, array in zip(node.outputs, results, strict=True):
                _check(node, value, array)
                known[value] = array
    outputs = [_array(value, known).copy() for value in graph.outputs]
    updates = {parameter.name: _array(value, known).copy() for parameter, value in graph.updates}
    return outputs, updates


def _array(value: Value, known: Mapping[Value, NDArray]) -> NDArray:
    return known[value] if value.constant is None else value.constant


def _check(node: Node, value: Value, array: NDArray) -> None:
    if not same_shape(array.shape, value.shape) or array.dtype != value.dtype:
        place = f" in layer {node.scope!r}" if node.scope else ""
        raise LayerportError(
            f"{node.op.name}{place} computes {array.dtype}{array.shape}, but its shape rule says "
            f"{value.dtype}{value.shape}"
        )
