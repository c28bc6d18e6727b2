"""Shapes, slices, pads and splits: what was an attribute is an operand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from layerport_formats.onnx.nodes import OnnxNode

from .sketch import ALWAYS, Asks, Rule, attributes_as_operands, renamed, with_defaults, without


def _reshape(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Before 5, the shape is an attribute."""
    shape = asks.constant(node.attributes.get("shape", ()), np.int64)
    return [
        without(node, "shape", "consumed_inputs").with_(inputs=[node.inputs[0], shape])
    ]  # fmt: skip


def _pad(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Before 11, widths (before 2 called paddings) and filling are attributes."""
    widths = node.attributes.get("pads", node.attributes.get("paddings"))
    inputs = [node.inputs[0], "" if widths is None else asks.constant(widths, np.int64)]
    if node.attributes.get("mode", "constant") == "constant" and "value" in node.attributes:
        inputs.append(asks.constant(node.attributes["value"], asks.dtype(node.inputs[0])))
    return [without(node, "pads", "paddings", "value").with_(inputs=inputs)]


def _split_attribute(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Before 13, the parts are an attribute."""
    if "split" not in node.attributes:
        return [node]
    parts = asks.constant(node.attributes["split"], np.int64)
    return [without(node, "split").with_(inputs=[node.inputs[0], parts])]


def _split_evenly(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Before 18, the number of outputs says into how many equal parts to split."""
    if node.has(1):
        return [node]
    return [node.with_(attributes={**node.attributes, "num_outputs": len(node.outputs)})]


def _top_k(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    k = asks.constant([node.attributes["k"]], np.int64)
    return [without(node, "k").with_(inputs=[node.inputs[0], k])]


def _non_zero(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Where a tensor is not zero decides a shape, so the tensor must be known."""
    found = np.array(np.nonzero(asks.require(node, 0).array), np.int64)
    return [node.with_(op="Identity", inputs=[asks.constant(found)], attributes={})]


RULES: Mapping[str, Sequence[tuple[int, Rule]]] = {
    "Concat": [(4, with_defaults(axis=1))],
    "NonZero": [(ALWAYS, _non_zero)],
    "Pad": [(11, _pad)],
    "Reshape": [(5, _reshape)],
    "Scatter": [(ALWAYS, renamed("ScatterElements"))],
    "Slice": [(10, attributes_as_operands("starts", "ends", "axes"))],
    "Split": [(13, _split_attribute), (18, _split_evenly)],
    "Squeeze": [(13, attributes_as_operands("axes"))],
    "TopK": [(10, _top_k)],
    "Unsqueeze": [(13, attributes_as_operands("axes"))],
}
