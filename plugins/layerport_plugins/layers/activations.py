"""Activations with parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from layerport import ops
from layerport.layer import Array, Initializer, InputShape, Layer, Regularizer, Weight, built

from layerport_plugins.layers.arguments import (
    check_number,
    is_count,
    known_extent,
    refuse,
)


class ReLU(Layer):
    """x above `threshold`, ``negative_slope * (x - threshold)`` below, at most `max_value`.

    Parameters
    ----------
    max_value : upper limit of the result; None for none.
    negative_slope : slope below the threshold.
    threshold : from where on x is passed on.
    """

    supports_masking: ClassVar[bool] = True

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0

    def validate(self) -> None:
        if self.max_value is not None:
            check_number(self, "max_value", least=0)
        check_number(self, "negative_slope", least=0)
        check_number(self, "threshold", least=0)

    def call(self, x: Array) -> Array:
        plain = not self.negative_slope and not self.threshold
        if plain and self.max_value is not None:
            return np.clip(x, 0.0, self.max_value)
        y = self._rectify(x)
        return y if self.max_value is None else np.minimum(y, self.max_value)

    def _rectify(self, x: Array) -> Array:
        slope, threshold = self.negative_slope, self.threshold
        if not threshold:
            return ops.LeakyRelu(alpha=slope)(x) if slope else ops.Relu()(x)
        if not slope:
            return ops.ThresholdedRelu(alpha=threshold)(x)
        return np.where(x > threshold, x, slope * (x - threshold))


class LeakyReLU(Layer):
    """x, or ``negative_slope * x`` where it is negative."""

    supports_masking: ClassVar[bool] = True

    negative_slope: float = 0.3

    def validate(self) -> None:
        check_number(self, "negative_slope", least=0)

    def call(self, x: Array) -> Array:
        return ops.LeakyRelu(alpha=self.negative_slope)(x)


class PReLU(Layer):
    """x, or ``alpha * x`` where it is negative, with a learned alpha for each element.

    Parameters
    ----------
    alpha_initializer, alpha_regularizer : see `Weight`.
    shared_axes : axes along which one alpha serves for all, counted from 1 (0 is the batch).

    Shapes
    ------
    alpha : (...), that of a sample, with 1 at the shared axes.
    """

    supports_masking: ClassVar[bool] = True

    alpha_initializer: Initializer = "zeros"
    alpha_regularizer: Regularizer = None
    shared_axes: int | Sequence[int] | None = None

    alpha: Array = built()

    def validate(self) -> None:
        if is_count(self.shared_axes):
            self.shared_axes = (self.shared_axes,)  # type: ignore[assignment]
        if self.shared_axes is not None and not (
            isinstance(self.shared_axes, tuple) and all(map(is_count, self.shared_axes))
        ):
            refuse(self, "shared_axes", "axes counted from 1, or None")

    def build(self, input_shape: InputShape) -> Mapping[str, Weight]:
        shared = self.shared_axes or ()
        shape = tuple(
            1 if axis in shared else known_extent(self, input_shape, axis)  # type: ignore[operator]
            for axis in range(1, len(input_shape))
        )
        return {"alpha": Weight(shape, self.alpha_initializer, regularizer=self.alpha_regularizer)}

    def call(self, x: Array) -> Array:
        return ops.PRelu()(x, self.alpha)


class ELU(Layer):
    """x, or ``alpha * (exp(x) - 1)`` where it is negative."""

    supports_masking: ClassVar[bool] = True

    alpha: float = 1.0

    def validate(self) -> None:
        check_number(self, "alpha")

    def call(self, x: Array) -> Array:
        return ops.Elu(alpha=self.alpha)(x)


class ThresholdedReLU(Layer):
    """x where it is above `theta`, else 0. (Keras 3 has ``ReLU(threshold=theta)`` instead.)"""

    supports_masking: ClassVar[bool] = True

    theta: float = 1.0

    def validate(self) -> None:
        check_number(self, "theta", least=0)

    def call(self, x: Array) -> Array:
        return ops.ThresholdedRelu(alpha=self.theta)(x)


class Softmax(Layer):
    """exp(x) divided by its sum.

    Parameters
    ----------
    axis : what is summed over: an axis, or several.
    """

    supports_masking: ClassVar[bool] = True

    axis: int | Sequence[int] = -1

    def validate(self) -> None:
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        if not axes or not all(isinstance(axis, int) for axis in axes):
            refuse(self, "axis", "an axis, or several of them")

    def call(self, x: Array) -> Array:
        if isinstance(self.axis, int):
            return ops.Softmax(axis=self.axis)(x)
        axes = tuple(self.axis)
        if len(axes) == 1:
            return ops.Softmax(axis=axes[0])(x)
        exponentials = np.exp(x - np.max(x, axis=axes, keepdims=True))
        return exponentials / np.sum(exponentials, axis=axes, keepdims=True)
