"""Arguments that several layers share: their types, checks and normal forms.

Every message names the layer, the argument and what would fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np
from layerport.errors import LayerportError, ShapeError
from layerport.layer import Layer

Sizes: TypeAlias = Any
"""An integer, or one an axis; a tuple once the layer has checked it."""

ActivationLike: TypeAlias = "str | Callable[[Any], Any] | None"
"""The name of an activation, a function or a layer; None for none."""

DATA_FORMATS = ("channels_last", "channels_first")
PADDINGS = ("valid", "same")


def refuse(layer: Layer, argument: str, wanted: str) -> NoReturn:
    """Raise the error that an argument is not what is wanted."""
    raise LayerportError(
        f"{type(layer).__name__}: {argument} must be {wanted}, not {getattr(layer, argument)!r}"
    )


def is_count(value: Any, least: int = 1) -> bool:
    """Whether something is an integer of at least `least`."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return whole and int(value) >= least


def check_count(layer: Layer, argument: str, least: int = 1) -> None:
    """Check an integer argument."""
    if not is_count(getattr(layer, argument), least):
        refuse(layer, argument, f"an integer of at least {least}")


def check_choice(layer: Layer, argument: str, allowed: Sequence[Any]) -> None:
    """Check that an argument is one of the allowed values."""
    if getattr(layer, argument) not in allowed:
        refuse(layer, argument, f"one of {', '.join(map(repr, allowed))}")


def check_number(
    layer: Layer, argument: str, least: float | None = None, most: float | None = None
) -> None:
    """Check a finite number between bounds, and make it a float."""
    value = getattr(layer, argument)
    bounds = "a finite number"
    if least is not None:
        bounds += f" of at least {least:g}" if most is None else f" from {least:g} to {most:g}"
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if (
        not is_number
        or not np.isfinite(value)
        or (least is not None and value < least)
        or (most is not None and value > most)
    ):
        refuse(layer, argument, bounds)
    setattr(layer, argument, float(value))


def set_sizes(layer: Layer, argument: str, rank: int) -> None:
    """Make an argument one positive integer an axis; a single one stands for all."""
    value = getattr(layer, argument)
    sizes = (value,) * rank if is_count(value) else value
    if not isinstance(sizes, tuple) or len(sizes) != rank or not all(map(is_count, sizes)):
        several = f", or {rank} of them" if rank > 1 else ""
        refuse(layer, argument, f"a positive integer{several}")
    setattr(layer, argument, tuple(int(size) for size in sizes))


def set_margins(layer: Layer, argument: str, rank: int) -> None:
    """Make an argument a pair (before, behind) an axis.

    A number stands for all of them, one number an axis for both sides of it. With a single axis
    the pair stands alone, as Keras has it.
    """
    value = getattr(layer, argument)
    if is_count(value, 0):
        pairs: Any = ((value, value),) * rank
    elif rank == 1:
        pairs = (value,)
    elif isinstance(value, tuple) and all(is_count(item, 0) for item in value):
        pairs = tuple((item, item) for item in value)
    else:
        pairs = value
    fits = isinstance(pairs, tuple) and len(pairs) == rank and all(map(_is_pair, pairs))
    if not fits:
        axes = f", one an axis, or {rank} pairs (before, behind)" if rank > 1 else ", or a pair"
        refuse(layer, argument, f"an integer of at least 0{axes}")
    whole = tuple((int(before), int(behind)) for before, behind in pairs)
    setattr(layer, argument, whole[0] if rank == 1 else whole)


def pairs_of(margins: Any) -> Sequence[tuple[int, int]]:
    """What `set_margins` left, as one pair for each axis."""
    return [margins] if isinstance(margins[0], int) else margins


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(is_count(v, 0) for v in value)


def set_data_format(layer: Layer) -> None:
    """Make `data_format` one of Keras's two; None is channels_last."""
    if layer.data_format is None:
        layer.data_format = "channels_last"
    check_choice(layer, "data_format", DATA_FORMATS)


def check_rank(layer: Layer, shape: Sequence[Any], rank: int) -> None:
    """Check how many axes an input has, the batch included.

    Raises
    ------
    ShapeError : naming the layer and what it expects.
    """
    if len(shape) != rank:
        raise ShapeError(
            f"{named(layer)} takes inputs of {rank} axes, the batch included, not {tuple(shape)}"
        )


def known_extent(layer: Layer, shape: Sequence[Any], axis: int) -> int:
    """The extent of an input axis on which the shape of a weight depends.

    Raises
    ------
    ShapeError : when it is not known, or there is no such axis.
    """
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(f"{named(layer)}: an input of shape {tuple(shape)} has no axis {axis}")
    if shape[axis] is None:
        raise ShapeError(
            f"{named(layer)}: axis {axis} of the input {tuple(shape)} decides the shape of the "
            "weights and must be known; give Input a full shape"
        )
    return int(shape[axis])


def named(layer: Layer) -> str:
    """The layer's class and, where it has one, name."""
    return type(layer).__name__ + (f" {layer.name!r}" if layer.name else "")
