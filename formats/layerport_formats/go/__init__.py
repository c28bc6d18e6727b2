"""Go: one file of a package, with the standard library only."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from layerport.format import Format, ToolMissing, WriteContext

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray


class GoFormat(Format):
    """The format ``go``."""

    name: ClassVar[str] = "go"
    suffixes: ClassVar[tuple[str, ...]] = (".go",)
    description: ClassVar[str] = "a Go package of one file, weights inside"
    options: ClassVar[Mapping[str, str]] = {"package": "the name of the package (default: model)"}

    def write(self, network: Network, context: WriteContext) -> None:
        from layerport_formats.exporting import export
        from layerport_formats.go.artefact import print_go

        package = str(context.options.get("package", "model"))
        text = print_go(export(network, context, "a Go package"), package)
        context.path.write_text(text, encoding="ascii")

    def run(self, path: Path, inputs: Sequence[NDArray], network: Network) -> list[NDArray]:
        from layerport_formats.go.artefact import main_program, package_of
        from layerport_formats.scalar.running import run_in_folder

        compiler = shutil.which("go")
        if compiler is None:
            raise ToolMissing("go is not on this machine")
        package = package_of(path.read_text(encoding="ascii"))

        def prepare(folder: Path) -> tuple[list[list[str]], list[str]]:
            (folder / "go.mod").write_text("module run\n\ngo 1.18\n", encoding="ascii")
            (folder / package).mkdir()
            shutil.copy(path, folder / package / "model.go")
            (folder / "main.go").write_text(main_program(network, package), encoding="ascii")
            build = [compiler, "build", "-o", "program", "."]
            return [build], [str(folder / "program")]

        return run_in_folder(prepare, inputs, network)
