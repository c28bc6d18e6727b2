"""Recorded calls as one straight-line Python function.

The source consists of names that are counted (``f0``, ``v1``...) and of literals made here; nothing
that a model says gets into it. Generated source costs about 0.03 us a call, a loop over closures
more, because here the arguments are constants of the function.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from layerport.numpy_engine.arrays import address, same_place
from layerport.numpy_engine.emit import Call
from layerport.numpy_engine.storage import Storage, Storages
from layerport.op import NDArray

_KEYWORD_OUT = frozenset({np.maximum, np.minimum})
"""Ufuncs that are slow with a positional `out`."""


class Memory:
    """The real arrays behind the places that a plan was made with."""

    def __init__(self, storages: Storages, arena: NDArray) -> None:
        self._storages = storages
        self._arena = arena

    def storage(self, place: NDArray) -> Storage | None:
        """The storage that a place lies in."""
        return self._storages.of(place)

    def array(self, place: NDArray) -> NDArray:
        """The real array; others' memory is what it was."""
        storage = self._storages.of(place)
        if storage is None or not storage.owned:
            return place
        offset = storage.offset + address(place) - storage.low
        return np.ndarray(place.shape, place.dtype, self._arena, offset, place.strides)


class Argument(NamedTuple):
    """Stands for an argument of the function among the arguments of a call."""

    number: int


class Program:
    """Source under construction, and the objects that it names.

    Parameters
    ----------
    memory : what stands behind the places.
    arguments : the stand-ins of the function's arguments, in order.
    """

    def __init__(self, memory: Memory, arguments: Sequence[NDArray]) -> None:
        self._memory = memory
        self._arguments = {
            id(storage): (number, stand_in)
            for number, stand_in in enumerate(arguments)
            if (storage := memory.storage(stand_in)) is not None and not storage.owned
        }
        self._count = len(arguments)
        self._names: dict[str, Any] = {}
        self._known: dict[Any, str] = {}
        self._views: dict[str, tuple[int, NDArray]] = {}
        self._lines: list[str] = []

    def add(self, call: Call) -> None:
        """Append a call."""
        keywords = dict(call.keywords)
        args = list(call.args)
        if isinstance(call.function, np.ufunc) and call.function not in _KEYWORD_OUT:
            args += [keywords.pop("out")] if "out" in keywords else []
        words = [self._word(arg) for arg in args]
        words += [f"{name}={self._word(value)}" for name, value in keywords.items()]
        self._lines.append(f"{self._name(call.function, 'f')}({', '.join(words)})")

    @property
    def source(self) -> str:
        """The source of the function."""
        return self._source(self._lines)

    def compile(self) -> Callable[..., None]:
        """The function."""
        function: Callable[..., None] = self._namespace(self.source)["run"]
        return function

    def compile_timed(self) -> Callable[..., list[int]]:
        """The same with a clock: returns the nanoseconds before each call and at the end."""
        lines = [part for line in self._lines for part in ("tick(now())", line)]
        source = self._source(["times = []", "tick = times.append", *lines, "tick(now())"], "times")
        namespace = self._namespace(source)
        namespace["now"] = time.perf_counter_ns
        function: Callable[..., list[int]] = namespace["run"]
        return function

    def _source(self, lines: Sequence[str], result: str = "None") -> str:
        signature = ", ".join(f"a{place}" for place in range(self._count))
        views = [self._view_line(name, *view) for name, view in self._views.items()]
        body = "\n    ".join([*views, *lines, f"return {result}"])
        return f"def run({signature}):\n    {body}\n"

    def _namespace(self, source: str) -> dict[str, Any]:
        namespace: dict[str, Any] = {"__builtins__": {}, "ndarray": np.ndarray, **self._names}
        exec(compile(source, "<layerport plan>", "exec"), namespace)
        return namespace

    def _word(self, thing: Any) -> str:
        if isinstance(thing, np.ndarray):
            storage = self._memory.storage(thing)
            if id(storage) in self._arguments:
                return self._view(*self._arguments[id(storage)], thing)
            return self._array(thing)
        if isinstance(thing, Argument):
            return f"a{thing.number}"
        if thing is None or thing == "unsafe" or isinstance(thing, (bool, int)):
            return repr(thing)
        if isinstance(thing, tuple) and all(isinstance(item, int) for item in thing):
            return repr(thing)
        return self._name(thing, "c")

    def _name(self, thing: Any, kind: str) -> str:
        name = self._known.get(id(thing))
        if name is None:
            name = self._known[id(thing)] = f"{kind}{len(self._names)}"
            self._names[name] = thing  # also keeps the id from being used again
        return name

    def _array(self, place: NDArray) -> str:
        real = self._memory.array(place)
        key = (address(real), real.shape, real.strides, real.dtype.str, real.flags.writeable)
        if key not in self._known:
            name = self._known[key] = f"v{len(self._names)}"
            self._names[name] = real
        return self._known[key]

    def _view(self, number: int, whole: NDArray, place: NDArray) -> str:
        if same_place(place, whole):
            return f"a{number}"
        for name, (other, view) in self._views.items():
            if other == number and same_place(view, place):
                return name
        name = f"t{len(self._views)}"
        self._views[name] = (number, place)
        return name

    def _view_line(self, name: str, number: int, place: NDArray) -> str:
        whole = next(array for other, array in self._arguments.values() if other == number)
        offset = address(place) - address(whole)
        dtype = self._name(place.dtype, "c")
        return f"{name} = ndarray({place.shape}, {dtype}, a{number}, {offset}, {place.strides})"
