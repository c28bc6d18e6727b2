"""Room for temporaries: buffers that are not needed at the same time share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layerport.loops.ir import Buffer, Function, Load, Program, Store
from layerport.loops.walk import expressions, statements


def lifetimes(functions: Sequence[Function]) -> dict[Buffer, tuple[int, int]]:
    """The first and the last function that touches each buffer."""
    found: dict[Buffer, tuple[int, int]] = {}
    for time, function in enumerate(functions):
        touched = [e.buffer for e in expressions(function.body) if isinstance(e, Load)]
        touched += [s.buffer for s in statements(function.body) if isinstance(s, Store)]
        for buffer in touched:
            first, _ = found.get(buffer, (time, time))
            found[buffer] = first, time
    return found


def arrange(
    functions: Sequence[Function], temporaries: Sequence[Buffer]
) -> tuple[Mapping[Buffer, int], int]:
    """An offset for every temporary that is used, and the size of the arena, in elements.

    Largest first, each at the lowest offset where no buffer that lives at the same time lies.
    """
    lives = lifetimes(functions)
    placed: list[tuple[int, int, Buffer]] = []
    for buffer in sorted((b for b in temporaries if b in lives), key=lambda b: -b.size):
        first, last = lives[buffer]
        size = -(-max(buffer.size, 1) // Program.ALIGNMENT) * Program.ALIGNMENT
        offset = 0
        for start, end, other in sorted(placed, key=lambda item: item[0]):
            other_first, other_last = lives[other]
            if other_first <= last and first <= other_last and start < offset + size:
                offset = max(offset, end)
        placed.append((offset, offset + size, buffer))
    offsets = {buffer: start for start, _, buffer in placed}
    return offsets, max((end for _, end, _ in placed), default=0)
