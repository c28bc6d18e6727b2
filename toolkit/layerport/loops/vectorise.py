"""Computing several iterations of a parallel loop in the lanes of vectors, by stride.

An access that moves by one element an iteration becomes a vector access; one that does not move is
a scalar, repeated in every lane where it meets a vector.
"""

from __future__ import annotations

from dataclasses import replace

from layerport.loops.index import Index
from layerport.loops.ir import (
    Body,
    Call,
    Expr,
    For,
    Let,
    Load,
    Operation,
    Position,
    Set,
    Statement,
    Store,
    Var,
)
from layerport.loops.walk import statements


class NotVectorisable(Exception):  # noqa: N818 (an answer, not an error)
    """A loop does something that vectors cannot."""


def can_vectorise(body: Body, variable: str) -> bool:
    """Whether `vectorise` would succeed."""
    try:
        vectorise(body, variable, 2)
    except NotVectorisable:
        return False
    return True


def vectorise(body: Body, variable: str, lanes: int) -> Body:
    """The body for `lanes` iterations at once, the first at `variable`.

    Raises
    ------
    NotVectorisable : when an access moves by anything but 0 or 1, or an index depends on a lane.
    """
    return _Vectoriser(body, variable, lanes).run()


class _Vectoriser:
    def __init__(self, body: Body, variable: str, lanes: int) -> None:
        self._body = body
        self._variable = variable
        self._lanes = lanes
        self._wide: set[str] = set()

    def run(self) -> Body:
        while self._spread():
            pass
        return tuple(map(self._statement, self._body))

    def _spread(self) -> bool:
        """Find locals that hold a vector because of what is assigned to them."""
        before = len(self._wide)
        for statement in statements(self._body):
            if isinstance(statement, (Let, Set)) and self._expr(statement.value).lanes > 1:
                self._wide.add(statement.name)
        return len(self._wide) > before

    def _moves(self, index: Index) -> bool:
        if self._wide & index.terms.keys():
            raise NotVectorisable("an index is loaded")
        stride = index.factor(self._variable)
        if stride not in (0, 1):
            raise NotVectorisable(f"an access moves by {stride}")
        return stride == 1

    def _statement(self, statement: Statement) -> Statement:
        if isinstance(statement, (Let, Set)):
            value = self._expr(statement.value)
            wide = statement.name in self._wide
            return replace(statement, value=self._splat(value) if wide else value)
        if isinstance(statement, Store):
            value = self._expr(statement.value)
            if self._moves(statement.index):
                return replace(statement, value=self._splat(value))
            raise NotVectorisable("every lane writes the same element")
        if isinstance(statement, For):
            if self._variable in statement.start.terms or self._variable in statement.stop.terms:
                raise NotVectorisable("a bound depends on a lane")
            return replace(statement, body=tuple(map(self._statement, statement.body)))
        assert isinstance(statement, Call)
        raise NotVectorisable("functions take no vectors")

    def _splat(self, value: Expr) -> Expr:
        if value.lanes > 1:
            return value
        return Operation("splat", (value,), value.dtype, self._lanes)

    def _expr(self, expr: Expr) -> Expr:
        if isinstance(expr, Var):
            return replace(expr, width=self._lanes) if expr.name in self._wide else expr
        if isinstance(expr, Load):
            return replace(expr, width=self._lanes) if self._moves(expr.index) else expr
        if isinstance(expr, Position):
            if self._moves(expr.index):
                raise NotVectorisable("an index is a value")
            return expr
        if isinstance(expr, Operation):
            args = [self._expr(arg) for arg in expr.args]
            if all(arg.lanes == 1 for arg in args):
                return replace(expr, args=tuple(args))
            return replace(expr, args=tuple(map(self._splat, args)), width=self._lanes)
        return expr
