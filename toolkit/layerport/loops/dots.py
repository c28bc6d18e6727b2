"""Sums along memory in vectors, for products whose results cannot lie side by side in one.

In ``x @ w.T`` neighbouring results read rows of `w` that are far apart, but each result is a sum
along two rows. It becomes several sums, one a lane, that are added up at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from layerport.loops.canonical import accumulated
from layerport.loops.ir import Body, Expr, For, Let, Names, Number, Operation, Set, Statement, Var
from layerport.loops.vectorise import NotVectorisable, vectorise
from layerport.loops.walk import substitute


def vectorise_sums(body: Body, widths: Sequence[int], names: Names) -> Body:
    """The body with its plain sums along memory in vectors; the same body where there is none.

    Parameters
    ----------
    widths : the lanes of vectors that there are, the widest first.
    """
    done: list[Statement] = []
    for statement in body:
        made = _vectorised(statement, widths, names) if isinstance(statement, For) else None
        done += [statement] if made is None else made
    return tuple(done)


def _vectorised(loop: For, widths: Sequence[int], names: Names) -> Body | None:
    extent = loop.extent
    if len(loop.body) != 1 or loop.parallel or not isinstance(extent, int):
        return None
    (step,) = loop.body
    lanes = next((width for width in widths if extent >= 2 * width > 2), 0)
    if not lanes or not isinstance(step, Set) or not loop.start.is_constant:
        return None
    found = accumulated(step)
    if found is None or found[0] != "add" or step.value.dtype != "f32":
        return None
    term = _wide(found[1], loop.variable, lanes)
    if term is None:
        return None
    sums = Var(names.fresh("v"), "f32", lanes)
    total = Var(step.name)
    whole = extent // lanes * lanes
    start = loop.start
    zero = Operation("splat", (Number(0.0),), "f32", lanes)
    add = Set(sums.name, Operation("add", (sums, term), "f32", lanes))
    rest = [substitute(loop.body, {loop.variable: start + place}) for place in range(whole, extent)]
    return (
        Let(sums.name, zero),
        replace(loop, stop=start + whole, step=lanes, body=(add,)),
        Set(total.name, total + Operation("hsum", (sums,), "f32")),
        *(statement for statements in rest for statement in statements),
    )


def _wide(term: Expr, variable: str, lanes: int) -> Expr | None:
    """What is added, for `lanes` iterations at once; None where it does not lie along memory."""
    try:
        (made,) = vectorise((Let("term", term),), variable, lanes)
    except NotVectorisable:
        return None
    assert isinstance(made, Let)
    return made.value if made.value.lanes == lanes else None
