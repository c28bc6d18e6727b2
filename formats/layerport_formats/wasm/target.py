"""What the schedule needs to know about WebAssembly."""

from __future__ import annotations

from layerport.loops.target import Target

TARGET = Target(
    lanes=4,
    rows=4,
    columns=8,
    lone_columns=20,
    overlap=True,
    packing=4,
    arena=1 << 16,
    native=frozenset({"rint"}),
)
"""Vectors of four floats and 16 registers: a tile holds at most 14 accumulators and operands."""
