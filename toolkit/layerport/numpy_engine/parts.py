"""A batch computed in parts, whose contributions are added up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from layerport.errors import ShapeError
from layerport.graph import Graph
from layerport.numpy_engine.lowering import lowered
from layerport.numpy_engine.plan import Plan
from layerport.numpy_engine.sample_axes import BATCH
from layerport.numpy_engine.split import TOTAL, Split
from layerport.op import NDArray
from layerport.recording import RANDOM_INPUTS

PART_BYTES = 8 << 20
"""How much memory the buffers for one part may take: they should stay in the cache."""

TRIAL = 16
"""Samples for which a first plan is made, to find out how much memory a sample needs."""


def part_sizes(samples: int, most: int) -> list[int]:
    """How many samples each part has: at most `most`, and as equal as possible."""
    fewest = math.ceil(samples / most)
    even = [n for n in range(fewest, fewest + 3) if samples % n == 0]
    count = even[0] if even else fewest
    size, rest = divmod(samples, count)
    return [size + 1] * rest + [size] * (count - rest)


class PlanInParts:
    """As a `Plan`, for a batch that is computed in parts.

    Parameters
    ----------
    split : the two graphs.
    parameters : arrays by name, used by reference.
    sizes : of the graph's extents, for the whole batch.
    parts : how many samples each part has.
    """

    def __init__(
        self,
        split: Split,
        parameters: Mapping[str, NDArray],
        sizes: Mapping[str, int],
        parts: Sequence[int],
    ) -> None:
        self._split = split
        self._samples = sizes[BATCH]
        self._parts = tuple(parts)
        own = {
            value.name: np.zeros(value.shape, value.dtype)
            for value in split.accumulators
            if value.name.startswith(TOTAL)
        }
        self._accumulators = [(own | dict(parameters))[v.name] for v in split.accumulators]
        known = {**parameters, **own}
        self._plans = {
            part: _plan(split.part, known, {**sizes, BATCH: part}) for part in set(parts)
        }
        self._rest = _plan(split.rest, known, sizes)
        self._counts = {counted.name: counted.array(sizes) for counted in split.counted}
        self._results = self._allocate()

    @property
    def arena_bytes(self) -> int:
        """The memory of the buffers."""
        plans = [*self._plans.values(), self._rest]
        return sum(plan.arena_bytes for plan in plans)

    def run(self, feeds: Mapping[str, NDArray], *, copy: bool = True) -> list[NDArray]:
        """As `Plan.run`."""
        self._check(feeds)
        for accumulator in self._accumulators:
            accumulator.fill(0)
        inputs = {**feeds, **self._counts}
        start = 0
        for part in self._parts:
            self._run_part(inputs, feeds, start, part)
            start += part
        late = self._rest.run(inputs, copy=copy)
        apart = [array.copy() for array in self._results] if copy else self._results
        return [apart[place] if in_part else late[place] for in_part, place in self._split.places]

    def _run_part(
        self, inputs: dict[str, NDArray], feeds: Mapping[str, NDArray], start: int, part: int
    ) -> None:
        for name, axis in self._split.axes.items():
            inputs[name] = feeds[name][(slice(None),) * axis + (slice(start, start + part),)]
        sample = RANDOM_INPUTS[2]
        if sample in feeds:
            inputs[sample] = np.asarray(feeds[sample] + np.uint32(start))
        outputs = self._plans[part].run(inputs, copy=False)
        for result, output in zip(self._results, outputs, strict=True):
            result[start : start + part] = output

    def _allocate(self) -> list[NDArray]:
        outputs = self._plans[self._parts[0]].outputs
        return [np.empty((self._samples, *out.shape[1:]), out.dtype) for out in outputs]

    def _check(self, feeds: Mapping[str, NDArray]) -> None:
        for name, axis in self._split.axes.items():
            array = feeds.get(name)
            if array is None or array.ndim <= axis or array.shape[axis] != self._samples:
                found = "is missing" if array is None else f"has the shape {array.shape}"
                raise ShapeError(
                    f"{name!r} {found}; it must have {self._samples} samples along axis {axis}"
                )


def _plan(graph: Graph, parameters: Mapping[str, NDArray], sizes: Mapping[str, int]) -> Plan:
    return Plan(lowered(graph.bind(sizes)), parameters)
