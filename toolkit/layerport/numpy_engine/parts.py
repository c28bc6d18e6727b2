"""A batch computed in parts, by one thread or several, whose contributions are added up."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from layerport.dim import static_shape
from layerport.errors import ShapeError
from layerport.graph import Graph
from layerport.numpy_engine.lowering import lowered
from layerport.numpy_engine.plan import Plan
from layerport.numpy_engine.profile import Work
from layerport.numpy_engine.sample_axes import BATCH
from layerport.numpy_engine.split import Split
from layerport.numpy_engine.threads import Crew
from layerport.op import NDArray
from layerport.recording import RANDOM_INPUTS

PART_BYTES = 8 << 20
"""How much memory the buffers for one part may take: they should stay in the cache."""

SHARED_BYTES = 1 << 20
"""How much memory the buffers for a part must take at least to be worth a thread of its own."""

TRIAL = 16
"""Samples for which a first plan is made, to find out how much memory a sample needs."""

Part = tuple[int, int]
"""The first sample, and how many."""


def largest_part(samples: int, sample_bytes: int, threads: int, cache: int) -> int:
    """How many samples a part may have.

    So few that the buffers of a part stay in the cache, and that every thread gets a part, unless
    that would be hardly any work.
    """
    share = max(math.ceil(samples / threads), SHARED_BYTES // sample_bytes)
    return max(1, min(cache // sample_bytes, share))


def part_sizes(samples: int, most: int, threads: int = 1) -> list[int]:
    """How many samples each part has: at most `most`, as equal as possible.

    Where there are several parts, there is the same number for each thread.
    """
    fewest = math.ceil(samples / most)
    if fewest == 1:
        return [samples]
    fewest = min(math.ceil(fewest / threads) * threads, samples)
    even = [n for n in range(fewest, fewest + 3 * threads, threads) if samples % n == 0]
    count = even[0] if even else fewest
    size, rest = divmod(samples, count)
    return [size + 1] * rest + [size] * (count - rest)


class PlanInParts:
    """As a `Plan`, for a batch that is computed in parts.

    The results do not depend on how many threads there are, except for rounding, and are the same
    at every run with as many.

    Parameters
    ----------
    split : the two graphs.
    parameters : arrays by name, used by reference.
    sizes : of the graph's extents, for the whole batch.
    parts : how many samples each part has.
    crew : the threads.
    """

    def __init__(
        self,
        split: Split,
        parameters: Mapping[str, NDArray],
        sizes: Mapping[str, int],
        parts: Sequence[int],
        crew: Crew,
    ) -> None:
        self._split = split
        self._samples = sizes[BATCH]
        self._crew = crew
        ends = np.cumsum(parts).tolist()
        places = list(zip([0, *ends], parts, strict=False))
        shares = [places[first :: crew.size] for first in range(crew.size)]
        self._workers = [
            _Worker(split, parameters, sizes, share, others=worker > 0)
            for worker, share in enumerate(shares)
            if share
        ]
        first = self._workers[0]
        self.rest = _plan(split.rest, {**parameters, **first.accumulators}, sizes)
        self._counts = {counted.name: counted.array(sizes) for counted in split.counted}
        self._results = [
            np.empty((self._samples, *out.shape[1:]), out.dtype) for out in first.outputs
        ]

    @property
    def part(self) -> Plan:
        """The plan of one part."""
        return next(iter(self._workers[0].plans.values()))

    @property
    def arena_bytes(self) -> int:
        """The memory of the buffers."""
        plans = [plan for worker in self._workers for plan in worker.plans.values()]
        return sum(plan.arena_bytes for plan in (*plans, self.rest))

    def run(self, feeds: Mapping[str, NDArray], *, copy: bool = True) -> list[NDArray]:
        """As `Plan.run`."""
        self._check(feeds)
        inputs = {**feeds, **self._counts}
        self._crew.run(
            [functools.partial(worker.run, inputs, self._results) for worker in self._workers]
        )
        first, *others = self._workers
        for worker in others:
            for name, accumulator in first.accumulators.items():
                accumulator += worker.accumulators[name]
        late = self.rest.run(inputs, copy=copy)
        apart = [array.copy() for array in self._results] if copy else self._results
        return [apart[place] if in_part else late[place] for in_part, place in self._split.places]

    def works(self, feeds: Mapping[str, NDArray]) -> list[Work]:
        """The plans of a run, for a profile."""
        inputs = {**feeds, **self._counts}
        parts = [work for worker in self._workers for work in worker.works(inputs)]
        return [*parts, Work(self.rest, inputs)]

    def _check(self, feeds: Mapping[str, NDArray]) -> None:
        for name, axis in self._split.axes.items():
            array = feeds.get(name)
            if array is None or array.ndim <= axis or array.shape[axis] != self._samples:
                found = "is missing" if array is None else f"has the shape {array.shape}"
                raise ShapeError(
                    f"{name!r} {found}; it must have {self._samples} samples along axis {axis}"
                )


class _Worker:
    """What one thread does, with memory that no other one touches.

    Attributes
    ----------
    plans : by how many samples a part has.
    accumulators : the sums over all parts of the worker. Those of the first worker are the
        parameters themselves, where the sums are what parameters become.
    """

    def __init__(
        self,
        split: Split,
        parameters: Mapping[str, NDArray],
        sizes: Mapping[str, int],
        share: Sequence[Part],
        *,
        others: bool,
    ) -> None:
        self._split = split
        self._share = share
        self.accumulators = {
            value.name: np.zeros(static_shape(value.shape), value.dtype)
            if others or value.name not in parameters
            else parameters[value.name]
            for value in split.accumulators
        }
        known = {**parameters, **self.accumulators}
        self.plans = {
            count: _plan(split.part, known, {**sizes, BATCH: count})
            for count in {count for _, count in share}
        }

    @property
    def outputs(self) -> list[NDArray]:
        """The results for one part."""
        return next(iter(self.plans.values())).outputs

    def run(self, feeds: Mapping[str, NDArray], results: Sequence[NDArray]) -> None:
        """Compute all parts; what each sample has a result of its own for goes into `results`."""
        for accumulator in self.accumulators.values():
            accumulator.fill(0)
        for start, count in self._share:
            outputs = self.plans[count].run(self.inputs(feeds, start, count), copy=False)
            for result, output in zip(results, outputs, strict=True):
                result[start : start + count] = output

    def works(self, feeds: Mapping[str, NDArray]) -> Iterator[Work]:
        """The plans, each with the inputs of the first part that has its size."""
        for size, plan in self.plans.items():
            starts = [start for start, count in self._share if count == size]
            yield Work(plan, self.inputs(feeds, starts[0], size), len(starts))

    def inputs(self, feeds: Mapping[str, NDArray], start: int, count: int) -> dict[str, NDArray]:
        """What of the inputs belongs to a part."""
        inputs = dict(feeds)
        sample = RANDOM_INPUTS[2]
        for name, axis in self._split.axes.items():
            inputs[name] = feeds[name][(slice(None),) * axis + (slice(start, start + count),)]
        if sample in feeds:
            inputs[sample] = np.asarray(feeds[sample] + np.uint32(start))
        return inputs


def _plan(graph: Graph, parameters: Mapping[str, NDArray], sizes: Mapping[str, int]) -> Plan:
    return Plan(lowered(graph.bind(sizes)), parameters)
