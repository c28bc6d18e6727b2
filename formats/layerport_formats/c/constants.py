"""Weights as constant arrays: lists of hexadecimal floats, or, where there are many, the bytes as a
string, which compilers read ten times as fast."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from layerport.loops.compact import Compact, compact
from layerport.loops.ir import Buffer
from layerport.op import NDArray
from layerport.quantization import Storage

from layerport_formats.c.signature import MEMORY_TYPES

LONGEST_LIST = 1 << 18
"""Elements above which an array is a string."""

STRINGS = """\
#if defined __BYTE_ORDER__ && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the weights in this file are for machines that put the lowest byte first"
#endif
#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Woverlength-strings"
#endif"""
"""What stands before strings of weights."""

_PER_LINE = 8
_BYTES_PER_LINE = 64
_PLAIN = frozenset(range(ord(" "), ord("~") + 1)) - frozenset(b'"?\\')
_CHARACTERS = tuple(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in range(256))


def numbers(array: NDArray) -> str:
    """Lines of numbers that initialise an array."""
    if array.dtype.kind == "f":
        words = [_hexadecimal(value) for value in array.astype(np.float32).reshape(-1).tolist()]
    else:
        suffix = "u" if array.dtype.kind == "u" else ""
        words = [f"{value}{suffix}" for value in array.astype(np.int64).reshape(-1).tolist()]
        words = ["INT32_MIN" if word == "-2147483648" else word for word in words]
    lines = (words[i : i + _PER_LINE] for i in range(0, len(words), _PER_LINE))
    return ",\n".join("  " + ", ".join(line) for line in lines)


def _hexadecimal(value: float) -> str:
    if value != value:
        return "NAN"
    if value in (np.inf, -np.inf):
        return "INFINITY" if value > 0 else "-INFINITY"
    if value == int(value) and abs(value) < 1e6:
        return f"{value:.1f}f"
    return re.sub(r"\.?0*p", "p", value.hex()) + "f"


def definition(name: str, array: NDArray, kind: str) -> str:
    """The definition of a constant array."""
    size = max(1, array.size)
    return f"static const {kind} {name}[{size}] ALIGNED = {{\n{numbers(array) or '  0'}\n}};"


@dataclass
class _Array:
    """An array of the file, and the programs that read it."""

    name: str
    buffer: Buffer
    compact: Compact | None
    owners: set[int]

    @property
    def place(self) -> str:
        """What stands before the brackets of an index."""
        is_string = self.compact is None and self.buffer.size > LONGEST_LIST
        return f"{self.name}.values" if is_string else self.name


class Constants:
    """The weights of several programs, those with the same content once.

    Attributes
    ----------
    names : the array of each weight.
    """

    def __init__(self, storage: Storage) -> None:
        self.names: dict[Buffer, str] = {}
        self._storage = storage
        self._arrays: dict[tuple[str, bytes], _Array] = {}

    def add(self, weights: Iterable[Buffer], owner: int) -> None:
        """Take in the weights of a program; `owner` is any number that stands for it."""
        for buffer in weights:
            assert buffer.data is not None
            key = buffer.dtype, buffer.data.tobytes()
            if key not in self._arrays:
                short = compact(buffer, self._storage)
                self._arrays[key] = _Array(f"w{len(self._arrays)}", buffer, short, set())
            self._arrays[key].owners.add(owner)
            self.names[buffer] = self._arrays[key].place

    @property
    def are_decoded(self) -> bool:
        """Whether some weights have to be decoded before they can be used."""
        return any(array.compact for array in self._arrays.values())

    def definitions(self, conditions: Mapping[int, str]) -> list[str]:
        """All arrays; `conditions` says for each owner when its arrays are needed."""
        texts = [
            _guarded(_defined(array), array.owners, conditions) for array in self._arrays.values()
        ]
        longest = max((array.buffer.size for array in self._arrays.values()), default=0)
        return [STRINGS, *texts] if longest > LONGEST_LIST else texts

    def decoding(self, conditions: Mapping[int, str]) -> list[str]:
        """Statements that decode what is stored in fewer bits."""
        return [
            _guarded(_decoded(array), array.owners, conditions)
            for array in self._arrays.values()
            if array.compact
        ]


def _guarded(text: str, owners: set[int], conditions: Mapping[int, str]) -> str:
    if owners == set(conditions):
        return text
    test = " || ".join(conditions[owner] for owner in sorted(owners))
    return f"#if {test}\n{text}\n#endif"


def _defined(array: _Array) -> str:
    name, buffer, short = array.name, array.buffer, array.compact
    assert buffer.data is not None
    if short is None:
        return _defined_as(name, buffer.data, MEMORY_TYPES[buffer.dtype])
    texts = [f"static float {name}[{buffer.size}] ALIGNED;"]
    if short.terms:
        texts.append(_defined_as(f"{name}codes", short.codes, "int8_t"))
        texts.append(definition(f"{name}scales", short.scales, "float"))
    else:
        texts.append(_defined_as(f"{name}codes", short.codes.view(np.uint16), "uint16_t"))
    return "\n".join(texts)


def _defined_as(name: str, array: NDArray, kind: str) -> str:
    """The definition of an array, as a string where it is long."""
    if array.size <= LONGEST_LIST:
        return definition(name, array, kind)
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    starts = range(0, len(data), _BYTES_PER_LINE)
    lines = ("".join(map(_CHARACTERS.__getitem__, data[i : i + _BYTES_PER_LINE])) for i in starts)
    union = f"union {{ char bytes[{len(data) + 1}]; {kind} values[{array.size}]; }}"
    text = "\n".join(f'"{line}"' for line in lines)
    return f"static const {union} {name} ALIGNED = {{\n{text}\n}};"


def _decoded(array: _Array) -> str:
    name, short = array.name, array.compact
    assert short is not None
    code = f"{name}codes{'.values' if short.codes.size > LONGEST_LIST else ''}[i]"
    value = f"half({code})"
    if short.terms:
        channel = " + ".join(
            f"i / {step} % {extent} * {factor}" for step, extent, factor in short.terms
        )
        value = f"(float){code} * {name}scales[{channel}]"
    return f"  for (size_t i = 0; i < {short.codes.size}; ++i) {name}[i] = {value};"
