"""Reductions: their axes are an operand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .sketch import Rule, attributes_as_operands

RULES: Mapping[str, Sequence[tuple[int, Rule]]] = {
    "ReduceSum": [(13, attributes_as_operands("axes"))],
    **{
        f"Reduce{kind}": [(18, attributes_as_operands("axes"))]
        for kind in (
            "L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare",
        )
    },
}  # fmt: skip
