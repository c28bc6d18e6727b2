"""The memory that a run needs: one array of each type, in a struct that the caller may bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layerport.loops.arena import arrange
from layerport.loops.ir import Buffer, DType, Program

from layerport_formats.c.signature import MEMORY_TYPES

MEMBERS: Mapping[str, str] = {"float": "floats", "int32_t": "integers", "uint32_t": "naturals"}
"""The member of the struct that holds elements of a type: C does not let types share memory."""


def member(dtype: DType) -> str:
    """The member that holds elements of a type."""
    return MEMBERS[MEMORY_TYPES[dtype]]


class Workspace:
    """Where the temporaries of a program lie, and those ports that need a place of their own.

    Attributes
    ----------
    sizes : elements of each member.
    """

    def __init__(self, program: Program, staged: Sequence[Buffer]) -> None:
        self.sizes: dict[str, int] = {}
        self._places: dict[Buffer, tuple[str, int]] = {}
        temporaries = program.of_kind("temporary")
        for name in MEMBERS.values():
            own = [buffer for buffer in temporaries if member(buffer.dtype) == name]
            offsets, size = arrange(program.functions, own)
            for buffer in staged:
                if member(buffer.dtype) == name:
                    offsets = {**offsets, buffer: size}
                    size += -(-max(1, buffer.size) // Program.ALIGNMENT) * Program.ALIGNMENT
            self._places.update({buffer: (name, start) for buffer, start in offsets.items()})
            self.sizes[name] = size

    def place(self, buffer: Buffer) -> str:
        """A pointer to a buffer in the struct."""
        name, offset = self._places[buffer]
        return f"workspace->{name}" + (f" + {offset}" if offset else "")

    def __contains__(self, buffer: Buffer) -> bool:
        return buffer in self._places


def struct(name: str, workspaces: Sequence[Workspace]) -> str:
    """The definition of a struct that is large enough for all of these."""
    lines = []
    for kind, member_name in MEMBERS.items():
        size = max(workspace.sizes[member_name] for workspace in workspaces)
        if size:
            lines.append(f"  {kind} {member_name}[{size}];")
    fields = "\n".join(lines) or "  char unused;"
    return f"typedef struct {name} {{\n{fields}\n}} {name};"
