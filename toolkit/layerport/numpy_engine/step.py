"""Compiled graphs: plans made on demand, one for each combination of sizes."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Mapping

from layerport.graph import Graph
from layerport.numpy_engine.binding import sizes_of
from layerport.numpy_engine.lowering import lowered
from layerport.numpy_engine.parts import (
    PART_BYTES,
    TRIAL,
    cache_for,
    largest_part,
    part_sizes,
)
from layerport.numpy_engine.plan import Plan
from layerport.numpy_engine.sample_axes import BATCH
from layerport.numpy_engine.segmented import SegmentedPlan, Trial, try_out
from layerport.numpy_engine.segments import Segments, cut
from layerport.numpy_engine.threads import Crew
from layerport.op import NDArray

Sizes = tuple[tuple[str, int], ...]


class TrainingStep:
    """Runs a training graph: call it with the inputs, and the parameters change in place.

    Large batches are computed in parts that fit into the cache, segment by segment where samples
    meet in reductions, unless they mix otherwise.

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
        self._plans: OrderedDict[Sizes, Plan | SegmentedPlan] = OrderedDict()
        self._trials: dict[Sizes, Trial] = {}

    def __call__(self, feeds: Mapping[str, NDArray]) -> list[NDArray]:
        """One step; returns the outputs in order, as new arrays."""
        return self.plan_for(feeds).run(feeds)

    def plan_for(self, feeds: Mapping[str, NDArray]) -> Plan | SegmentedPlan:
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
    def _segments(self) -> Segments | None:
        return cut(self.graph)

    def _make(self, sizes: Mapping[str, int]) -> Plan | SegmentedPlan:
        samples = sizes.get(BATCH, 0)
        segments = self._segments if samples > TRIAL else None
        if segments is not None:
            trial = self._trial(segments, sizes)
            parts = [self._parts(samples, size) for size in trial.sample_bytes]
            if any(len(counts) > 1 for counts in parts):
                return SegmentedPlan(
                    segments, self.parameters, sizes, parts, trial.orders, self._crew
                )
        return self._whole(sizes)

    def _parts(self, samples: int, sample_bytes: int) -> list[int]:
        """How many samples the parts of a segment have."""
        threads = self._crew.size
        cache = cache_for(self.graph, sample_bytes, PART_BYTES)
        return part_sizes(samples, largest_part(samples, sample_bytes, threads, cache), threads)

    def _whole(self, sizes: Mapping[str, int]) -> Plan:
        return Plan(lowered(self.graph.bind(sizes)), self.parameters)

    def _trial(self, segments: Segments, sizes: Mapping[str, int]) -> Trial:
        key = tuple(sorted((name, size) for name, size in sizes.items() if name != BATCH))
        if key not in self._trials:
            self._trials[key] = try_out(segments, self.parameters, sizes, TRIAL)
        return self._trials[key]


def compile_step(
    graph: Graph, parameters: Mapping[str, NDArray], *, threads: int = 1
) -> TrainingStep:
    """The function ``step(feeds) -> outputs`` of a training graph; see `TrainingStep`."""
    return TrainingStep(graph, parameters, threads=threads)
