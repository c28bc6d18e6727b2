"""What the schedule needs to know about a target."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A machine or language that programs are printed for.

    Attributes
    ----------
    lanes : elements of a vector; 1 where there are no vectors.
    narrow : the lanes of smaller vectors, falling, for columns that make no full vector.
    rows, columns : the register tile of a product: rows x columns results are computed together.
    lone_columns : the columns of a tile of a single row (a sample alone, a rest of rows).
    registers : with so many (vector) registers, the tile is chosen for each product from its
        shape; 0 leaves it at the size above.
    overlap : where columns make no whole tiles, the last tile may compute some of them again.
    packing : weights of products are stored in blocks of so many columns; 0 for row-major.
    unroll : loops of at most so many iterations inside a tile are unrolled.
    native : the math functions that the target has; the rest is built from primitives. None
        stands for all of them.
    arena : how many elements of temporaries a block of samples should take at most.
    largest_batch : the largest block of samples.
    whole : nests stay as operators write them, for a language that takes whole arrays.
    """

    lanes: int = 1
    narrow: tuple[int, ...] = ()
    rows: int = 4
    columns: int = 4
    lone_columns: int = 4
    registers: int = 0
    overlap: bool = False
    packing: int = 0
    unroll: int = 1
    native: frozenset[str] | None = None
    arena: int = 1 << 20
    largest_batch: int = 32
    whole: bool = False
