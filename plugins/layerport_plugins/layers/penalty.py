"""Penalties on what a layer computes."""

from __future__ import annotations

from layerport import ops
from layerport.layer import Array, Layer, Regularizer


def penalize(layer: Layer, y: Array, regularizer: Regularizer) -> Array:
    """Add the penalty of `y`, divided by the number of samples, to the loss; returns `y`."""
    penalty = layer.registry.regularizer(regularizer)
    if penalty is not None:
        samples = ops.count(y, 0)
        layer.add_loss(penalty(y) / samples.astype(y.dtype))
    return y
