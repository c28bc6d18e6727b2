"""The function that computes one block of samples: calls of all others, with their memory."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from layerport.loops.clike import CLike
from layerport.loops.index import Index, Size
from layerport.loops.ir import Buffer, Call, Port, Program

from layerport_formats.c.signature import MEMORY_TYPES, Signature
from layerport_formats.c.workspace import Workspace


def staged(program: Program) -> list[Buffer]:
    """The ports whose samples do not lie behind one another in the program's own layout."""
    return [p.buffer for p in (*program.inputs, *program.outputs) if not p.leads]


def run_function(
    program: Program,
    workspace: Workspace,
    workspace_type: str,
    *,
    name: str = "run",
    states: Mapping[Buffer, str] = MappingProxyType({}),
) -> str:
    """The definition of ``run``, or of a function that is called otherwise.

    It takes the batch size (if there is one), a pointer to each input and output, which lie
    compactly, and the workspace. `states` are the arrays of parameters that change.
    """

    def place(buffer: Buffer) -> str:
        if buffer in states:
            return states[buffer]
        return workspace.place(buffer) if buffer in workspace else buffer.name

    *callees, entry = program.functions
    signatures = {function.name: Signature.of(function) for function in callees}
    lines: list[str] = []
    for port in program.inputs:
        if port.buffer in workspace:
            lines += _copied(port, place(port.buffer), into=True)
    for call in entry.body:
        assert isinstance(call, Call)
        lines.append("  " + signatures[call.function].call([_affine(a) for a in call.args], place))
    for port in program.outputs:
        if port.buffer in workspace:
            lines += _copied(port, place(port.buffer), into=False)
    parameters = {port.buffer.name: f"const {_pointer(port)}" for port in program.inputs}
    parameters |= {port.buffer.name: _pointer(port) for port in program.outputs}
    parameters["workspace"] = f"{workspace_type} *workspace"
    if program.symbol:
        parameters = {program.symbol: f"int {program.symbol}", **parameters}
    used = set(re.findall(r"\w+", "\n".join(lines)))
    unused = [f"  (void){word};" for word in parameters if word not in used]
    head = f"static void {name}({', '.join(parameters.values())})"
    return "\n".join([head, "{", *lines, *unused, "}"])


def _pointer(port: Port) -> str:
    return f"{MEMORY_TYPES[port.buffer.dtype]} *{port.buffer.name}"


def _affine(size: Size) -> str:
    return CLike().index(Index.of(size))


def _copied(port: Port, memory: str, *, into: bool) -> Sequence[str]:
    """Lines that bring a compact array into the program's layout, or back."""
    kind, name = MEMORY_TYPES[port.buffer.dtype], port.buffer.name
    lines = [f"  {{ {'const ' if into else ''}{kind} *next = {name};"]
    pad = "    "
    place = Index(0)
    for axis, (extent, stride) in enumerate(zip(port.shape, port.strides, strict=True)):
        variable = f"i{axis}"
        lines.append(f"{pad}for (int {variable} = 0; {variable} < {_affine(extent)}; ++{variable})")
        place = place + Index.variable(variable) * stride
        pad += "  "
    element = f"({memory})[{_affine(place)}]"
    lines.append(f"{pad}{element} = *next++;" if into else f"{pad}*next++ = {element};")
    return [*lines, "  }"]
