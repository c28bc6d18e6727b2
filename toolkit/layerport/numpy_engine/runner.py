"""Inference: what `Network.predict` runs on."""

from __future__ import annotations

import dataclasses
import functools
import math
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from layerport.dim import static_shape
from layerport.errors import LayerportError
from layerport.numpy_engine.binding import sizes_of
from layerport.numpy_engine.lowering import lowered
from layerport.numpy_engine.parts import TRIAL, cache_for, largest_part
from layerport.numpy_engine.plan import Plan
from layerport.numpy_engine.pooling import pool_first
from layerport.numpy_engine.profile import Profile, Work, profile
from layerport.numpy_engine.sample_axes import BATCH, Along
from layerport.numpy_engine.samplewise import is_samplewise, states_of
from layerport.numpy_engine.step import Sizes
from layerport.numpy_engine.threads import Crew, blas_threads, thread_count
from layerport.op import NDArray
from layerport.recording import RANDOM_INPUTS

if TYPE_CHECKING:
    from layerport.network import Network

PART_BYTES = 4 << 20
"""How much memory the buffers for one part of a batch may take: they should stay in the cache."""

KEPT = 8
"""How many plans, for inputs of different shapes, are kept."""


FEW = 16
"""Parts up to which they are made equally large."""


class Runner:
    """Computes the outputs of a network as it is now.

    Large batches are computed in parts, unless a layer mixes samples, so the memory that is
    needed does not grow with them.

    Parameters
    ----------
    network : what to run. Its weights are used by reference: changes in place are seen, but an
        array that takes the place of another one needs a new Runner.
    """

    def __init__(self, network: Network) -> None:
        graph = network.lower(rewrite=True)
        graph = pool_first(dataclasses.replace(graph, updates=()))
        parameters = network.parameters
        known = {value.name: parameters[value.name] for value in graph.parameters}
        self._graph = graph
        self._parameters = known
        self._plans: OrderedDict[tuple[Any, ...], Plan] = OrderedDict()
        self._crew = Crew(1)
        self._in_parts = is_samplewise(graph)
        states = states_of(graph)
        self._dtypes = {value.name: value.dtype for value in graph.inputs}
        self._sliced = [v.name for v in graph.inputs if isinstance(states[v], Along)]
        self._counters = {
            value.name: np.zeros((), np.uint32)
            for value in graph.inputs
            if value.name in RANDOM_INPUTS
        }
        self._sample_bytes: dict[Sizes, int] = {}
        self._whole: dict[tuple[tuple[int, ...], np.dtype[Any]], Plan] = {}
        # Plans own their buffers, so only one thread can run them at a time.
        self._lock = threading.Lock()

    def repeat(self, x: Any) -> list[NDArray] | None:
        """The outputs for an array like one that was computed before, else None: no checks."""
        if type(x) is not np.ndarray:
            return None
        plan = self._whole.get((x.shape, x.dtype))
        if plan is None:
            return None
        with self._lock:
            return plan.run({self._sliced[0]: x})

    def predict(
        self,
        feeds: Mapping[str, Any],
        batch_size: int | None = None,
        threads: int | None = 1,
    ) -> list[NDArray]:
        """The outputs for inputs by name.

        Parameters
        ----------
        feeds : exactly the inputs of the network: arrays of numbers, or what slicing reads. Their
            parts are converted to the network's dtypes.
        batch_size : how many samples are computed at once; None lets the engine choose.
        threads : how many threads share the parts of a large batch; None takes one for each
            processor.

        Raises
        ------
        ShapeError : naming every input that does not fit.
        """
        if batch_size is not None and batch_size < 1:
            raise LayerportError(f"batch_size must be at least 1, not {batch_size}")
        threads = thread_count(threads)
        feeds = {**feeds, **self._counters} if self._counters else feeds
        with self._lock:
            sizes = sizes_of(self._graph, self._shaped(feeds), self._parameters)
            samples = sizes.get(BATCH, 0)
            part = samples
            if self._in_parts and samples > 1:
                part = min(samples, batch_size or self._part(sizes, threads))
            if part < samples:
                return self._run_in_parts(feeds, sizes, part, threads)
            plan = self._plan(sizes)
            if batch_size is None and len(feeds) == len(self._sliced) == 1:
                ((name, x),) = feeds.items()
                self._whole = {**self._whole, (x.shape, self._dtypes[name]): plan}
                if len(self._whole) > KEPT:
                    self._whole = {}
            return plan.run({name: self._ready(name, rows) for name, rows in feeds.items()})

    def profile(self, feeds: Mapping[str, NDArray], runs: int) -> Profile:
        """The time of each operator and layer, for the first part of the inputs by name."""
        feeds = {**feeds, **self._counters}
        with self._lock:
            sizes = sizes_of(self._graph, feeds, self._parameters)
            part = self._part(sizes) if self._in_parts else sizes.get(BATCH, 0)
            part = min(part, sizes.get(BATCH, 0))
            for name in self._sliced:
                feeds[name] = feeds[name][:part]
            return profile([Work(self._plan({**sizes, BATCH: part}), feeds)], runs=runs)

    def _shaped(self, feeds: Mapping[str, Any]) -> dict[str, NDArray]:
        """Arrays of the same shapes in the network's dtypes, without memory."""
        return {
            name: np.broadcast_to(np.zeros((), self._dtypes.get(name)), array.shape)
            for name, array in feeds.items()
        }

    def _ready(self, name: str, rows: Any) -> NDArray:
        """Rows of an input in the network's dtype."""
        return np.asarray(rows, self._dtypes[name])

    def _run_in_parts(
        self, feeds: Mapping[str, Any], sizes: Mapping[str, int], part: int, threads: int
    ) -> list[NDArray]:
        if threads != self._crew.size:
            self._crew = Crew(threads)
        samples = sizes[BATCH]
        starts = range(0, samples, part)
        workers = min(threads, len(starts))
        plans = [self._plan({**sizes, BATCH: part}, worker) for worker in range(workers)]
        results = [np.empty((samples, *out.shape[1:]), out.dtype) for out in plans[0].outputs]

        def work(plan: Plan, starts: Iterable[int]) -> None:
            inputs = {
                name: array if name in self._sliced else self._ready(name, array)
                for name, array in feeds.items()
            }
            for start in starts:
                # The last part begins so early that it is as large as the others.
                first = min(start, samples - part)
                for name in self._sliced:
                    inputs[name] = self._ready(name, feeds[name][first : first + part])
                if self._counters:
                    inputs[RANDOM_INPUTS[2]] = np.asarray(first, np.uint32)
                for result, output in zip(results, plan.run(inputs, copy=False), strict=True):
                    result[start : first + part] = output[start - first :]

        shares = [starts[worker::workers] for worker in range(workers)]
        pairs = zip(plans, shares, strict=True)
        with blas_threads(1):
            self._crew.run([functools.partial(work, plan, share) for plan, share in pairs])
        return results

    def _plan(self, sizes: Mapping[str, int], worker: int = 0) -> Plan:
        key = (worker, *sorted(sizes.items()))
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = Plan(lowered(self._graph.bind(sizes)), self._parameters)
            if len(self._plans) > KEPT * self._crew.size:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        return plan

    def _part(self, sizes: Mapping[str, int], threads: int = 1) -> int:
        """How many samples to compute at once."""
        key = tuple(sorted((name, size) for name, size in sizes.items() if name != BATCH))
        if key not in self._sample_bytes:
            samples = min(TRIAL, sizes[BATCH])
            trial = self._plan({**sizes, BATCH: samples})
            one = self._graph.bind({**sizes, BATCH: 1}).inputs
            inputs = sum(math.prod(static_shape(v.shape)) * v.dtype.itemsize for v in one)
            self._sample_bytes[key] = max(1, inputs + math.ceil(trial.arena_bytes / samples))
        size = self._sample_bytes[key]
        cache = cache_for(self._graph, size, PART_BYTES)
        most = largest_part(sizes[BATCH], size, threads, cache)
        count = -(-sizes[BATCH] // most)
        # Of few parts, a last one that is not full would cost much; with many, one size serves
        # batches of all sizes.
        return -(-sizes[BATCH] // count) if count <= FEW else most
