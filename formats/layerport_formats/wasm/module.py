"""A loop program as a WebAssembly module: memory layout, functions, data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from layerport.errors import UnsupportedError
from layerport.loops.intervals import Interval
from layerport.loops.ir import Buffer, DType, Function, Program

from layerport_formats.wasm import instructions as wasm
from layerport_formats.wasm.binary import (
    MAGIC,
    custom_section,
    name,
    section,
    signed,
    sized,
    unsigned,
    vector,
)
from layerport_formats.wasm.encoder import encode
from layerport_formats.wasm.helpers import HELPERS

PAGE = 65536
ALIGNMENT = 64
LARGEST_MEMORY = 1 << 31
"""Addresses are signed 32-bit numbers while they are counted."""

MEMORY, RUN = "memory", "run"
"""What a module exports."""


@dataclass(frozen=True)
class Layout:
    """Where buffers lie, in bytes. Weights come last, one run from `weights` to `end`."""

    addresses: Mapping[Buffer, int]
    weights: int
    end: int


def arrange(program: Program) -> Layout:
    """Places for all buffers of a program.

    Raises
    ------
    UnsupportedError : when they do not fit into the memory of a module.
    """
    addresses: dict[Buffer, int] = {}
    place = ALIGNMENT
    for buffer in program.of_kind("output", "input"):
        addresses[buffer] = place
        place = _aligned(place + buffer.size * 4)
    for buffer, offset in program.offsets.items():
        addresses[buffer] = place + offset * 4
    weights = place = _aligned(place + program.arena * 4)
    for buffer in program.of_kind("weight", "state"):
        addresses[buffer] = place
        place = _aligned(place + buffer.size * 4)
    if place > LARGEST_MEMORY:
        raise UnsupportedError(
            f"weights and intermediate results take {place >> 20} MB; a WebAssembly module has "
            f"room for {LARGEST_MEMORY >> 20} MB"
        )
    return Layout(addresses, weights, place)


def weight_bytes(program: Program, layout: Layout) -> bytes:
    """The memory from `Layout.weights` to `Layout.end`."""
    memory = bytearray(layout.end - layout.weights)
    for buffer in program.of_kind("weight", "state"):
        if buffer.data is not None:
            data = np.ascontiguousarray(buffer.data, buffer.data.dtype.newbyteorder("<")).tobytes()
            start = layout.addresses[buffer] - layout.weights
            memory[start : start + len(data)] = data
    return bytes(memory)


def encode_module(
    program: Program, layout: Layout, *, data: bytes = b"", metadata: bytes = b""
) -> bytes:
    """The module. It exports its memory, and `run`, which takes the batch size if there is one.

    Parameters
    ----------
    data : what lies in memory from `Layout.weights` on; empty if somebody else puts it there.
    metadata : the content of the custom section "layerport", if there is any.
    """
    return _Encoded(program, layout).module(data, metadata)


@dataclass
class _Encoded:
    """A module while it is being encoded."""

    program: Program
    layout: Layout
    _types: dict[bytes, int] = field(default_factory=dict)
    _helpers: dict[tuple[str, DType], int] = field(default_factory=dict)

    def base(self, buffer: Buffer) -> int:
        """The address of a buffer."""
        return self.layout.addresses[buffer]

    def function(self, name: str) -> int:
        """The number of a function of the program."""
        return [function.name for function in self.program.functions].index(name)

    def helper(self, name: str, dtype: DType) -> int:
        """The number of a function of `HELPERS`: they come behind those of the program."""
        position = self._helpers.setdefault((name, dtype), len(self._helpers))
        return len(self.program.functions) + position

    def module(self, data: bytes, metadata: bytes) -> bytes:
        """All sections."""
        program = self.program
        codes = [self._code(function) for function in program.functions]
        types = [self._type([wasm.TYPE_CODES["i32"]] * len(f.parameters)) for f in program.functions]
        for key in self._helpers:
            helper = HELPERS[key]
            code = wasm.TYPE_CODES[helper.type]
            types.append(self._type([code, code], [code]))
            codes.append(sized(helper.locals + helper.code + wasm.END))
        pages = -(-self.layout.end // PAGE)
        exports = [
            name(MEMORY) + b"\x02\x00",
            name(RUN) + b"\x00" + unsigned(len(program.functions) - 1),
        ]
        sections = [
            section(1, vector(list(self._types))),
            section(3, vector([unsigned(number) for number in types])),
            section(5, vector([b"\x00" + unsigned(pages)])),
            section(7, vector(exports)),
            section(10, vector(codes)),
            self._data(data),
            custom_section("layerport", metadata) if metadata else b"",
        ]
        return MAGIC + b"".join(sections)

    def _code(self, function: Function) -> bytes:
        batch = Interval(1, self.program.batch)
        return encode(function, dict.fromkeys(function.parameters, batch), self)

    def _type(self, parameters: list[bytes], results: list[bytes] | None = None) -> int:
        code = b"\x60" + vector(parameters) + vector(results or [])
        return self._types.setdefault(code, len(self._types))

    def _data(self, data: bytes) -> bytes:
        if not data:
            return b""
        place = wasm.I32_CONST + signed(self.layout.weights) + wasm.END
        return section(11, vector([b"\x00" + place + sized(data)]))


def _aligned(place: int) -> int:
    return -(-place // ALIGNMENT) * ALIGNMENT
