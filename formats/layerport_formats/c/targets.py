"""What the schedule is told about C on machines with vectors of 16, 8, 4 or no lanes."""

from __future__ import annotations

from layerport.loops.ir import FLOAT_FUNCTIONS
from layerport.loops.target import Target

LIBRARY = frozenset(FLOAT_FUNCTIONS) - {"sigmoid"} | {"pow"}
"""What C's library has for single values."""

_VECTORS = frozenset({"rint"})
"""What there is for vectors; the rest is built from primitives."""

_BLOCK = 24
"""Samples that are computed together: a multiple of most tiles, few enough for near caches."""

_TEMPORARIES = 1 << 16

TARGETS = {
    lanes: Target(
        lanes=lanes,
        narrow=narrow,
        rows=windows,
        registers=registers,
        native=_VECTORS if lanes > 1 else LIBRARY,
        largest_batch=_BLOCK,
        arena=_TEMPORARIES,
    )
    for lanes, narrow, windows, registers in (
        (16, (8, 4, 2), 9, 30),
        (8, (4, 2), 4, 15),
        (4, (2,), 4, 16),
        (1, (), 4, 13),
    )
}
"""By the lanes of vectors. Registers are those that gcc fills without moving sums to memory."""
