"""Leaving out variables that nobody reads, which compilers warn about."""

from __future__ import annotations

from dataclasses import replace

from layerport.loops.index import Index
from layerport.loops.ir import Body, For, Function, Let, Load, Position, Set, Store, Var
from layerport.loops.walk import expressions, statements


def without_unused(function: Function) -> Function:
    """The same function without assignments to variables that are never read."""
    body = function.body
    while True:
        used = _read(body)
        kept = _kept(body, used)
        if kept == body:
            return replace(function, body=body)
        body = kept


def _kept(body: Body, used: set[str]) -> Body:
    done = []
    for statement in body:
        if isinstance(statement, (Let, Set)) and statement.name not in used:
            continue
        if isinstance(statement, For):
            inner = _kept(statement.body, used)
            if not inner:
                continue
            statement = replace(statement, body=inner)
        done.append(statement)
    return tuple(done)


def _read(body: Body) -> set[str]:
    """The variables whose values reach anything but themselves."""
    found: set[str] = set()
    indices: list[Index] = []
    for statement in statements(body):
        own = statement.name if isinstance(statement, Set) else ""
        if isinstance(statement, (Let, Set, Store)):
            for expr in expressions((statement,)):
                if isinstance(expr, Var) and expr.name != own:
                    found.add(expr.name)
                elif isinstance(expr, (Load, Position)):
                    indices.append(expr.index)
        if isinstance(statement, Store):
            indices.append(statement.index)
        elif isinstance(statement, For):
            indices += [statement.start, statement.stop]
    return found | {name for index in indices for name in index.terms}
