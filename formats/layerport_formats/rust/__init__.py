"""Rust: one file that needs only `core`, so that it runs where there is no operating system."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from layerport.format import Format, ToolMissing, WriteContext

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray


class RustFormat(Format):
    """The format ``rust``."""

    name: ClassVar[str] = "rust"
    suffixes: ClassVar[tuple[str, ...]] = (".rs",)
    description: ClassVar[str] = "a Rust module without std, weights inside"

    def write(self, network: Network, context: WriteContext) -> None:
        from layerport_formats.exporting import export
        from layerport_formats.rust.artefact import print_rust

        text = print_rust(export(network, context, "a Rust module"))
        context.path.write_text(text, encoding="ascii")

    def run(self, path: Path, inputs: Sequence[NDArray], network: Network) -> list[NDArray]:
        from layerport_formats.rust.artefact import main_program
        from layerport_formats.scalar.running import run_in_folder

        compiler = shutil.which("rustc")
        if compiler is None:
            raise ToolMissing("rustc is not on this machine")

        def prepare(folder: Path) -> tuple[list[list[str]], list[str]]:
            shutil.copy(path, folder / "model.rs")
            (folder / "main.rs").write_text(main_program(network), encoding="ascii")
            build = [compiler, "-O", "--edition", "2021", "-o", "program", "main.rs"]
            return [build], [str(folder / "program")]

        return run_in_folder(prepare, inputs, network)
