"""A graph of known sizes as NumPy calls on preallocated arrays."""

from __future__ import annotations

import contextvars
import functools
import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from layerport.dim import static_shape
from layerport.errors import ShapeError
from layerport.graph import Graph
from layerport.numpy_engine.arrays import Order, place_of
from layerport.numpy_engine.emit import Call
from layerport.numpy_engine.places import Places
from layerport.numpy_engine.profile import Work
from layerport.numpy_engine.program import Argument, Memory, Program
from layerport.numpy_engine.storage import allocate_arena, arrange
from layerport.op import NDArray

_VIEW_COST, _CALL_COST = 0.12, 0.2
"""Microseconds."""

_COPY_SPEED = 20_000
"""Bytes a microsecond."""


class Plan:
    """A graph without symbolic extents, ready to run.

    A plan owns its buffers, so it runs in one thread at a time; plans of the same graph are
    independent of one another.

    Parameters
    ----------
    graph : what to compute.
    parameters : arrays by name, used by reference: later changes of them are seen, and
        `graph.updates` are written into them.
    borrowed : inputs and outputs in memory that is handed over at each run, as a line of bytes:
        by name, in which order the axes lie in it, the outermost first.

    Attributes
    ----------
    calls : what a run calls, in order; `Call.step` counts the graph's nodes.
    arena_bytes : the memory of the buffers.
    outputs : the buffers of the outputs, without those in borrowed memory.

    Raises
    ------
    ShapeError : when the graph has a symbolic extent, or a parameter does not fit.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[str, NDArray],
        borrowed: Mapping[str, Order] = MappingProxyType({}),
    ) -> None:
        self.graph = graph
        self.parameters = {value.name: parameters[value.name] for value in graph.parameters}
        self._check_parameters()
        places = Places(graph, self.parameters, borrowed)
        self._arguments = [
            (name, stand_in.shape, stand_in.dtype) for name, stand_in in places.arguments.items()
        ]
        calls = _with_copies(places, borrowed)
        self.arena_bytes = arrange(s for s in places.storages if s.owned)
        memory = Memory(places.storages, allocate_arena(self.arena_bytes))
        self._program = program = Program(memory, list(places.arguments.values()))
        for call in calls:
            program.add(call)
        self.calls = calls
        self.outputs = [
            memory.array(place)
            for name, place in zip(graph.output_names, places.outputs, strict=True)
            if name not in borrowed
        ]
        self._function = program.compile()
        # Floating-point warnings would name lines of generated code. Entering a context in which
        # they are off costs a twentieth of np.errstate.
        self._context = contextvars.copy_context()
        self._context.run(np.seterr, all="ignore")

    def run(self, feeds: Mapping[str, NDArray], *, copy: bool = True) -> list[NDArray]:
        """Compute the outputs, then write the updates.

        Parameters
        ----------
        feeds : the inputs by name, of exactly the shapes and dtypes of the graph; and the memory
            that is borrowed.
        copy : False returns the plan's own buffers, which the next run overwrites.

        Raises
        ------
        ShapeError : naming the input that is missing or does not fit.
        """
        self._context.run(self._function, *self._checked(feeds))
        return [array.copy() for array in self.outputs] if copy else self.outputs

    def time(self, feeds: Mapping[str, NDArray]) -> list[int]:
        """A run with a clock: how many nanoseconds each of `calls` takes."""
        ticks = self._context.run(self._timed, *self._checked(feeds))
        return [after - before for before, after in itertools.pairwise(ticks)]

    def works(self, feeds: Mapping[str, NDArray]) -> list[Work]:
        """What a run consists of, for a profile: this plan."""
        return [Work(self, feeds)]

    @functools.cached_property
    def _timed(self) -> Callable[..., list[int]]:
        return self._program.compile_timed()

    @property
    def source(self) -> str:
        """The source of the generated function."""
        return self._program.source

    def _checked(self, feeds: Mapping[str, NDArray]) -> list[NDArray]:
        arrays = []
        for name, shape, dtype in self._arguments:
            array = feeds.get(name)
            if array is None or array.shape != shape or array.dtype != dtype:
                raise ShapeError(_misfit(name, shape, dtype, array))
            arrays.append(array if array.flags.c_contiguous else np.ascontiguousarray(array))
        return arrays

    def _check_parameters(self) -> None:
        for value in self.graph.parameters:
            array = self.parameters[value.name]
            if array.shape != static_shape(value.shape) or array.dtype != value.dtype:
                raise ShapeError(_misfit(value.name, value.shape, value.dtype, array))


def _misfit(name: str, shape: object, dtype: object, array: NDArray | None) -> str:
    if array is None:
        return f"{name!r} is missing"
    return f"{name!r} must be {dtype} of shape {shape}, not {array.dtype} of {array.shape}"


def _with_copies(places: Places, borrowed: Mapping[str, Order]) -> list[Call]:
    """The calls, with arguments copied to and from buffers where that is necessary or faster.

    A view of an argument has to be made at each run, a view of a buffer only once.
    """
    before: list[Call] = []
    after: list[Call] = []
    end = len(places.graph.nodes)
    inputs = {value.name for value in places.graph.inputs}
    for number, (name, whole) in enumerate(places.arguments.items()):
        storage = places.storages.of(whole)
        if storage is None:
            continue
        if not _is_kept(places, whole):
            cost = _CALL_COST + storage.size / _COPY_SPEED
            if name in borrowed or _VIEW_COST * _views(places, whole) <= cost:
                continue
        storage.owned = True
        storage.first, storage.last = -1, end
        if name in inputs:
            before.append(Call(np.copyto, (whole, Argument(number)), {}, -1))
        else:
            after.append(Call(np.copyto, (Argument(number), whole), {}, end))
    return [*before, *places.calls, *after]


def _is_kept(places: Places, whole: NDArray) -> bool:
    """Whether a function that remembers its arrays from run to run reads an argument."""
    storage = places.storages.of(whole)
    kept = [call for call in places.calls if getattr(call.function, "keeps_arrays", False)]
    return any(
        isinstance(thing, np.ndarray) and places.storages.of(thing) is storage
        for call in kept
        for thing in call.args
    )


def _views(places: Places, whole: NDArray) -> int:
    """How many different views of an argument the calls read, itself left out."""
    storage = places.storages.of(whole)
    things = [thing for call in places.calls for thing in (*call.args, *call.keywords.values())]
    found = {place_of(whole)} | {
        place_of(thing)
        for thing in things
        if isinstance(thing, np.ndarray) and places.storages.of(thing) is storage
    }
    return len(found) - 1
