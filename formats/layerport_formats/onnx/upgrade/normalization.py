"""Normalisation, softmax, dropout and recurrent layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from layerport.dim import Dim, is_static, static_shape
from layerport.errors import UnsupportedError
from layerport.ops.axes import normalize_axis

from layerport_formats.onnx.nodes import OnnxNode

from .sketch import ALWAYS, Asks, Rule, Sketch, without

# Softmax --------------------------------------------------------------------------------


def _flattening_softmax(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Before 13, all axes from `axis` on count as one."""
    x = node.inputs[0]
    rank = len(asks.shape(x))
    axis = normalize_axis(node.attributes.get("axis", 1), rank) if rank else 0
    if axis == rank - 1:
        return [node.with_(attributes={"axis": -1})]
    sketch = Sketch(node, asks)
    flat = sketch.apply(node.op, sketch.apply("Flatten", x, axis=axis), axis=-1)
    sketch.reshaped_like(flat, x, into=node.outputs[0])
    return sketch.nodes


# Batch normalisation --------------------------------------------------------------------


def _old_batch_norm(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Before 14, further outputs ask for training; before 9, `spatial` 0 keeps every element."""
    if any(node.outputs[1:]):
        raise UnsupportedError("training mode before operator set 14 is not supported")
    spatial = node.attributes.get("spatial", 1)
    node = without(node, "spatial", "is_test", "consumed_inputs", "momentum")
    node = node.with_(outputs=node.outputs[:1])
    if spatial:
        return [node]
    sketch = Sketch(node, asks)
    x, scale, bias, mean, variance = (
        name if i == 0 else sketch.apply("Unsqueeze", name, sketch.axes(0))
        for i, name in enumerate(node.inputs)
    )
    _normalize(sketch, x, mean, variance, scale, bias)
    return sketch.nodes


def _normalize(sketch: Sketch, x: str, mean: str, variance: str, scale: str, bias: str) -> None:
    node = sketch.node
    epsilon = sketch.constant(node.attributes.get("epsilon", 1e-5), sketch.asks.dtype(x))
    centred = sketch.apply("Sub", x, mean)
    deviation = sketch.apply("Sqrt", sketch.apply("Add", variance, epsilon))
    scaled = sketch.apply("Mul", sketch.apply("Div", centred, deviation), scale)
    sketch.apply("Add", scaled, bias, into=node.outputs[0])


def _batch_norm(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """In training mode: by the statistics of the batch, which move the averages."""
    if not node.attributes.get("training_mode", 0):
        return [without(node, "training_mode", "momentum").with_(outputs=node.outputs[:1])]
    sketch = Sketch(node, asks)
    x = node.inputs[0]
    rank = len(asks.shape(x))
    axes = sketch.axes(0, *range(2, rank))
    mean = sketch.apply("ReduceMean", x, axes, keepdims=1)
    centred = sketch.apply("Sub", x, mean)
    variance = sketch.apply("ReduceMean", sketch.apply("Mul", centred, centred), axes, keepdims=1)
    spread = [
        sketch.apply("Unsqueeze", name, sketch.axes(*range(1, rank - 1)))
        for name in node.inputs[1:3]
    ]
    _normalize(sketch, x, mean, variance, *spread)
    momentum = node.attributes.get("momentum", 0.9)
    moving = zip(node.outputs[1:], node.inputs[3:], (mean, variance), strict=False)
    for output, before, now in moving:
        if not output:
            continue
        dtype = asks.dtype(before)
        kept = sketch.apply("Mul", before, sketch.constant(momentum, dtype))
        flat = sketch.apply("Squeeze", now, axes)
        new = sketch.apply("Mul", flat, sketch.constant(1 - momentum, dtype))
        sketch.apply("Add", kept, new, into=output)
    return sketch.nodes


def _group_norm(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Before 21, there is one scale and bias for each group, not for each channel."""
    groups = node.attributes["num_groups"]
    channels = asks.shape(node.inputs[0])[1]
    if isinstance(channels, Dim) or channels % groups:
        raise UnsupportedError(f"{channels} channels are no {groups} groups")
    sketch = Sketch(node, asks)
    inputs = node.inputs[:1]
    for name in node.inputs[1:]:
        column = sketch.apply("Unsqueeze", name, sketch.axes(1))
        rows = sketch.apply("Tile", column, sketch.axes(1, channels // groups))
        inputs.append(sketch.apply("Reshape", rows, sketch.axes(-1)))
    return [*sketch.nodes, node.with_(inputs=inputs)]


# Dropout --------------------------------------------------------------------------------


def _dropout(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Nothing is dropped at inference; in training mode, what the seed says."""
    training = node.has(2) and bool(asks.require(node, 2).items[0])
    ratio = float(asks.require(node, 1).items[0]) if training and node.has(1) else 0.5
    sketch = Sketch(node, asks)
    x, y = node.inputs[0], node.outputs[0]
    if not training or ratio == 0:
        sketch.apply("Identity", x, into=y)
        if len(node.outputs) > 1 and node.outputs[1]:
            kind = bool if node.version >= 10 else asks.dtype(x)
            ones = sketch.constant(1, kind)
            sketch.apply("Expand", ones, sketch.apply("Shape", x), into=node.outputs[1])
        return sketch.nodes
    if "seed" not in node.attributes:
        raise UnsupportedError(
            "in training mode without a seed it gives other numbers at each run; export the "
            "model for inference"
        )
    shape = asks.shape(x)
    if not is_static(shape):
        raise UnsupportedError(f"in training mode the shape {shape} must be known")
    random = np.random.RandomState(node.attributes["seed"])
    mask = random.uniform(0, 1, static_shape(shape)) >= ratio
    kept = sketch.constant(mask)
    scaled = sketch.apply("Mul", x, sketch.constant(1 / (1 - ratio), asks.dtype(x)))
    sketch.apply("Where", kept, scaled, sketch.constant(0, asks.dtype(x)), into=y)
    if len(node.outputs) > 1 and node.outputs[1]:
        sketch.apply("Identity", kept, into=node.outputs[1])
    return sketch.nodes


def _recurrent(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Before 7, `output_sequence` said whether the first output is wanted."""
    return [without(node, "output_sequence")]


def _instance_norm(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    return [without(node, "consumed_inputs")]


RULES: Mapping[str, Sequence[tuple[int, Rule]]] = {
    "BatchNormalization": [(14, _old_batch_norm), (ALWAYS, _batch_norm)],
    "Dropout": [(ALWAYS, _dropout)],
    "GroupNormalization": [(21, _group_norm)],
    "InstanceNormalization": [(6, _instance_norm)],
    **{op: [(13, _flattening_softmax)] for op in ("Hardmax", "LogSoftmax", "Softmax")},
    **{op: [(7, _recurrent)] for op in ("GRU", "LSTM", "RNN")},
}
