"""Java: one class with nothing but the standard library."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from layerport.format import Format, ToolMissing, WriteContext

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray


class JavaFormat(Format):
    """The format ``java``."""

    name: ClassVar[str] = "java"
    suffixes: ClassVar[tuple[str, ...]] = (".java",)
    description: ClassVar[str] = "a Java class, weights inside; the file's name is the class's"
    options: ClassVar[Mapping[str, str]] = {"package": "the package of the class (default: none)"}

    def write(self, network: Network, context: WriteContext) -> None:
        from layerport_formats.exporting import export
        from layerport_formats.java.artefact import print_java

        name = context.target.name.removesuffix(".java")
        package = str(context.options.get("package", ""))
        text = print_java(export(network, context, "a Java class"), name, package)
        context.path.write_text(text, encoding="ascii")

    def run(self, path: Path, inputs: Sequence[NDArray], network: Network) -> list[NDArray]:
        from layerport_formats.java.artefact import RUNNER, class_of, main_program
        from layerport_formats.scalar.running import run_in_folder

        compiler, machine = shutil.which("javac"), shutil.which("java")
        if compiler is None or machine is None:
            raise ToolMissing("javac is not on this machine")
        text = path.read_text(encoding="ascii")

        def prepare(folder: Path) -> tuple[list[list[str]], list[str]]:
            package, name = class_of(text)
            (folder / f"{name}.java").write_text(text, encoding="ascii")
            runner = main_program(network, package, name)
            (folder / f"{RUNNER}.java").write_text(runner, encoding="ascii")
            build = [compiler, "-d", ".", f"{name}.java", f"{RUNNER}.java"]
            entry = f"{package}.{RUNNER}" if package else RUNNER
            return [build], [machine, "-cp", str(folder), entry]

        return run_in_folder(prepare, inputs, network)
