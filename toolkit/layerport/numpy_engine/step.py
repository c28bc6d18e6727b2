"""Compiled graphs: plans made on demand, one for each combination of sizes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from layerport.graph import Graph
from layerport.numpy_engine.binding import sizes_of
from layerport.numpy_engine.lowering import lowered
from layerport.numpy_engine.plan import Plan
from layerport.op import NDArray

Sizes = tuple[tuple[str, int], ...]


class TrainingStep:
    """Runs a training graph: call it with the inputs, and the parameters change in place.

    Parameters
    ----------
    graph : inputs are data, learning rate, random counters...; parameters are weights and
        optimizer state; updates are what both become; outputs are loss, metrics, predictions.
    parameters : an array for each parameter of the graph, used by reference.
    plans : how many plans are kept, one for each combination of sizes (batch sizes) met.

    Raises
    ------
    ShapeError : at a call, naming every input whose name, shape or dtype does not fit.
    """

    def __init__(self, graph: Graph, parameters: Mapping[str, NDArray], *, plans: int = 4) -> None:
        self.graph = graph
        self.parameters = dict(parameters)
        self._limit = plans
        self._plans: OrderedDict[Sizes, Plan] = OrderedDict()

    def __call__(self, feeds: Mapping[str, NDArray]) -> list[NDArray]:
        """One step; returns the outputs in order, as new arrays."""
        return self.plan_for(feeds).run(feeds)

    def plan_for(self, feeds: Mapping[str, NDArray]) -> Plan:
        """The plan for inputs of these shapes.

        Raises
        ------
        ShapeError : naming every input whose name, shape or dtype does not fit.
        """
        return self.plan_of(sizes_of(self.graph, feeds, self.parameters))

    def plan_of(self, sizes: Mapping[str, int]) -> Plan:
        """The plan for these sizes of the graph's extents."""
        key = tuple(sorted(sizes.items()))
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = Plan(lowered(self.graph.bind(sizes)), self.parameters)
            if len(self._plans) > self._limit:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        return plan


def compile_step(graph: Graph, parameters: Mapping[str, NDArray]) -> TrainingStep:
    """The function ``step(feeds) -> outputs`` of a training graph; see `TrainingStep`."""
    return TrainingStep(graph, parameters)
