"""Affine integers: where an element lies, how far a loop runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias


class Index:
    """An affine integer: a constant plus integer multiples of integer variables.

    The variables are loop variables, parameters of the function (the batch size) and integer
    locals (an index that was loaded from a buffer).
    """

    __slots__ = ("constant", "terms")

    def __init__(self, constant: int = 0, terms: Mapping[str, int] | None = None) -> None:
        self.constant = constant
        self.terms: dict[str, int] = {v: c for v, c in (terms or {}).items() if c}

    @staticmethod
    def of(thing: int | Index) -> Index:
        """An int as an Index."""
        return thing if isinstance(thing, Index) else Index(int(thing))

    @staticmethod
    def variable(name: str) -> Index:
        """The value of one variable."""
        return Index(0, {name: 1})

    @property
    def is_constant(self) -> bool:
        """Whether no variable occurs."""
        return not self.terms

    def __add__(self, other: int | Index) -> Index:
        other = Index.of(other)
        terms = dict(self.terms)
        for name, factor in other.terms.items():
            terms[name] = terms.get(name, 0) + factor
        return Index(self.constant + other.constant, terms)

    __radd__ = __add__

    def __mul__(self, factor: int) -> Index:
        return Index(self.constant * factor, {v: c * factor for v, c in self.terms.items()})

    __rmul__ = __mul__

    def __neg__(self) -> Index:
        return self * -1

    def __sub__(self, other: int | Index) -> Index:
        return self + -Index.of(other)

    def __rsub__(self, other: int | Index) -> Index:
        return -self + other

    def substitute(self, values: Mapping[str, Index]) -> Index:
        """Put indices in place of variables."""
        if not any(name in values for name in self.terms):
            return self
        result = Index(self.constant)
        for name, factor in self.terms.items():
            result = result + values.get(name, Index.variable(name)) * factor
        return result

    def evaluate(self, values: Mapping[str, int]) -> int:
        """The number, for these values of the variables."""
        return self.constant + sum(c * values[name] for name, c in self.terms.items())

    def factor(self, name: str) -> int:
        """The multiple of a variable (0 where it does not occur)."""
        return self.terms.get(name, 0)

    def _key(self) -> tuple[int, frozenset[tuple[str, int]]]:
        return self.constant, frozenset(self.terms.items())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return not self.terms and self.constant == other
        return isinstance(other, Index) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        words = [name if c == 1 else f"{c}*{name}" for name, c in self.terms.items()]
        if self.constant or not words:
            words.append(str(self.constant))
        return "+".join(words).replace("+-", "-")


Size: TypeAlias = "int | Index"
"""An extent: a number, or affine in the batch size."""


def dot(places: Sequence[Index | int], steps: Sequence[int]) -> Index:
    """The place in a flat run of elements whose axes are `steps` apart."""
    total = Index(0)
    for place, step in zip(places, steps, strict=True):
        total = total + Index.of(place) * step
    return total


def moved(places: Sequence[Index], by: Sequence[Size]) -> tuple[Index, ...]:
    """An index moved along each axis."""
    return tuple(place + distance for place, distance in zip(places, by, strict=True))
