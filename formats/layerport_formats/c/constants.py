"""Weights as constant arrays: hexadecimal floats, which compilers read fast and exactly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from layerport.loops.ir import Buffer
from layerport.op import NDArray

from layerport_formats.c.signature import MEMORY_TYPES

_PER_LINE = 8


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


class Constants:
    """The weights of several programs, those with the same content once.

    `names` : the array of each weight.
    """

    def __init__(self) -> None:
        self.names: dict[Buffer, str] = {}
        self._arrays: dict[tuple[str, bytes], tuple[str, Buffer, set[int]]] = {}

    def add(self, weights: Iterable[Buffer], owner: int) -> None:
        """Take in the weights of a program; `owner` is any number that stands for it."""
        for buffer in weights:
            assert buffer.data is not None
            key = buffer.dtype, buffer.data.tobytes()
            fresh: tuple[str, Buffer, set[int]] = (f"w{len(self._arrays)}", buffer, set())
            name, _, owners = self._arrays.setdefault(key, fresh)
            owners.add(owner)
            self.names[buffer] = name

    def definitions(self, conditions: Mapping[int, str]) -> Sequence[str]:
        """All arrays; `conditions` says for each owner when its arrays are needed."""
        done = []
        for name, buffer, owners in self._arrays.values():
            assert buffer.data is not None
            text = definition(name, buffer.data, MEMORY_TYPES[buffer.dtype])
            if owners != set(conditions):
                test = " || ".join(conditions[owner] for owner in sorted(owners))
                text = f"#if {test}\n{text}\n#endif"
            done.append(text)
        return done
