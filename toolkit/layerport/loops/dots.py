"""Sums and extremes along memory in vectors, where results cannot lie side by side in one.

In ``x @ w.T`` neighbouring results read rows of `w` that are far apart, but each result is a sum
along two rows. It becomes several sums, one a lane, that are added up at the end. So does a largest
value, such as softmax needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from layerport.loops.canonical import accumulated
from layerport.loops.ir import Body, Expr, For, Let, Names, Number, Operation, Set, Statement, Var
from layerport.loops.vectorise import NotVectorisable, vectorise
from layerport.loops.walk import substitute

_FOLDS: Mapping[str, tuple[float, str]] = {
    "add": (0.0, "hsum"),
    "max": (-math.inf, "hmax"),
    "min": (math.inf, "hmin"),
}
"""What a lane starts with, and how lanes become one."""


def vectorise_sums(body: Body, widths: Sequence[int], names: Names) -> Body:
    """The body with plain sums and extremes along memory in vectors; the same where there is none.

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
    if step.value.lanes > 1 or loop.step != 1:
        return None
    found = accumulated(step)
    if found is None or found[0] not in _FOLDS or step.value.dtype != "f32":
        return None
    name = found[0]
    neutral, fold = _FOLDS[name]
    term = _wide(found[1], loop.variable, lanes)
    if term is None:
        return None
    sums = Var(names.fresh("v"), "f32", lanes)
    total = Var(step.name)
    whole = extent // lanes * lanes
    start = loop.start
    nothing = Operation("splat", (Number(neutral),), "f32", lanes)
    grow = Set(sums.name, Operation(name, (term, sums), "f32", lanes))
    together = Operation(fold, (sums,), "f32")
    rest = [substitute(loop.body, {loop.variable: start + place}) for place in range(whole, extent)]
    return (
        Let(sums.name, nothing),
        replace(loop, stop=start + whole, step=lanes, body=(grow,)),
        Set(total.name, Operation(name, (together, total), "f32")),
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
