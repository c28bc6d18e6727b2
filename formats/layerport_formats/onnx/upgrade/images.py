"""Resizing and sampling of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from layerport.errors import UnsupportedError

from layerport_formats.onnx.nodes import OnnxNode

from .sketch import ALWAYS, Asks, Rule, with_defaults, without

_OLD = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
"""How Upsample, and Resize before 11, find the element that a place comes from."""


def _upsample(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Scales are an operand since 9, an attribute since 7, width and height before."""
    scales = node.inputs[1] if node.has(1) else ""
    if "scales" in node.attributes:
        scales = asks.constant(node.attributes["scales"], np.float32)
    elif "height_scale" in node.attributes and "width_scale" in node.attributes:
        sizes = node.attributes["height_scale"], node.attributes["width_scale"]
        scales = asks.constant([1, 1, *sizes], np.float32)
    if not scales:
        raise UnsupportedError("it has no scales")
    mode = node.attributes.get("mode", "nearest")
    attributes = {"mode": "linear" if mode == "bilinear" else mode, **_OLD}
    return [node.with_(op="Resize", inputs=[node.inputs[0], "", scales], attributes=attributes,
                       version=11)]  # fmt: skip


def _resize(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Before 11, the only operand beside the tensor is its scales."""
    inputs = [node.inputs[0], "", node.inputs[1]]
    return [node.with_(inputs=inputs, attributes={**_OLD, **node.attributes})]


_GRID_MODES = {"bilinear": "linear", "bicubic": "cubic"}


def _grid_sample(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    mode = node.attributes.get("mode", "bilinear")
    renamed = {**node.attributes, "mode": _GRID_MODES.get(mode, mode)}
    return [node.with_(attributes=renamed)]


def _lp_pool(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
    """Before 2, the exponent is a float."""
    p = node.attributes.get("p", 2.0)
    if p != int(p):
        raise UnsupportedError(f"the exponent {p} is no integer")
    return [without(node, "p").with_(attributes={**node.attributes, "p": int(p)})]


RULES: Mapping[str, Sequence[tuple[int, Rule]]] = {
    "GlobalLpPool": [(2, _lp_pool)],
    "GridSample": [(20, _grid_sample)],
    "LpPool": [(2, _lp_pool)],
    "Resize": [(11, _resize)],
    "RoiAlign": [(16, with_defaults(coordinate_transformation_mode="output_half_pixel"))],
    "Upsample": [(ALWAYS, _upsample)],
}
