"""Bytes as text that stays short, and stays compressible: a character a byte, mostly."""

from __future__ import annotations

from layerport_formats.javascript.literals import quoted

FIRST, COUNT = 35, 91
"""The characters from "#" to "}" stand for bytes."""

PREFIXES = ("", "!", " ")
"""What comes before a character of the second and the third lot of bytes."""


def text_of(data: bytes) -> tuple[str, int]:
    """A literal, and the byte that its first character stands for: whichever makes it shortest."""
    written = [(quoted(_text(data, first)), first) for first in range(256)]
    return min(written, key=lambda pair: len(pair[0]))


def _text(data: bytes, first: int) -> str:
    characters = [_character((byte - first) % 256) for byte in range(256)]
    return "".join([characters[byte] for byte in data])


def _character(place: int) -> str:
    lot, place = divmod(place, COUNT)
    return PREFIXES[lot] + chr(FIRST + place)
