"""Functions that WebAssembly lacks: divisions that never trap, and the remainder of floats."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from layerport.loops.ir import DType

from layerport_formats.wasm.binary import signed
from layerport_formats.wasm.instructions import TYPE_CODES, Type

A, B = b"\x20\x00", b"\x20\x01"
"""Push the arguments."""


@dataclass(frozen=True)
class Helper:
    """A function of two arguments.

    Attributes
    ----------
    type : of the arguments and the result.
    locals : what the code has in front: declarations of local variables.
    """

    type: Type
    code: bytes
    locals: bytes = b"\x00"


def _if(condition: bytes, then: bytes, otherwise: bytes, result: Type = "i32") -> bytes:
    return condition + b"\x04" + TYPE_CODES[result] + then + b"\x05" + otherwise + b"\x0b"


def _whole(number: int) -> bytes:
    return b"\x41" + signed(number)


def _double(value: float) -> bytes:
    return b"\x44" + struct.pack("<d", value)


_B_IS_ZERO = B + b"\x45"
_B_IS_ZERO_OR_MINUS_ONE = B + _whole(1) + b"\x6a" + _whole(1) + b"\x4d"  # b + 1 <= 1, unsigned
_ZERO = _whole(0)


def _float_remainder() -> bytes:
    """|a| less multiples of |b| 2^252, |b| 2^224, ... |b|: each quotient is exact in doubles."""
    x, y, t = 2, 3, 4

    def get(number: int) -> bytes:
        return bytes([0x20, number])

    def put(number: int) -> bytes:
        return bytes([0x21, number])

    def keep(number: int) -> bytes:
        return bytes([0x22, number])

    promote, size, trunc, add, sub, mul, div = (
        bytes([code]) for code in (0xBB, 0x99, 0x9D, 0xA0, 0xA1, 0xA2, 0xA3)
    )
    less, greater, equal, copysign, demote = (
        bytes([code]) for code in (0x63, 0x64, 0x61, 0xA6, 0xB6)
    )
    near = get(x) + get(y) + _double(2.0**28) + mul + less
    scale = _double(1.0) + _double(2.0**252) + near + b"\x1b"
    start = (
        A + promote + size + put(x)
        + B + promote + size + keep(y) + scale + mul + put(t)
    )  # fmt: skip
    step = (
        get(x) + get(x) + get(t) + div + trunc + get(t) + mul + sub + keep(x)
        # The quotient may have been rounded up.
        + get(t) + _double(0.0) + get(x) + _double(0.0) + less + b"\x1b" + add + put(x)
    )  # fmt: skip
    again = (
        get(t) + get(y) + greater
        + b"\x04\x40" + get(t) + _double(2.0**-28) + mul + put(t) + b"\x0c\x01" + b"\x0b"
    )  # fmt: skip
    loop = b"\x03\x40" + step + again + b"\x0b"
    result = get(x) + A + promote + copysign + demote
    unchanged = A + A + b"\x43" + struct.pack("<f", 0.0) + b"\x94\x92"  # NaN where a is infinite
    infinite = get(y) + _double(float("inf")) + equal
    return start + loop + _if(infinite, unchanged, result, "f32")


HELPERS: Mapping[tuple[str, DType], Helper] = {
    # a / 0 is 0, and -2^31 / -1 wraps: for b = 0 or -1 the quotient is a * b.
    ("div", "i32"): Helper("i32", _if(_B_IS_ZERO_OR_MINUS_ONE, A + B + b"\x6c", A + B + b"\x6d")),
    ("div", "u32"): Helper("i32", _if(_B_IS_ZERO, _ZERO, A + B + b"\x6e")),
    ("mod", "i32"): Helper("i32", _if(_B_IS_ZERO, _ZERO, A + B + b"\x6f")),
    ("mod", "u32"): Helper("i32", _if(_B_IS_ZERO, _ZERO, A + B + b"\x70")),
    ("mod", "f32"): Helper("f32", _float_remainder(), b"\x01\x03\x7c"),
}
"""By operation and element type."""
