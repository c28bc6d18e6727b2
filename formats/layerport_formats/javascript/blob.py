"""The weights of two programs of one model: stored once, in the order of the first one."""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import numpy as np
from layerport.loops.ir import Buffer, Program
from layerport.loops.pack import unpacked
from layerport.op import NDArray

from layerport_formats.wasm.module import arrange, initial_data, little_endian

Axes: TypeAlias = "list[tuple[int, int]]"
"""Extents and strides, in elements, the slowest axis first."""


class Blob:
    """What lies in the memory of a WebAssembly module at the start.

    Attributes
    ----------
    layout : of the module.
    bytes : from `Layout.data` on, with what only other programs need behind it.
    """

    def __init__(self, program: Program) -> None:
        self.layout = layout = arrange(program)
        self.bytes = bytearray(initial_data(program, layout))
        self._known: dict[str, tuple[Buffer, int]] = {}
        for buffer in program.of_kind("weight", "state"):
            place = layout.addresses[buffer] - layout.data
            if place >= 0:
                self._known.setdefault(_digest(buffer), (buffer, place))

    def find(self, buffer: Buffer) -> tuple[int, Axes | None]:
        """Where the elements of a buffer of another program lie, in bytes.

        With them the axes along which they have to be read to come in the buffer's order; None
        where they do already.
        """
        assert buffer.data is not None
        own, place = self._known.get(_digest(buffer), (None, len(self.bytes)))
        if own is None:
            self.bytes += little_endian(buffer.data)
            self._known[_digest(buffer)] = buffer, place
            return place, None
        axes = _axes(own, buffer)
        compact = [int(np.prod([e for e, _ in axes[k + 1 :]])) for k in range(len(axes))]
        return place, None if [stride for _, stride in axes] == compact else axes


def _digest(buffer: Buffer) -> str:
    """The same for buffers that hold the same elements, in whatever order they lie."""
    elements = np.ascontiguousarray(_elements(buffer))
    kind = f"{elements.dtype.str}{elements.shape}".encode()
    return hashlib.sha256(kind + elements.tobytes()).hexdigest()


def _elements(buffer: Buffer) -> NDArray:
    flat = unpacked(buffer)
    assert flat is not None
    strides = [stride * flat.itemsize for stride in buffer.strides]
    return np.lib.stride_tricks.as_strided(flat, buffer.shape, strides, writeable=False)


def _axes(own: Buffer, other: Buffer) -> Axes:
    """How to walk through `own` in the order of `other`."""
    axes: Axes = []
    order = sorted(range(len(other.shape)), key=lambda axis: -other.strides[axis])
    rows = own.size // _columns(own)
    for axis in order:
        extent, stride = own.shape[axis], own.strides[axis]
        if extent == 1:
            continue
        if own.block and stride == 1:
            axes += [(extent // own.block, rows * own.block), (own.block, 1)]
        elif own.block:
            axes.append((extent, stride // _columns(own) * own.block))
        else:
            axes.append((extent, stride))
    return axes


def _columns(buffer: Buffer) -> int:
    """The extent of the fastest axis."""
    along = [e for e, s in zip(buffer.shape, buffer.strides, strict=True) if s == 1 and e > 1]
    return along[0] if along else 1
