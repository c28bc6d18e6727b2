"""Operands and results as a nest sees them: indexed axis by axis, whatever their layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from layerport.errors import UnsupportedError
from layerport.loops.index import Index, Size
from layerport.loops.ir import (
    DType,
    Expr,
    For,
    Let,
    Load,
    Names,
    Number,
    Operand,
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
