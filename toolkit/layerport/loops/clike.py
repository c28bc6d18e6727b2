"""What printers of C-like languages share: expressions with few parentheses, statements, loops.

A language is a subclass that overrides what its language writes differently. It gets a program and
knows nothing of operators or layers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from layerport.loops.canonical import accumulated
from layerport.loops.index import Index
from layerport.loops.ir import (
    Body,
    Buffer,
    Call,
    DType,
    Expr,
    For,
    Function,
    Let,
    Load,
    Number,
    Operation,
    Position,
    Set,
    Statement,
    Store,
    Var,
)

ATOM = 100
"""The precedence of what never needs parentheses."""


def comment_text(text: str, longest: int = 100) -> str:
    """Text from a model file made harmless for a comment in any language."""
    kept = re.sub(r"[^A-Za-z0-9 _.,:+()\[\]-]", "?", text)
    return kept if len(kept) <= longest else kept[: longest - 3] + "..."


class CLike:
    """Prints functions. Subclasses override methods and tables."""

    infix: ClassVar[Mapping[str, tuple[str, int]]] = {
        "or": ("||", 1),
        "and": ("&&", 2),
        "eq": ("==", 6),
        "ne": ("!=", 6),
        **dict.fromkeys(["lt"], ("<", 7)),
        **dict.fromkeys(["le"], ("<=", 7)),
        **dict.fromkeys(["gt"], (">", 7)),
        **dict.fromkeys(["ge"], (">=", 7)),
        "add": ("+", 9),
        "sub": ("-", 9),
        "mul": ("*", 10),
        "div": ("/", 10),
        "mod": ("%", 10),
    }
    """Operations written between their arguments, and how strongly they bind."""

    prefix: ClassVar[Mapping[str, str]] = {"neg": "-", "not": "!"}
    calls: ClassVar[Mapping[str, str]] = {}
    """Operations written as a call of a function."""

    indent: ClassVar[str] = "  "

    # Expressions ----------------------------------------------------------------------------

    def expr(self, expr: Expr, around: int = 0) -> str:
        """An expression, in parentheses if it binds more weakly than what is around it."""
        text, binds = self._expr(expr)
        return f"({text})" if binds < around else text

    def _expr(self, expr: Expr) -> tuple[str, int]:
        if isinstance(expr, Number):
            text = self.number(expr.value, expr.dtype)
            return text, 11 if text.startswith("-") else ATOM
        if isinstance(expr, Var):
            return expr.name, ATOM
        if isinstance(expr, Position):
            text = self.index(expr.index)
            return text, ATOM if text.isalnum() else 9
        if isinstance(expr, Load):
            return self.load(expr)
        assert isinstance(expr, Operation)
        return self.operation(expr)

    def operation(self, expr: Operation) -> tuple[str, int]:
        """An operation and how strongly it binds."""
        if expr.name in self.infix:
            sign, binds = self.infix[expr.name]
            left, right = expr.args
            return f"{self.expr(left, binds)} {sign} {self.expr(right, binds + 1)}", binds
        if expr.name in self.prefix:
            return self.prefix[expr.name] + self.expr(expr.args[0], 12), 11
        if expr.name == "select":
            test, a, b = (self.expr(arg, 1) for arg in expr.args)
            return f"{test} ? {a} : {b}", 0
        if expr.name in self.calls:
            args = ", ".join(self.expr(arg) for arg in expr.args)
            return f"{self.calls[expr.name]}({args})", ATOM
        raise KeyError(f"{type(self).__name__} cannot print the operation {expr.name}")

    def number(self, value: float | int | bool, dtype: DType) -> str:
        """A constant."""
        if dtype == "bool":
            return "true" if value else "false"
        return repr(value)

    def index(self, index: Index) -> str:
        """An affine integer."""
        parts = []
        for name, factor in index.terms.items():
            word = name if abs(factor) == 1 else f"{name} * {abs(factor)}"
            parts.append(("- " if factor < 0 else "+ ") + word)
        if index.constant or not parts:
            parts.append(f"{'-' if index.constant < 0 else '+'} {abs(index.constant)}")
        text = " ".join(parts)
        return text[2:] if text.startswith("+") else "-" + text[2:]

    def load(self, expr: Load) -> tuple[str, int]:
        """Reading from a buffer, and how strongly it binds."""
        return f"{self.buffer(expr.buffer)}[{self.index(expr.index)}]", ATOM

    def buffer(self, buffer: Buffer) -> str:
        """What a buffer is called."""
        return buffer.name

    # Statements -----------------------------------------------------------------------------

    def body(self, body: Body, depth: int) -> list[str]:
        """Lines of statements."""
        return [line for statement in body for line in self.statement(statement, depth)]

    def statement(self, statement: Statement, depth: int) -> list[str]:
        """Lines of a statement."""
        pad = self.indent * depth
        if isinstance(statement, Let):
            return [pad + self.let(statement)]
        if isinstance(statement, Set):
            return [pad + self.assign(statement)]
        if isinstance(statement, Store):
            return [pad + self.store(statement)]
        if isinstance(statement, Call):
            return [f"{pad}{statement.function}({', '.join(map(self.index, statement.args))});"]
        return [pad + self.head(statement), *self.body(statement.body, depth + 1), pad + "}"]

    def let(self, statement: Let) -> str:
        """The declaration of a local."""
        raise NotImplementedError

    def assign(self, statement: Set) -> str:
        """An assignment to a local."""
        grown = accumulated(statement)
        if grown is not None and grown[0] in ("add", "mul") and statement.value.dtype == "f32":
            sign = self.infix[grown[0]][0]
            return f"{statement.name} {sign}= {self.expr(grown[1])};"
        return f"{statement.name} = {self.expr(statement.value)};"

    def store(self, statement: Store) -> str:
        """Writing to a buffer."""
        place = f"{self.buffer(statement.buffer)}[{self.index(statement.index)}]"
        return f"{place} = {self.expr(statement.value)};"

    def head(self, loop: For) -> str:
        """The first line of a loop."""
        raise NotImplementedError

    def function(self, function: Function) -> Sequence[str]:
        """Lines of a function."""
        raise NotImplementedError
