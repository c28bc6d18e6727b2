"""The layer of js-mind, whose dropout differs from everybody else's.

js-mind drops elements of a layer's own *input* and scales nothing in training; in inference it
multiplies the weighted sum, not the bias, by what is kept on average::

    training:   activation(w @ dropped(x) + b)
    inference:  activation((1 - p) * (w @ x) + b)

`JsMindDense` holds w and b as js-mind's files do, so that a file read and written is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from layerport.layer import Array, Initializer, InputShape, Layer, Weight, built
from layerport.op import NDArray

from layerport_plugins.layers.arguments import (
    ActivationLike,
    check_count,
    check_number,
    check_rank,
    known_extent,
)
from layerport_plugins.layers.core import Dense
from layerport_plugins.layers.regularization import Dropout, drop


class JsMindDense(Layer):
    """A fully connected layer with js-mind's dropout on its input.

    Parameters
    ----------
    units : extent of the result.
    activation : name, function or layer. It alone decides what is computed.
    p_dropout : the probability of an input element to be dropped, below 1.
    class_name : what js-mind calls the layer in files.
    w_initializer, b_initializer : see `Weight`; the defaults are js-mind's.

    Shapes
    ------
    (batch, inputs) -> (batch, units); w (units, inputs), b (units, 1).
    """

    units: int
    activation: ActivationLike = "sigmoid"
    p_dropout: float = 0.0
    class_name: str = "FullyConnectedLayer"
    w_initializer: Initializer = "js_mind"
    b_initializer: Initializer = "js_mind"

    w: Array = built()
    b: Array = built()

    def validate(self) -> None:
        check_count(self, "units")
        check_number(self, "p_dropout", least=0, most=1)

    def build(self, input_shape: InputShape) -> Mapping[str, Weight]:
        check_rank(self, input_shape, 2)
        shape = (self.units, known_extent(self, input_shape, 1))
        return {
            "w": Weight(shape, self._laid_out(self.w_initializer, shape[::-1])),
            "b": Weight((self.units, 1), self._laid_out(self.b_initializer, shape[:1])),
        }

    def _laid_out(self, initializer: Initializer, shape: tuple[int, ...]) -> Initializer:
        """An initializer for Keras's layout `shape`, with its result in js-mind's."""
        make = self.registry.initializer(initializer)

        def draw(_: Sequence[int], rng: np.random.Generator, dtype: Any) -> NDArray:
            array = np.asarray(make(shape, rng, dtype), dtype)
            return array.reshape(-1, 1) if array.ndim == 1 else array.T

        return draw

    def call(self, x: Array, *, training: bool = False) -> Array:
        kept = 1.0
        if training and self.p_dropout:
            x = drop(self, x, self.p_dropout, x.shape, scale=1.0)
        else:
            kept = 1.0 - self.p_dropout
        y = np.matmul(x, np.transpose(self.w))
        if kept != 1:
            y = y * kept
        return self.activate(y + self.b.reshape(self.units), self.activation)

    def as_keras(self) -> list[Layer]:
        """Keras layers that compute the same, in training too: a Dropout if need be, and a Dense.

        Keras's dropout multiplies what it keeps by 1 / (1 - p); the kernel is (1 - p) w, so the
        factors cancel out in training, and in inference js-mind's is left.
        """
        dense = Dense(
            self.units, self.activation, name=self.name, trainable=self.trainable, dtype=self.dtype
        )
        dense.ensure_built((None, self.w.shape[1]))
        kept = self.w.dtype.type(1.0 - self.p_dropout)
        dense.place("kernel", np.ascontiguousarray(self.w.T) * kept)
        dense.place("bias", self.b[:, 0].copy())
        if not self.p_dropout:
            return [dense]
        name = f"{self.name}_dropout" if self.name else ""
        return [Dropout(self.p_dropout, name=name, dtype=self.dtype), dense]
