"""Arrays that are read batch by batch, each into a buffer of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from layerport.errors import DataError
from layerport.lazy import is_lazy
from layerport.op import NDArray

CHECK_BYTES = 1 << 28
"""Arrays up to this size are looked through before the first step; larger ones batch by batch."""

BLOCK_ROWS = 1 << 16


class Column:
    """One array of a data set.

    Parameters
    ----------
    name : for messages.
    array : an ndarray (memory-mapped or not), or something that is read by slicing, such as a
        dataset of h5py or zarr. It is never read whole.
    dtype : in which batches come, whatever the dtype of the array.
    first, count : the rows that are used.
    """

    def __init__(self, name: str, array: Any, dtype: Any, first: int, count: int) -> None:
        self.name = name
        self.array = array
        self.dtype = np.dtype(dtype)
        self.first = first
        self.count = count
        self._rows = np.empty((0, *array.shape[1:]), array.dtype)
        self._made = np.empty((0, *array.shape[1:]), self.dtype)

    def slice(self, start: int, stop: int) -> NDArray:
        """The rows from `start` to `stop`."""
        rows = self.array[self.first + start : self.first + stop]
        return rows if rows.dtype == self.dtype else self._converted(rows)

    def take(self, index: NDArray) -> NDArray:
        """The rows of these numbers, in a buffer that the next call overwrites."""
        if len(self._rows) < len(index):
            self._rows = np.empty((len(index), *self._rows.shape[1:]), self._rows.dtype)
        rows = self._rows[: len(index)]
        where = index + self.first if self.first else index
        if isinstance(self.array, np.ndarray):
            # mode="raise", the default, would go through a copy; indices are ours and in range.
            np.take(self.array, where, axis=0, out=rows, mode="clip")
        else:
            order = np.argsort(where)  # h5py reads rows in increasing order only
            rows[order] = self.array[where[order]]
        return rows if self._rows.dtype == self.dtype else self._converted(rows)

    def _converted(self, rows: NDArray) -> NDArray:
        if len(self._made) < len(rows):
            self._made = np.empty((len(rows), *self._made.shape[1:]), self.dtype)
        made = self._made[: len(rows)]
        np.copyto(made, rows, casting="unsafe")
        return made

    def blocks(self) -> Iterator[tuple[int, NDArray]]:
        """All rows, as they lie in the array: the number of the first row, and some rows."""
        for start in range(0, self.count, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, self.count)
            yield start, self.array[self.first + start : self.first + stop]

    @property
    def is_small(self) -> bool:
        """Whether looking through it costs little."""
        return int(self.array.nbytes) <= CHECK_BYTES


def as_array(thing: Any, what: str) -> Any:
    """An array of numbers; what is lazy stays so.

    Raises
    ------
    DataError : naming `what` when it holds something else than numbers.
    """
    if is_lazy(thing):
        array = thing
    else:
        try:
            array = np.asarray(thing)
        except ValueError as error:
            raise DataError(
                f"{what} is no array: its parts have different shapes ({error})"
            ) from error
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{what} holds {array.dtype} values, not numbers; convert it first, for example "
            "with np.asarray(..., dtype=np.float32)"
        )
    if not array.shape:
        raise DataError(f"{what} is a single number, not an array of samples")
    return array
