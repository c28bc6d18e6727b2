"""Loading once what a straight run of statements loads several times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from layerport.loops.ir import (
    Body,
    Expr,
    For,
    Let,
    Load,
    Names,
    Operation,
    Set,
    Statement,
    Store,
    Var,
)
from layerport.loops.walk import subexpressions


def share_loads(body: Sequence[Statement], names: Names) -> Body:
    """The same statements with repeated loads (and repeated splats of a load) in locals."""
    done: list[Statement] = []
    run: list[Let | Set | Store] = []
    for statement in body:
        if isinstance(statement, (Let, Set)) or (
            isinstance(statement, Store) and not _reads(run, statement)
        ):
            run.append(statement)
        else:
            done += _shared(run, names)
            run = []
            if isinstance(statement, For):
                statement = replace(statement, body=share_loads(statement.body, names))
            done.append(statement)
    return (*done, *_shared(run, names))


def _reads(run: Sequence[Let | Set | Store], store: Store) -> bool:
    """Whether a buffer that is written is also read nearby, so that loads must stay in place."""
    return any(
        isinstance(expr, Load) and expr.buffer is store.buffer
        for statement in (*run, store)
        for expr in subexpressions(statement.value)
    )


def _loads(expr: Expr) -> list[Expr]:
    """The loads of an expression, each together with the splat around it."""
    if isinstance(expr, Load) or _is_splat(expr):
        return [expr]
    if isinstance(expr, Operation):
        return [found for arg in expr.args for found in _loads(arg)]
    return []


def _is_splat(expr: Expr) -> bool:
    return isinstance(expr, Operation) and expr.name == "splat" and isinstance(expr.args[0], Load)


def _shared(run: Sequence[Let | Set | Store], names: Names) -> list[Statement]:
    counts = Counter(found for statement in run for found in _loads(statement.value))
    known: dict[Expr, Var] = {}
    done: list[Statement] = []

    def change(expr: Expr) -> Expr:
        if isinstance(expr, Load) or _is_splat(expr):
            if counts[expr] < 2:
                return expr
            if expr not in known:
                declaration = Let(names.fresh("v"), expr)
                done.append(declaration)
                known[expr] = declaration.var
            return known[expr]
        if isinstance(expr, Operation):
            return replace(expr, args=tuple(map(change, expr.args)))
        return expr

    for statement in run:
        changed = replace(statement, value=change(statement.value))
        done.append(changed)
    return done
