"""What the modules around every engine consist of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from layerport.errors import UnsupportedError
from layerport.graph import Graph
from layerport.loops.index import Index, Size
from layerport.loops.ir import Buffer, Program
from layerport.loops.lowering import lower
from layerport.loops.target import Target
from layerport.op import NDArray

from layerport_formats.javascript.declarations import declarations
from layerport_formats.javascript.literals import literal
from layerport_formats.javascript.minify import reachable, selected
from layerport_formats.training import Training, TrainingPrograms

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

    def samples(self, inputs: Sequence[PortSpec]) -> int:
        """How many there are; 1 where no input has a batch."""
        ports = zip(self.inputs, inputs, strict=True)
        batches = [len(array) for array, (_, shape, _) in ports if shape and shape[0] is None]
        return batches[0] if batches else 1


class Learner(NamedTuple):
    """What a module needs to learn: the step, and the template of layers.json."""

    training: Training
    saved: Mapping[str, Any]


class Lowered(NamedTuple):
    """A model for one target.

    Attributes
    ----------
    step : the name of the function that learns, or "".
    public : the buffers that the runtime touches, in the same order for every target.
    training : the programs of a model that learns.
    """

    program: Program
    step: str
    public: Sequence[Buffer]
    training: TrainingPrograms | None = None

    @property
    def entries(self) -> dict[str, str]:
        """The functions that the runtime calls: name -> name in the program."""
        step = {"runTraining": self.step} if self.step else {}
        return {"run": self.program.functions[-1].name, **step}


@dataclass(frozen=True)
class Model:
    """What is to be printed.

    Attributes
    ----------
    graph : all its parameters bound to constants.
    inputs, outputs : what the module reports, in the graph's order.
    labels : names of the classes.
    golden : what `selfTest` checks; without it the module has none.
    learner : what the module needs to learn; its graphs are printed instead of `graph`.
    """

    graph: Graph
    inputs: Sequence[PortSpec]
    outputs: Sequence[PortSpec]
    labels: Sequence[str] | None = None
    golden: Golden | None = None
    learner: Learner | None = None

    def check(self) -> None:
        """Refuse weights without values, and inputs with open extents beside the batch.

        Raises
        ------
        UnsupportedError : naming all of them.
        """
        if self.learner is None and self.graph.parameters:
            missing = ", ".join(repr(value.name) for value in self.graph.parameters)
            raise UnsupportedError(f"the weights {missing} have no values; bind them first")
        check_inputs(self.inputs)

    def lower(self, target: Target) -> Lowered:
        """The programs for a target."""
        if self.learner is not None:
            return _learning(self.learner.training.lower(target))
        program = lower(self.graph, target)
        if program.symbol and not program.splittable:
            program = lower(self.graph, target, batch=LARGEST_UNSPLIT_BATCH)
        return Lowered(program, "", [p.buffer for p in (*program.inputs, *program.outputs)])

    def declarations(self) -> str:
        """The TypeScript declarations of a module."""
        targets = None if self.learner is None else self.learner.training.targets
        has_golden = self.golden is not None
        return declarations(self.inputs, self.outputs, has_golden=has_golden, targets=targets)

    def features(self, program: Program) -> set[str]:
        """What the model needs of the runtime: the names behind ``//#if``."""
        kinds = [
            {np.dtype(dtype).kind for _, _, dtype in ports} for ports in (self.inputs, self.outputs)
        ]
        plain = (int, type(None))
        extents = [_extent(e, program) for port in program.outputs for e in port.shape]
        found = {
            "ints": kinds[0] != {"f"} or self.learner is not None,
            "types": kinds[1] != {"f"},
            "inputs": len(self.inputs) > 1,
            "results": len(self.outputs) > 1,
            "fixed": any(not shape or shape[0] is not None for _, shape, _ in self.inputs),
            "affine": not all(isinstance(extent, plain) for extent in extents),
            "whole": not program.splittable,
            "drawn": self.golden is not None and self.golden.seed is not None,
        }
        return {name for name, is_needed in found.items() if is_needed}


def _learning(programs: TrainingPrograms) -> Lowered:
    program = programs.program
    ports = [
        *(*program.inputs, *program.outputs, *programs.inputs, *programs.targets),
        *(programs.rate, programs.count, *programs.random, programs.loss),
    ]
    states = sorted(program.of_kind("state"), key=lambda buffer: buffer.source)
    return Lowered(program, programs.entry, [*(p.buffer for p in ports), *states], programs)


def runtime(names: Sequence[str], features: set[str]) -> str:
    """The part that is written by hand, or what is needed of it."""
    folder = Path(__file__).parent
    files = ["runtime.js"]
    files += ["selftest.js"] * ("selfTest" in names) + ["training.js"] * ("train" in names)
    sources = [selected((folder / f).read_text(encoding="utf-8"), features) for f in files]
    return reachable("\n".join(sources), names)


def check_inputs(inputs: Sequence[PortSpec]) -> None:
    """Refuse inputs with open extents beside the batch; all of them are named."""
    problems = [
        f"the input {name!r} has the shape {tuple(shape)}"
        for name, shape, _ in inputs
        if None in shape[1:]
    ]
    if problems:
        raise UnsupportedError(
            "JavaScript and WebAssembly need every extent but the batch",
            problems,
            hint="give the inputs of the network fixed sizes",
        )


def ports_text(kind: str, ports: Sequence[PortSpec]) -> str:
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


def extents_text(program: Program) -> str:
    """(constant, multiple of the batch size) for every extent of every output."""
    shapes = [[_pair(extent, program) for extent in port.shape] for port in program.outputs]
    return f"const outputExtents = {literal(shapes)};"


def _pair(extent: Size, program: Program) -> tuple[int, int]:
    index = Index.of(extent)
    return index.constant, index.factor(program.symbol)
