"""Printing over the memories of a `Layout`; languages override what they write differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from layerport.loops.clike import ATOM, CLike, comment_text
from layerport.loops.index import Index
from layerport.loops.ir import Buffer, Expr, Function, Load, Operation, Store

from layerport_formats.scalar.program import MEMORIES, Layout

INTEGER_SIGNS: Mapping[str, str] = {
    "bit_and": "&",
    "bit_or": "|",
    "bit_xor": "^",
    "shl": "<<",
    "shr": ">>",
}


class ScalarPrinter(CLike):
    """Prints functions of a program; a helper that code needs is noted in `needed`."""

    indent: ClassVar[str] = "    "
    memory: ClassVar[str] = ""
    """What stands before the name of a memory: ``m.`` or ``self.``."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.needed: set[str] = set()

    def place(self, buffer: Buffer, index: Index) -> str:
        """An element as something that can be read."""
        base = self.layout.base.get(buffer)
        if base is None:
            return f"{self.weight(buffer)}[{self.subscript(index)}]"
        name = f"{self.memory}{MEMORIES[buffer.dtype]}"
        return f"{name}[{self.subscript(index + base)}]"

    def weight(self, buffer: Buffer) -> str:
        """What a constant array is called."""
        return buffer.name.upper()

    def subscript(self, index: Index) -> str:
        """An index inside brackets."""
        return self.index(index)

    def load(self, expr: Load) -> tuple[str, int]:
        text = self.place(expr.buffer, expr.index)
        return (f"{text} != 0", 6) if expr.dtype == "bool" else (text, ATOM)

    def store(self, statement: Store) -> str:
        place = self.place(statement.buffer, statement.index)
        value = self.expr(statement.value)
        if statement.buffer.dtype == "bool":
            value = self.zero_or_one(statement.value)
        return f"{place} = {value};"

    def zero_or_one(self, value: Expr) -> str:
        """A bool as a number."""
        raise NotImplementedError

    def helpers(self) -> list[str]:
        """The definitions of the helpers that printed code calls."""
        raise NotImplementedError

    def note(self, function: Function) -> list[str]:
        """The comment above a function."""
        return [f"// {comment_text(function.note)}"] if function.note else []

    # Operations ---------------------------------------------------------------------------

    def operation(self, expr: Operation) -> tuple[str, int]:
        name = expr.name
        if name == "cast":
            return self.cast(expr)
        if name == "bits":
            return self.bits(expr)
        if name == "select":
            return self.select(expr)
        if name == "xor":
            left, right = (self.expr(arg, 7) for arg in expr.args)
            return f"{left} != {right}", 6
        operand = expr.args[0].dtype
        if operand in ("i32", "u32"):
            return self.integer(expr, signed=operand == "i32")
        return self.real(expr)

    def real(self, expr: Operation) -> tuple[str, int]:
        """An operation on floats or bools."""
        return super().operation(expr)

    def integer(self, expr: Operation, *, signed: bool) -> tuple[str, int]:
        """An operation on integers, which wrap at 32 bits."""
        return super().operation(expr)

    def cast(self, expr: Operation) -> tuple[str, int]:
        """Another type, the same value: floats truncate and saturate, NaN gives 0."""
        raise NotImplementedError

    def bits(self, expr: Operation) -> tuple[str, int]:
        """Another type, the same 32 bits."""
        raise NotImplementedError

    def select(self, expr: Operation) -> tuple[str, int]:
        """One of two values."""
        raise NotImplementedError

    def call(self, helper: str, *args: Expr) -> tuple[str, int]:
        """A call of a helper."""
        self.needed.add(helper)
        return f"{helper}({', '.join(map(self.expr, args))})", ATOM
