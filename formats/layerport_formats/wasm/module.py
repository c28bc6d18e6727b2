"""A loop program as a WebAssembly module: memory layout, functions, data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from layerport.errors import UnsupportedError
from layerport.loops.intervals import FULL, Interval
from layerport.loops.ir import Buffer, DType, Function, Program
from layerport.op import NDArray

from layerport_formats.wasm import instructions as wasm
from layerport_formats.wasm.addresses import ELEMENT
from layerport_formats.wasm.binary import (
    MAGIC,
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
ALIGNMENT = 16
LARGEST_MEMORY = 1 << 31
"""Addresses are signed 32-bit numbers while they are counted."""

MEMORY = "memory"
"""The name under which a module exports its memory."""


@dataclass(frozen=True)
class Layout:
    """Where buffers lie, in bytes.

    What starts with other numbers than 0 comes last: one run from `data` to `end`.
    """

    addresses: Mapping[Buffer, int]
    data: int
    end: int


def arrange(program: Program) -> Layout:
    """Places for all buffers of a program.

    Raises
    ------
    UnsupportedError : when they do not fit into the memory of a module.
    """
    addresses: dict[Buffer, int] = {}
    place = ALIGNMENT

    def put(buffers: Iterable[Buffer]) -> None:
        nonlocal place
        for buffer in buffers:
            addresses[buffer] = place
            place = _aligned(place + buffer.size * ELEMENT)

    known = program.of_kind("weight", "state")
    put(program.of_kind("output", "input"))
    put(buffer for buffer in known if not _has_data(buffer))
    for buffer, offset in program.offsets.items():
        addresses[buffer] = place + offset * ELEMENT
    data = place = _aligned(place + program.arena * ELEMENT)
    put(filter(_has_data, known))
    if place > LARGEST_MEMORY:
        raise UnsupportedError(
            f"weights and intermediate results take {place >> 20} MB; a WebAssembly module has "
            f"room for {LARGEST_MEMORY >> 20} MB"
        )
    return Layout(addresses, data, place)


def _has_data(buffer: Buffer) -> bool:
    return buffer.data is not None and bool(buffer.data.any())


def initial_data(program: Program, layout: Layout) -> bytes:
    """The memory from `Layout.data` to `Layout.end`."""
    memory = bytearray(layout.end - layout.data)
    for buffer in program.of_kind("weight", "state"):
        start = layout.addresses[buffer] - layout.data
        if buffer.data is not None and start >= 0:
            memory[start : start + buffer.size * ELEMENT] = little_endian(buffer.data)
    return bytes(memory)


def little_endian(array: NDArray) -> bytes:
    """The elements as they lie in memory."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def encode_module(
    program: Program,
    layout: Layout,
    entries: Mapping[str, str],
    *,
    data: bytes = b"",
    sections: Sequence[bytes] = (),
) -> bytes:
    """The module. It exports its memory and the entries.

    Parameters
    ----------
    entries : the name of each exported function -> that of the function of the program.
    data : what lies in memory from `Layout.data` on; empty if somebody else puts it there.
    sections : custom sections.
    """
    return _Encoded(program, layout).module(entries, data, sections)


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

    def module(self, entries: Mapping[str, str], data: bytes, custom: Sequence[bytes]) -> bytes:
        """All sections."""
        program = self.program
        codes = [self._code(function) for function in program.functions]
        number = wasm.TYPE_CODES["i32"]
        types = [self._type([number] * len(f.parameters)) for f in program.functions]
        for key in self._helpers:
            helper = HELPERS[key]
            code = wasm.TYPE_CODES[helper.type]
            types.append(self._type([code, code], [code]))
            codes.append(sized(helper.locals + helper.code + wasm.END))
        pages = -(-self.layout.end // PAGE)
        exports = [
            name(MEMORY) + b"\x02\x00",
            *(
                name(entry) + b"\x00" + unsigned(self.function(function))
                for entry, function in entries.items()
            ),
        ]
        sections = [
            section(1, vector(list(self._types))),
            section(3, vector([unsigned(kind) for kind in types])),
            section(5, vector([b"\x00" + unsigned(pages)])),
            section(7, vector(exports)),
            section(10, vector(codes)),
            self._data(data),
            *custom,
        ]
        return MAGIC + b"".join(sections)

    def _code(self, function: Function) -> bytes:
        batch = Interval(1, FULL.high)
        return encode(function, dict.fromkeys(function.parameters, batch), self)

    def _type(self, parameters: list[bytes], results: list[bytes] | None = None) -> int:
        code = b"\x60" + vector(parameters) + vector(results or [])
        return self._types.setdefault(code, len(self._types))

    def _data(self, data: bytes) -> bytes:
        if not data:
            return b""
        place = wasm.I32_CONST + signed(self.layout.data) + wasm.END
        return section(11, vector([b"\x00" + place + sized(data)]))


def _aligned(place: int) -> int:
    return -(-place // ALIGNMENT) * ALIGNMENT
