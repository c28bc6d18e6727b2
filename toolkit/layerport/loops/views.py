"""Where a value lies: strides over a buffer.

What a view operator (Transpose, Reshape, Slice...) does to strides is asked of the operator's own
`view` rule, with an array that has the strides in question and no memory behind it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from layerport.dim import Dim, Extent, Shape
from layerport.errors import UnsupportedError
from layerport.loops.index import Index, Size, dot
from layerport.loops.ir import Buffer
from layerport.op import NDArray, Op

T = TypeVar("T")
Order: TypeAlias = "tuple[int, ...]"
"""The axes of a value from the slowest to the fastest in memory."""


@dataclass(frozen=True)
class View:
    """A strided window on a buffer; strides and offset count elements."""

    buffer: Buffer
    shape: tuple[Size, ...]
    strides: tuple[int, ...]
    offset: int = 0

    def at(self, index: Sequence[Index | int]) -> Index:
        """The place of an element."""
        if len(index) != len(self.shape):
            raise IndexError(f"{len(index)} indices for a value with {len(self.shape)} axes")
        return dot(index, self.strides) + self.offset

    @property
    def order(self) -> Order:
        """The axes from the slowest to the fastest."""
        return order_of(self.strides)


def order_of(strides: Sequence[int]) -> Order:
    """The axes by falling stride."""
    return tuple(sorted(range(len(strides)), key=lambda axis: (-abs(strides[axis]), axis)))


def strides_for(shape: Sequence[int], order: Order | None = None) -> tuple[int, ...]:
    """The strides of a compact buffer whose axes lie in this order (row-major by default)."""
    strides = [0] * len(shape)
    step = 1
    for axis in reversed(order if order is not None else range(len(shape))):
        strides[axis] = step
        step *= shape[axis]
    return tuple(strides)


class MixedBatchError(UnsupportedError):
    """An extent or a view is not affine in the batch size."""


def static_extents(shape: Sequence[Size]) -> tuple[int, ...]:
    """Extents that must be numbers.

    Raises
    ------
    UnsupportedError : when one depends on the batch.
    """
    if any(isinstance(extent, Index) for extent in shape):
        raise UnsupportedError(f"the extents {tuple(shape)} depend on the batch")
    return tuple(int(extent) for extent in shape)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Batch:
    """The one symbolic extent of a graph: its name there, its variable here, its largest value."""

    dim: str
    variable: str
    capacity: int

    def size(self, extent: Extent) -> Size:
        """An extent of the graph as an index that is affine in the batch size."""
        if not isinstance(extent, Dim):
            return int(extent)
        total = Index(0)
        for factor, atoms in extent.terms():
            if atoms and atoms != (self.dim,):
                raise MixedBatchError(
                    f"the extent {extent} is not a multiple of the batch size {self.dim!r} plus a "
                    "number",
                    hint="give every dimension but the batch a fixed size before exporting",
                )
            total = total + (Index(0, {self.variable: factor}) if atoms else factor)
        return total

    def sizes(self, shape: Shape) -> tuple[Size, ...]:
        """`size` for a shape."""
        return tuple(map(self.size, shape))

    def room(self, shape: Sequence[Size]) -> tuple[int, ...]:
        """The shape at the largest batch."""
        values = {self.variable: self.capacity}
        return tuple(e.evaluate(values) if isinstance(e, Index) else e for e in shape)

    def bound(self, shape: Sequence[Size], sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape for these sizes (one of `bindings`)."""
        values = {self.variable: sizes.get(self.dim, 0)}
        return tuple(e.evaluate(values) if isinstance(e, Index) else e for e in shape)

    @property
    def bindings(self) -> list[Mapping[str, int]]:
        """Batch sizes that stand for all: what holds for both holds for every one."""
        if not self.dim:
            return [{}]
        more = [self.capacity + 1] if self.capacity > 1 else []
        return [{self.dim: size} for size in (self.capacity, *more)]


def ghost(shape: Sequence[int], strides: Sequence[int]) -> NDArray:
    """An array with these strides (in elements) and no memory behind it: never read it."""
    memory = np.empty(1, np.int8)
    return np.lib.stride_tricks.as_strided(memory, shape, strides, writeable=False)


def _place(array: NDArray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def viewed(op: Op, view: View, shape: Shape, batch: Batch) -> View | None:
    """The view that an operator makes of another one, or None where it has to copy."""

    def make(sizes: Mapping[str, int]) -> tuple[tuple[int, ...], int] | None:
        array = ghost(batch.bound(view.shape, sizes), view.strides)
        made = op.bind(sizes).view(array)
        return None if made is None else (_meaningful(made), _address(made) - _address(array))

    found = _for_every_batch(make, batch)
    if found is None:
        return None
    strides, moved = found
    return View(view.buffer, batch.sizes(shape), strides, view.offset + moved)


def unviewed(op: Op, shape: Shape, view: View, batch: Batch) -> View | None:
    """The view that the operand of a view operator needs to have so that its result is `view`.

    None where no strides do that: the operator drops, repeats or reverses elements, or reshapes
    what is not compact.
    """
    sizes_before = batch.sizes(shape)
    plain = strides_for(batch.room(sizes_before))

    def make(sizes: Mapping[str, int]) -> tuple[int, ...] | None:
        wanted = ghost(batch.bound(view.shape, sizes), view.strides)
        return _unviewed(op.bind(sizes), batch.bound(sizes_before, sizes), plain, wanted)

    strides = _for_every_batch(make, batch)
    return None if strides is None else View(view.buffer, sizes_before, strides, view.offset)


def window(op: Op, shapes: Sequence[Shape], operand: int, view: View, batch: Batch) -> View | None:
    """Where an operand lies inside the result of an operator that only lays operands down."""
    before = [batch.sizes(shape) for shape in shapes]

    def make(sizes: Mapping[str, int]) -> tuple[tuple[int, ...], int] | None:
        array = ghost(batch.bound(view.shape, sizes), view.strides)
        rooms = [batch.bound(shape, sizes) for shape in before]
        inputs = [ghost(room, strides_for(room)) for room in rooms]
        made = op.bind(sizes).window(array, operand, *inputs)
        if made is None:
            return None
        assert made.shape == rooms[operand]
        return _meaningful(made), _address(made) - _address(array)

    found = _for_every_batch(make, batch)
    if found is None:
        return None
    strides, moved = found
    return View(view.buffer, before[operand], strides, view.offset + moved)


def _for_every_batch(make: Callable[[Mapping[str, int]], T | None], batch: Batch) -> T | None:
    """What `make` gives for the batch sizes that stand for all, if it is the same for each."""
    found = [make(sizes) for sizes in batch.bindings]
    return found[0] if all(item == found[0] for item in found) else None


def _address(array: NDArray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _meaningful(array: NDArray) -> tuple[int, ...]:
    """The strides, 0 along axes of extent 1 (NumPy may put anything there)."""
    return tuple(s if e != 1 else 0 for s, e in zip(array.strides, array.shape, strict=True))


def _is_compact(array: NDArray) -> bool:
    return _meaningful(array) == _meaningful(ghost(array.shape, strides_for(array.shape)))


def _unviewed(
    op: Op, shape: Sequence[int], plain: tuple[int, ...], wanted: NDArray
) -> tuple[int, ...] | None:
    out = op.view(ghost(shape, plain))
    if out is None or out.shape != wanted.shape or math.prod(out.shape) != math.prod(shape):
        return None
    if _is_compact(out) and _is_compact(wanted):
        return plain  # a reshape between compact layouts
    source = {stride: axis for axis, stride in enumerate(plain) if shape[axis] > 1}
    result = list(plain)
    for stride, extent, target in zip(out.strides, out.shape, wanted.strides, strict=True):
        if extent > 1:
            if stride not in source or shape[source[stride]] != extent:
                return None
            result[source.pop(stride)] = target
    return None if source else tuple(result)
