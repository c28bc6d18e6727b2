"""C: one .c and one .h that need nothing but the C library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from layerport.format import Format, ToolMissing, WriteContext

from layerport_formats.options import TRAINING, WEIGHTS

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray


class CFormat(Format):
    """The format ``c``."""

    name: ClassVar[str] = "c"
    suffixes: ClassVar[tuple[str, ...]] = (".c",)
    description: ClassVar[str] = "C99 source and header, weights inside"
    options: ClassVar[Mapping[str, str]] = {
        **WEIGHTS,
        **TRAINING,
        "prefix": "what the names of functions and macros start with (default: model)",
    }

    def write(self, network: Network, context: WriteContext) -> None:
        from layerport_formats.c.artefact import print_c
        from layerport_formats.c.learning import print_learning_c
        from layerport_formats.exporting import export
        from layerport_formats.training import prepare_training

        header = context.sibling(".h")
        prefix = context.options.get("prefix", "model")
        training = prepare_training(network, context.options, context.registry)
        model = export(network, context, "C")
        made = (
            print_c(model, prefix=prefix, header_name=header.name)
            if training is None
            else print_learning_c(model, training, prefix=prefix, header_name=header.name)
        )
        context.path.write_text(made.source, encoding="ascii")
        header.write_text(made.header, encoding="ascii")

    def run(self, path: Path, inputs: Sequence[NDArray], network: Network) -> list[NDArray]:
        from layerport_formats.c.running import find_compiler, run_source

        compiler = find_compiler()
        if compiler is None:
            raise ToolMissing("there is no C compiler on this machine (cc, gcc or clang)")
        return run_source(compiler, path, inputs, network.inputs, network.outputs)
