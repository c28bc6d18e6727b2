"""The .h and .c of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from layerport.errors import UnsupportedError
from layerport.graph import Graph
from layerport.loops.clike import comment_text
from layerport.op import NDArray

from layerport_formats.c.interface import Interface
from layerport_formats.c.program import Variants, lowered
from layerport_formats.c.selftest import self_test
from layerport_formats.c.text import checked_prefix, string_table

LANES = (16, 8, 4, 1)

PortSpec: TypeAlias = "tuple[str, Sequence[int | None], str]"
"""Name, shape with None for the batch, NumPy dtype."""


class Golden(NamedTuple):
    """Inputs, the outputs that belong to them, and how far off a run may be."""

    inputs: Sequence[NDArray]
    outputs: Sequence[NDArray]
    tolerance: float


@dataclass(frozen=True)
class Artefact:
    """The texts of the two files."""

    header: str
    source: str


def print_c(
    graph: Graph,
    *,
    inputs: Sequence[PortSpec],
    outputs: Sequence[PortSpec],
    labels: Sequence[str] | None = None,
    golden: Golden | None = None,
    name: str = "model",
    prefix: str = "model",
    header_name: str = "model.h",
    lanes: Sequence[int] = LANES,
) -> Artefact:
    """Print a graph as C99 without dependencies.

    Parameters
    ----------
    graph : all its parameters bound to constants.
    inputs, outputs : names, shapes and dtypes, in the graph's order.
    labels : names of the classes.
    golden : what the self-test checks; without it there is none.
    name : for a comment.
    prefix : of every identifier that other files see.
    header_name : what the source includes.
    lanes : the widths of vectors to print code for; 1 stands for none, and is always there.

    Raises
    ------
    UnsupportedError : naming everything that cannot be printed.
    """
    prefix = checked_prefix(prefix)
    if graph.parameters:
        names = ", ".join(repr(value.name) for value in graph.parameters)
        raise UnsupportedError(f"the weights {names} have no values; bind them first")
    _check_inputs(inputs)
    widths = sorted({*lanes, 1}, reverse=True)
    programs = lowered(graph, widths)
    program = programs[1]
    variants = Variants(programs, f"{prefix}_workspace", f"{prefix.upper()}_LANES")
    interface = Interface(program, prefix)
    about = comment_text(name)
    header = interface.header(about, inputs, outputs, labels, variants.workspace(), bool(golden))
    parts = [
        interface.opening(about, header_name, widths),
        variants.text(),
        interface.functions(),
        string_table(f"{prefix}_input_names", [name for name, _, _ in inputs]),
        string_table(f"{prefix}_output_names", [name for name, _, _ in outputs]),
        *([string_table(f"{prefix}_labels", labels)] if labels else []),
        *([self_test(program, prefix, golden)] if golden else []),
    ]
    return Artefact(header, "\n\n".join(parts) + "\n")


def _check_inputs(inputs: Sequence[PortSpec]) -> None:
    problems = [
        f"the input {name!r} has the shape {tuple(shape)}"
        for name, shape, _ in inputs
        if None in shape[1:]
    ]
    if problems:
        raise UnsupportedError(
            "a C file needs every extent but the batch",
            problems,
            hint="give the inputs of the network fixed sizes",
        )
