"""Tiles of one size only: the last one is moved back to where it fits, over its neighbour.

Some results are then computed twice, which does no harm where they depend on nothing that the loop
writes. It saves the code for a smaller tile, and a vector is no slower than a single value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from layerport.loops.functions import minimum
from layerport.loops.index import Index
from layerport.loops.ir import (
    Body,
    For,
    Let,
    Names,
    Number,
    Operation,
    Position,
    Statement,
    Store,
)
from layerport.loops.walk import loads, statements, substitute


def may_overlap(body: Body) -> bool:
    """Whether iterations may be computed twice: nothing is read that is written."""
    written = {statement.buffer for statement in statements(body) if isinstance(statement, Store)}
    return not any(load.buffer in written for load in loads(body))


def clamped(body: Sequence[Statement], limits: Mapping[str, int], names: Names) -> Body:
    """Let some loops start their last tile at a limit.

    Parameters
    ----------
    limits : loop variable -> the largest start of a tile.
    """
    done: list[Statement] = []
    for statement in body:
        if isinstance(statement, For):
            inner = clamped(statement.body, limits, names)
            limit = limits.get(statement.variable)
            if limit is not None:
                start = minimum(Position(Index.variable(statement.variable)), limit)
                place = Let(names.fresh("v"), start)
                values = {statement.variable: Index.variable(place.name)}
                inner = (place, *substitute(inner, values))
            statement = replace(statement, body=inner)
        done.append(statement)
    return tuple(done)


def clamp_of(statement: Let) -> tuple[str, int] | None:
    """(loop variable, limit) of a declaration that `clamped` made; None for others."""
    value = statement.value
    if not isinstance(value, Operation) or value.name != "min" or value.dtype != "i32":
        return None
    place, limit = value.args
    if not isinstance(place, Position) or not isinstance(limit, Number):
        return None
    names = list(place.index.terms)
    if len(names) != 1 or place.index != Index.variable(names[0]):
        return None
    return names[0], int(limit.value)
