"""Beginning a largest or smallest value with its first candidate instead of an infinity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from layerport.loops.canonical import accumulated
from layerport.loops.ir import Body, Expr, For, Let, Number, Operation, Set, Statement, Var
from layerport.loops.walk import expressions

_NEUTRAL: Mapping[str, float] = {"max": -math.inf, "min": math.inf}


def start_with_first(body: Sequence[Statement]) -> Body:
    """``m = -inf; m = max(a, m)`` as ``m = a``, which unrolled loops leave behind."""
    done: list[Statement] = []
    rest = list(body)
    while rest:
        statement = rest.pop(0)
        if isinstance(statement, For):
            statement = replace(statement, body=start_with_first(statement.body))
        elif isinstance(statement, Let):
            place = _first_mention(statement.name, rest)
            first = None if place is None else _first_candidate(statement, rest[place])
            if place is not None and first is not None:
                rest[place] = Let(statement.name, first)
                continue
        done.append(statement)
    return tuple(done)


def _first_mention(name: str, body: Sequence[Statement]) -> int | None:
    for place, statement in enumerate(body):
        written = isinstance(statement, Set) and statement.name == name
        read = any(isinstance(e, Var) and e.name == name for e in expressions((statement,)))
        if written or read:
            return place
    return None


def _first_candidate(declaration: Let, statement: Statement) -> Expr | None:
    """What a variable is compared with first, if it is an infinity until then."""
    grown = accumulated(statement) if isinstance(statement, Set) else None
    if grown is None or not isinstance(statement, Set) or statement.name != declaration.name:
        return None
    start = declaration.value
    if isinstance(start, Operation) and start.name == "splat":
        start = start.args[0]
    name, first = grown
    neutral = isinstance(start, Number) and start.value == _NEUTRAL.get(name)
    return first if neutral and first.dtype == "f32" else None
