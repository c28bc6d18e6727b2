"""The .wasm file of a model, which describes itself, and the ES module that loads it.

The custom section "layerport" is JSON: inputs and outputs with their offsets in the memory, the
labels, the largest batch, and what golden samples there are; "golden" holds the outputs that belong
to them. Whoever writes inputs to the memory and calls ``predict(n)`` finds outputs there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from layerport.loops.clike import comment_text
from layerport.loops.ir import Port
from layerport.loops.weights import stored

from layerport_formats.javascript.declarations import exported
from layerport_formats.javascript.engines import views
from layerport_formats.javascript.learning import learning
from layerport_formats.javascript.literals import harmless, literal
from layerport_formats.javascript.minify import minified
from layerport_formats.javascript.parts import (
    Golden,
    Lowered,
    Model,
    PortSpec,
    extents_text,
    runtime,
)
from layerport_formats.wasm.binary import custom_section
from layerport_formats.wasm.module import (
    Layout,
    arrange,
    encode_module,
    initial_data,
    little_endian,
)
from layerport_formats.wasm.target import TARGET

ENTRIES = {"run": "predict", "runTraining": "train"}
"""What the runtime calls a function -> under which name the file exports it."""


class Printed(NamedTuple):
    """The .wasm file, the module beside it, and the module's TypeScript declarations."""

    binary: bytes
    glue: str
    declarations: str


def print_wasm(model: Model, *, name: str, file_name: str) -> Printed:
    """Encode a model.

    Parameters
    ----------
    name : for a comment.
    file_name : of the .wasm file, which the module looks for beside itself.

    Raises
    ------
    UnsupportedError : naming everything that cannot be expressed.
    ValueError : when the golden inputs are not drawn.
    """
    model.check()
    if model.golden is not None and model.golden.seed is None:
        raise ValueError("golden inputs of a .wasm file have to be drawn (golden.drawn)")
    lowered = model.lower(TARGET)
    layout = arrange(lowered.program)
    entries = {ENTRIES[entry]: function for entry, function in lowered.entries.items()}
    sections = [custom_section("layerport", _facts(model, lowered, layout))]
    if model.golden is not None:
        outputs = b"".join(little_endian(stored(array)) for array in model.golden.outputs)
        sections.append(custom_section("golden", outputs))
    data = initial_data(lowered.program, layout)
    binary = encode_module(lowered.program, layout, entries, data=data, sections=sections)
    title = f"// {comment_text(name)}: printed by layerport, for Node 18 or any browser."
    return Printed(
        binary, f"{title}\n{_glue(model, lowered, layout, file_name)}", model.declarations()
    )


def _facts(model: Model, lowered: Lowered, layout: Layout) -> bytes:
    program = lowered.program
    facts: dict[str, Any] = {
        "version": 1,
        "inputs": _ports(model.inputs, program.inputs, layout),
        "outputs": _ports(model.outputs, program.outputs, layout),
        "labels": None if model.labels is None else list(model.labels),
        "largestBatch": program.batch,
        "splittable": program.splittable,
    }
    if model.golden is not None:
        facts["golden"] = _golden(model.golden, model.inputs)
    return harmless(json.dumps(facts, separators=(",", ":"))).encode()


def _ports(
    specs: Sequence[PortSpec], ports: Sequence[Port], layout: Layout
) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "shape": list(shape),
            "dtype": str(dtype),
            "offset": layout.addresses[port.buffer],
        }
        for (name, shape, dtype), port in zip(specs, ports, strict=True)
    ]


def _golden(golden: Golden, inputs: Sequence[PortSpec]) -> dict[str, Any]:
    return {
        "samples": golden.samples(inputs),
        "tolerance": golden.tolerance,
        "seed": golden.seed,
    }


def _glue(model: Model, lowered: Lowered, layout: Layout, file_name: str) -> str:
    """The module; it is minified."""
    program = lowered.program
    learner = model.learner
    names = exported(has_golden=model.golden is not None, learns=learner is not None)
    features = model.features(program)
    exports = ", ".join(f"{ENTRIES[entry]}: {entry}" for entry in lowered.entries)
    arrays = views(lowered.public, layout)
    inputs, outputs = (
        f"[{', '.join(port.buffer.name for port in ports)}]"
        for ports in (program.inputs, program.outputs)
    )
    parts = [
        f"const file = {literal('./' + quote(file_name))};",
        Path(__file__).with_name("glue.js").read_text(encoding="utf-8"),
        f"const {{ memory: {{ buffer: memory }}, {exports} }} = wasm.instance.exports;",
        f"const {', '.join(arrays)}, inputBuffers = {inputs}, outputBuffers = {outputs};",
        *([] if model.golden is None else ['golden.outputs = () => section("golden");']),
        *([extents_text(program)] if "affine" in features else []),
        runtime(names, features),
        *([] if learner is None else [learning(lowered, learner)]),
        f"export default {{ {', '.join(names)} }};\n",
    ]
    return minified("\n".join(parts), {*names})
