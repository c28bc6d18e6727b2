"""Dense and Activation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from layerport.errors import ShapeError
from layerport.layer import Array, Initializer, InputShape, Layer, Regularizer, Weight, built

from layerport_plugins.layers.arguments import (
    ActivationLike,
    check_count,
    known_extent,
    named,
    refuse,
)
from layerport_plugins.layers.penalty import penalize


class Dense(Layer):
    """``activation(x @ kernel + bias)`` along the last axis.

    Parameters
    ----------
    units : extent of the last axis of the result.
    activation : name, function or layer; None for none.
    use_bias : whether there is a bias.
    kernel_initializer, bias_initializer : see `Weight`.
    kernel_regularizer, bias_regularizer : penalties on the weights.
    activity_regularizer : penalty on the result, divided by the number of samples.

    Shapes
    ------
    (batch, ..., features) -> (batch, ..., units); kernel (features, units), bias (units,).
    """

    supports_masking: ClassVar[bool] = True

    units: int
    activation: ActivationLike = None
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    activity_regularizer: Regularizer = None

    kernel: Array = built()
    bias: Array = built()

    def validate(self) -> None:
        check_count(self, "units")

    def build(self, input_shape: InputShape) -> Mapping[str, Weight]:
        if len(input_shape) < 2:
            raise ShapeError(
                f"{named(self)} takes inputs of at least 2 axes, the batch included, "
                f"not {tuple(input_shape)}"
            )
        shape = (known_extent(self, input_shape, -1), self.units)
        weights = {
            "kernel": Weight(shape, self.kernel_initializer, regularizer=self.kernel_regularizer)
        }
        if self.use_bias:
            weights["bias"] = Weight(
                (self.units,), self.bias_initializer, regularizer=self.bias_regularizer
            )
        return weights

    def call(self, x: Array) -> Array:
        y = np.matmul(x, self.kernel)
        if self.use_bias:
            y = y + self.bias
        return penalize(self, self.activate(y, self.activation), self.activity_regularizer)


class Activation(Layer):
    """An activation as a layer of its own.

    Parameters
    ----------
    activation : name, function or layer.
    """

    supports_masking: ClassVar[bool] = True

    activation: ActivationLike

    def validate(self) -> None:
        if not (isinstance(self.activation, str) or callable(self.activation)):
            refuse(self, "activation", "the name of an activation, a function or a layer")

    def call(self, x: Array) -> Array:
        return self.activate(x, self.activation)
