"""The file formats and target languages that come with layerport, offered through its hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerport.hookspecs import hookimpl

from layerport_formats.c import CFormat
from layerport_formats.go import GoFormat
from layerport_formats.hdf5 import Hdf5Format
from layerport_formats.html import HtmlFormat
from layerport_formats.java import JavaFormat
from layerport_formats.javascript import JavaScriptFormat
from layerport_formats.layers_json import LayersJsonFormat
from layerport_formats.npm import NpmFormat
from layerport_formats.onnx import OnnxFormat
from layerport_formats.python import PythonFormat
from layerport_formats.rust import RustFormat
from layerport_formats.wasm import WasmFormat

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
        WasmFormat(),
        HtmlFormat(),
        NpmFormat(),
        CFormat(),
        RustFormat(),
        GoFormat(),
        JavaFormat(),
        PythonFormat(),
    ]
