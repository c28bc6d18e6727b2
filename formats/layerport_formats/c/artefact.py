"""The .h and .c of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layerport.loops.clike import comment_text

from layerport_formats.c.interface import Interface
from layerport_formats.c.program import Variants, lowered
from layerport_formats.c.selftest import self_test
from layerport_formats.c.text import checked_prefix
from layerport_formats.exporting import Export

LANES = (16, 8, 4)
"""The widths of vectors that code is printed for, beside that without vectors."""


@dataclass(frozen=True)
class Artefact:
    """The texts of the two files."""

    header: str
    source: str


def print_c(
    model: Export,
    *,
    prefix: str = "model",
    header_name: str = "model.h",
    lanes: Sequence[int] = LANES,
) -> Artefact:
    """Print a model as C99 without dependencies.

    Parameters
    ----------
    prefix : of every identifier that other files see.
    header_name : what the source includes.
    lanes : the widths of vectors to print code for; code without vectors is always there.

    Raises
    ------
    UnsupportedError : naming everything that cannot be printed.
    """
    checked_prefix(prefix)
    widths = sorted({*lanes, 1}, reverse=True)
    programs = lowered(model.graph, widths)
    macro = f"{prefix.upper()}_LANES"
    variants = Variants(programs, f"{prefix}_workspace", macro, model.storage)
    interface = Interface(programs[1], model, prefix, has_init=variants.are_decoded)
    about = comment_text(model.name)
    parts = [
        interface.opening(about, header_name, widths),
        variants.text(),
        interface.functions(),
        *interface.tables(),
        self_test(programs[1], prefix, model.golden, has_init=variants.are_decoded),
    ]
    header = interface.header(about, variants.workspace())
    return Artefact(header, "\n\n".join(parts) + "\n")
