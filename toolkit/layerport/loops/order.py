"""The order of the products in a tile: whatever there is more of is used up value by value.

A tile of 6 rows and 4 vectors of columns multiplies every row with every vector. Row by row, the
four vectors stay in registers while each row is needed only for a moment; vector by vector, all six
rows would have to stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from layerport.loops.canonical import accumulated
from layerport.loops.ir import Body, Expr, For, Load, Operation, Set, Statement


def order_products(body: Sequence[Statement]) -> Body:
    """The same statements; those that add products to different sums in another order."""
    done: list[Statement] = []
    run: list[tuple[Set, Load, Load]] = []
    for statement in body:
        factors = _factors(statement) if isinstance(statement, Set) else None
        if factors is not None and isinstance(statement, Set):
            if any(statement.name == other.name for other, _, _ in run):
                done += _ordered(run)
                run = []
            run.append((statement, *factors))
            continue
        done += _ordered(run)
        run = []
        if isinstance(statement, For):
            statement = replace(statement, body=order_products(statement.body))
        done.append(statement)
    return (*done, *_ordered(run))


def _factors(statement: Set) -> tuple[Load, Load] | None:
    """The loads a and b of ``x = x + a * b``."""
    grown = accumulated(statement)
    if grown is None or grown[0] != "add":
        return None
    product = grown[1]
    if not isinstance(product, Operation) or product.name != "mul":
        return None
    left, right = (_load(factor) for factor in product.args)
    return None if left is None or right is None else (left, right)


def _load(factor: Expr) -> Load | None:
    """A load, alone or in every lane."""
    if isinstance(factor, Operation) and factor.name == "splat":
        (factor,) = factor.args
    return factor if isinstance(factor, Load) else None


def _ordered(run: Sequence[tuple[Set, Load, Load]]) -> list[Statement]:
    """By the factor of which there are more different ones, then by the other one."""
    first = list(dict.fromkeys(_key(left) for _, left, _ in run))
    second = list(dict.fromkeys(_key(right) for _, _, right in run))
    by_left = len(first) > len(second)

    def place(item: tuple[Set, Load, Load]) -> tuple[int, int]:
        left, right = first.index(_key(item[1])), second.index(_key(item[2]))
        return (left, right) if by_left else (right, left)

    return [statement for statement, _, _ in sorted(run, key=place)]


def _key(load: Load) -> tuple[object, ...]:
    return id(load.buffer), load.index
