"""Going through programs, and rebuilding them changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from layerport.loops.index import Index
from layerport.loops.ir import (
    Body,
    Expr,
    For,
    Function,
    Let,
    Load,
    Names,
    Operation,
    Position,
    Set,
    Statement,
    Store,
    Var,
)


def map_expr(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Rebuild an expression from its leaves up."""
    if isinstance(expr, Operation):
        args = tuple(map_expr(arg, change) for arg in expr.args)
        if any(new is not old for new, old in zip(args, expr.args, strict=True)):
            expr = replace(expr, args=args)
    return change(expr)


def subexpressions(expr: Expr) -> Iterator[Expr]:
    """An expression and everything in it."""
    yield expr
    if isinstance(expr, Operation):
        for arg in expr.args:
            yield from subexpressions(arg)


def statements(body: Sequence[Statement]) -> Iterator[Statement]:
    """All statements, those inside loops too."""
    for statement in body:
        yield statement
        if isinstance(statement, For):
            yield from statements(statement.body)


def expressions(body: Sequence[Statement]) -> Iterator[Expr]:
    """All expressions with everything in them."""
    for statement in statements(body):
        if isinstance(statement, (Let, Set, Store)):
            yield from subexpressions(statement.value)


def loads(body: Sequence[Statement]) -> Iterator[Load]:
    """All loads."""
    return (expr for expr in expressions(body) if isinstance(expr, Load))


def declared(body: Sequence[Statement]) -> list[str]:
    """The names of all local variables and loop variables that a body declares."""
    names = []
    for statement in statements(body):
        if isinstance(statement, Let):
            names.append(statement.name)
        elif isinstance(statement, For):
            names.append(statement.variable)
    return names


def renumbered(function: Function) -> Function:
    """The same function with its locals and loop variables counted from 0."""
    names = Names()
    renames = {name: names.fresh(name[0]) for name in dict.fromkeys(declared(function.body))}
    # Two steps, as the new names are old names of other variables.
    apart = {old: f"_{new}" for old, new in renames.items()}
    together = {f"_{new}": new for new in renames.values()}
    body = substitute(substitute(function.body, {}, apart), {}, together)
    return replace(function, body=body)


def substitute(
    body: Sequence[Statement], values: Mapping[str, Index], renames: Mapping[str, str] = {}
) -> Body:
    """Put indices in place of integer variables, and rename locals and loop variables."""
    indices = {**{old: Index.variable(new) for old, new in renames.items()}, **values}

    def change(expr: Expr) -> Expr:
        if isinstance(expr, Load):
            return replace(expr, index=expr.index.substitute(indices))
        if isinstance(expr, Position):
            return Position(expr.index.substitute(indices))
        if isinstance(expr, Var) and expr.name in renames:
            return replace(expr, name=renames[expr.name])
        return expr

    def visit(statement: Statement) -> Statement:
        if isinstance(statement, (Let, Set)):
            name = renames.get(statement.name, statement.name)
            return replace(statement, name=name, value=map_expr(statement.value, change))
        if isinstance(statement, Store):
            index = statement.index.substitute(indices)
            return replace(statement, index=index, value=map_expr(statement.value, change))
        if isinstance(statement, For):
            return replace(
                statement,
                variable=renames.get(statement.variable, statement.variable),
                start=statement.start.substitute(indices),
                stop=statement.stop.substitute(indices),
                body=tuple(map(visit, statement.body)),
            )
        return replace(statement, args=tuple(arg.substitute(indices) for arg in statement.args))

    return tuple(map(visit, body))
