"""How large a register tile should be: a small model of registers, loads and latencies.

A tile computes `height` rows of `width` columns together; every iteration of the sum multiplies
each row's value with each vector of columns. The model counts for each iteration what keeps the
processor busy longest: arithmetic (two operations a cycle), loads (two a cycle), or, where a tile
has few independent sums, waiting for results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LATENCY = 4.0
"""Cycles until the result of a multiplication and addition can be used."""

TALLEST = 12
"""More rows are not tried."""


def pieces(count: int, lanes: int, narrow: Sequence[int]) -> list[int]:
    """The widths of the vectors that cover `count` columns, the widest first; 1 is a scalar."""
    widths = [lanes] * (count // lanes)
    rest = count % lanes
    for width in (*narrow, 1):
        widths += [width] * (rest // width)
        rest %= width
    return widths


@dataclass(frozen=True)
class Work:
    """What one iteration of a sum does for one result.

    Attributes
    ----------
    sums : results of a row and column (the elements of a pooling window).
    along : its loads that differ from column to column.
    across : its loads that differ from row to row (and maybe from column to column).
    fixed : its other loads.
    """

    sums: int
    along: int
    across: int
    fixed: int

    def cycles(self, height: int, vectors: int) -> float:
        """The time of an iteration of a tile of so many rows and vectors."""
        sums = self.sums * height * vectors
        loads = self.along * vectors + self.across * height + self.fixed
        # Loads cost a little even where they hide: caches are not always as fast as registers.
        return max(LATENCY, sums / 2, loads / 2, (sums + loads) / 4) + loads / 8

    def registers(self, height: int, vectors: int) -> int:
        """The registers that a tile occupies."""
        # The products stand in an order (see `order`) in which the fewer factors stay.
        kept = min(self.along * vectors, max(1, self.across * height))
        return self.sums * height * vectors + kept + 1


def splits(extent: int, count: int) -> list[tuple[int, int]]:
    """(how many, of how many iterations) of tiles of `count`; the last one may be smaller."""
    whole, rest = divmod(extent, count)
    return [(whole, count)] * bool(whole) + [(1, rest)] * bool(rest)


def candidates(
    work: Sequence[Work],
    columns: int,
    rows: int | None,
    lanes: int,
    narrow: Sequence[int],
    registers: int,
) -> Iterator[tuple[float, int, int]]:
    """(cycles for each result, height, width) of every tile that fits into the registers.

    The smallest one is there even where it does not fit.

    Parameters
    ----------
    work : of each loop over a sum; they follow each other.
    columns : how many there are.
    rows : how many there are, or None where that is known at run time only.
    """
    widths = {min(columns, lanes * number) for number in range(1, registers + 1)}
    heights = range(1, TALLEST + 1 if rows is None else min(TALLEST, rows) + 1)
    for width in sorted(widths, reverse=True):
        tiles = [
            (number, len(pieces(count, lanes, narrow))) for number, count in splits(columns, width)
        ]
        for height in heights:
            most = max(vectors for _, vectors in tiles)
            needed = max(one.registers(height, most) for one in work)
            if needed > registers and (height > 1 or width > min(widths)):
                break
            cycles = 0.0
            for rows_number, tall in splits(rows or height, height):
                for number, vectors in tiles:
                    cycles += rows_number * number * sum(w.cycles(tall, vectors) for w in work)
            yield cycles / (columns * (rows or height)), height, width
