"""layerport on its NumPy engine."""

from __future__ import annotations

import inspect
from typing import Any

import layerport as lp
import numpy as np

from benchmarks import networks as spec
from benchmarks.contenders.base import LEARNING_RATE, MOMENTUM, Contender
from benchmarks.data import Samples
from benchmarks.emotion import emotion_model


class SelfAttention(lp.Layer):
    """Scaled dot-product attention, written as anybody would in NumPy."""

    heads: int
    kernel: lp.Array
    bias: lp.Array
    output_kernel: lp.Array
    output_bias: lp.Array

    def build(self, input_shape: Any) -> dict[str, lp.Weight]:
        d = input_shape[-1]
        return {
            "kernel": lp.Weight((d, 3 * d)),
            "bias": lp.Weight((3 * d,), "zeros"),
            "output_kernel": lp.Weight((d, d)),
            "output_bias": lp.Weight((d,), "zeros"),
        }

    def call(self, x: Any) -> Any:
        _, length, d = x.shape
        size = d // self.heads
        projected = (x @ self.kernel + self.bias).reshape(-1, length, 3, self.heads, size)
        q, k, v = (projected[:, :, i].swapaxes(1, 2) for i in range(3))
        scores = q @ k.swapaxes(2, 3) / np.sqrt(size)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights = scores / scores.sum(axis=-1, keepdims=True)
        joined = (weights @ v).swapaxes(1, 2).reshape(-1, length, d)
        return joined @ self.output_kernel + self.output_bias


def apply(layer: spec.Layer, x: Any) -> Any:
    """Connect a layer to an outlet."""
    match layer:
        case spec.Dense(units, activation):
            return lp.Dense(units, activation=activation)(x)
        case spec.Conv(filters, size, activation, strides, padding, bias):
            return lp.Conv2D(filters, size, activation=activation, strides=strides,
                             padding=padding, use_bias=bias)(x)  # fmt: skip
        case spec.SeparableConv(filters, size):
            return lp.SeparableConv2D(filters, size, padding="same", use_bias=False)(x)
        case spec.MaxPool(size, strides, padding):
            return lp.MaxPooling2D(size, strides=strides, padding=padding)(x)
        case spec.BatchNorm():
            return lp.BatchNormalization()(x)
        case spec.LayerNorm():
            return lp.LayerNormalization()(x)
        case spec.Relu():
            return lp.Activation("relu")(x)
        case spec.Flatten():
            return lp.Flatten()(x)
        case spec.GlobalAverage():
            kind = lp.GlobalAveragePooling2D if len(x.shape) == 4 else lp.GlobalAveragePooling1D
            return kind()(x)
        case spec.SelfAttention(heads):
            return SelfAttention(heads)(x)
        case spec.Lstm(units):
            return lp.LSTM(units)(x)
        case spec.Residual(main, side):
            return lp.Add()([apply_all(main, x), apply_all(side, x)])


def apply_all(layers: tuple[spec.Layer, ...], x: Any) -> Any:
    """Connect layers one after another."""
    for layer in layers:
        x = apply(layer, x)
    return x


def build(network: spec.Network) -> lp.Network:
    """The network, with softmax; the emotion model from its file, where there is one."""
    path = emotion_model() if network.name == "emotion" else None
    if path is not None:
        return lp.load(path)
    x = lp.Input(network.shape)
    made = lp.Network(x, lp.Activation("softmax")(apply_all(network.layers, x)))
    made.initialize(0)
    return made


class Layerport(Contender):
    """Trains with `fit`, answers with `predict`."""

    packages = ("layerport", "numpy")

    def __init__(self, network: spec.Network, threads: int, samples: Samples) -> None:
        super().__init__(network, threads, samples)
        self._network = build(network)
        self._network.compile(
            lp.SGD(LEARNING_RATE, momentum=MOMENTUM), "sparse_categorical_crossentropy"
        )
        # What the engine is told only where it can be told.
        known = inspect.signature(self._network.fit).parameters
        self._threads: dict[str, Any] = {"threads": threads} if "threads" in known else {}

    @property
    def parameters(self) -> int:
        return sum(array.size for array in self._network.parameters.values())

    def train(self, count: int, batch: int, epochs: int) -> None:
        self._network.fit(self.samples.x[:count], self.samples.y[:count], batch_size=batch,
                          epochs=epochs, seed=1, verbose=0, **self._threads)  # fmt: skip

    def predict(self, x: Any) -> Any:
        return self._network.predict(x, **self._threads)
