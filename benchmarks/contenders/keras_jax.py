"""Keras on JAX."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from benchmarks import networks as spec
from benchmarks.contenders.base import LEARNING_RATE, MOMENTUM, Contender, Unable
from benchmarks.data import Samples


def apply(layer: spec.Layer, x: Any) -> Any:
    """Connect a layer to a tensor."""
    layers = keras.layers
    match layer:
        case spec.Dense(units, activation):
            return layers.Dense(units, activation=activation)(x)
        case spec.Conv(filters, size, activation, strides, padding, bias):
            return layers.Conv2D(filters, size, strides, padding, activation=activation,
                                 use_bias=bias)(x)  # fmt: skip
        case spec.SeparableConv(filters, size):
            return layers.SeparableConv2D(filters, size, padding="same", use_bias=False)(x)
        case spec.MaxPool(size, strides, padding):
            return layers.MaxPooling2D(size, strides, padding)(x)
        case spec.BatchNorm():
            return layers.BatchNormalization()(x)
        case spec.LayerNorm():
            return layers.LayerNormalization()(x)
        case spec.Relu():
            return layers.ReLU()(x)
        case spec.Flatten():
            return layers.Flatten()(x)
        case spec.GlobalAverage():
            image = len(x.shape) == 4
            return (layers.GlobalAveragePooling2D if image else layers.GlobalAveragePooling1D)()(x)
        case spec.SelfAttention(heads):
            return layers.MultiHeadAttention(heads, x.shape[-1] // heads)(x, x)
        case spec.Lstm(units):
            return layers.LSTM(units)(x)
        case spec.Residual(main, side):
            return layers.Add()([apply_all(main, x), apply_all(side, x)])


def apply_all(layers: tuple[spec.Layer, ...], x: Any) -> Any:
    """Connect layers one after another."""
    for layer in layers:
        x = apply(layer, x)
    return x


class KerasOnJax(Contender):
    """Trains with `fit`; answers with `predict_on_batch`, which is compiled."""

    packages = ("keras", "jax")

    def __init__(self, network: spec.Network, threads: int, samples: Samples) -> None:
        super().__init__(network, threads, samples)
        if keras.backend.backend() != "jax":
            raise Unable(f"Keras runs on {keras.backend.backend()}")
        keras.utils.set_random_seed(0)
        inputs = keras.Input(network.shape)
        logits = apply_all(network.layers, inputs)
        self._model = keras.Model(inputs, keras.layers.Softmax()(logits))
        self._trained = keras.Model(inputs, logits)
        self._trained.compile(
            keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        self._model.compile()

    @property
    def parameters(self) -> int:
        return int(sum(np.prod(weight.shape) for weight in self._model.weights))

    def train(self, count: int, batch: int, epochs: int) -> None:
        self._trained.fit(self.samples.x[:count], self.samples.y[:count], batch_size=batch,
                          epochs=epochs, verbose=0)  # fmt: skip

    def predict(self, x: Any) -> Any:
        return self._model.predict_on_batch(x)
