"""The ES module of a model: the runtime around an engine that computes."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from layerport.errors import UnsupportedError
from layerport.graph import Graph
from layerport.loops.clike import comment_text
from layerport.loops.index import Index, Size
from layerport.loops.ir import Program
from layerport.loops.lowering import lower
from layerport.loops.target import Target
from layerport.loops.weights import stored
from layerport.op import NDArray

from layerport_formats.javascript.declarations import declarations, exported
from layerport_formats.javascript.engines import ENGINES, Lowered, print_engine
from layerport_formats.javascript.learning import learning
from layerport_formats.javascript.literals import literal
from layerport_formats.javascript.minify import minified, reachable, selected
from layerport_formats.training import Training, TrainingPrograms
from layerport_formats.wasm.module import little_endian

LARGEST_UNSPLIT_BATCH = 256
"""The batch of models whose samples influence each other."""

PortSpec: TypeAlias = "tuple[str, Sequence[int | None], str]"
"""Name, shape with None for the batch, NumPy dtype."""


class Golden(NamedTuple):
    """Samples for `selfTest`.

    Attributes
    ----------
    inputs, outputs : what belongs together.
    tolerance : how far off a run may be.
    seed : with which `golden.drawn` made the inputs; None where they have to be stored.
    """

    inputs: Sequence[NDArray]
    outputs: Sequence[NDArray]
    tolerance: float
    seed: int | None = None


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
    engine: str = ENGINES[0],
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
    engine : "wasm", "js", or "auto" for both. The runtime of the first and the last is minified.

    Returns
    -------
    The module, and its TypeScript declarations.

    Raises
    ------
    UnsupportedError : naming everything that cannot be printed.
    """
    if learner is None and graph.parameters:
        missing = ", ".join(repr(value.name) for value in graph.parameters)
        raise UnsupportedError(f"the weights {missing} have no values; bind them first")
    check_inputs(inputs)
    checked = None if golden is None else Golden(*golden)
    programs: list[TrainingPrograms] = []

    def lower_for(target: Target) -> Lowered:
        if learner is None:
            return _lowered(graph, target)
        programs.append(learner.training.lower(target))
        return _learning(programs[-1])

    engine_text, lowered = print_engine(engine, lower_for)
    names = exported(has_golden=checked is not None, learns=learner is not None)
    features = _features(inputs, outputs, lowered.program, checked, learner)
    parts = [
        _ports("inputs", inputs),
        _ports("outputs", outputs),
        f"export const labels = {literal(list(labels) if labels is not None else None)};",
        *([] if checked is None else [_golden(checked, inputs)]),
        *([_extents(lowered.program)] if "affine" in features else []),
        _runtime([*names, *_used(engine_text)], features),
        engine_text,
    ]
    if learner is not None:
        parts.append(learning(programs[0], learner.training, learner.saved))
    parts.append(f"export default {{ {', '.join(names)} }};\n")
    module = "\n".join(parts)
    if engine != "js":
        module = minified(module, {*names})
    title = f"// {comment_text(name)}: printed by layerport, for Node 18 or any browser."
    return f"{title}\n{module}", declarations(
        inputs,
        outputs,
        has_golden=checked is not None,
        targets=None if learner is None else learner.training.targets,
    )


def _lowered(graph: Graph, target: Target) -> Lowered:
    program = lower(graph, target)
    if program.symbol and not program.splittable:
        program = lower(graph, target, batch=LARGEST_UNSPLIT_BATCH)
    return Lowered(program, "", [p.buffer for p in (*program.inputs, *program.outputs)])


def _learning(programs: TrainingPrograms) -> Lowered:
    program = programs.program
    ports = [
        *(*program.inputs, *program.outputs, *programs.inputs, *programs.targets),
        *(programs.rate, programs.count, *programs.random, programs.loss),
    ]
    states = sorted(program.of_kind("state"), key=lambda buffer: buffer.source)
    return Lowered(program, programs.entry, [*(port.buffer for port in ports), *states])


def _features(
    inputs: Sequence[PortSpec],
    outputs: Sequence[PortSpec],
    program: Program,
    golden: Golden | None,
    learner: Learner | None,
) -> set[str]:
    """What the model needs of the runtime: the names behind ``//#if``."""
    kinds = [{np.dtype(dtype).kind for _, _, dtype in ports} for ports in (inputs, outputs)]
    plain = (int, type(None))
    extents = [_extent(e, program) for port in program.outputs for e in port.shape]
    found = {
        "ints": kinds[0] != {"f"} or learner is not None,
        "types": kinds[1] != {"f"},
        "inputs": len(inputs) > 1,
        "results": len(outputs) > 1,
        "fixed": any(not shape or shape[0] is not None for _, shape, _ in inputs),
        "affine": not all(isinstance(extent, plain) for extent in extents),
        "whole": not program.splittable,
        "drawn": golden is not None and golden.seed is not None,
    }
    return {name for name, is_needed in found.items() if is_needed}


def _runtime(names: Sequence[str], features: set[str]) -> str:
    """The part that is written by hand, or what is needed of it."""
    folder = Path(__file__).parent
    files = ["runtime.js"]
    files += ["selftest.js"] * ("selfTest" in names) + ["training.js"] * ("train" in names)
    sources = [selected((folder / f).read_text(encoding="utf-8"), features) for f in files]
    return reachable("\n".join(sources), names)


def _used(engine: str) -> list[str]:
    """The functions of the runtime that an engine needs."""
    return [name for name in ("decode", "decodeCode", "gather") if f"{name}(" in engine]


def check_inputs(inputs: Sequence[PortSpec]) -> None:
    """Refuse inputs with open extents beside the batch; all of them are named."""
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


def _ports(kind: str, ports: Sequence[PortSpec]) -> str:
    listed = [
        {"name": name, "shape": list(shape), "dtype": str(np.dtype(dtype))}
        for name, shape, dtype in ports
    ]
    return f"export const {kind} = {literal(listed)};"


def _extent(extent: Size, program: Program) -> int | Index | None:
    """An extent as `outputs` has it: None is the batch size. An index is something else."""
    if isinstance(extent, int):
        return extent
    return None if extent == Index.variable(program.symbol) else extent


def _extents(program: Program) -> str:
    """(constant, multiple of the batch size) for every extent of every output."""
    shapes = [[_pair(extent, program) for extent in port.shape] for port in program.outputs]
    return f"const outputExtents = {literal(shapes)};"


def _pair(extent: Size, program: Program) -> tuple[int, int]:
    index = Index.of(extent)
    return index.constant, index.factor(program.symbol)


def _golden(golden: Golden, inputs: Sequence[PortSpec]) -> str:
    def decoded(data: bytes) -> str:
        return f'() => decode("{base64.b64encode(data).decode()}")'

    def data(array: NDArray) -> bytes:
        return little_endian(stored(array))

    ports = zip(golden.inputs, inputs, strict=True)
    batches = [len(array) for array, (_, shape, _) in ports if shape and shape[0] is None]
    samples = batches[0] if batches else 1
    fields = {
        "samples": literal(samples),
        "tolerance": literal(golden.tolerance),
        "outputs": decoded(b"".join(map(data, golden.outputs))),
    }
    if golden.seed is None:
        fields["inputs"] = f"[{', '.join(decoded(data(array)) for array in golden.inputs)}]"
    else:
        fields["seed"] = literal(golden.seed)
    return f"const golden = {{ {', '.join(f'{key}: {text}' for key, text in fields.items())} }};"
