"""Symbolic extents in files: computed from the shapes of the graph's inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from layerport.dim import Dim, Extent, Shape, is_extent, same_extent
from layerport.errors import UnsupportedError
from layerport.graph import Value
from layerport.op import NDArray

Apply: TypeAlias = "Callable[..., str]"
"""Adds a node: ``apply(op, inputs, attributes) -> name of its output``."""

UNTIL_END = np.iinfo(np.int64).max


class ExtentWriter:
    """Writes vectors of extents: constants, or what computes them from the inputs' shapes.

    Parameters
    ----------
    inputs : (value, name) of the graph's inputs.
    constant : the name of an array in the file.
    apply : adds a node.
    """

    def __init__(
        self,
        inputs: Sequence[tuple[Value, str]],
        constant: Callable[[NDArray, str], str],
        apply: Apply,
    ) -> None:
        self._constant = constant
        self._apply = apply
        self._sources: dict[str, tuple[str, int]] = {}
        for value, name in inputs:
            for axis, extent in enumerate(value.shape):
                if isinstance(extent, Dim) and extent.names == {str(extent)}:
                    self._sources.setdefault(str(extent), (name, axis))
        self._known: dict[Any, str] = {}

    def vector(self, extents: Sequence[Extent], hint: str) -> str:
        """The name of an int64 vector of these extents."""
        if not any(isinstance(extent, Dim) for extent in extents):
            return self._constant(np.array(extents, np.int64), hint)
        parts: list[str] = []
        numbers: list[int] = []
        for extent in extents:
            if isinstance(extent, Dim):
                if numbers:
                    parts.append(self._constant(np.array(numbers, np.int64), hint))
                    numbers = []
                parts.append(self._single(extent))
            else:
                numbers.append(int(extent))
        if numbers:
            parts.append(self._constant(np.array(numbers, np.int64), hint))
        return parts[0] if len(parts) == 1 else self._apply("Concat", parts, {"axis": 0})

    def _single(self, extent: Extent) -> str:
        """A vector of one extent."""
        if not isinstance(extent, Dim):
            return self._constant(np.array([extent], np.int64), "extent")
        if extent not in self._known:
            terms = [self._term(factor, atoms) for factor, atoms in extent.terms()]
            total = terms[0]
            for term in terms[1:]:
                total = self._apply("Add", [total, term], {})
            self._known[extent] = total
        return self._known[extent]

    def _term(self, factor: int, atoms: Sequence[str | tuple[Dim, int]]) -> str:
        names = [self._atom(atom) for atom in atoms]
        if factor != 1 or not names:
            names.append(self._single(factor))
        product = names[0]
        for name in names[1:]:
            product = self._apply("Mul", [product, name], {})
        return product

    def _atom(self, atom: str | tuple[Dim, int]) -> str:
        if isinstance(atom, tuple):
            numerator, divisor = atom
            return self._apply("Div", [self._single(numerator), self._single(divisor)], {})
        key = ("name", atom)
        if key not in self._known:
            if atom not in self._sources:
                raise UnsupportedError(f"the extent {atom} is no extent of an input")
            name, axis = self._sources[atom]
            shape = self._shape_of(name)
            place = self._constant(np.array([axis], np.int64), "axis")
            self._known[key] = self._apply("Gather", [shape, place], {"axis": 0})
        return self._known[key]

    def _shape_of(self, name: str) -> str:
        key = ("shape", name)
        if key not in self._known:
            self._known[key] = self._apply("Shape", [name], {})
        return self._known[key]


def simpler_shape(wanted: Shape, before: Shape) -> Shape:
    """A shape for Reshape with as few symbolic extents as ONNX's 0 and -1 allow.

    0 stands for the extent at the same place before, -1 for whatever is left.
    """
    extents: list[Extent] = list(wanted)
    if any(is_extent(extent, 0) for extent in extents):
        return wanted
    symbolic = [axis for axis, extent in enumerate(extents) if isinstance(extent, Dim)]
    if len(symbolic) > 1:
        for axis in symbolic:
            if axis < len(before) and same_extent(before[axis], extents[axis]):
                extents[axis] = 0
        symbolic = [axis for axis in symbolic if isinstance(extents[axis], Dim)]
    if len(symbolic) == 1:
        extents[symbolic[0]] = -1
    return tuple(extents)


def simpler_target(wanted: Shape, before: Shape) -> Shape:
    """A shape for Expand with 1 where the operand's own extent stays."""
    offset = len(wanted) - len(before)
    return tuple(
        1 if isinstance(extent, Dim) and axis >= offset
        and same_extent(before[axis - offset], extent) else extent
        for axis, extent in enumerate(wanted)
    )  # fmt: skip


def simpler_ends(ends: Sequence[Extent], axes: Sequence[int], before: Shape) -> tuple[Extent, ...]:
    """Ends of Slice with a number where they are the end of a symbolic axis."""
    return tuple(
        UNTIL_END if isinstance(end, Dim) and same_extent(end, before[axis]) else end
        for end, axis in zip(ends, axes, strict=True)
    )
