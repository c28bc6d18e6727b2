"""The building blocks of the WebAssembly binary format: numbers, lists, sections.

https://webassembly.github.io/spec/core/binary/
"""

from __future__ import annotations

from collections.abc import Sequence

MAGIC = b"\0asm\1\0\0\0"
"""What every module starts with: its name, and version 1."""


def unsigned(number: int) -> bytes:
    """A natural number, seven bits a byte, the lowest first (LEB128)."""
    done = bytearray()
    while number > 0x7F:
        done.append(number & 0x7F | 0x80)
        number >>= 7
    done.append(number)
    return bytes(done)


def signed(number: int) -> bytes:
    """An integer, seven bits a byte, the last one with the sign in its bit 6."""
    done = bytearray()
    while not -0x40 <= number < 0x40:
        done.append(number & 0x7F | 0x80)
        number >>= 7
    done.append(number & 0x7F)
    return bytes(done)


def vector(items: Sequence[bytes]) -> bytes:
    """A list: its length, and its items behind one another."""
    return unsigned(len(items)) + b"".join(items)


def sized(content: bytes) -> bytes:
    """Bytes with their number in front."""
    return unsigned(len(content)) + content


def name(text: str) -> bytes:
    """A name."""
    return sized(text.encode())


def section(number: int, content: bytes) -> bytes:
    """A section of a module."""
    return bytes([number]) + sized(content)


def custom_section(title: str, content: bytes) -> bytes:
    """A section that engines skip."""
    return section(0, name(title) + content)
