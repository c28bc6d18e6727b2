"""Symbolic extents: the batch size and whatever else a shape does not know yet.

A `Dim` is a polynomial with integer coefficients over named extents, together with floor
divisions that do not come out even, so ``(2 * n * 3 - 1) // 2 + 1`` is a shape like any other.
Named extents stand for integers of at least 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from layerport.errors import CaptureError, ShapeError

Extent: TypeAlias = "int | Dim"
Shape: TypeAlias = "tuple[Extent, ...]"


@dataclass(frozen=True)
class _Quotient:
    """The floor of `numerator / divisor`, where the division is not known to come out even."""

    numerator: Dim
    divisor: int

    def __str__(self) -> str:
        return f"({self.numerator})//{self.divisor}"


_Atom: TypeAlias = "str | _Quotient"
_Terms: TypeAlias = "dict[tuple[_Atom, ...], int]"


class Dim:
    """A symbolic extent.

    Parameters
    ----------
    name : the name of the extent, such as ``"batch"``.

    Sums, differences, products and floor divisions with integers and other Dims are Dims, or
    plain integers when nothing symbolic is left. A Dim has no value while a layer is being
    recorded: comparing it with a number, or using it as one, raises `CaptureError`.
    """

    __slots__ = ("_terms",)
    _terms: _Terms

    def __init__(self, name: str) -> None:
        self._terms = {(name,): 1}

    @staticmethod
    def _of(terms: _Terms) -> Extent:
        kept = {atoms: factor for atoms, factor in terms.items() if factor}
        if not kept:
            return 0
        if len(kept) == 1 and () in kept:
            return kept[()]
        made = Dim.__new__(Dim)
        made._terms = kept
        return made

    # Arithmetic -------------------------------------------------------------------------

    def __add__(self, other: Extent) -> Extent:
        terms = dict(self._terms)
        for atoms, factor in _terms_of(other).items():
            terms[atoms] = terms.get(atoms, 0) + factor
        return Dim._of(terms)

    __radd__ = __add__

    def __neg__(self) -> Extent:
        return Dim._of({atoms: -factor for atoms, factor in self._terms.items()})

    def __sub__(self, other: Extent) -> Extent:
        return self + -other

    def __rsub__(self, other: Extent) -> Extent:
        return -self + other

    def __mul__(self, other: Extent) -> Extent:
        terms: _Terms = {}
        for left, a in self._terms.items():
            for right, b in _terms_of(other).items():
                atoms = tuple(sorted(left + right, key=str))
                terms[atoms] = terms.get(atoms, 0) + a * b
        return Dim._of(terms)

    __rmul__ = __mul__

    def __floordiv__(self, other: Extent) -> Extent:
        if isinstance(other, Dim):
            return self._divided_by(other)
        if other <= 0:
            raise ShapeError(f"{self} // {other}: extents are divided by positive numbers only")
        # (other * a + b) // other == a + b // other, so only the remainder needs a quotient.
        even = {atoms: factor // other for atoms, factor in self._terms.items()}
        rest = Dim._of({atoms: factor % other for atoms, factor in self._terms.items()})
        if isinstance(rest, int):
            quotient: Extent = rest // other
        else:
            made = Dim.__new__(Dim)
            made._terms = {(_Quotient(rest, other),): 1}
            quotient = made
        return quotient + Dim._of(even)

    def _divided_by(self, other: Dim) -> Extent:
        if self == other:
            return 1
        if len(other._terms) == 1:
            ((divisor, scale),) = other._terms.items()
            terms: _Terms = {}
            for atoms, factor in self._terms.items():
                left = list(atoms)
                if factor % scale or any(atoms.count(a) < divisor.count(a) for a in divisor):
                    break
                for atom in divisor:
                    left.remove(atom)
                terms[tuple(left)] = factor // scale
            else:
                return Dim._of(terms)
        raise CaptureError(f"{self} // {other} is not known before the extents are")

    def __rfloordiv__(self, other: int) -> Extent:
        raise CaptureError(f"{other} // {self} is not known before {self} is")

    def __mod__(self, other: Extent) -> Extent:
        return self - (self // other) * other

    # Comparison -------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Dim):
            return self._terms == other._terms
        if isinstance(other, int):
            raise CaptureError(
                f"whether the dimension {self} is {other} is not known while a layer is being "
                "recorded; write code that works for every size"
            )
        return NotImplemented

    def __hash__(self) -> int:
        return hash(("Dim", frozenset(self._terms.items())))

    def _no_value(self, *_: object) -> int:
        raise CaptureError(
            f"the dimension {self} has no value while a layer is being recorded; use it in "
            "reshape and in arithmetic, or lp.ops.count(x, axis) for its value as a tensor"
        )

    __int__ = __index__ = _no_value
    __lt__ = __le__ = __gt__ = __ge__ = _no_value

    def __bool__(self) -> bool:
        return bool(self._no_value())

    def __float__(self) -> float:
        return float(self._no_value())

    # Names and values -------------------------------------------------------------------

    @property
    def names(self) -> frozenset[str]:
        """The named extents that this one depends on."""
        found: set[str] = set()
        for atoms in self._terms:
            for atom in atoms:
                found |= {atom} if isinstance(atom, str) else atom.numerator.names
        return frozenset(found)

    def bind(self, sizes: Mapping[str, Extent]) -> Extent:
        """Put values in place of names; names that `sizes` lacks stay symbolic."""
        total: Extent = 0
        for atoms, factor in self._terms.items():
            product: Extent = factor
            for atom in atoms:
                if isinstance(atom, str):
                    product = product * sizes.get(atom, Dim(atom))
                else:
                    product = product * (atom.numerator.bind(sizes) // atom.divisor)
            total = total + product
        return total

    def terms(self) -> list[tuple[int, tuple[str | tuple[Dim, int], ...]]]:
        """The polynomial: (factor, atoms) a term; an atom is a name, or (numerator, divisor)."""
        return [
            (factor, tuple(a if isinstance(a, str) else (a.numerator, a.divisor) for a in atoms))
            for atoms, factor in self._terms.items()
        ]

    def __str__(self) -> str:
        parts = []
        for atoms, factor in self._terms.items():
            words = [str(a) for a in atoms]
            if factor != 1 or not words:
                words.insert(0, str(factor))
            parts.append("*".join(words))
        return "+".join(parts).replace("+-", "-")

    def __repr__(self) -> str:
        return str(self)


def _terms_of(extent: Extent) -> _Terms:
    return extent._terms if isinstance(extent, Dim) else {(): int(extent)}


def is_extent(extent: Extent, value: int) -> bool:
    """Whether an extent is known to be `value`."""
    return not isinstance(extent, Dim) and extent == value


def same_extent(a: Extent, b: Extent) -> bool:
    """Whether two extents are known to be equal."""
    return isinstance(a, Dim) == isinstance(b, Dim) and a == b


def same_shape(a: Shape, b: Shape) -> bool:
    """Whether two shapes are known to be equal."""
    return len(a) == len(b) and all(map(same_extent, a, b))


def is_static(shape: Iterable[Extent]) -> bool:
    """Whether every extent of a shape is a number."""
    return not any(isinstance(extent, Dim) for extent in shape)


def static_shape(shape: Shape) -> tuple[int, ...]:
    """The shape as numbers; raises `ShapeError` when an extent is symbolic."""
    if not is_static(shape):
        raise ShapeError(f"the shape {shape} still has symbolic extents; bind them first")
    return tuple(int(extent) for extent in shape)


def size_of(shape: Iterable[Extent]) -> Extent:
    """The number of elements."""
    total: Extent = 1
    for extent in shape:
        total = total * extent
    return total


def bind(thing: object, sizes: Mapping[str, Extent]) -> object:
    """Put values in place of names in an extent or in (nested) tuples of them."""
    if isinstance(thing, Dim):
        return thing.bind(sizes)
    if isinstance(thing, tuple):
        return tuple(bind(item, sizes) for item in thing)
    return thing


def bind_shape(shape: Shape, sizes: Mapping[str, Extent]) -> Shape:
    """`bind` for a shape."""
    return tuple(d.bind(sizes) if isinstance(d, Dim) else d for d in shape)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """NumPy's broadcasting, for symbolic extents too.

    Raises
    ------
    ShapeError : when two extents differ and neither is 1.
    """
    rank = max((len(shape) for shape in shapes), default=0)
    result: list[Extent] = []
    for axis in range(-rank, 0):
        extent: Extent = 1
        for shape in shapes:
            if -axis > len(shape) or is_extent(shape[axis], 1):
                continue
            if is_extent(extent, 1):
                extent = shape[axis]
            elif not same_extent(extent, shape[axis]):
                named = " and ".join(str(shape) for shape in shapes)
                raise ShapeError(f"the shapes {named} do not broadcast: {extent}, {shape[axis]}")
        result.append(extent)
    return tuple(result)
