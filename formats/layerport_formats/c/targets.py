"""What the schedule is told about C on machines with vectors of 16, 8, 4 or no lanes."""

from __future__ import annotations

from layerport.loops.ir import FLOAT_FUNCTIONS
from layerport.loops.target import Target

LIBRARY = frozenset(FLOAT_FUNCTIONS) - {"sigmoid"} | {"pow"}
"""What C's library has for single values."""

_VECTORS = frozenset({"rint"})
"""What there is for vectors; the rest is built from primitives."""

TARGETS = {
    16: Target(lanes=16, narrow=(8, 4, 2), rows=9, registers=30, native=_VECTORS),
    8: Target(lanes=8, narrow=(4, 2), rows=4, registers=16, native=_VECTORS),
    4: Target(lanes=4, narrow=(2,), rows=4, registers=16, native=_VECTORS),
    1: Target(lanes=1, rows=4, registers=16, native=LIBRARY),
}
