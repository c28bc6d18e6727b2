"""Python: one module that needs NumPy only, for arrays that go in and out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from layerport.format import Format, WriteContext

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray


class PythonFormat(Format):
    """The format ``python``."""

    name: ClassVar[str] = "python"
    suffixes: ClassVar[tuple[str, ...]] = (".py",)
    description: ClassVar[str] = "a Python module that needs NumPy only, weights inside"

    def write(self, network: Network, context: WriteContext) -> None:
        from layerport_formats.exporting import export
        from layerport_formats.python.artefact import print_python

        text = print_python(export(network, context, "a Python module"))
        context.path.write_text(text, encoding="ascii")

    def run(self, path: Path, inputs: Sequence[NDArray], network: Network) -> list[NDArray]:
        from layerport_formats.python.artefact import main_program
        from layerport_formats.scalar.running import run_in_folder

        def prepare(folder: Path) -> tuple[list[list[str]], list[str]]:
            (folder / "model.py").write_bytes(path.read_bytes())
            (folder / "main.py").write_text(main_program(network), encoding="ascii")
            return [], [sys.executable, str(folder / "main.py")]

        return run_in_folder(prepare, inputs, network)
