"""Where a value has its samples: what is known, and what its shape says."""

from __future__ import annotations

import enum
from typing import NamedTuple, TypeAlias

from layerport.dim import Dim, Extent
from layerport.graph import Value

BATCH = "batch"
"""The extent that counts samples."""


class Kind(enum.Enum):
    """How a value without a part for each sample depends on the samples."""

    SHARED = "not at all"
    TOTAL = "a sum over the samples of what each alone contributes"
    LATE = "by way of such sums"
    MIXED = "in some other way"


class Along(NamedTuple):
    """Samples lie behind one another along an axis, `width` elements each.

    Several times where `rounds` is above 1: as where steps and samples are one axis, the samples
    of the first step before those of the second.
    """

    axis: int
    width: int = 1
    rounds: int = 1

    def at(self, axis: int) -> Along:
        """The same along another axis."""
        return self._replace(axis=axis)


State: TypeAlias = Along | Kind


def names_batch(extent: Extent) -> bool:
    return isinstance(extent, Dim) and BATCH in extent.names


def width_of(extent: Extent) -> int | None:
    """How many elements a sample has along an axis of this extent; None if none lie there."""
    if not isinstance(extent, Dim):
        return None
    terms = extent.terms()
    return terms[0][0] if len(terms) == 1 and terms[0][1] == (BATCH,) else None


def declared(value: Value) -> State:
    """The state of a value that is made of no samples, judged by its shape."""
    axes = [axis for axis, extent in enumerate(value.shape) if names_batch(extent)]
    if not axes:
        return Kind.SHARED
    width = width_of(value.shape[axes[0]])
    return Kind.MIXED if width is None or len(axes) > 1 else Along(axes[0], width)
