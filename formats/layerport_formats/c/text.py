"""Names from a model as C: identifiers that were asked for, and strings of any content."""

from __future__ import annotations

import re
from collections.abc import Sequence

from layerport.errors import UnsupportedError

LONGEST_LITERAL = 500
"""Bytes of a string literal that every compiler takes; C99 promises 4095."""

_PLAIN = re.compile(rb"[A-Za-z0-9 _.,:-]")


def checked_prefix(prefix: str) -> str:
    """A prefix for identifiers.

    Raises
    ------
    UnsupportedError : when it makes none.
    """
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", prefix) is None:
        raise UnsupportedError(
            f"the prefix {prefix!r} makes no identifier in C",
            hint="use a letter and up to 39 letters, digits and underscores",
        )
    return prefix


def string(text: str) -> str:
    """A string as an initialiser of ``const char[]``: UTF-8, with all that is special in octal.

    Octal escapes of three digits end by themselves, and leave no ``?`` for a trigraph, no ``*/``
    and no quote behind.
    """
    encoded = text.encode("utf-8", "surrogatepass")
    if len(encoded) <= LONGEST_LITERAL:
        return f'"{"".join(_escaped(byte) for byte in encoded)}"'
    characters = [f"'{_escaped(byte)}'" for byte in encoded]
    lines = [", ".join(characters[i : i + 16]) for i in range(0, len(characters), 16)]
    return "{\n  " + ",\n  ".join([*lines, "0"]) + "\n}"


def _escaped(byte: int) -> str:
    character = bytes([byte])
    if _PLAIN.fullmatch(character):
        return character.decode()
    return f"\\{byte:03o}"


def string_table(name: str, texts: Sequence[str]) -> str:
    """The definition of an array of strings."""
    lines = []
    places = []
    for number, text in enumerate(texts):
        value = string(text)
        if value.startswith('"'):
            places.append(value)
        else:
            lines.append(f"static const char {name}_{number}[] = {value};")
            places.append(f"{name}_{number}")
    lines.append(f"const char *const {name}[{len(texts)}] = {{")
    lines += [f"  {place}," for place in places]
    return "\n".join([*lines, "};"])
