"""A graph of known sizes as a function on arrays."""

from __future__ import annotations

from collections.abc import Mapping

from layerport.graph import Graph
from layerport.numpy_engine.reference import evaluate
from layerport.op import NDArray


class Plan:
    """A graph without symbolic extents, ready to run.

    Parameters
    ----------
    graph : what to compute.
    parameters : arrays by name, used by reference: later changes of them are seen, and
        `graph.updates` are written into them.
    """

    def __init__(self, graph: Graph, parameters: Mapping[str, NDArray]) -> None:
        self.graph = graph
        self.parameters = {value.name: parameters[value.name] for value in graph.parameters}

    def run(self, feeds: Mapping[str, NDArray], *, copy: bool = True) -> list[NDArray]:
        """Compute the outputs, then write the updates.

        Parameters
        ----------
        feeds : the inputs by name.
        copy : False returns the plan's own buffers, which the next run overwrites.
        """
        outputs, updates = evaluate(self.graph, feeds, self.parameters)
        for name, array in updates.items():
            self.parameters[name][...] = array
        return outputs
