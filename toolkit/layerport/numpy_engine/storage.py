"""Memory: what a plan's buffers need, how long they live, and where in one arena they lie."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from layerport.graph import Value
from layerport.numpy_engine.arrays import Order, address, bounds, inverse
from layerport.op import NDArray

ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector registers."""


class Storage:
    """One stretch of memory.

    While a plan is made, the memory of a buffer is a stand-in: never touched, so that it costs
    nothing, but with addresses of its own, so that views of it can be made and compared.

    Attributes
    ----------
    low, high : its addresses.
    first, last : the steps, counted from 0, between which the content matters.
    owned : whether the plan allocates it; inputs, parameters and constants belong to others.
    writable : whether intermediate values may be computed in it.
    held : (value, low address, high address) of every value that lies in it.
    offset : where it lies in the arena.
    """

    def __init__(
        self, low: int, high: int, now: int, *, owned: bool = False, writable: bool = False
    ) -> None:
        self.low, self.high = low, high
        self.first = self.last = now
        self.owned = owned
        self.writable = writable
        self.held: list[tuple[Value, int, int]] = []
        self.offset = 0

    @property
    def size(self) -> int:
        """Bytes, up to a multiple of the alignment."""
        return -(-(self.high - self.low) // ALIGNMENT) * ALIGNMENT

    def hold(self, value: Value, place: NDArray, now: int, last: int) -> None:
        """Note that a value lies at a place from now on, and is read until `last`."""
        self.held.append((value, *bounds(place)))
        self.first = min(self.first, now)
        self.last = max(self.last, now, last)


class Storages:
    """All memory of a plan in the making, found by address."""

    def __init__(self) -> None:
        self._lows: list[int] = []
        self._storages: list[Storage] = []
        self._stand_ins: list[NDArray] = []

    def __iter__(self) -> Iterator[Storage]:
        return iter(self._storages)

    def add(self, storage: Storage) -> Storage:
        """Take in memory that overlaps no other."""
        place = bisect.bisect(self._lows, storage.low)
        self._lows.insert(place, storage.low)
        self._storages.insert(place, storage)
        return storage

    def of(self, array: NDArray) -> Storage | None:
        """The storage that an array lies in; None for an empty array and for others' memory."""
        if not array.size:
            return None
        low, _ = bounds(array)
        place = bisect.bisect(self._lows, low) - 1
        if place < 0 or low >= self._storages[place].high:
            return None
        return self._storages[place]

    def allocate(
        self, shape: Sequence[int], dtype: np.dtype[Any], order: Order, now: int
    ) -> NDArray:
        """A new buffer of this shape whose axes lie in memory in this order."""
        array: NDArray = np.empty(tuple(shape[axis] for axis in order), dtype)
        if array.size:
            self._stand_ins.append(array)
            self.add(Storage(*bounds(array), now, owned=True, writable=True))
        return array.transpose(inverse(order))


def apart(arrays: Iterable[NDArray]) -> Iterator[tuple[int, int]]:
    """The stretches of memory that arrays lie in, those that overlap as one."""
    low = high = -1
    for start, end in sorted(bounds(array) for array in arrays if array.size):
        if start >= high:
            if high > low:
                yield low, high
            low = start
        high = max(high, end)
    if high > low:
        yield low, high


def arrange(storages: Iterable[Storage]) -> int:
    """Give every storage an offset into one arena; returns the arena's size in bytes.

    Two storages share bytes only if they are never needed at the same time. The largest come
    first, each at the lowest offset that is free while it lives.
    """
    placed: list[Storage] = []
    total = 0
    for storage in sorted(storages, key=lambda s: -s.size):
        offset = 0
        for other in placed:
            if other.first > storage.last or storage.first > other.last:
                continue
            if offset + storage.size <= other.offset:
                break
            offset = max(offset, other.offset + other.size)
        storage.offset = offset
        bisect.insort(placed, storage, key=lambda s: s.offset)
        total = max(total, offset + storage.size)
    return total


def allocate_arena(size: int) -> NDArray:
    """Zeroed bytes at an aligned address."""
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -address(memory) % ALIGNMENT
    return memory[start : start + size]
