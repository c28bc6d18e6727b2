"""Arithmetic, comparison and activations: broadcasting by attributes, bounds as attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ml_dtypes
import numpy as np
from layerport.errors import UnsupportedError
from onnx import TensorProto

from layerport_formats.onnx.fields import dtype_code, dtype_name
from layerport_formats.onnx.nodes import OnnxNode

from .sketch import ALWAYS, Asks, Rule, Sketch, with_defaults, without


def _no_consumed_inputs(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    return [without(node, "consumed_inputs")]


def _named_broadcast(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Before 7, `axis` says with which axis of the first operand the second one begins."""
    axis = node.attributes.get("axis")
    node = without(node, "axis", "broadcast", "consumed_inputs")
    if axis is None:
        return [node]
    sketch = Sketch(node, asks)
    rank, other = len(asks.shape(node.inputs[0])), len(asks.shape(node.inputs[1]))
    behind = rank - (axis % rank if rank else 0) - other
    second = node.inputs[1]
    if behind > 0:
        second = sketch.apply("Unsqueeze", second, sketch.axes(*range(other, other + behind)))
    return [*sketch.nodes, node.with_(inputs=[node.inputs[0], second])]


def _prelu(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Before 7, a vector of slopes belongs to the channels, axis 1."""
    node = without(node, "consumed_inputs")
    shape, slope = asks.shape(node.inputs[0]), asks.shape(node.inputs[1])
    if len(slope) != 1 or slope[0] == 1 or len(shape) <= 2:
        return [node]
    sketch = Sketch(node, asks)
    spread = sketch.apply("Unsqueeze", node.inputs[1], sketch.axes(*range(1, len(shape) - 1)))
    return [*sketch.nodes, node.with_(inputs=[node.inputs[0], spread])]


def _clip(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Before 11, the bounds are attributes."""
    dtype = asks.dtype(node.inputs[0])
    inputs = node.inputs[:1]
    for name in ("min", "max"):
        bound = node.attributes.get(name)
        inputs.append("" if bound is None else asks.constant(bound, dtype))
    return [without(node, "min", "max", "consumed_inputs").with_(inputs=inputs)]


def _cast(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Before 6, the type is named."""
    to = node.attributes.get("to")
    if isinstance(to, str):
        codes = dict(TensorProto.DataType.items())
        if to.upper() not in codes:
            raise UnsupportedError(f"there is no element type {to!r}")
        return [node.with_(attributes={"to": codes[to.upper()]})]
    return [node]


def _cast_like(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    code = dtype_code(asks.dtype(node.inputs[1]))
    attributes = {**node.attributes, "to": code}
    return [node.with_(op="Cast", inputs=node.inputs[:1], attributes=attributes)]


def _saturating_cast(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """To float8: what is out of range becomes the largest number, unless `saturate` is 0."""
    name = dtype_name(node.attributes["to"])
    kind = asks.dtype(node.inputs[0])
    if not name.startswith("float8") or not node.attributes.get("saturate", 1) or kind.kind != "f":
        return [node]
    if "e8m0" in name:
        raise UnsupportedError(f"rounding to {name} is not supported")
    largest = float(ml_dtypes.finfo(name).max)  # type: ignore[no-untyped-call]
    sketch = Sketch(node, asks)
    low, high = (sketch.constant(sign * largest, kind) for sign in (-1, 1))
    clipped = sketch.apply("Clip", node.inputs[0], low, high)
    return [*sketch.nodes, node.with_(inputs=[clipped])]


def _gemm(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    return [without(node, "broadcast")]


def _size(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """The number of elements is the product of the extents."""
    sketch = Sketch(node, asks)
    shape = sketch.apply("Shape", node.inputs[0])
    sketch.apply("ReduceProd", shape, sketch.axes(0), into=node.outputs[0], keepdims=0)
    return sketch.nodes


def _tile(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Before 6, one axis is repeated: operands are their number and the axis."""
    tiles = asks.require(node, 1).items[0]
    axis = asks.require(node, 2).items[0]
    repeats = np.ones(len(asks.shape(node.inputs[0])), np.int64)
    repeats[axis] = tiles
    return [node.with_(inputs=[node.inputs[0], asks.constant(repeats)])]


RULES: Mapping[str, Sequence[tuple[int, Rule]]] = {
    **{op: [(7, _named_broadcast)] for op in (
        "Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less",
    )},
    **{op: [(6, _no_consumed_inputs)] for op in (
        "Abs", "Ceil", "Elu", "Exp", "Floor", "LeakyRelu", "Log", "Max", "Mean", "Min", "Neg",
        "Reciprocal", "Relu", "Sigmoid", "Sqrt", "Sum", "Tanh",
    )},
    "Cast": [(6, _cast), (ALWAYS, _saturating_cast)],
    "CastLike": [(ALWAYS, _cast_like)],
    "Clip": [(11, _clip)],
    "Gemm": [(7, _gemm)],
    "HardSigmoid": [(6, _no_consumed_inputs)],
    "PRelu": [(7, _prelu)],
    "Selu": [(5, with_defaults(alpha=1.6732, gamma=1.0507)), (6, _no_consumed_inputs)],
    "Size": [(ALWAYS, _size)],
    "Tile": [(6, _tile)],
}  # fmt: skip
