"""The computing part of a C file: constants, helpers and functions, for each width of vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layerport.graph import Graph
from layerport.loops.ir import Program
from layerport.loops.lowering import lower
from layerport.quantization import Storage

from layerport_formats.c.constants import Constants
from layerport_formats.c.helpers import Helpers, vector_types
from layerport_formats.c.printer import C
from layerport_formats.c.run import run_function, staged
from layerport_formats.c.targets import TARGETS
from layerport_formats.c.workspace import Workspace, struct

LARGEST_UNSPLIT_BATCH = 256
"""The batch of models whose samples influence each other, where the workspace may be so large."""

LARGEST_WORKSPACE = 1 << 24
"""Elements that a larger batch of such a model should not need."""


def lowered(graph: Graph, lanes: Sequence[int]) -> dict[int, Program]:
    """A program for each width of vectors, all for blocks of the same number of samples."""
    first = lower(graph, TARGETS[lanes[0]])
    batch = first.batch
    if first.symbol and not first.splittable:
        fitting = LARGEST_WORKSPACE * first.batch // max(1, first.arena)
        batch = max(first.batch, min(LARGEST_UNSPLIT_BATCH, fitting))
    return {width: lower(graph, TARGETS[width], batch=batch) for width in lanes}


class Variants:
    """The programs of a model as C.

    Parameters
    ----------
    programs : by the width of vectors.
    workspace_type : the name of the struct.
    macro : the name of the macro that holds the width of vectors.
    storage : how weights stand in the file.
    """

    def __init__(
        self, programs: Mapping[int, Program], workspace_type: str, macro: str, storage: Storage
    ) -> None:
        self._programs = programs
        self._type = workspace_type
        self._macro = macro
        self._constants = Constants(storage)
        for lanes, program in programs.items():
            self._constants.add(program.of_kind("weight"), lanes)
        self._helpers = Helpers()
        self._workspaces = {
            lanes: Workspace(program, staged(program)) for lanes, program in programs.items()
        }

    def workspace(self) -> str:
        """The definition of the struct."""
        return struct(self._type, list(self._workspaces.values()))

    @property
    def are_decoded(self) -> bool:
        """Whether there is a function ``decode``, to be called before ``run``."""
        return self._constants.are_decoded

    def text(self) -> str:
        """Everything up to the function ``run``."""
        blocks = {lanes: self._block(lanes) for lanes in self._programs}
        conditions = {lanes: f"{self._macro} == {lanes}" for lanes in blocks}
        decoding = self._constants.decoding(conditions)
        if any("half(" in statement for statement in decoding):
            self._helpers.scalar("half")
        parts = [*self._constants.definitions(conditions), *self._helpers.scalar_text()]
        if decoding:
            parts.append("\n".join(["static void decode(void)", "{", *decoding, "}"]))
        for number, (lanes, block) in enumerate(blocks.items()):
            word = "elif" if number else "if"
            parts += [f"#{word} {conditions[lanes]}", *block]
        return "\n\n".join([*parts, "#endif"])

    def _block(self, lanes: int) -> list[str]:
        """The code for one width."""
        program = self._programs[lanes]
        printer = C(self._constants.names)
        texts = ["\n".join(printer.function(f)) for f in program.functions[:-1]]
        self._helpers.add(printer.helpers)
        types = [vector_types(width) for width in sorted(printer.widths)]
        run = run_function(program, self._workspaces[lanes], self._type)
        return [*types, *printer.helpers.vector_text(), *texts, run]
