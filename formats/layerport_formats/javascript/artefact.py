"""The ES module of a model: generated loops, weights as base64, and the runtime around them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from layerport.errors import UnsupportedError
from layerport.graph import Graph
from layerport.loops.clike import comment_text
from layerport.loops.index import Index
from layerport.loops.ir import Buffer, Port, Program
from layerport.loops.lowering import lower
from layerport.loops.weights import stored
from layerport.op import NDArray

from layerport_formats.javascript.declarations import declarations, exported
from layerport_formats.javascript.learning import learning, start_of
from layerport_formats.javascript.literals import literal
from layerport_formats.javascript.printer import HELPERS, TARGET, JavaScript
from layerport_formats.training import Training

LARGEST_WEIGHTS = 300 << 20
"""Bytes of weights that fit into a string of every JavaScript engine."""

LARGEST_UNSPLIT_BATCH = 256
"""The batch of models whose samples influence each other."""

_ARRAYS = {"f32": "Float32Array", "i32": "Int32Array", "u32": "Uint32Array", "bool": "Int32Array"}

PortSpec: TypeAlias = "tuple[str, Sequence[int | None], str]"
"""Name, shape with None for the batch, NumPy dtype."""


class Golden(NamedTuple):
    """Inputs, the outputs that belong to them, and how far off a run may be (see `selfTest`)."""

    inputs: Sequence[NDArray]
    outputs: Sequence[NDArray]
    tolerance: float


class Learner(NamedTuple):
    """What a module needs to learn: the step, and the template of layers.json."""

    training: Training
    saved: Mapping[str, Any]


def print_javascript(
    graph: Graph,
    *,
    inputs: Sequence[PortSpec],
    outputs: Sequence[PortSpec],
    labels: Sequence[str] | None = None,
    golden: Golden | tuple[Sequence[NDArray], Sequence[NDArray], float] | None = None,
    name: str = "model",
    learner: Learner | None = None,
) -> tuple[str, str]:
    """Print a graph as an ES module without dependencies.

    Parameters
    ----------
    graph : all its parameters bound to constants.
    inputs, outputs : what the module reports, in the graph's order.
    labels : names of the classes.
    golden : what `selfTest` checks; without it the module has none.
    name : for a comment.
    learner : what the module needs to learn; its graphs are printed instead of `graph`.

    Returns
    -------
    The module, and its TypeScript declarations.

    Raises
    ------
    UnsupportedError : naming everything that cannot be printed.
    """
    if learner is None and graph.parameters:
        names = ", ".join(repr(value.name) for value in graph.parameters)
        raise UnsupportedError(f"the weights {names} have no values; bind them first")
    _check_inputs(inputs)
    lowered = None if learner is None else learner.training.lower(TARGET)
    program = _lowered(graph) if lowered is None else lowered.program
    checked = None if golden is None else Golden(*golden)
    module = _Module(program)
    parts = [
        f"// {comment_text(name)}: printed by layerport. No dependencies; Node 18 or any browser.",
        _ports("inputs", inputs),
        _ports("outputs", outputs),
        f"export const labels = {literal(list(labels) if labels is not None else None)};",
        *([] if checked is None else [_golden(checked)]),
        _here("runtime.js"),
        *([] if checked is None else [_here("selftest.js")]),
        *([] if learner is None else [_here("training.js")]),
        module.memory(),
        module.functions(),
    ]
    if learner is not None and lowered is not None:
        parts.append(learning(lowered, learner.training, learner.saved))
        parts.append(f"const runTraining = {lowered.entry};")
    names = exported(has_golden=checked is not None, learns=learner is not None)
    parts.append(f"export default {{ {', '.join(names)} }};\n")
    return "\n".join(parts), declarations(
        inputs,
        outputs,
        has_golden=checked is not None,
        targets=None if learner is None else learner.training.targets,
    )


def _lowered(graph: Graph) -> Program:
    program = lower(graph, TARGET)
    if program.symbol and not program.splittable:
        program = lower(graph, TARGET, batch=LARGEST_UNSPLIT_BATCH)
    return program


def _check_inputs(inputs: Sequence[PortSpec]) -> None:
    problems = [
        f"the input {name!r} has the shape {tuple(shape)}"
        for name, shape, _ in inputs
        if None in shape[1:]
    ]
    if problems:
        raise UnsupportedError(
            "a JavaScript module needs every extent but the batch",
            problems,
            hint="give the inputs of the network fixed sizes",
        )


def _here(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _ports(kind: str, ports: Sequence[PortSpec]) -> str:
    listed = [
        {"name": name, "shape": list(shape), "dtype": str(np.dtype(dtype))}
        for name, shape, dtype in ports
    ]
    return f"export const {kind} = {literal(listed)};"


def _golden(golden: Golden) -> str:
    def encode(array: NDArray) -> str:
        return base64.b64encode(_little(stored(array)).tobytes()).decode()

    samples = golden.inputs[0].shape[0] if golden.inputs and golden.inputs[0].ndim else 1
    return "const golden = " + literal(
        {
            "samples": samples,
            "tolerance": golden.tolerance,
            "inputs": [encode(array) for array in golden.inputs],
            "outputs": [encode(array) for array in golden.outputs],
        }
    ) + ";"  # fmt: skip


def _little(array: NDArray) -> NDArray:
    return array.astype(array.dtype.newbyteorder("<"))


class _Module:
    """Buffers and functions of a program."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._printer = JavaScript()

    def memory(self) -> str:
        """The declarations of all buffers."""
        program = self._program
        weights = [b for b in program.of_kind("weight", "state") if not _is_uniform(b)]
        offsets, size = _offsets(weights)
        if size > LARGEST_WEIGHTS:
            raise UnsupportedError(
                f"{size >> 20} MB of weights do not fit into one JavaScript module "
                f"(at most {LARGEST_WEIGHTS >> 20} MB)"
            )
        blob = bytearray(size)
        for buffer in weights:
            assert buffer.data is not None
            data = _little(buffer.data).tobytes()
            blob[offsets[buffer] : offsets[buffer] + len(data)] = data
        lines = [
            f"const splittable = {literal(program.splittable)}, largestBatch = {program.batch};",
            f'const weights = decode("{base64.b64encode(blob).decode()}");',
            f"const arena = new ArrayBuffer({program.arena * 4});",
        ]
        for buffer in program.buffers:
            kind = _ARRAYS[buffer.dtype]
            place = f"{buffer.size}"
            if buffer in offsets:
                place = f"weights, {offsets[buffer]}, {buffer.size}"
            elif buffer in program.offsets:
                place = f"arena, {program.offsets[buffer] * 4}, {buffer.size}"
            start = start_of(buffer) if _is_uniform(buffer) else 0
            fill = f".fill({start!r})" if start else ""
            lines.append(f"const {buffer.name} = new {kind}({place}){fill};")
        for direction, ports in (("input", program.inputs), ("output", program.outputs)):
            names = ", ".join(port.buffer.name for port in ports)
            lines.append(f"const {direction}Buffers = [{names}];")
        shapes = ", ".join(self._shape(port) for port in program.outputs)
        lines.append(f"const outputShapes = [{shapes}];")
        return "\n".join(lines)

    def _shape(self, port: Port) -> str:
        """A function from the number of samples to the shape of an output."""
        extents = ", ".join(self._printer.index(Index.of(extent)) for extent in port.shape)
        return f"({self._program.symbol}) => [{extents}]"

    def functions(self) -> str:
        """The functions; `run` computes a block of samples."""
        printer = self._printer
        lines = [line for f in self._program.functions for line in printer.function(f)]
        helpers = [HELPERS[name] for name in sorted(printer.needed)]
        entry = self._program.functions[-1].name
        return "\n".join([*helpers, *lines, f"const run = {entry};"])


def _is_uniform(buffer: Buffer) -> bool:
    """Whether a state starts with the same number everywhere."""
    return buffer.kind == "state" and start_of(buffer) is not None


def _offsets(buffers: Sequence[Buffer]) -> tuple[dict[Buffer, int], int]:
    """Byte offsets of buffers behind one another, each a multiple of 4."""
    offsets: dict[Buffer, int] = {}
    size = 0
    for buffer in buffers:
        offsets[buffer] = size
        size += buffer.size * 4
    return offsets, size
