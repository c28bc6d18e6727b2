"""C: one .c and one .h that need nothing but the C library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from layerport.format import Format, ToolMissing, WriteContext

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray

GOLDEN_SAMPLES = 4
TOLERANCE = 1e-5
"""How far a golden output may be off, relative to the largest one and to itself."""


class CFormat(Format):
    """The format ``c``."""

    name: ClassVar[str] = "c"
    suffixes: ClassVar[tuple[str, ...]] = (".c",)
    description: ClassVar[str] = "C99 source and header, weights inside"
    options: ClassVar[Mapping[str, str]] = {
        "prefix": "what the names of functions and macros start with (default: model)",
    }

    def write(self, network: Network, context: WriteContext) -> None:
        from layerport.samples import sample_inputs

        from layerport_formats.c.artefact import Golden, print_c

        if any(array.dtype == np.float64 for array in network.weights.values()):
            context.note("approximated", "the float64 weights, which the file has in float32")
        samples = sample_inputs(network, GOLDEN_SAMPLES)
        expected = network.predict(samples if len(samples) > 1 else samples[0])
        outputs = expected if isinstance(expected, list) else [expected]
        header = context.sibling(".h")
        made = print_c(
            network.lower().replay(constants=network.parameters),
            inputs=[(port.name, port.shape, port.dtype) for port in network.inputs],
            outputs=[(port.name, port.shape, port.dtype) for port in network.outputs],
            labels=network.labels,
            golden=Golden(samples, outputs, TOLERANCE),
            name=network.name or "model",
            prefix=context.options.get("prefix", "model"),
            header_name=header.name,
        )
        context.path.write_text(made.source, encoding="ascii")
        header.write_text(made.header, encoding="ascii")
