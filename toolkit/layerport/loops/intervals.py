"""The range of values that an integer expression can have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from layerport.loops.index import Index
from layerport.loops.ir import Expr, Load, Number, Operation, Position, Var
from layerport.op import NDArray


class Interval(NamedTuple):
    """From `low` to `high`, both included."""

    low: int
    high: int

    @property
    def is_exact(self) -> bool:
        """Whether there is only one value."""
        return self.low == self.high


FULL = Interval(-(2**31), 2**31 - 1)
"""Any 32-bit integer."""


@dataclass(frozen=True)
class Intervals:
    """Ranges of the integer variables in scope."""

    names: Mapping[str, Interval]

    def with_name(self, name: str, interval: Interval) -> Intervals:
        """With one more variable."""
        return Intervals({**self.names, name: interval})

    def over(self, name: str, values: Sequence[int] | NDArray) -> Intervals:
        """With a loop variable that takes these values, in rising order."""
        return self.with_name(name, Interval(int(values[0]), int(values[-1])))

    def at(self, index: Index) -> Interval:
        """The range of an index."""
        low = high = index.constant
        for name, factor in index.terms.items():
            ends = [factor * end for end in self.names.get(name, FULL)]
            low, high = low + min(ends), high + max(ends)
        return Interval(low, high)

    def of(self, expr: Expr) -> Interval:
        """The range of an expression."""
        if isinstance(expr, Number):
            return Interval(int(expr.value), int(expr.value))
        if isinstance(expr, Position):
            return self.at(expr.index)
        if isinstance(expr, Var):
            return self.names.get(expr.name, FULL)
        if isinstance(expr, Load):
            data = expr.buffer.data
            if data is None or not data.size:
                return FULL
            return Interval(int(data.min()), int(data.max()))
        if isinstance(expr, Operation):
            return self._operation(expr)
        return FULL

    def _operation(self, expr: Operation) -> Interval:
        if expr.name == "select":
            a, b = self.of(expr.args[1]), self.of(expr.args[2])
            return Interval(min(a.low, b.low), max(a.high, b.high))
        if expr.name not in _RULES or expr.dtype != "i32":
            return FULL
        a, b = (self.of(arg) for arg in expr.args)
        found = _RULES[expr.name](a, b)
        return found if found.low >= FULL.low and found.high <= FULL.high else FULL


def _product(a: Interval, b: Interval) -> Interval:
    ends = [x * y for x in a for y in b]
    return Interval(min(ends), max(ends))


def _masked(a: Interval, b: Interval) -> Interval:
    if a.is_exact and b.is_exact:
        return Interval(a.low & b.low, a.low & b.low)
    ends = [end.high for end in (a, b) if end.low >= 0]
    return Interval(0, min(ends)) if ends else FULL


def _rest(a: Interval, b: Interval) -> Interval:
    if not b.is_exact or b.low <= 0 or a.low < 0:
        return FULL
    if a.is_exact:
        return Interval(a.low % b.low, a.low % b.low)
    return Interval(0, b.low - 1)


_RULES: Mapping[str, Callable[[Interval, Interval], Interval]] = {
    "add": lambda a, b: Interval(a.low + b.low, a.high + b.high),
    "sub": lambda a, b: Interval(a.low - b.high, a.high - b.low),
    "mul": _product,
    "min": lambda a, b: Interval(min(a.low, b.low), min(a.high, b.high)),
    "max": lambda a, b: Interval(max(a.low, b.low), max(a.high, b.high)),
    "bit_and": _masked,
    "mod": _rest,
}
