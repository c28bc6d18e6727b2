"""What is kept from one segment to another, and what is rather computed again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from layerport.graph import Value
from layerport.ops.activation import LeakyRelu, Relu
from layerport.ops.elementwise import Add, Div, Mul, Neg, Sub
from layerport.ops.logic import Cast, Greater, GreaterOrEqual, Less, LessOrEqual
from layerport.ops.normalization import BatchNormalization
from layerport.ops.shape import Expand, Identity, Reshaping, Transpose

_VIEWS = (Expand, Identity, Reshaping, Transpose)
_QUICK = (Add, Sub, Mul, Div, Neg, Relu, LeakyRelu, Cast, Greater, GreaterOrEqual, Less,
          LessOrEqual, BatchNormalization)  # fmt: skip
"""Operators that cost about as much as to read what they compute from memory."""

_DEPTH = 6
"""How many of them are computed again, one after the other."""


def values_to_keep(
    crossing: Iterable[Value], is_apart: Callable[[Value], bool]
) -> frozenset[Value]:
    """Which values to keep for all `crossing` values to be there, at little cost.

    Parameters
    ----------
    crossing : what is computed in one segment and read in another.
    is_apart : whether a value has one part a sample; others are there anyway.
    """
    roots = _Roots(is_apart)
    crossing = list(crossing)
    keep = {value for value in crossing if roots.of(value) == {value}}
    lacking = {value: roots.of(value) - keep for value in crossing}
    readers = Counter(root for lack in lacking.values() if len(lack) == 1 for root in lack)
    for value, lack in lacking.items():
        several = len(lack) == 1 and readers[next(iter(lack))] > 1
        if lack - keep:
            keep |= lack if several else {value}
    return frozenset(keep)


class _Roots:
    """From which values others can be computed quickly."""

    def __init__(self, is_apart: Callable[[Value], bool]) -> None:
        self._is_apart = is_apart
        self._found: dict[Value, tuple[frozenset[Value], int]] = {}

    def of(self, value: Value) -> frozenset[Value]:
        """The values that one is made of by quick operators; itself if it is made otherwise."""
        return self._trace(value)[0]

    def _trace(self, value: Value) -> tuple[frozenset[Value], int]:
        if value not in self._found:
            self._found[value] = self._traced(value)
        return self._found[value]

    def _traced(self, value: Value) -> tuple[frozenset[Value], int]:
        node = value.node
        if node is None:
            return frozenset(), 0  # inputs are there in every segment
        if not isinstance(node.op, (*_VIEWS, *_QUICK)):
            return frozenset({value}), 0
        operands = [self._trace(v) for v in node.inputs if v is not None and self._is_apart(v)]
        depth = max((depth for _, depth in operands), default=0)
        depth += not isinstance(node.op, _VIEWS)
        if depth > _DEPTH:
            return frozenset({value}), 0
        return frozenset().union(*(roots for roots, _ in operands)), depth
