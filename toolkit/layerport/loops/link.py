"""Several programs in one file, on the same parameters."""

from __future__ import annotations

from dataclasses import replace

from layerport.loops.ir import Program


def linked(program: Program, *others: Program) -> Program:
    """A program with the functions and buffers of all, whose entry and ports are the first one's.

    All must have been lowered with the same `Shared`. They share the arena, so that temporaries of
    one do not survive a run of another.
    """
    buffers = {buffer: None for one in (program, *others) for buffer in one.buffers}
    functions = [function for one in (*others, program) for function in one.functions]
    offsets = {buffer: place for one in others for buffer, place in one.offsets.items()}
    return replace(
        program,
        functions=tuple(functions),
        buffers=tuple(buffers),
        offsets={**offsets, **program.offsets},
        arena=max(one.arena for one in (program, *others)),
    )
