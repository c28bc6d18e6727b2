"""Axes as ONNX and NumPy count them: negative ones from the end."""

from __future__ import annotations

from collections.abc import Iterable

from layerport.errors import ShapeError


def normalize_axis(axis: int, rank: int) -> int:
    """The axis counted from the front.

    Raises
    ------
    ShapeError : when a tensor of that rank has no such axis.
    """
    if not -rank <= axis < rank:
        raise ShapeError(f"a tensor of rank {rank} has no axis {axis}")
    return axis % rank


def normalize_axes(axes: Iterable[int], rank: int) -> tuple[int, ...]:
    """The axes counted from the front, in the order given.

    Raises
    ------
    ShapeError : when there is no such axis, or one comes twice.
    """
    found = tuple(normalize_axis(axis, rank) for axis in axes)
    if len(set(found)) != len(found):
        raise ShapeError(f"the axes {found} name one axis twice")
    return found
