"""Windows that slide over the spatial axes: the geometry that convolution and pooling share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Literal, NamedTuple, Self, TypeAlias

from layerport.dim import Dim, Extent, Shape, is_static, static_shape
from layerport.errors import ShapeError
from layerport.op import NDArray, Op

AutoPad: TypeAlias = Literal["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]


@dataclasses.dataclass(frozen=True, slots=True)
class Axis:
    """The windows along one axis, in numbers.

    Window `o` reads the elements ``o * stride + k * dilation - before`` for k below `kernel`,
    those that lie inside `extent`.
    """

    extent: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    count: int

    @property
    def lacking(self) -> int:
        """How many elements the windows need behind the axis; negative if some are not used."""
        reach = (self.kernel - 1) * self.dilation + 1
        return (self.count - 1) * self.stride + reach - self.extent - self.before

    def tap(self, k: int) -> tuple[slice, slice]:
        """(windows, elements): the windows whose k-th element lies inside, and those elements."""
        shift = k * self.dilation - self.before
        first = max(-(shift // self.stride), 0)
        last = min((self.extent - 1 - shift) // self.stride, self.count - 1)
        if last < first:
            return slice(0, 0), slice(0, 0)
        start = first * self.stride + shift
        return (
            slice(first, last + 1),
            slice(start, start + (last - first) * self.stride + 1, self.stride),
        )


class Tap(NamedTuple):
    """One element of the kernel: its place, the windows that have it, and what they read there.

    `windows` and `elements` index arrays whose last axes are spatial.
    """

    place: tuple[int, ...]
    windows: tuple[object, ...]
    elements: tuple[object, ...]

    def of(self, windows: NDArray) -> NDArray:
        """The part of an array with an entry for each window."""
        part: NDArray = windows[self.windows]  # type: ignore[index]
        return part

    def read(self, elements: NDArray) -> NDArray:
        """The part of an array of elements that these windows read."""
        part: NDArray = elements[self.elements]  # type: ignore[index]
        return part


def taps(axes: Sequence[Axis]) -> Iterator[Tap]:
    """The elements of the kernel in row-major order; those that no window reads are left out."""
    for place in product(*(range(axis.kernel) for axis in axes)):
        pairs = [axis.tap(k) for axis, k in zip(axes, place, strict=True)]
        if all(windows.stop > windows.start for windows, _ in pairs):
            windows, elements = zip(*pairs, strict=True)
            yield Tap(place, (..., *windows), (..., *elements))


def is_pointwise(axes: Sequence[Axis]) -> bool:
    """Whether every window is one element, and there is one for each."""
    return all(
        axis.kernel == axis.stride == 1 and not axis.before and axis.count == axis.extent
        for axis in axes
    )


@dataclasses.dataclass(frozen=True)
class Windowed(Op):
    """ONNX's attributes of an operator with windows. An empty tuple stands for the default.

    `pads` are the widths before all spatial axes, then those behind.
    """

    kernel_shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    auto_pad: AutoPad = "NOTSET"

    @property
    def rounds_up(self) -> bool:
        """Whether a last window may hang over the end."""
        return False

    def explicit(self, extents: Shape, kernel: Sequence[int]) -> Self:
        """The same operator with every attribute written out, for these spatial extents.

        `auto_pad` stays where the padding depends on an extent that is symbolic.
        """
        rank = len(extents)
        filled = dataclasses.replace(
            self,
            kernel_shape=tuple(kernel),
            strides=of_rank(self.strides or (1,), rank, "strides"),
            dilations=of_rank(self.dilations or (1,), rank, "dilations"),
        )
        if self.auto_pad == "NOTSET":
            return dataclasses.replace(filled, pads=of_rank(self.pads or (0,), 2 * rank, "pads"))
        totals = filled._same_totals(extents) if self.auto_pad != "VALID" else (0,) * rank
        if not is_static(totals):
            return filled
        return dataclasses.replace(
            filled, auto_pad="NOTSET", pads=halves(static_shape(totals), self.auto_pad)
        )

    def _same_totals(self, extents: Shape) -> Shape:
        """How much padding gives one window for each stride."""
        totals: list[Extent] = []
        for extent, reach, stride in zip(extents, self._reaches(), self.strides, strict=True):
            # With stride 1 the padding does not depend on the extent.
            total = (_windows_of_same(extent, stride) - 1) * stride + reach - extent
            totals.append(total if isinstance(total, Dim) else max(total, 0))
        return tuple(totals)

    def _reaches(self) -> tuple[int, ...]:
        return reaches(self.kernel_shape, self.dilations)

    def places(self, window: Sequence[Any], tap: Sequence[Any]) -> list[Any]:
        """Where an element of the kernel lies on each axis, for one window; without pads."""
        rank = len(window)
        strides = of_rank(self.strides or (1,), rank, "strides")
        dilations = of_rank(self.dilations or (1,), rank, "dilations")
        return [
            o * stride + k * dilation
            for o, k, stride, dilation in zip(window, tap, strides, dilations, strict=True)
        ]

    def counts(self, extents: Shape, kernel: Sequence[int]) -> Shape:
        """How many windows there are along each spatial axis.

        Raises
        ------
        ShapeError : when not a single one fits.
        """
        full = self.explicit(extents, kernel)
        if full.auto_pad != "NOTSET":
            return tuple(map(_windows_of_same, extents, full.strides))
        rank = len(extents)
        found: list[Extent] = []
        for axis, (extent, reach) in enumerate(zip(extents, full._reaches(), strict=True)):
            before, after, stride = full.pads[axis], full.pads[axis + rank], full.strides[axis]
            spare = extent + before + after - reach
            if self.rounds_up:
                # A window that hangs over counts, unless it begins behind the last element.
                spare = extent + before + min(after - reach + stride - 1, -1)
            count = spare // stride + 1
            if not isinstance(count, Dim) and count < 1:
                raise ShapeError(
                    f"a window of {reach} does not fit into {extent} elements "
                    f"padded by {before} and {after}"
                )
            found.append(count)
        return tuple(found)

    def axes(
        self, extents: Sequence[int], kernel: Sequence[int], counts: Sequence[int] | None = None
    ) -> tuple[Axis, ...]:
        """The windows along each axis; all must be static. `counts` overrides how many."""
        full = self.explicit(tuple(extents), kernel)
        if counts is None:
            counts = static_shape(full.counts(tuple(extents), kernel))
        rank = len(extents)
        return tuple(
            map(
                Axis,
                extents,
                kernel,
                full.strides,
                full.dilations,
                full.pads[:rank],
                full.pads[rank:],
                counts,
            )
        )


def reaches(kernel: Sequence[int], dilations: Sequence[int]) -> tuple[int, ...]:
    """How many elements a window spans along each axis."""
    return tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))


def halves(totals: Sequence[int], auto_pad: str) -> tuple[int, ...]:
    """Pads of these widths in total; the odd one goes behind, or before for SAME_LOWER."""
    small = tuple(total // 2 for total in totals)
    large = tuple(total - half for total, half in zip(totals, small, strict=True))
    return large + small if auto_pad == "SAME_LOWER" else small + large


def _windows_of_same(extent: Extent, stride: int) -> Extent:
    return (extent + stride - 1) // stride


def of_rank(values: Sequence[int] | int, length: int, what: str) -> tuple[int, ...]:
    """One number for each axis; a single one stands for all.

    Raises
    ------
    ShapeError : when there are neither one nor `length` of them.
    """
    given = (values,) if isinstance(values, int) else tuple(values)
    if len(given) == 1:
        return given * length
    if len(given) != length:
        raise ShapeError(f"{what} needs {length} numbers here, not {given}")
    return given
