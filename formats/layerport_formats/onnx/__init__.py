"""ONNX: reads and writes `.onnx` files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from layerport.format import Format, ReadContext, WriteContext

if TYPE_CHECKING:
    from layerport.network import Network


class OnnxFormat(Format):
    """ONNX files, of any operator set."""

    name = "onnx"
    suffixes = (".onnx",)
    description = "Open Neural Network Exchange"
    options: ClassVar[Mapping[str, str]] = {}

    def sniff(self, head: bytes, path: Path) -> bool:
        """A protobuf message that starts with a small number, the IR version, in field 1."""
        return (
            len(head) > 2
            and head[0] == 0x08
            and 0 < head[1] < 0x80
            and head[2] in (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42)
        )

    def read(self, path: Path, context: ReadContext) -> Network:
        """Read a network: of its own layers where layerport wrote the file, else of operators."""
        from .reading import parse, translate
        from .layers import operator_network

        model = parse(path, context)
        translation = translate(model, context, path.parent)
        return operator_network(translation.graph, translation.arrays)
