"""Operators of ai.onnx.ml that stand around neural networks: scaling before, labels behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from layerport.errors import UnsupportedError
from onnx import TensorProto

from layerport_formats.onnx.nodes import OnnxNode

from .sketch import ALWAYS, Asks, LabelsError, Rule, Sketch


def _scaler(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """(x - offset) * scale, in float32."""
    sketch = Sketch(node, asks)
    x = sketch.apply("Cast", node.inputs[0], to=TensorProto.FLOAT)
    offset = sketch.constant(node.attributes.get("offset", (0.0,)), np.float32)
    scale = sketch.constant(node.attributes.get("scale", (1.0,)), np.float32)
    sketch.apply("Mul", sketch.apply("Sub", x, offset), scale, into=node.outputs[0])
    return sketch.nodes


def _linear_regressor(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """x @ coefficients.T + intercepts, in float32."""
    if node.attributes.get("post_transform", "NONE") != "NONE":
        raise UnsupportedError("post_transform is not supported")
    targets = node.attributes.get("targets", 1)
    sketch = Sketch(node, asks)
    x = sketch.apply("Cast", node.inputs[0], to=TensorProto.FLOAT)
    weights = np.array(node.attributes["coefficients"], np.float32).reshape(targets, -1)
    bias = np.array(node.attributes.get("intercepts", (0.0,) * targets), np.float32)
    product = sketch.apply("MatMul", x, sketch.constant(weights.T))
    sketch.apply("Add", product, sketch.constant(bias), into=node.outputs[0])
    return sketch.nodes


def _array_feature_extractor(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Elements of the last axis; from an array of names: the name of the class."""
    names = asks.text(node.inputs[0])
    if names is not None:
        raise LabelsError(names)
    sketch = Sketch(node, asks)
    x = node.inputs[0]
    if len(asks.shape(x)) == 1:
        x = sketch.apply("Unsqueeze", x, sketch.axes(0))
    places = sketch.apply("Reshape", node.inputs[1], sketch.axes(-1))
    sketch.apply("Gather", x, places, into=node.outputs[0], axis=-1)
    return sketch.nodes


def _zip_map(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """The array itself, in place of a list of mappings from labels to its elements."""
    labels = node.attributes.get("classlabels_strings") or node.attributes.get("classlabels_int64s")
    asks.name_classes([str(label) for label in labels or ()])
    return [node.with_(op="Identity", domain="", attributes={})]


RULES: Mapping[str, Sequence[tuple[int, Rule]]] = {
    "ai.onnx.ml.ArrayFeatureExtractor": [(ALWAYS, _array_feature_extractor)],
    "ai.onnx.ml.LinearRegressor": [(ALWAYS, _linear_regressor)],
    "ai.onnx.ml.Scaler": [(ALWAYS, _scaler)],
    "ai.onnx.ml.ZipMap": [(ALWAYS, _zip_map)],
}
