"""The instructions that loop programs need, by operation and element type.

https://webassembly.github.io/spec/core/appendix/index-instructions.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from layerport.loops.ir import DType

from layerport_formats.wasm.binary import unsigned

Type: TypeAlias = Literal["i32", "f32", "v128"]
"""The types of values on the stack."""

TYPE_CODES: Mapping[Type, bytes] = {"v128": b"\x7b", "i32": b"\x7f", "f32": b"\x7d"}


def simd(number: int) -> bytes:
    """An instruction of the vector extension."""
    return b"\xfd" + unsigned(number)


def _by_type(
    names: str, f32: Mapping[str, bytes], signed: Mapping[str, bytes], unsigned: Mapping[str, bytes]
) -> dict[tuple[str, DType], bytes]:
    table: dict[tuple[str, DType], bytes] = {}
    for name in names.split():
        for dtype, codes in (("f32", f32), ("i32", signed), ("u32", unsigned)):
            if name in codes:
                table[name, dtype] = codes[name]  # type: ignore[index]
    return table


def _singles(**codes: int) -> dict[str, bytes]:
    return {name.rstrip("_"): bytes([code]) for name, code in codes.items()}


def _vectors(**codes: int) -> dict[str, bytes]:
    return {name.rstrip("_"): simd(code) for name, code in codes.items()}


_NAMES = """add sub mul div max min neg abs sqrt floor ceil rint trunc lt le gt ge eq ne
    bit_and bit_or bit_xor shl shr"""

_ANY_INTEGER = _singles(
    add=0x6A, sub=0x6B, mul=0x6C, bit_and=0x71, bit_or=0x72, bit_xor=0x73, shl=0x74, eq=0x46,
    ne=0x47,
)  # fmt: skip

SCALAR: Mapping[tuple[str, DType], bytes] = {
    **_by_type(
        _NAMES,
        _singles(
            add=0x92, sub=0x93, mul=0x94, div=0x95, min=0x96, max=0x97, abs=0x8B, neg=0x8C,
            ceil=0x8D, floor=0x8E, trunc=0x8F, rint=0x90, sqrt=0x91, eq=0x5B, ne=0x5C, lt=0x5D,
            gt=0x5E, le=0x5F, ge=0x60,
        ),
        {**_ANY_INTEGER, **_singles(lt=0x48, gt=0x4A, le=0x4C, ge=0x4E, shr=0x75)},
        {**_ANY_INTEGER, **_singles(lt=0x49, gt=0x4B, le=0x4D, ge=0x4F, shr=0x76)},
    ),
    ("and", "bool"): b"\x71",
    ("or", "bool"): b"\x72",
    ("xor", "bool"): b"\x73",
    ("not", "bool"): b"\x45",
    ("eq", "bool"): b"\x46",
    ("ne", "bool"): b"\x47",
}  # fmt: skip
"""Operations on single values, by name and type of the arguments. A bool is an i32, 0 or 1."""

_ANY_INTEGERS = _vectors(
    add=0xAE, sub=0xB1, mul=0xB5, neg=0xA1, bit_and=0x4E, bit_or=0x50, bit_xor=0x51, shl=0xAB,
    eq=0x37, ne=0x38,
)  # fmt: skip

VECTOR: Mapping[tuple[str, DType], bytes] = {
    **_by_type(
        _NAMES,
        _vectors(
            add=0xE4, sub=0xE5, mul=0xE6, div=0xE7, min=0xE8, max=0xE9, abs=0xE0, neg=0xE1,
            sqrt=0xE3, ceil=0x67, floor=0x68, trunc=0x69, rint=0x6A, eq=0x41, ne=0x42, lt=0x43,
            gt=0x44, le=0x45, ge=0x46,
        ),
        {
            **_ANY_INTEGERS,
            **_vectors(abs=0xA0, lt=0x39, gt=0x3B, le=0x3D, ge=0x3F, min=0xB6, max=0xB8, shr=0xAC),
        },
        {
            **_ANY_INTEGERS,
            **_vectors(lt=0x3A, gt=0x3C, le=0x3E, ge=0x40, min=0xB7, max=0xB9, shr=0xAD),
        },
    ),
    ("and", "bool"): simd(0x4E),
    ("or", "bool"): simd(0x50),
    ("xor", "bool"): simd(0x51),
    ("not", "bool"): simd(0x4D),
    ("eq", "bool"): simd(0x37),
    ("ne", "bool"): simd(0x51),
}  # fmt: skip
"""Operations on four lanes. A bool is a mask: all bits of a lane, or none."""

CASTS: Mapping[tuple[DType, DType], tuple[bytes, bytes]] = {
    # Saturating: what does not fit becomes the nearest integer, NaN becomes 0.
    ("f32", "i32"): (b"\xfc\x00", simd(0xF8)),
    ("f32", "u32"): (b"\xfc\x01", simd(0xF9)),
    ("i32", "f32"): (b"\xb2", simd(0xFA)),
    ("u32", "f32"): (b"\xb3", simd(0xFB)),
    ("i32", "u32"): (b"", b""),
    ("u32", "i32"): (b"", b""),
}
"""(from, to) -> instruction for one value, for four."""

PSEUDO_MIN, PSEUDO_MAX = simd(0xEA), simd(0xEB)
"""b < a ? b : a, and a < b ? b : a: cheaper than min and max, and a NaN in `a` stays."""


class LaneAccess(NamedTuple):
    """Put a value into every lane; take one lane out; replace one lane."""

    splat: bytes
    extract: bytes
    replace: bytes


LANES: Mapping[DType, LaneAccess] = {
    "f32": LaneAccess(simd(0x13), simd(0x1F), simd(0x20)),
    **dict.fromkeys(("i32", "u32", "bool"), LaneAccess(simd(0x11), simd(0x1B), simd(0x1C))),
}

LOAD_SPLAT = simd(9)
BITS_TO_FLOAT, FLOAT_TO_BITS = b"\xbe", b"\xbc"
LOADS: Mapping[Type, bytes] = {"f32": b"\x2a", "i32": b"\x28", "v128": simd(0)}
STORES: Mapping[Type, bytes] = {"f32": b"\x38", "i32": b"\x36", "v128": simd(11)}
ALIGNED_BY_4 = b"\x02"
"""The first half of a memory argument."""

I32_CONST, F32_CONST = b"\x41", b"\x43"
I32_ADD, I32_MUL, I32_SHL, I32_LESS = b"\x6a", b"\x6c", b"\x74", b"\x48"
SELECT, BITSELECT = b"\x1b", simd(0x52)
LOOP, IF, END = b"\x03\x40", b"\x04\x40", b"\x0b"
BRANCH_TO_START = b"\x0d\x00"
CALL = b"\x10"
