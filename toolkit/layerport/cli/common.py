"""What several verbs share."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click
from rich.console import Console

from layerport.printable import printable

if TYPE_CHECKING:
    from layerport.layer import Layer
    from layerport.op import NDArray

WRAP_WIDTH = 20
"""Columns up to this width are never folded."""

F = TypeVar("F", bound=Callable[..., Any])

MODEL = click.Path(exists=True, dir_okay=False, path_type=Path)
COUNT = click.IntRange(min=1)
UNFOLDED = 10_000
FILE = click.Path(dir_okay=False, path_type=Path)
PATH = click.Path(path_type=Path)


def console() -> Console:
    """Where tables go. Markup is off: names come from files. What is piped is never folded."""
    made = Console(markup=False, highlight=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = UNFOLDED
    return made


def say(text: object, *, err: bool = False) -> None:
    """Print a message, in which names from files may stand."""
    click.echo(printable(str(text), keep="\n"), err=err)


def layers_option(command: F) -> F:
    """``--layers module:Class``: code that the user names; a file never does."""
    return click.option(
        "--layers", "layers", multiple=True, metavar="MODULE:CLASS",
        help="A layer class that the file may name; may be repeated.",
    )(command)  # fmt: skip


def json_option(command: F) -> F:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def layer_classes(names: Sequence[str]) -> list[type[Layer]]:
    """The classes that ``--layers`` names."""
    from layerport.layer import Layer

    if names and "" not in sys.path:
        sys.path.insert(0, "")
    found = []
    for name in names:
        module, colon, cls = name.partition(":")
        if not colon:
            raise click.BadParameter(f"{name!r} is not of the form module:Class")
        try:
            layer = getattr(importlib.import_module(module), cls)
        except (ImportError, AttributeError) as error:
            raise click.BadParameter(f"{name!r}: {error}") from error
        if not (isinstance(layer, type) and issubclass(layer, Layer)):
            raise click.BadParameter(f"{name!r} is not a layer class")
        found.append(layer)
    return found


def parsed(text: str) -> Any:
    """A value from the command line: JSON where it is JSON, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def options_of(pairs: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` pairs as a dict."""
    made = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} is not of the form NAME=VALUE")
        made[name] = parsed(value)
    return made


def show_table(
    rows: Iterable[Mapping[str, Any]], *, as_json: bool, title: str = "", right: Sequence[str] = ()
) -> None:
    """Print rows as a table, or as JSON; columns in `right` are aligned to the right."""
    listed = list(rows)
    if as_json:
        click.echo(json.dumps(listed, indent=2, default=str))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    heads = list(listed[0]) if listed else []
    table = Table(box=box.SIMPLE_HEAD, title=Text(title) if title else None, title_justify="left")
    cells = [[_cell(row[head]) for head in heads] for row in listed]
    for place, head in enumerate(heads):
        width = max([len(head), *(len(row[place]) for row in cells)])
        justify: Literal["left", "right"] = "right" if head in right else "left"
        whole = place == 0 or width <= WRAP_WIDTH
        table.add_column(head, justify=justify, overflow="fold", no_wrap=whole)
    for row in cells:
        table.add_row(*map(Text, row))
    console().print(table)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return printable(", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))


def read_arrays(path: Path) -> dict[str, NDArray]:
    """The arrays of an .npz file, mapped where possible.

    Raises
    ------
    ModelFileError : when it is no .npz of plain arrays.
    """
    import numpy as np

    from layerport.errors import ModelFileError

    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, AttributeError) as error:
        raise ModelFileError(path, f"it is no .npz file of plain arrays ({error})") from error


@contextlib.contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Turn complaints about arrays into complaints about their file."""
    from layerport.errors import DataError, ModelFileError, ShapeError

    try:
        yield
    except (ShapeError, DataError) as error:
        raise ModelFileError(path, str(error)) from error
