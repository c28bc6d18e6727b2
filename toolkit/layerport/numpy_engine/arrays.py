"""Arrays as places in memory: in which order the axes lie, and which of them can be merged.

Strides are the layout: a value keeps the shape of its operator (channels first, say), and the
buffer behind it may lie in another order (channels innermost).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.lib.stride_tricks import as_strided

from layerport.op import NDArray
from layerport.ops.shape import Reshape

Order: TypeAlias = "tuple[int, ...]"
"""Axes from the slowest, outermost in memory, to the fastest."""


def natural_order(rank: int) -> Order:
    """C order."""
    return tuple(range(rank))


def memory_order(array: NDArray) -> Order:
    """The order in which the axes of an array lie; axes of extent 1 come first unless C order."""
    long = [axis for axis, extent in enumerate(array.shape) if extent > 1]
    ordered = sorted(long, key=lambda axis: (-abs(array.strides[axis]), axis))
    if ordered == long:
        return natural_order(array.ndim)
    short = [axis for axis, extent in enumerate(array.shape) if extent <= 1]
    return (*short, *ordered)


def inverse(order: Sequence[int]) -> Order:
    """The permutation that undoes another."""
    found = [0] * len(order)
    for place, axis in enumerate(order):
        found[axis] = place
    return tuple(found)


def is_dense(array: NDArray) -> bool:
    """Whether the elements fill one block of memory, in whichever order of axes."""
    return bool(array.transpose(memory_order(array)).flags.c_contiguous)


def bounds(array: NDArray) -> tuple[int, int]:
    """The lowest address, and the one behind the highest."""
    return byte_bounds(array)


def address(array: NDArray) -> int:
    """Where the first element lies."""
    place: int = array.__array_interface__["data"][0]
    return place


def place_of(array: NDArray) -> tuple[object, ...]:
    """What two arrays have in common that are the same elements in the same order."""
    pairs = zip(array.shape, array.strides, strict=True)
    strides = tuple(stride if extent > 1 else 0 for extent, stride in pairs)
    return address(array), array.shape, strides, array.dtype


def same_place(a: NDArray, b: NDArray) -> bool:
    """Whether two arrays are the same elements in the same order."""
    return place_of(a) == place_of(b)


def overlaps(a: NDArray, b: NDArray) -> bool:
    """Whether two arrays may share memory, judged by their bounds."""
    (low_a, high_a), (low_b, high_b) = bounds(a), bounds(b)
    return low_a < high_b and low_b < high_a


def has_repeats(array: NDArray) -> bool:
    """Whether an array is broadcast: several elements at one address."""
    return any(
        stride == 0 and extent > 1
        for extent, stride in zip(array.shape, array.strides, strict=True)
    )


def view_as(array: NDArray, shape: Sequence[int]) -> NDArray | None:
    """The array in another shape without copying, or None where that cannot be."""
    return Reshape(tuple(shape)).view(array)


def flattened(array: NDArray) -> NDArray | None:
    """The elements of a dense array as one axis, in memory order; None if it is not dense."""
    ordered = array.transpose(memory_order(array))
    return ordered.reshape(-1) if ordered.flags.c_contiguous else None


def merged(arrays: Sequence[NDArray]) -> list[NDArray]:
    """The same elementwise job with as few axes as possible.

    All arrays are broadcast to the shape of the first, their axes put in its memory order, and
    neighbouring axes merged wherever every array allows it. Single elements lose all axes.
    """
    shape = arrays[0].shape
    order = [axis for axis in memory_order(arrays[0]) if shape[axis] != 1]
    extents = [shape[axis] for axis in order]
    wide = [a if a.size == 1 or a.shape == shape else np.broadcast_to(a, shape) for a in arrays]
    strides = [
        [0] * len(order) if a.size == 1 else [a.strides[axis] for axis in order] for a in wide
    ]
    for place in range(len(extents) - 2, -1, -1):
        inner = extents[place + 1]
        if all(steps[place] == steps[place + 1] * inner for steps in strides):
            extents[place] *= extents.pop(place + 1)
            for steps in strides:
                steps[place] = steps.pop(place + 1)
    return [
        as_strided(a, (), ()) if a.size == 1 else as_strided(a, tuple(extents), tuple(steps))
        for a, steps in zip(wide, strides, strict=True)
    ]


def order_like(inputs: Sequence[NDArray | None], shape: Sequence[int], *, alike: bool) -> Order:
    """How a result should lie in memory, so that its operands are read in order.

    As the first operand of the same shape that lies otherwise than in C order, or with `alike`
    of the same rank; else in C order.
    """
    for array in inputs:
        if array is None or array.ndim != len(shape) or has_repeats(array):
            continue
        if alike or array.shape == tuple(shape):
            order = memory_order(array)
            if order != natural_order(len(shape)):
                return order
    return natural_order(len(shape))
