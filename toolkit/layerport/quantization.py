"""Weights in fewer bits: rounded to float16, or to 8-bit integers with a scale for each channel.

Rounding happens once, in the graph: its weights become float32 numbers that fewer bits can hold
exactly. So everything that computes with the graph computes the same, whoever stores the weights in
whatever form; `layerport.loops.compact` finds the short form of such numbers again, without loss.

An int8 weight is ``code * scale`` with a whole code from -127 to 127 and one scale for each output
channel. Scales have 16 significant bits, so that the product is exact in float32.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from layerport.errors import UnsupportedError
from layerport.graph import Builder, Graph, Node, Value
from layerport.numpy_engine.reference import evaluate
from layerport.op import NDArray
from layerport.samples import sample_inputs

if TYPE_CHECKING:
    from layerport.network import Network

Storage: TypeAlias = Literal["float32", "float16", "int8"]

STORAGES: tuple[Storage, ...] = ("float32", "float16", "int8")

LARGEST_CODE = 127
SCALE_BITS = 16
"""Significant bits of a scale: with the 7 of a code they fit into the 24 of a float32."""

SMALLEST_WEIGHTS = 64
"""Arrays of fewer elements stay as they are."""


def checked_storage(text: str) -> Storage:
    """A way to store weights by its name.

    Raises
    ------
    UnsupportedError : when there is none of this name.
    """
    for storage in STORAGES:
        if text == storage:
            return storage
    raise UnsupportedError(f"option weights={text}: it is {', '.join(STORAGES)}")


def rounded(graph: Graph, storage: Storage) -> Graph:
    """The same graph with weights that this storage holds exactly.

    Weights are the constant operands that operators have output channels in (see
    `Op.channel_axis`). Biases and other small arrays stay as they are.
    """
    if storage == "float32":
        return graph

    def rule(build: Builder, node: Node, inputs: Sequence[Value | None]) -> Sequence[Value] | None:
        changed = [
            _rounded_operand(build, node, position, value, storage)
            for position, value in enumerate(inputs)
        ]
        if all(new is old for new, old in zip(changed, inputs, strict=True)):
            return None
        return build.add(node.op, *changed)

    return graph.replay(rule)


def _rounded_operand(
    build: Builder, node: Node, position: int, value: Value | None, storage: Storage
) -> Value | None:
    if value is None or value.constant is None or value.dtype.kind != "f":
        return value
    axis = node.op.channel_axis(position, value.ndim)
    array = value.constant
    if axis is None or array.size < SMALLEST_WEIGHTS or not np.isfinite(array).all():
        return value
    if storage == "float16":
        return build.constant(round_to_float16(array), array.dtype)
    return build.constant(round_to_int8(array, axis), array.dtype)


def round_to_float16(array: NDArray) -> NDArray:
    """The nearest float16 numbers; an array with larger ones than there are stays as it is."""
    with np.errstate(over="ignore"):
        made = array.astype(np.float16)
    return array if not np.isfinite(made).all() else made.astype(np.float32)


def round_to_int8(array: NDArray, axis: int) -> NDArray:
    """Multiples of a scale for each place on an axis; the largest is 127 times the scale."""
    others = tuple(k for k in range(array.ndim) if k != axis)
    largest = np.abs(array).max(axis=others, keepdims=True)
    scale = scales(largest / LARGEST_CODE)
    codes = np.rint(array / np.where(scale == 0, 1, scale))
    return (codes * scale).astype(np.float32)


def scales(wanted: NDArray) -> NDArray:
    """The next larger numbers of 16 significant bits, in float64."""
    mantissa, exponent = np.frexp(wanted.astype(np.float64))
    return np.asarray(np.ldexp(np.ceil(mantissa * 2**SCALE_BITS), exponent - SCALE_BITS))


# What it costs ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Cost:
    """What rounding does to the outputs of a network.

    Attributes
    ----------
    samples : how many random samples were tried.
    difference : the largest change of an output.
    largest : the largest output, to compare with.
    changes : samples whose largest output is another one.
    """

    samples: int
    difference: float
    largest: float
    changes: int

    def __str__(self) -> str:
        return (
            f"outputs change by {self.difference:.2g} at most, where {self.largest:.2g} is the "
            f"largest; the largest output becomes another one in {self.changes} of "
            f"{self.samples} random samples"
        )


def cost(network: Network, graph: Graph, samples: int = 32) -> Cost:
    """Compare a network with its rounded graph on random samples."""
    inputs = sample_inputs(network, samples)
    made = network.predict(inputs if len(inputs) > 1 else inputs[0])
    before = made if isinstance(made, list) else [made]
    after = compute(network, graph, inputs)
    difference = largest = 0.0
    changed = np.zeros(samples, bool)
    for old, new in zip(before, after, strict=True):
        if not old.size:
            continue
        a, b = np.asarray(old, np.float64), np.asarray(new, np.float64)
        difference = max(difference, float(np.abs(a - b).max()))
        largest = max(largest, float(np.abs(a).max()))
        if a.ndim > 1 and len(a) == samples and a.shape[-1] > 1:
            other = a.argmax(axis=-1) != b.argmax(axis=-1)
            changed |= other.reshape(samples, -1).any(axis=1)
    return Cost(samples, difference, largest, int(changed.sum()))


def compute(network: Network, graph: Graph, inputs: Sequence[NDArray]) -> list[NDArray]:
    """The outputs of a graph of a network without parameters."""
    feeds = network.feeds(list(inputs) if len(inputs) > 1 else inputs[0])
    return evaluate(graph, feeds, {})[0]
