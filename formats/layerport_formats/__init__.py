"""The file formats and target languages that come with layerport, offered through its hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerport.hookspecs import hookimpl

from layerport_formats.hdf5 import Hdf5Format
from layerport_formats.javascript import JavaScriptFormat
from layerport_formats.layers_json import LayersJsonFormat
from layerport_formats.onnx import OnnxFormat

if TYPE_CHECKING:
    from layerport.format import Format


@hookimpl
def layerport_formats() -> list[Format]:
    """One line a format."""
    return [
        LayersJsonFormat(),
        Hdf5Format(),
        OnnxFormat(),
        JavaScriptFormat(),
    ]
