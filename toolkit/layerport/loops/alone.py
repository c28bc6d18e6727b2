"""Programs that take one sample at a time, for graphs that mix the batch with other axes.

A sequence-first model reshapes (time, batch, features) to (time * batch, features), which is not
affine in the batch size. With a batch of 1 it is an ordinary program; the caller runs it sample by
sample, which gives the same as long as samples do not influence each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from layerport.dim import Shape, bind_shape, static_shape
from layerport.errors import UnsupportedError
from layerport.graph import Graph, Value
from layerport.loops.ir import Port, Program
from layerport.loops.views import Batch
from layerport.numpy_engine.reference import evaluate
from layerport.op import NDArray

SAMPLES = 3


def keeps_samples_apart(graph: Graph, dim: str) -> bool:
    """Whether a batch gives what its samples give one by one, on random inputs."""
    values = [*graph.inputs, *graph.parameters]
    if not all(_leads(value.shape, dim) for value in (*graph.inputs, *graph.outputs)):
        return False
    arrays = {value.name: _draw(value, dim, seed) for seed, value in enumerate(values)}
    names = {value.name for value in graph.inputs}
    inputs = {name: array for name, array in arrays.items() if name in names}
    parameters = {name: array for name, array in arrays.items() if name not in names}
    together, _ = evaluate(graph, inputs, parameters)
    for sample in range(SAMPLES):
        alone = {name: array[sample : sample + 1] for name, array in inputs.items()}
        outputs, _ = evaluate(graph, alone, parameters)
        pairs = zip(together, outputs, strict=True)
        if not all(_close(a[sample : sample + 1], b) for a, b in pairs):
            return False
    return True


def _leads(shape: Shape, dim: str) -> bool:
    """Whether the batch is the first axis, and no other depends on it."""
    sizes = Batch(dim, "n", 1).sizes(shape)
    return len(sizes) > 0 and not isinstance(sizes[0], int) and all(
        isinstance(size, int) for size in sizes[1:]
    )  # fmt: skip


def _draw(value: Value, dim: str, seed: int) -> NDArray:
    random = np.random.default_rng(seed)
    shape = static_shape(bind_shape(value.shape, {dim: SAMPLES}))
    if value.dtype.kind == "f":
        return random.standard_normal(shape).astype(value.dtype)
    return random.integers(0, 2, shape).astype(value.dtype)


def _close(a: NDArray, b: NDArray) -> bool:
    scale = float(np.abs(b).max(initial=0))
    return bool(np.allclose(a, b, rtol=1e-4, atol=1e-4 * scale, equal_nan=True))


def with_batch(program: Program, graph: Graph, batch: Batch) -> Program:
    """A program for one sample as one for batches that the caller takes apart.

    Raises
    ------
    UnsupportedError : when samples influence each other.
    """
    if not keeps_samples_apart(graph, batch.dim):
        raise UnsupportedError(
            "this model mixes the batch with other axes, and its samples influence each other, "
            "which cannot be printed as loops",
            hint="give the batch a fixed size before exporting",
        )
    *others, entry = program.functions
    return replace(
        program,
        functions=(*others, replace(entry, parameters=(batch.variable,))),
        inputs=_ports(program.inputs, graph.inputs, batch),
        outputs=_ports(program.outputs, graph.outputs, batch),
        symbol=batch.variable,
        splittable=True,
    )


def _ports(ports: Sequence[Port], values: Sequence[Value], batch: Batch) -> tuple[Port, ...]:
    return tuple(
        replace(port, shape=batch.sizes(value.shape))
        for port, value in zip(ports, values, strict=True)
    )
