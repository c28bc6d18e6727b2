"""How an operator writes its loop nest.

`Op.loops(nest)` gets a `NestBuilder` with operands and results that are indexed logically, axis by
axis, whatever their layout in memory is:

    def loops(self, nest):
        a, b = nest.inputs

        def element(i, j):
            total = nest.local(0.0)
            with nest.loop(a.shape[1]) as k:
                total += a[i, k] * b[k, j]
            return total

        nest.each(element)

The nest is naive; the target's schedule tiles, vectorises and shares loads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from layerport.loops.functions import cast, exp, less, log, maximum, minimum, select
from layerport.loops.index import Index, Size
from layerport.loops.ir import (
    DType,
    Expr,
    Let,
    Local,
    Operand,
    Var,
    as_expr,
)
from layerport.loops.sources import At, Emitter, Result, Scratch, Source, as_index
from layerport.loops.views import View
from layerport.op import NDArray


class NestBuilder:
    """What `Op.loops` gets.

    Attributes
    ----------
    inputs : the operands in order; None for an absent one.
    outputs : the results in order.
    """

    def __init__(
        self,
        emitter: Emitter,
        inputs: Sequence[Source | None],
        outputs: Sequence[Result],
        memory: Memory,
        capture: bool = False,
    ) -> None:
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.captured: Callable[..., Expr] | None = None
        self._emitter = emitter
        self._memory = memory
        self._capture = capture

    @property
    def operands(self) -> list[Source]:
        """The operands that are there."""
        return [source for source in self.inputs if source is not None]

    def optional(self, position: int) -> Source | None:
        """The operand at this position, or None where it is absent."""
        return self.inputs[position] if position < len(self.inputs) else None

    # Loops and locals -----------------------------------------------------------------------

    def loop(self, extent: Size, *, parallel: bool = False) -> Any:
        """``with nest.loop(extent) as i``: a loop from 0; parallel: iterations are independent."""
        return self._emitter.loop(extent, parallel=parallel)

    @contextmanager
    def loops(
        self, shape: Sequence[Size], *, parallel: bool = False
    ) -> Iterator[tuple[Index, ...]]:
        """``with nest.loops(shape) as (i, j)``: a loop for each extent, the first outermost."""
        if not shape:
            yield ()
            return
        with (
            self._emitter.loop(shape[0], parallel=parallel) as first,
            self.loops(shape[1:], parallel=parallel) as rest,
        ):
            yield (first, *rest)

    def local(self, start: Operand, dtype: DType = "f32") -> Local:
        """A variable that changes, such as an accumulator. `dtype` is for a Python number."""
        value = as_expr(start, dtype)
        name = self._emitter.names.fresh("v")
        self._emitter.add(Let(name, value))
        return Local(Var(name, value.dtype), self._emitter.add)

    def let(self, value: Operand) -> Var:
        """A name for a value that is used several times."""
        return self._emitter.let(as_expr(value))

    def sum(self, shape: Sequence[Size], term: Callable[..., Operand], dtype: DType = "f32") -> Var:
        """The sum of ``term(*k)`` over all k below `shape`."""
        total = self.local(0, dtype)
        with self.loops(shape) as k:
            total += term(*k)
        return total.var

    def largest(
        self, shape: Sequence[Size], term: Callable[..., Operand], start: Operand = -np.inf
    ) -> Var:
        """The largest ``term(*k)`` over all k below `shape`; NaN if there is one."""
        best = self.local(start)
        with self.loops(shape) as k:
            best.set(maximum(term(*k), best))
        return best.var

    def log_sum_exp(self, shape: Sequence[Size], term: Callable[..., Expr]) -> Var:
        """``log(sum(exp(term(*k))))`` over all k below `shape`, without overflow."""
        top = self.largest(shape, term)
        # An infinite maximum must not be subtracted: inf - inf is NaN where the result is not.
        limit = float(np.finfo(np.float32).max)
        shift = self.let(minimum(maximum(top, -limit), limit))
        total = self.sum(shape, lambda *k: exp(term(*k) - shift))
        return self.let(log(total) + shift)

    @contextmanager
    def along(self, shape: Sequence[Size], axis: int) -> Iterator[Callable[[At], tuple[At, ...]]]:
        """Loops over all axes but one; yields a function from a place on that axis to an index."""
        with self.loops([*shape[:axis], *shape[axis + 1 :]], parallel=True) as rest:
            yield lambda place: (*rest[:axis], place, *rest[axis:])

    @contextmanager
    def sweep(
        self, shape: Sequence[Size], order: Sequence[int] | None = None
    ) -> Iterator[tuple[Index, ...]]:
        """Parallel loops over `shape`, nested in the memory order of the first output."""
        axes = self.outputs[0].view.order if order is None else order
        with self.loops([shape[axis] for axis in axes], parallel=True) as variables:
            yield tuple(variables[list(axes).index(axis)] for axis in range(len(shape)))

    def each(self, element: Callable[..., Operand], *, split: Mapping[int, int] = {}) -> None:
        """Compute every element of the (first) output.

        Parameters
        ----------
        element : called with one index an axis; returns the value.
        split : axis -> number of equal groups: the index of this axis comes as the pair (group,
            index inside the group).
        """
        result = self.outputs[0]
        if self._capture:
            if all(groups == 1 for groups in split.values()):
                self.captured = lambda *index: as_expr(
                    element(*_paired(index, split)), result.dtype
                )
            return
        shape: list[Size] = []
        order: list[int] = []
        first: list[int] = []
        for axis, extent in enumerate(result.shape):
            first.append(len(shape))
            if axis in split:
                assert isinstance(extent, int)
                shape += [split[axis], extent // split[axis]]
            else:
                shape.append(extent)
        for axis in result.view.order:
            order += [first[axis], first[axis] + 1] if axis in split else [first[axis]]
        with self.sweep(shape, order) as at:
            place = [
                at[start] * shape[start + 1] + at[start + 1] if axis in split else at[start]  # type: ignore[operator]
                for axis, start in enumerate(first)
            ]
            result[tuple(place)] = element(*at)

    # Memory and indices ---------------------------------------------------------------------

    def temporary(self, shape: Sequence[Size], dtype: DType = "f32") -> Scratch:
        """Memory that the nest may write and read again."""
        return Scratch(self._memory.temporary(tuple(shape), dtype), self._emitter)

    def table(self, array: NDArray) -> Source:
        """Numbers that are known now, to be indexed by loop variables."""
        return self._memory.constant(np.asarray(array), self._emitter)

    def index(self, position: Expr) -> Index:
        """A value as an index; it is known to be in bounds (from a table, say)."""
        return as_index(self._emitter, position)

    def count(self, extents: Sequence[Size], dtype: DType = "f32") -> Expr:
        """How many elements there are in these extents."""
        total = as_expr(1, dtype)
        for extent in extents:
            total = total * cast(as_expr(Index.of(extent)), dtype)
        return total

    def gather_index(self, position: Expr, extent: Size) -> Index:
        """A loaded position as an index: negative ones count from the end, all are in bounds."""
        size = as_expr(Index.of(extent) if isinstance(extent, Index) else extent, "i32")
        wrapped = select(less(position, 0), position + size, position)
        inside = maximum(minimum(wrapped, size - 1), 0)
        return as_index(self._emitter, inside)

    def as_number(self, index: Index | int, dtype: DType = "i32") -> Expr:
        """An index as a value."""
        return cast(as_expr(Index.of(index)), dtype)


def _paired(index: Sequence[At], split: Mapping[int, int]) -> list[At]:
    """An index with the pair (0, i) in place of i for axes that are one group."""
    found: list[At] = []
    for axis, place in enumerate(index):
        found += [0, place] if axis in split else [place]
    return found


class Memory:
    """Where a nest gets temporaries and constants from; the lowering implements it."""

    def temporary(self, shape: tuple[Size, ...], dtype: DType) -> View:
        """A new temporary."""
        raise NotImplementedError

    def constant(self, array: NDArray, emitter: Emitter) -> Source:
        """A constant operand."""
        raise NotImplementedError
