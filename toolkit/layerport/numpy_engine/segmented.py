"""A batch computed in segments and parts, by one thread or several."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from math import prod

import numpy as np

from layerport.dim import bind_shape, static_shape
from layerport.errors import ShapeError
from layerport.graph import Graph, Value
from layerport.numpy_engine.arrays import Order, inverse, memory_order
from layerport.numpy_engine.lowering import lowered
from layerport.numpy_engine.plan import Plan
from layerport.numpy_engine.profile import Work
from layerport.numpy_engine.sample_axes import BATCH
from layerport.numpy_engine.segments import PARTS, SHARES, Kept, Segment, Segments
from layerport.numpy_engine.storage import Storage, allocate_arena, arrange
from layerport.numpy_engine.threads import Crew
from layerport.op import NDArray
from layerport.recording import RANDOM_INPUTS

Sizes = Mapping[str, int]
Arrays = Mapping[str, NDArray]


class Part:
    """A stretch of the batch.

    Attributes
    ----------
    number : which of the parts of its segment.
    start, count : its first sample, and how many it has.
    """

    def __init__(self, number: int, start: int, count: int) -> None:
        self.number, self.start, self.count = number, start, count


# Trying out -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Trial:
    """What plans for a few samples show.

    Attributes
    ----------
    orders : for what is kept, by name, the order in which its axes lie in memory: samples first,
        then as the segment that computes it has them.
    sample_bytes : for each segment, how much memory one sample needs.
    """

    orders: Mapping[str, Order]
    sample_bytes: tuple[int, ...]


def try_out(segments: Segments, parameters: Arrays, sizes: Sizes, samples: int) -> Trial:
    """Plan all segments for so many samples."""
    sizes = {**sizes, BATCH: samples}
    kept = {item.name: item for item in segments.kept}
    known = dict(parameters)
    orders: dict[str, Order] = {}
    found = []
    for segment in segments.segments:
        known = {**_blank((*segment.accumulators, *segment.shared), sizes), **known}
        plan = _plan(segment.part, known, sizes, orders)
        read = [value.name for value in segment.part.inputs if value.name in kept]
        handed = sum(_bytes(kept[name].value, sizes) for name in (*read, *segment.kept))
        found.append(max(1, -(-(plan.arena_bytes + handed) // samples)))
        for name, output in zip(segment.part.output_names, plan.outputs, strict=True):
            if name in kept:
                axis = kept[name].axis
                others = (place for place in memory_order(output) if place != axis)
                orders[name] = (axis, *others)
    return Trial(orders, tuple(found))


# Running --------------------------------------------------------------------------------


class SegmentedPlan:
    """As a `Plan`, for a batch that is computed in segments, and in parts within them.

    The results do not depend on how many threads there are, except for rounding, and are the same
    at every run with as many.

    Parameters
    ----------
    segments : the graphs.
    parameters : arrays by name, used by reference.
    sizes : of the graph's extents, for the whole batch.
    parts : for each segment, how many samples its parts have.
    orders : see `Trial`.
    crew : the threads.
    """

    def __init__(
        self,
        segments: Segments,
        parameters: Arrays,
        sizes: Sizes,
        parts: Sequence[Sequence[int]],
        orders: Mapping[str, Order],
        crew: Crew,
    ) -> None:
        self._segments = segments
        self._samples = sizes[BATCH]
        self._crew = crew
        self._counts = {counted.name: counted.array(sizes) for counted in segments.counted}
        lines = _lines(segments.kept, sizes)
        self._kept_bytes = sum(line.nbytes for line in lines.values())
        known = dict(parameters)
        self.stages: list[Stage] = []
        for segment, counts in zip(segments.segments, parts, strict=True):
            stage = Stage(segment, segments.axes, known, sizes, counts, lines, orders, crew.size)
            known |= stage.made
            self.stages.append(stage)
        self._results = {
            item.name: _whole(item, lines[item.name], orders[item.name], sizes)
            for item in segments.kept
            if item.name in segments.outputs
        }

    @property
    def arena_bytes(self) -> int:
        """The memory of the buffers."""
        return self._kept_bytes + sum(
            plan.arena_bytes for stage in self.stages for plan in stage.plans
        )

    def run(self, feeds: Arrays, *, copy: bool = True) -> list[NDArray]:
        """As `Plan.run`."""
        self._check(feeds)
        inputs = {**feeds, **self._counts}
        for stage in self.stages:
            stage.run(inputs, self._crew)
        late = self.stages[-1].rest.outputs
        found = [
            late[place] if isinstance(place, int) else self._results[place]
            for place in self._segments.outputs
        ]
        return [array.copy() for array in found] if copy else found

    def works(self, feeds: Arrays) -> list[Work]:
        """The plans of a run, for a profile."""
        inputs = {**feeds, **self._counts}
        return [work for stage in self.stages for work in stage.works(inputs)]

    def _check(self, feeds: Arrays) -> None:
        for name, axis in self._segments.axes.items():
            array = feeds.get(name)
            if array is None or array.ndim <= axis or array.shape[axis] != self._samples:
                found = "is missing" if array is None else f"has the shape {array.shape}"
                raise ShapeError(
                    f"{name!r} {found}; it must have {self._samples} samples along axis {axis}"
                )


class Stage:
    """A segment with its threads.

    Attributes
    ----------
    made : arrays that the segment computes for later ones, by name.
    rest : what runs behind all parts.
    """

    def __init__(
        self,
        segment: Segment,
        axes: Mapping[str, int],
        known: Arrays,
        sizes: Sizes,
        counts: Sequence[int],
        lines: Arrays,
        orders: Mapping[str, Order],
        threads: int,
    ) -> None:
        starts = np.cumsum([0, *counts]).tolist()
        parts = [Part(*item) for item in zip(range(len(counts)), starts, counts, strict=False)]
        shares = [parts[first::threads] for first in range(min(threads, len(parts)))]
        rows = {v.name: np.zeros((len(parts), *_shape(v, sizes)), v.dtype) for v in segment.rows}
        blank = _blank(segment.accumulators, sizes)
        sums = {name: known.get(name, array) for name, array in blank.items()}
        self.made = {**sums, **_blank(segment.shared, sizes)}
        everything = {**known, **self.made, **rows}
        self._workers = [
            _Worker(segment, axes, everything, sizes, share, lines, orders, sums=mine)
            for worker, share in enumerate(shares)
            for mine in [_blank(segment.accumulators, sizes) if worker else sums]
        ]
        self.rest = _plan(segment.rest, everything, {**sizes, PARTS: len(parts)})
        self._shares = np.array(counts, np.float64) / sizes[BATCH]

    @property
    def plans(self) -> Iterator[Plan]:
        """All plans."""
        for worker in self._workers:
            yield from worker.plans.values()
        yield self.rest

    def run(self, inputs: Arrays, crew: Crew) -> None:
        """Compute all parts, then the rest."""
        crew.run([functools.partial(worker.run, inputs) for worker in self._workers])
        first, *others = self._workers
        for worker in others:
            for name, accumulator in first.sums.items():
                accumulator += worker.sums[name]
        self.rest.run(self._late(inputs), copy=False)

    def works(self, inputs: Arrays) -> Iterator[Work]:
        """The plans, and what they are fed."""
        for worker in self._workers:
            yield from worker.works(inputs)
        yield Work(self.rest, self._late(inputs))

    def _late(self, inputs: Arrays) -> Arrays:
        return {**inputs, SHARES: self._shares}


class _Worker:
    """What one thread does in a segment, with memory that no other one writes to.

    Attributes
    ----------
    plans : by how many samples a part has.
    sums : the accumulators. Those of the first worker are the parameters themselves, where the
        sums are what parameters become.
    """

    def __init__(
        self,
        segment: Segment,
        axes: Mapping[str, int],
        known: Arrays,
        sizes: Sizes,
        share: Sequence[Part],
        lines: Arrays,
        orders: Mapping[str, Order],
        *,
        sums: dict[str, NDArray],
    ) -> None:
        self.sums = sums
        self._share = share
        names = [value.name for value in segment.part.inputs]
        self._sliced = [(name, axis) for name, axis in axes.items() if name in names]
        handed = [name for name in (*names, *segment.kept) if name in lines]
        self._handed = {
            part: {name: _stretch(lines[name], part, sizes[BATCH]) for name in handed}
            for part in share
        }
        self._rows = [known[value.name] for value in segment.rows]
        borrowed = {name: orders[name] for name in handed}
        self.plans = {
            count: _plan(segment.part, {**known, **sums}, {**sizes, BATCH: count}, borrowed)
            for count in {part.count for part in share}
        }

    def run(self, feeds: Arrays) -> None:
        """Compute all parts."""
        for accumulator in self.sums.values():
            accumulator.fill(0)
        for part in self._share:
            outputs = self.plans[part.count].run(self._inputs(feeds, part), copy=False)
            for rows, output in zip(self._rows, outputs, strict=True):
                rows[part.number] = output

    def works(self, feeds: Arrays) -> Iterator[Work]:
        """The plans, each with the inputs of the first part that has its size."""
        for size, plan in self.plans.items():
            alike = [part for part in self._share if part.count == size]
            yield Work(plan, self._inputs(feeds, alike[0]), len(alike))

    def _inputs(self, feeds: Arrays, part: Part) -> Arrays:
        """What of the inputs belongs to a part, and the memory for what is kept of it."""
        inputs = {**feeds, **self._handed[part]}
        for name, axis in self._sliced:
            stretch = slice(part.start, part.start + part.count)
            inputs[name] = feeds[name][(slice(None),) * axis + (stretch,)]
        sample = RANDOM_INPUTS[2]
        if sample in feeds:
            inputs[sample] = np.asarray(feeds[sample] + np.uint32(part.start))
        return inputs


# Memory ---------------------------------------------------------------------------------


def _shape(value: Value, sizes: Sizes) -> tuple[int, ...]:
    return static_shape(bind_shape(value.shape, sizes))


def _bytes(value: Value, sizes: Sizes) -> int:
    return prod(_shape(value, sizes)) * value.dtype.itemsize


def _blank(values: Sequence[Value], sizes: Sizes) -> dict[str, NDArray]:
    return {value.name: np.zeros(_shape(value, sizes), value.dtype) for value in values}


def _lines(kept: Sequence[Kept], sizes: Sizes) -> dict[str, NDArray]:
    """Memory for what is kept of the whole batch, shared by what is never there together."""
    storages = []
    for item in kept:
        storage = Storage(0, _bytes(item.value, sizes), item.first)
        storage.last = item.last
        storages.append(storage)
    arena = allocate_arena(arrange(storages))
    return {
        item.name: arena[storage.offset : storage.offset + storage.high]
        for item, storage in zip(kept, storages, strict=True)
    }


def _stretch(line: NDArray, part: Part, samples: int) -> NDArray:
    each = line.size // samples
    return line[part.start * each : (part.start + part.count) * each]


def _whole(item: Kept, line: NDArray, order: Order, sizes: Sizes) -> NDArray:
    shape = _shape(item.value, sizes)
    ordered = tuple(shape[axis] for axis in order)
    return line.view(item.value.dtype).reshape(ordered).transpose(inverse(order))


def _plan(
    graph: Graph, parameters: Arrays, sizes: Sizes, borrowed: Mapping[str, Order] | None = None
) -> Plan:
    return Plan(lowered(graph.bind(sizes)), parameters, borrowed or {})
