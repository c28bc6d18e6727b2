"""The parameters of printed functions: the batch size and the buffers that a function touches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from layerport.loops.index import Index
from layerport.loops.ir import Body, Buffer, DType, For, Function, Load, Position, Store
from layerport.loops.walk import expressions, statements

MEMORY_TYPES: Mapping[DType, str] = {
    "f32": "float",
    "i32": "int32_t",
    "u32": "uint32_t",
    "bool": "int32_t",
}
"""Of elements in memory."""


@dataclass(frozen=True)
class Signature:
    """What a function takes.

    Attributes
    ----------
    numbers : for each integer parameter, whether it is used.
    buffers : the buffers besides weights, in the order of the parameters.
    written : those among them that are written.
    """

    function: Function
    numbers: tuple[bool, ...]
    buffers: tuple[Buffer, ...]
    written: frozenset[Buffer]

    @staticmethod
    def of(function: Function) -> Signature:
        """The signature of a function that calls no others."""
        read = {e.buffer: None for e in expressions(function.body) if isinstance(e, Load)}
        written = {s.buffer: None for s in statements(function.body) if isinstance(s, Store)}
        buffers = tuple(b for b in {**read, **written} if b.kind != "weight")
        used = _variables(function.body)
        numbers = tuple(name in used for name in function.parameters)
        return Signature(function, numbers, buffers, frozenset(written))

    def declaration(self) -> str:
        """The head of the function."""
        parts = [
            f"int {name}"
            for name, used in zip(self.function.parameters, self.numbers, strict=True)
            if used
        ]
        for buffer in self.buffers:
            constant = "" if buffer in self.written else "const "
            kind = MEMORY_TYPES[buffer.dtype]
            parts.append(f"{constant}{kind} *restrict {buffer.name}")
        return f"static void {self.function.name}({', '.join(parts) or 'void'})"

    def call(self, numbers: Sequence[str], place: Callable[[Buffer], str]) -> str:
        """A call of the function; `place` says where a buffer lies."""
        given = [number for number, used in zip(numbers, self.numbers, strict=True) if used]
        return f"{self.function.name}({', '.join([*given, *map(place, self.buffers)])});"


def _variables(body: Body) -> set[str]:
    """The integer variables that a body uses."""
    indices: list[Index] = []
    for expr in expressions(body):
        if isinstance(expr, (Load, Position)):
            indices.append(expr.index)
    for statement in statements(body):
        if isinstance(statement, Store):
            indices.append(statement.index)
        elif isinstance(statement, For):
            indices += [statement.start, statement.stop]
    return {name for index in indices for name in index.terms}
