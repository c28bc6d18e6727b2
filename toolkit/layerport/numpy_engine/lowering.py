"""Graph to graph: what NumPy does fast."""

from __future__ import annotations

from layerport.graph import Graph


def lowered(graph: Graph) -> Graph:
    """The graph in operators that the engine has good kernels for; its sizes must be known."""
    return graph
