"""What the schedule is told about C on machines with vectors of 16, 8, 4 or no lanes."""

from __future__ import annotations

from layerport.loops.ir import FLOAT_FUNCTIONS
from layerport.loops.target import Target

LIBRARY = frozenset(FLOAT_FUNCTIONS) - {"sigmoid"} | {"pow"}
"""What C's library has for single values."""

TARGETS = {
    16: Target(lanes=16, rows=6, columns=48, lone_columns=112, native=frozenset({"rint"})),
    8: Target(lanes=8, rows=4, columns=24, lone_columns=64, native=frozenset({"rint"})),
    4: Target(lanes=4, rows=4, columns=12, lone_columns=32, native=frozenset({"rint"})),
    1: Target(lanes=1, rows=4, columns=4, lone_columns=4, native=LIBRARY),
}
