"""Tidying of naive nests before they are scheduled: order of sums, merged loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from layerport.loops.index import Index
from layerport.loops.ir import (
    Body,
    Expr,
    For,
    Load,
    Operation,
    Position,
    Set,
    Statement,
    Store,
    Var,
)
from layerport.loops.walk import expressions, statements, substitute


def canonical(body: Sequence[Statement]) -> Body:
    """The same computation: sums in memory order, neighbouring loops merged, empty ones gone."""
    return merge_loops(order_sums(without_empty_loops(body)))


def without_empty_loops(body: Sequence[Statement]) -> Body:
    """Loops whose results nobody reads have nothing left in them."""
    kept = (
        replace(statement, body=without_empty_loops(statement.body))
        if isinstance(statement, For)
        else statement
        for statement in body
    )
    return tuple(part for part in kept if not isinstance(part, For) or part.body)


def order_sums(body: Sequence[Statement]) -> Body:
    """Reorder the loops of plain sums so that the innermost one walks along memory."""
    done: list[Statement] = []
    for statement in body:
        if isinstance(statement, For):
            loops, inner = _perfect(statement)
            if len(loops) > 1 and _is_sum(inner):
                statement = _ordered(loops, inner)
            else:
                statement = replace(statement, body=order_sums(statement.body))
        done.append(statement)
    return tuple(done)


def _perfect(loop: For) -> tuple[list[For], Body]:
    """The loops that hold nothing but one another, and what is inside."""
    loops = [loop]
    while len(loops[-1].body) == 1 and isinstance(loops[-1].body[0], For):
        loops.append(loops[-1].body[0])
    return loops, loops[-1].body


def _is_sum(body: Body) -> bool:
    """Whether a body is one assignment ``x = x + ...`` (or a product or an extreme)."""
    if len(body) != 1 or not isinstance(body[0], Set):
        return False
    return accumulated(body[0]) is not None


def accumulated(statement: Set) -> tuple[str, Expr] | None:
    """(operation, what is accumulated) of an assignment ``x = x op ...``, or None."""
    value = statement.value
    if not isinstance(value, Operation) or value.name not in ("add", "mul", "max", "min"):
        return None
    left, right = value.args
    for own, other in ((left, right), (right, left)):
        if isinstance(own, Var) and own.name == statement.name and not _mentions(other, own.name):
            return value.name, other
    return None


def _mentions(expr: Expr, name: str) -> bool:
    if isinstance(expr, Operation):
        return any(_mentions(arg, name) for arg in expr.args)
    return isinstance(expr, Var) and expr.name == name


def _ordered(loops: list[For], inner: Body) -> Statement:
    names = [loop.variable for loop in loops]
    depends = any(loop.start.terms or loop.stop.terms.keys() & set(names) for loop in loops)
    if depends or any(loop.parallel for loop in loops):
        return loops[0]
    weights_last = sorted(
        (e for e in expressions(inner) if isinstance(e, Load)),
        key=lambda load: load.buffer.kind in ("weight", "state"),
    )
    guide = next((e for e in weights_last if any(e.index.factor(n) for n in names)), None)
    if guide is None:
        return loops[0]
    index = guide.index
    result = inner
    for loop in sorted(loops, key=lambda loop: abs(index.factor(loop.variable))):
        result = (replace(loop, body=result),)
    (outermost,) = result
    return outermost


def merge_loops(body: Sequence[Statement]) -> Body:
    """Make one loop of two where every access runs on evenly from one to the next."""
    done: list[Statement] = []
    for statement in body:
        if isinstance(statement, For):
            statement = replace(statement, body=merge_loops(statement.body))
            inner = statement.body[0] if len(statement.body) == 1 else None
            if isinstance(inner, For) and _runs_on(statement, inner):
                statement = _merged(statement, inner)
        done.append(statement)
    return tuple(done)


def _runs_on(outer: For, inner: For) -> bool:
    extent = inner.extent
    if not isinstance(extent, int) or outer.parallel != inner.parallel:
        return False
    if outer.start != Index(0) or inner.start != Index(0) or outer.step * inner.step != 1:
        return False
    if not isinstance(outer.extent, int) and any(isinstance(s, For) for s in inner.body):
        return False  # a tile over the batch needs a remainder; within a sample often none
    return all(
        index.factor(outer.variable) == index.factor(inner.variable) * extent
        for index in _indices(inner.body)
    )


def _indices(body: Body) -> list[Index]:
    """Every index that a body uses."""
    found = [e.index for e in expressions(body) if isinstance(e, (Load, Position))]
    for statement in statements(body):
        if isinstance(statement, Store):
            found.append(statement.index)
        elif isinstance(statement, For):
            found += [statement.start, statement.stop]
    return found


def _merged(outer: For, inner: For) -> For:
    extent = inner.extent
    assert isinstance(extent, int)
    values = {outer.variable: Index(0)}
    return replace(
        outer,
        variable=inner.variable,
        stop=outer.stop * extent,
        body=substitute(inner.body, values),
    )


__all__ = ["accumulated", "canonical", "merge_loops", "order_sums"]
