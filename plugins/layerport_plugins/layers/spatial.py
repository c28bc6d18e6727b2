"""What layers with spatial axes share: Keras's layouts, and convolution in them.

Operators have the channels first, as ONNX wants it; these functions transpose where a layer has
them last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from layerport import ops
from layerport.layer import Array


def channel_axis(data_format: str | None) -> int:
    """Which axis holds the channels."""
    return 1 if data_format == "channels_first" else -1


def channels_first(x: Array, data_format: str | None) -> Array:
    """`x` with its channels at axis 1."""
    return x if data_format == "channels_first" else np.moveaxis(x, -1, 1)


def channels_back(x: Array, data_format: str | None) -> Array:
    """A result with channels at axis 1, laid out as the layer has it."""
    return x if data_format == "channels_first" else np.moveaxis(x, 1, -1)


def onnx_weights(kernel: Array) -> Array:
    """(*window, in, out) as (out, in, *window)."""
    rank = kernel.ndim - 2
    return np.transpose(kernel, (rank + 1, rank, *range(rank)))


def depthwise_weights(kernel: Array) -> Array:
    """(*window, channels, multiplier) as (channels * multiplier, 1, *window)."""
    *window, channels, multiplier = kernel.shape
    rank = len(window)
    ordered = np.transpose(kernel, (rank, rank + 1, *range(rank)))
    return ordered.reshape(channels * multiplier, 1, *window)


def window_fields(padding: str, strides: Sequence[int], reaches: Sequence[int]) -> dict[str, Any]:
    """Attributes of an operator with windows that move as Keras's do.

    Parameters
    ----------
    padding : "valid", "same", or "causal" for all zeros before.
    strides : one an axis.
    reaches : how far the last element of a window lies behind its first, along each axis.
    """
    if padding == "causal":
        return {"strides": tuple(strides), "pads": (*reaches, *(0 for _ in reaches))}
    auto_pad = "SAME_UPPER" if padding == "same" else "NOTSET"
    return {"strides": tuple(strides), "auto_pad": auto_pad}


def convolve(
    x: Array,
    weights: Array,
    bias: Array | None,
    *,
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: str,
    group: int = 1,
) -> Array:
    """Convolution with channels first and weights laid out as ONNX has them."""
    kernel = tuple(weights.shape[2:])
    reaches = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
    fields = window_fields(padding, strides, reaches)
    # Written out: not every runtime takes auto_pad together with dilations.
    op = ops.Conv(**fields, dilations=tuple(dilations), group=group).explicit(x.shape[2:], kernel)
    return op(x, weights) if bias is None else op(x, weights, bias)
