"""Unrolling: several iterations of a loop side by side, their inner loops joined ("jammed")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from layerport.loops.index import Index
from layerport.loops.ir import (
    Body,
    Buffer,
    For,
    Let,
    Load,
    Names,
    Position,
    Set,
    Statement,
    Store,
    Var,
)
from layerport.loops.walk import subexpressions, substitute


def unroll(loop: For, body: Body, at: Index, count: int, step: int, names: Names) -> Body:
    """`count` iterations of a loop, `step` apart, the first at `at`, jammed where that is allowed.

    `body` stands for the loop's body (it may be vectorised already).
    """
    return side_by_side(loop, [(body, at + number * step) for number in range(count)], names)


def side_by_side(loop: For, pieces: Sequence[tuple[Body, Index]], names: Names) -> Body:
    """Bodies of a loop, each at a place of its variable, jammed where that is allowed."""
    copies = [
        substitute(body, {loop.variable: at}, _fresh_locals(body, names)) for body, at in pieces
    ]
    return jam(copies, independent=loop.parallel)


def _fresh_locals(body: Body, names: Names) -> dict[str, str]:
    fresh: dict[str, str] = {}
    for statement in body:
        if isinstance(statement, Let):
            fresh[statement.name] = names.fresh("v")
        elif isinstance(statement, For):
            fresh.update(_fresh_locals(statement.body, names))
    return fresh


def jam(copies: Sequence[Body], *, independent: bool) -> Body:
    """Interleave copies of a body: loops over the same range become one loop.

    Copies stay one behind the other where interleaving would change what they compute.

    Parameters
    ----------
    independent : whether no copy reads memory that another one writes.
    """
    pieces = [_pieces(copy) for copy in copies]
    if len(copies) == 1 or not _may_interleave(pieces, independent):
        return tuple(statement for copy in copies for statement in copy)
    done: list[Statement] = []
    for together in zip(*pieces, strict=True):
        first = together[0][0]
        loops = [piece[0] for piece in together if isinstance(piece[0], For)]
        if isinstance(first, For) and _same_range(loops):
            bodies = [_with_variable(loop, first.variable) for loop in loops]
            done.append(replace(first, body=jam(bodies, independent=independent)))
        else:
            done.extend(statement for piece in together for statement in piece)
    return tuple(done)


def _pieces(body: Body) -> list[Body]:
    """Loops, and the runs of other statements between them."""
    found: list[Body] = []
    for statement in body:
        if isinstance(statement, For) or not found or isinstance(found[-1][0], For):
            found.append((statement,))
        else:
            found[-1] += (statement,)
    return found


def _same_range(loops: Sequence[For]) -> bool:
    return len({(loop.start, loop.stop, loop.step) for loop in loops}) == 1


def _with_variable(loop: For, name: str) -> Body:
    if loop.variable == name:
        return loop.body
    return substitute(loop.body, {loop.variable: Index.variable(name)})


@dataclass
class _Effects:
    """The locals and buffers that statements read and write."""

    reads: set[str | Buffer]
    writes: set[str | Buffer]


def _effects(body: Body, memory: bool) -> _Effects:
    found = _Effects(set(), set())

    def index(place: Index) -> None:
        found.reads.update(place.terms)

    def visit(part: Statement) -> None:
        if isinstance(part, (Let, Set, Store)):
            for expr in subexpressions(part.value):
                if isinstance(expr, Var):
                    found.reads.add(expr.name)
                elif isinstance(expr, (Load, Position)):
                    index(expr.index)
                if isinstance(expr, Load) and memory:
                    found.reads.add(expr.buffer)
        if isinstance(part, (Let, Set)):
            found.writes.add(part.name)
        elif isinstance(part, Store):
            index(part.index)
            if memory:
                found.writes.add(part.buffer)
        elif isinstance(part, For):
            index(part.start)
            index(part.stop)
            for inner in part.body:
                visit(inner)

    for statement in body:
        visit(statement)
    return found


def _may_interleave(copies: Sequence[Sequence[Body]], independent: bool) -> bool:
    """Whether no piece has to stay behind one of an earlier copy that it would overtake."""
    effects = [[_effects(piece, memory=not independent) for piece in copy] for copy in copies]
    overtaken = [
        (earlier, later)
        for number, copy in enumerate(effects)
        for others in effects[number + 1 :]
        for position, earlier in enumerate(copy)
        for later in others[:position]
    ]
    # Iterations of loops that become one overtake each other as well.
    for place, together in enumerate(zip(*copies, strict=True)):
        loops = [piece[0] for piece in together if isinstance(piece[0], For)]
        if loops and _same_range(loops):
            overtaken += combinations([copy[place] for copy in effects], 2)
    return not any(_conflict(a, b) for a, b in overtaken)


def _conflict(a: _Effects, b: _Effects) -> bool:
    return bool(a.writes & (b.reads | b.writes) or a.reads & b.writes)
