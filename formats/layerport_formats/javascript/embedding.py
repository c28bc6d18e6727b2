"""The module as a part of something larger: a page, a package."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerport.format import WriteContext

from layerport_formats.javascript import JavaScriptFormat

if TYPE_CHECKING:
    from layerport.network import Network

NAME = "index.mjs"

PASSED_ON = {
    name: text for name, text in JavaScriptFormat.options.items() if name != "weights_file"
}
"""The options of the module that a page or package takes as well."""


def write_module(
    network: Network, context: WriteContext, folder: Path, options: Mapping[str, Any] | None = None
) -> None:
    """Write ``index.mjs`` and its declarations into a folder.

    Parameters
    ----------
    context : of the larger thing; gets the notes, and the options of the module are taken from it.
    options : others for the module.
    """
    passed = {name: value for name, value in context.options.items() if name in PASSED_ON}
    inner = dataclasses.replace(
        context, target=Path(NAME), folder=folder, options={**passed, **(options or {})}
    )
    JavaScriptFormat().write(network, inner)


def module_text(network: Network, context: WriteContext) -> str:
    """The text of the module."""
    with tempfile.TemporaryDirectory() as folder:
        write_module(network, context, Path(folder))
        return (Path(folder) / NAME).read_text(encoding="utf-8")
