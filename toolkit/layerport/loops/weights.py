"""Constants and parameters of a program, laid out the way the first nest that reads them does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from layerport.dim import static_shape
from layerport.errors import UnsupportedError
from layerport.graph import Value
from layerport.loops.index import Index
from layerport.loops.ir import STORED_TYPES, Body, Buffer, For, Load, Names
from layerport.loops.sources import (
    At,
    Emitter,
    Source,
    as_index,
    dtype_of,
    number_source,
    view_source,
)
from layerport.loops.views import Order, View, strides_for
from layerport.op import NDArray


@dataclass
class _Trial:
    """A weight whose layout is not settled: row-major for now, and how it was indexed."""

    view: View
    accesses: list[tuple[Index, ...]] = field(default_factory=list)


@dataclass
class Shared:
    """Parameters that several programs work on, and where all of them take identifiers from.

    Attributes
    ----------
    arrays : by the name of the parameter, its elements at the start.
    buffers : the state of each parameter that a program has met, row-major.
    """

    arrays: Mapping[str, NDArray]
    names: Names = field(default_factory=Names)
    buffers: dict[str, Buffer] = field(default_factory=dict)

    def state(self, value: Value) -> Buffer:
        """The buffer of a parameter."""
        if value.name not in self.buffers:
            data = self.arrays.get(value.name)
            flat = None if data is None else stored(np.ascontiguousarray(data)).reshape(-1)
            self.buffers[value.name] = new_state(self.names, value, flat)
        return self.buffers[value.name]


def new_state(names: Names, value: Value, data: NDArray | None = None) -> Buffer:
    """A buffer for a parameter that changes: row-major, as whoever fills or saves it expects."""
    shape = static_shape(value.shape)
    size = int(np.prod(shape, dtype=np.int64))
    dtype = dtype_of(value.dtype)
    strides = strides_for(shape)
    return Buffer(names.fresh("w"), size, dtype, "state", data, value.name, shape, strides)


class Weights:
    """The weights of a program.

    Parameters
    ----------
    names : where identifiers come from.
    states : parameters that the program updates.
    shared : parameters that other programs work on, too; None where there are none.
    """

    def __init__(self, names: Names, states: set[Value], shared: Shared | None = None) -> None:
        self.buffers: list[Buffer] = []
        self._names = names
        self._states = states
        self._shared = shared
        self._views: dict[Value, View] = {}
        self._trials: dict[Value, _Trial] = {}
        self._tables: dict[Any, Value] = {}

    def source(self, value: Value, emitter: Emitter) -> Source:
        """A constant or parameter as an operand."""
        shape = static_shape(value.shape)
        if value.constant is not None:
            number = number_source(value.constant, shape)
            if number is not None:
                return number
        if self._is_state(value):
            self.view(value)
        if value in self._views:
            return view_source(self._views[value], emitter, value.constant)
        if value not in self._trials:
            self._trials[value] = _Trial(self._row_major(value))
        trial = self._trials[value]

        def element(index: tuple[At, ...]) -> Load:
            place = tuple(as_index(emitter, item) for item in index)
            trial.accesses.append(place)
            return Load(trial.view.buffer, trial.view.at(place))

        return Source(shape, trial.view.buffer.dtype, element, value.constant)

    def table(self, array: NDArray, emitter: Emitter) -> Source:
        """Numbers that a nest brings along."""
        key = (array.dtype.str, array.shape, array.tobytes())
        value = self._tables.setdefault(key, Value(array.shape, array.dtype, constant=array))
        return self.source(value, emitter)

    def view(self, value: Value) -> View:
        """Where a weight lies; row-major unless a nest has settled otherwise."""
        if value not in self._views:
            self._settle(value, tuple(range(value.ndim)))
        return self._views[value]

    def _is_state(self, value: Value) -> bool:
        shared = self._shared is not None and value.constant is None
        return shared or value in self._states

    def settle(self, body: Body) -> bool:
        """Choose the layouts of what a nest (read once, row-major) uses; False if there is none.

        The axes that sums run over come before the one that runs along the fastest axis of the
        result, so that a tile of results reads neighbours.
        """
        trials, self._trials = self._trials, {}
        depths = _depths(body)
        for value, trial in trials.items():
            self._settle(value, _order(trial.accesses, depths, value.ndim))
        return bool(trials)

    def _settle(self, value: Value, order: Order) -> None:
        shape = static_shape(value.shape)
        if self._is_state(value):
            shared = self._shared
            state = shared.state(value) if shared else new_state(self._names, value)
            self.buffers.append(state)
            self._views[value] = View(state, shape, state.strides)
            return
        plain = self._row_major(value)
        strides = strides_for(shape, order)
        data = plain.buffer.data
        buffer = Buffer(
            self._names.fresh("w"),
            plain.buffer.size,
            plain.buffer.dtype,
            "weight",
            None if data is None else np.ascontiguousarray(data.transpose(order)).reshape(-1),
            value.name if value.constant is None else "",
            shape,
            strides,
        )
        self.buffers.append(buffer)
        self._views[value] = View(buffer, shape, strides)

    def _row_major(self, value: Value) -> View:
        shape = static_shape(value.shape)
        data = None if value.constant is None else stored(value.constant)
        size = int(np.prod(shape, dtype=np.int64))
        buffer = Buffer("trial", size, dtype_of(value.dtype), "weight", data)
        return View(buffer, shape, strides_for(shape))


def stored(array: NDArray) -> NDArray:
    """An array in the type in which its elements lie in memory.

    Raises
    ------
    UnsupportedError : when an integer needs more than 32 bits.
    """
    dtype = STORED_TYPES[dtype_of(array.dtype)]
    if array.dtype.kind in "iu" and array.size:
        limits = np.iinfo(dtype)  # type: ignore[type-var]
        if array.min() < limits.min or array.max() > limits.max:
            raise UnsupportedError(
                f"an integer constant of the model ({array.min()} to {array.max()}) does not fit "
                "into 32 bits"
            )
    return array.astype(dtype)


def _depths(body: Body) -> dict[str, tuple[int, bool]]:
    """How deep each loop variable sits, and whether its loop is parallel."""
    found: dict[str, tuple[int, bool]] = {}

    def visit(part: Body, depth: int) -> None:
        for statement in part:
            if isinstance(statement, For):
                found[statement.variable] = depth, statement.parallel
                visit(statement.body, depth + 1)

    visit(body, 0)
    return found


def _order(
    accesses: Sequence[tuple[Index, ...]], depths: dict[str, tuple[int, bool]], rank: int
) -> Order:
    """Outer results first, then what is summed over, last the fastest axis of the result."""
    where: list[tuple[int, bool]] = []
    for axis in range(rank):
        variables = [name for place in accesses for name in place[axis].terms if name in depths]
        where.append(max((depths[name] for name in variables), default=(-1, True)))
    results = [depth for depth, parallel in where if parallel and depth >= 0]
    fastest = max(results, default=-1)

    def rank_of(axis: int) -> tuple[int, int, int]:
        depth, parallel = where[axis]
        return (2 if depth == fastest else 0) if parallel else 1, depth, axis

    return tuple(sorted(range(rank), key=rank_of))
