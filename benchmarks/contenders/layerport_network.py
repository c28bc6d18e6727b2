"""The networks in layerport's layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import layerport as lp

from benchmarks import networks as spec
from benchmarks.emotion import emotion_model


class Layout:
    """Connects layers.

    Parameters
    ----------
    channels_first : what ONNX files made by PyTorch are like, and runtimes of ONNX like best.
    """

    def __init__(self, *, channels_first: bool = False) -> None:
        self._format = {"data_format": "channels_first" if channels_first else "channels_last"}
        self._axis = 1 if channels_first else -1

    def apply(self, layer: spec.Layer, x: Any) -> Any:
        """Connect a layer to an outlet."""
        match layer:
            case spec.Dense(units, activation):
                return lp.Dense(units, activation=activation)(x)
            case spec.Conv(filters, size, activation, strides, padding, bias):
                return lp.Conv2D(filters, size, strides=strides, padding=padding, use_bias=bias,
                                 activation=activation, **self._format)(x)  # fmt: skip
            case spec.SeparableConv(filters, size):
                return lp.SeparableConv2D(
                    filters, size, padding="same", use_bias=False, **self._format
                )(x)
            case spec.MaxPool(size, strides, padding):
                pool = lp.MaxPooling2D(size, strides=strides, padding=padding, **self._format)
                return pool(x)
            case spec.BatchNorm():
                return lp.BatchNormalization(axis=self._axis)(x)
            case spec.LayerNorm():
                return lp.LayerNormalization()(x)
            case spec.Relu():
                return lp.Activation("relu")(x)
            case spec.Flatten():
                return lp.Flatten()(x)
            case spec.GlobalAverage() if len(x.shape) == 4:
                return lp.GlobalAveragePooling2D(**self._format)(x)
            case spec.GlobalAverage():
                return lp.GlobalAveragePooling1D()(x)
            case spec.SelfAttention(heads):
                return lp.MultiHeadAttention(heads, x.shape[-1] // heads)(x, x)
            case spec.Lstm(units):
                return lp.LSTM(units)(x)
            case spec.Residual(main, side):
                return lp.Add()([self.chain(main, x), self.chain(side, x)])

    def chain(self, layers: Sequence[spec.Layer], x: Any) -> Any:
        """Connect layers one after another."""
        for layer in layers:
            x = self.apply(layer, x)
        return x


def build(network: spec.Network, *, channels_first: bool = False) -> lp.Network:
    """The network, with softmax; the emotion model from its file, where there is one."""
    path = emotion_model() if network.name == "emotion" else None
    if path is not None and not channels_first:
        return lp.load(path)
    shape = network.shape
    if channels_first and len(shape) == 3:
        shape = (shape[2], *shape[:2])
    x = lp.Input(shape)
    made = lp.Network(x, lp.Activation("softmax")(Layout(channels_first=channels_first).chain(
        network.layers, x)))  # fmt: skip
    made.initialize(0)
    return made
