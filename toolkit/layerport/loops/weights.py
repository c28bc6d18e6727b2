"""Constants and parameters of a program, laid out the way the first nest that reads them does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from layerport.dim import static_shape
from layerport.errors import UnsupportedError
from layerport.graph import Value
from layerport.loops.index import Index
from layerport.loops.ir import STORED_TYPES, Body, Buffer, For, Kind, Load, Names
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


class Weights:
    """The weights of a program.

    Parameters
    ----------
    names : where identifiers come from.
    states : parameters that the program updates.
    """

    def __init__(self, names: Names, states: set[Value]) -> None:
        self.buffers: list[Buffer] = []
        self._names = names
        self._states = states
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
        plain = self._row_major(value)
        shape = static_shape(value.shape)
        strides = strides_for(shape, order)
        data = plain.buffer.data
        kind: Kind = "state" if value in self._states else "weight"
        buffer = Buffer(
            self._names.fresh("w"),
            plain.buffer.size,
            plain.buffer.dtype,
            kind,
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
