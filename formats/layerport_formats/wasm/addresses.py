"""Where elements lie, in bytes: affine sums that are computed once and kept in local variables.

An address is ``offset + sum(factor * variable)``. The offset goes into the load or store itself.
The rest grows from the outermost variable inwards, and every partial sum is computed where its
last variable gets its value, so that an inner loop only adds what changes in it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from layerport.loops.index import Index
from layerport.loops.intervals import Interval, Intervals
from layerport.loops.ir import Body, Call, For, Load, Position, Store
from layerport.loops.walk import expressions, statements

ELEMENT = 4
"""Bytes of an element of any type."""

Sum: TypeAlias = "tuple[tuple[str, int], ...]"
"""Variables, the outermost first, with their factors in bytes."""


class Scope:
    """The integer variables in scope: how deep each is declared, its range and its unit.

    A loop variable that occurs in addresses only counts bytes, and as many at once as it always
    moves by, so that most addresses need no multiplication.
    """

    def __init__(self, parameters: Mapping[str, Interval]) -> None:
        self._order = list(parameters)
        self._ranges = Intervals(parameters)
        self._units = dict.fromkeys(parameters, 1)

    def declare(self, name: str, values: Interval, unit: int = 1) -> None:
        """A variable comes into scope, inside all that are there already."""
        self._order.append(name)
        self._ranges = self._ranges.with_name(name, values)
        self._units[name] = unit

    def leave(self, names: int) -> None:
        """The innermost variables go out of scope."""
        del self._order[len(self._order) - names :]

    @property
    def ranges(self) -> Intervals:
        """The ranges of the variables, in elements."""
        return self._ranges

    def knows(self, name: str) -> bool:
        """Whether a variable is in scope."""
        return name in self._order

    def sum(self, index: Index, scale: int = 1) -> Sum:
        """The variable part of an index, times `scale`."""
        terms = [(name, c * scale // self._units[name]) for name, c in index.terms.items()]
        return tuple(sorted(terms, key=lambda term: self._order.index(term[0])))

    def may_be_negative(self, index: Index) -> bool:
        """Whether the variable part of an index may be below zero."""
        return self._ranges.at(index - index.constant).low < 0


def unit_of(loop: For) -> int:
    """How many bytes one iteration of a loop's variable stands for; 1 where it is a number."""
    name = loop.variable
    if name in _numbers(loop.body):
        return 1
    return ELEMENT * math.gcd(*(index.factor(name) for index in _indices(loop.body))) or 1


def _indices(body: Body) -> Iterator[Index]:
    """The index of every load and store."""
    for statement in statements(body):
        if isinstance(statement, Store):
            yield statement.index
    for expr in expressions(body):
        if isinstance(expr, Load):
            yield expr.index


def _numbers(body: Body) -> set[str]:
    """The variables that are used as numbers, not only in addresses."""
    found: set[str] = set()
    for expr in expressions(body):
        if isinstance(expr, Position):
            found |= expr.index.terms.keys()
    for statement in statements(body):
        if isinstance(statement, For):
            found |= statement.start.terms.keys() | statement.stop.terms.keys()
        elif isinstance(statement, Call):
            for arg in statement.args:
                found |= arg.terms.keys()
    return found


def shared_sums(name: str, body: Body, scope: Scope) -> list[Sum]:
    """The partial sums that end with a variable and are needed more than once in its scope.

    What an inner loop needs is needed more than once.
    """
    inner = [statement for statement in body if isinstance(statement, For)]
    straight = tuple(statement for statement in body if not isinstance(statement, For))
    needed: Counter[Sum] = Counter()
    for index in _indices(straight):
        if index.factor(name):
            needed[_up_to(name, index, scope)] += 1
    for loop in inner:
        for index in _indices((loop,)):
            if index.factor(name):
                needed[_up_to(name, index, scope)] += 2
    return [terms for terms, count in needed.items() if count > 1 and terms != ((name, 1),)]


def _up_to(name: str, index: Index, scope: Scope) -> Sum:
    """The part of an address from the outermost variable to the named one."""
    known = Index(0, {v: c for v, c in index.terms.items() if scope.knows(v)})
    return scope.sum(known, ELEMENT)
