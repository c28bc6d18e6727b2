"""Compiled graphs: plans made on demand, one for each combination of sizes."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Mapping

from layerport.graph import Graph
from layerport.numpy_engine.binding import sizes_of
from layerport.numpy_engine.lowering import lowered
from layerport.numpy_engine.parts import PART_BYTES, TRIAL, PlanInParts, largest_part, part_sizes
from layerport.numpy_engine.plan import Plan
from layerport.numpy_engine.sample_axes import BATCH
from layerport.numpy_engine.split import Split, split
from layerport.numpy_engine.threads import Crew
from layerport.op import NDArray

Sizes = tuple[tuple[str, int], ...]


class TrainingStep:
    """Runs a training graph: call it with the inputs, and the parameters change in place.

    Large batches are computed in parts that fit into the cache, unless samples mix.

    Parameters
    ----------
    graph : inputs are data, learning rate, random counters...; parameters are weights and
        optimizer state; updates are what both become; outputs are loss, metrics, predictions.
    parameters : an array for each parameter of the graph, used by reference.
    threads : how many threads work on a batch that is computed in parts.
    plans : how many plans are kept, one for each combination of sizes (batch sizes) met.

    Raises
    ------
    ShapeError : at a call, naming every input whose name, shape or dtype does not fit.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[str, NDArray],
        *,
        threads: int = 1,
        plans: int = 4,
    ) -> None:
        self._crew = Crew(threads)
        self.graph = graph
        self.parameters = dict(parameters)
        self._limit = plans
        self._plans: OrderedDict[Sizes, Plan | PlanInParts] = OrderedDict()
        self._sample_bytes: dict[Sizes, int] = {}

    def __call__(self, feeds: Mapping[str, NDArray]) -> list[NDArray]:
        """One step; returns the outputs in order, as new arrays."""
        return self.plan_for(feeds).run(feeds)

    def plan_for(self, feeds: Mapping[str, NDArray]) -> Plan | PlanInParts:
        """The plan for inputs of these shapes.

        Raises
        ------
        ShapeError : naming every input whose name, shape or dtype does not fit.
        """
        sizes = sizes_of(self.graph, feeds, self.parameters)
        key = tuple(sorted(sizes.items()))
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._make(sizes)
            if len(self._plans) > self._limit:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        return plan

    @functools.cached_property
    def _split(self) -> Split | None:
        return split(self.graph)

    def _make(self, sizes: Mapping[str, int]) -> Plan | PlanInParts:
        samples = sizes.get(BATCH, 0)
        if samples > TRIAL and self._split is not None:
            threads = self._crew.size
            most = largest_part(samples, self._bytes(sizes), threads, PART_BYTES)
            parts = part_sizes(samples, most, threads)
            if len(parts) > 1:
                return PlanInParts(self._split, self.parameters, sizes, parts, self._crew)
        return self._whole(sizes)

    def _whole(self, sizes: Mapping[str, int]) -> Plan:
        return Plan(lowered(self.graph.bind(sizes)), self.parameters)

    def _bytes(self, sizes: Mapping[str, int]) -> int:
        """How much memory a sample needs."""
        key = tuple(sorted((name, size) for name, size in sizes.items() if name != BATCH))
        if key not in self._sample_bytes:
            trial = self._whole({**sizes, BATCH: TRIAL})
            self._sample_bytes[key] = max(1, -(-trial.arena_bytes // TRIAL))
        return self._sample_bytes[key]


def compile_step(
    graph: Graph, parameters: Mapping[str, NDArray], *, threads: int = 1
) -> TrainingStep:
    """The function ``step(feeds) -> outputs`` of a training graph; see `TrainingStep`."""
    return TrainingStep(graph, parameters, threads=threads)
