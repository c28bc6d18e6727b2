"""The short form of weights that fewer bits hold exactly (see `layerport.quantization`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from layerport.loops.ir import Buffer
from layerport.op import NDArray
from layerport.quantization import LARGEST_CODE, Storage

Terms: TypeAlias = "tuple[tuple[int, int, int], ...]"
"""An index in memory as a channel: the sum of ``index // step % extent * factor`` over
(step, extent, factor)."""


@dataclass(frozen=True)
class Compact:
    """Weights in fewer bits: element i is ``codes[i] * scales[channel(i)]``, exactly.

    Attributes
    ----------
    codes : in memory order; float16, without scales, or int8.
    scales : float32, one a channel; empty for float16.
    terms : how an index becomes a channel.
    """

    codes: NDArray
    scales: NDArray
    terms: Terms = ()

    def values(self) -> NDArray:
        """The weights."""
        if not self.terms:
            return self.codes.astype(np.float32)
        return self.codes.astype(np.float32) * self.scales[channels(self.codes.size, self.terms)]


def compact(buffer: Buffer, storage: Storage) -> Compact | None:
    """The short form of a weight, or None where this storage does not hold it exactly."""
    data = buffer.data
    if data is None or data.dtype != np.float32 or storage == "float32" or not data.size:
        return None
    if storage == "int8":
        return next((made for terms in _axes(buffer) if (made := _coded(data, terms))), None)
    with np.errstate(over="ignore"):
        halves = Compact(data.astype(np.float16), np.zeros(0, np.float32))
    return halves if np.array_equal(halves.values(), data) else None


def channels(size: int, terms: Terms) -> NDArray:
    """The channel of every element."""
    index = np.arange(size)
    return sum((index // step % extent * factor for step, extent, factor in terms), 0 * index)


def _coded(data: NDArray, terms: Terms) -> Compact | None:
    channel = channels(data.size, terms)
    largest = np.zeros(int(channel.max()) + 1)
    np.maximum.at(largest, channel, np.abs(data.astype(np.float64)))
    scale = (largest / LARGEST_CODE).astype(np.float32)
    codes = np.rint(data / np.where(scale == 0, 1, scale)[channel])
    if not (np.abs(codes) <= LARGEST_CODE).all():
        return None
    made = Compact(codes.astype(np.int8), scale, terms)
    return made if np.array_equal(made.values(), data) else None


def _axes(buffer: Buffer) -> Iterator[Terms]:
    """How an index becomes the place on each axis, where places share a scale with others."""
    axes = [(stride, extent) for stride, extent in zip(buffer.strides, buffer.shape, strict=True)
            if 1 < extent < buffer.size]  # fmt: skip
    for stride, extent in sorted(axes):
        if not buffer.block:
            yield ((stride, extent, 1),)
            continue
        columns = min(axes)[1]
        rows = buffer.size // columns
        if stride == 1:
            step = rows * buffer.block
            yield ((step, columns // buffer.block, buffer.block), (1, buffer.block, 1))
        else:
            yield ((buffer.block * (stride // columns), extent, 1),)
