"""What every target language needs of a network before it prints: the graph with its weights, what
goes in and out, and golden samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from layerport.errors import UnsupportedError
from layerport.format import WriteContext
from layerport.graph import Graph
from layerport.op import NDArray
from layerport.quantization import Storage, checked_storage, compute, cost, rounded
from layerport.samples import sample_inputs

if TYPE_CHECKING:
    from layerport.network import Network

GOLDEN_SAMPLES = 4
TOLERANCE = 1e-5
"""How far a golden output may be off, relative to the largest one and to itself."""

PortSpec: TypeAlias = "tuple[str, Sequence[int | None], str]"
"""Name, shape with None for the batch, NumPy dtype."""


class Golden(NamedTuple):
    """Inputs, the outputs that belong to them, and how far off a run may be."""

    inputs: Sequence[NDArray]
    outputs: Sequence[NDArray]
    tolerance: float


@dataclass(frozen=True)
class Export:
    """A network as a printer gets it.

    Attributes
    ----------
    graph : all parameters are constants.
    inputs, outputs : in the graph's order.
    labels : names of the classes, or None.
    name : for a comment.
    storage : how weights are to be stored; they are rounded already.
    """

    graph: Graph
    inputs: Sequence[PortSpec]
    outputs: Sequence[PortSpec]
    labels: Sequence[str] | None
    golden: Golden
    name: str
    storage: Storage = "float32"


def export(network: Network, context: WriteContext, language: str) -> Export:
    """Prepare a network for printing in a language; `WEIGHTS` among the options is seen to.

    Raises
    ------
    UnsupportedError : naming every input that has more open extents than the batch.
    """
    inputs: list[PortSpec] = [(port.name, port.shape, port.dtype) for port in network.inputs]
    check_inputs(inputs, language)
    if any(array.dtype == np.float64 for array in network.weights.values()):
        context.note("approximated", "the float64 weights, which the file has in float32")
    samples = sample_inputs(network, GOLDEN_SAMPLES)
    storage = checked_storage(str(context.options.get("weights", "float32")))
    graph = network.lower().replay(constants=network.parameters)
    if storage == "float32":
        made = network.predict(samples if len(samples) > 1 else samples[0])
        expected = made if isinstance(made, list) else [made]
    else:
        graph = rounded(graph, storage)
        expected = compute(network, graph, samples)
        context.note("approximated", f"weights as {storage}: {cost(network, graph)}")
        context.reference = lambda given: compute(network, graph, given)
    return Export(
        graph,
        inputs,
        [(port.name, port.shape, port.dtype) for port in network.outputs],
        network.labels,
        Golden(samples, expected, TOLERANCE),
        network.name or "model",
        storage,
    )


def check_inputs(inputs: Sequence[PortSpec], language: str) -> None:
    """Refuse inputs with open extents beside the batch; all of them are named."""
    problems = [
        f"the input {name!r} has the shape {tuple(shape)}"
        for name, shape, _ in inputs
        if None in shape[1:]
    ]
    if problems:
        raise UnsupportedError(
            f"{language} needs every extent but the batch",
            problems,
            hint="give the inputs of the network fixed sizes",
        )
