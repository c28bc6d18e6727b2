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
from typing import Any, TypeAlias

import numpy as np

from layerport.errors import UnsupportedError
from layerport.loops.functions import cast, exp, less, log, maximum, minimum, select
from layerport.loops.ir import (
    Buffer,
    DType,
    Expr,
    For,
    Index,
    Let,
    Load,
    Local,
    Names,
    Number,
    Operand,
    Size,
    Statement,
    Store,
    Var,
    as_expr,
)
from layerport.loops.views import View
from layerport.op import NDArray

At: TypeAlias = "Index | int | Expr"
"""One index: affine, or an integer expression whose value is known to be in bounds."""


def dtype_of(dtype: np.dtype[Any]) -> DType:
    """The loop level's type for a NumPy dtype: every float is f32, every integer i32 or u32."""
    if dtype.kind == "f":
        return "f32"
    if dtype.kind == "b":
        return "bool"
    if dtype.kind in "iu":
        return "u32" if dtype == np.uint32 else "i32"
    raise UnsupportedError(f"values of type {dtype} cannot be expressed in loops")


class Emitter:
    """Where statements are collected, loop inside loop."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self._stack: list[list[Statement]] = [[]]

    def add(self, statement: Statement) -> None:
        """Append a statement to the innermost open loop."""
        self._stack[-1].append(statement)

    def let(self, value: Expr) -> Var:
        """A new local variable with this value."""
        if isinstance(value, Var):
            return value
        statement = Let(self.names.fresh("v"), value)
        self.add(statement)
        return statement.var

    @contextmanager
    def loop(self, extent: Size, *, parallel: bool = False) -> Iterator[Index]:
        """A loop from 0 below `extent`; a loop of one iteration is none at all."""
        if extent == 1:
            yield Index(0)
            return
        name = self.names.fresh("i")
        self._stack.append([])
        yield Index.variable(name)
        body = tuple(self._stack.pop())
        self.add(For(name, Index(0), Index.of(extent), body, parallel=parallel))

    def finish(self) -> tuple[Statement, ...]:
        """What was collected since the last time."""
        (body,) = self._stack
        self._stack = [[]]
        return tuple(body)


class Source:
    """An operand as a nest sees it.

    Attributes
    ----------
    shape : extents; those that depend on the batch are an `Index`.
    dtype : the loop level's element type.
    constant : its array where it is known, else None.
    in_place : whether the operand already lies inside the output (see `Op.window`).
    """

    def __init__(
        self,
        shape: tuple[Size, ...],
        dtype: DType,
        element: Callable[[tuple[At, ...]], Expr],
        constant: NDArray | None = None,
        in_place: bool = False,
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.constant = constant
        self.in_place = in_place
        self._element = element

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __getitem__(self, index: At | tuple[At, ...]) -> Expr:
        return self._element(index if isinstance(index, tuple) else (index,))

    def broadcast(self, index: Sequence[At]) -> Expr:
        """The element that meets this index of a result by NumPy's broadcasting."""
        last = tuple(index)[len(index) - self.ndim :]
        return self[tuple(0 if e == 1 else i for i, e in zip(last, self.shape, strict=True))]


Epilogue: TypeAlias = "Callable[[tuple[At, ...], Expr], None]"


class Result:
    """An output: `result[index] = value` stores an element, each exactly once.

    What follows the operator element by element (bias, activation, residual) is computed on the
    value before it is stored.
    """

    def __init__(self, shape: tuple[Size, ...], dtype: DType, view: View, store: Epilogue) -> None:
        self.shape = shape
        self.dtype = dtype
        self.view = view
        self._store = store

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __setitem__(self, index: At | tuple[At, ...], value: Operand) -> None:
        new = as_expr(value, self.dtype)
        if new.dtype != self.dtype:
            raise TypeError(f"a result of type {self.dtype} cannot hold {new.dtype}; cast it")
        self._store(index if isinstance(index, tuple) else (index,), new)


class Scratch:
    """Memory of the nest itself: may be written and read again."""

    def __init__(self, view: View, emitter: Emitter) -> None:
        self.view = view
        self.shape = view.shape
        self._emitter = emitter

    def __getitem__(self, index: At | tuple[At, ...]) -> Expr:
        return Load(self.view.buffer, self._place(index))

    def __setitem__(self, index: At | tuple[At, ...], value: Operand) -> None:
        new = as_expr(value, self.view.buffer.dtype)
        self._emitter.add(Store(self.view.buffer, self._place(index), new))

    def _place(self, index: At | tuple[At, ...]) -> Index:
        items = index if isinstance(index, tuple) else (index,)
        return self.view.at([as_index(self._emitter, item) for item in items])


def as_index(emitter: Emitter, item: At) -> Index:
    """An index, in a local variable where it is not affine."""
    if isinstance(item, Expr):
        if item.dtype != "i32":
            raise TypeError(f"an index must be i32, not {item.dtype}")
        # A copy even of a variable: an index must not change between two accesses.
        statement = Let(emitter.names.fresh("v"), item)
        emitter.add(statement)
        return Index.variable(statement.name)
    return Index.of(item)


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


def number_source(array: NDArray, shape: tuple[Size, ...]) -> Source | None:
    """A constant whose elements are all equal, as a number; None for others."""
    first = array.reshape(-1)[0] if array.size else None
    if first is None or array.tobytes() != np.full_like(array, first).tobytes():
        return None
    value = Number(first.item(), dtype_of(array.dtype))
    return Source(shape, value.dtype, lambda index: value, array)


def view_source(
    view: View, emitter: Emitter, constant: NDArray | None = None, in_place: bool = False
) -> Source:
    """An operand that lies in a buffer."""

    def element(index: tuple[At, ...]) -> Expr:
        return Load(view.buffer, view.at([as_index(emitter, item) for item in index]))

    return Source(view.shape, view.buffer.dtype, element, constant, in_place)


__all__ = [
    "Buffer",
    "Emitter",
    "Local",
    "Memory",
    "NestBuilder",
    "Result",
    "Scratch",
    "Source",
    "dtype_of",
    "number_source",
    "view_source",
]
