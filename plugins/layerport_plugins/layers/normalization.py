"""Normalisation by statistics of the batch or of each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from layerport import ops
from layerport.errors import ShapeError
from layerport.layer import Array, Initializer, InputShape, Layer, Regularizer, Weight, built

from layerport_plugins.layers.arguments import check_number, known_extent, named, refuse


class BatchNormalization(Layer):
    """Each feature with mean 0 and variance 1 over the batch, then scaled and moved.

    In training the statistics are those of the batch, and moving averages of them are kept. In
    inference, or where `trainable` is False, the moving averages stand for them.

    Parameters
    ----------
    axis : of the features.
    momentum : of the moving averages: how much of the old value stays.
    epsilon : added to the variance.
    center, scale : whether there are beta (added) and gamma (a factor).
    beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer,
    beta_regularizer, gamma_regularizer : see `Weight`.

    Shapes
    ------
    The result is shaped as the input; every weight (features,).
    """

    supports_masking: ClassVar[bool] = True

    axis: int = -1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Initializer = "zeros"
    gamma_initializer: Initializer = "ones"
    moving_mean_initializer: Initializer = "zeros"
    moving_variance_initializer: Initializer = "ones"
    beta_regularizer: Regularizer = None
    gamma_regularizer: Regularizer = None

    gamma: Array = built()
    beta: Array = built()
    moving_mean: Array = built()
    moving_variance: Array = built()

    def validate(self) -> None:
        if isinstance(self.axis, tuple) and len(self.axis) == 1:
            (self.axis,) = self.axis
        if not isinstance(self.axis, int) or self.axis == 0:
            refuse(self, "axis", "one axis other than 0, the batch")
        check_number(self, "momentum", least=0, most=1)
        check_number(self, "epsilon", least=0)

    def build(self, input_shape: InputShape) -> Mapping[str, Weight]:
        shape = (known_extent(self, input_shape, self.axis),)
        weights = {}
        if self.scale:
            weights["gamma"] = Weight(
                shape, self.gamma_initializer, regularizer=self.gamma_regularizer
            )
        if self.center:
            weights["beta"] = Weight(
                shape, self.beta_initializer, regularizer=self.beta_regularizer
            )
        weights["moving_mean"] = Weight(shape, self.moving_mean_initializer, trainable=False)
        weights["moving_variance"] = Weight(
            shape, self.moving_variance_initializer, trainable=False
        )
        return weights

    def call(self, x: Array, *, training: bool = False) -> Array:
        axis = self.axis % x.ndim
        y = np.moveaxis(x, axis, 1) if axis != 1 else x
        y = self._normalized(y, *self._statistics(y, training=training))
        return np.moveaxis(y, 1, axis) if axis != 1 else y

    def _statistics(self, x: Array, *, training: bool) -> tuple[Array, Array]:
        if not (training and self.trainable):
            return self.moving_mean, self.moving_variance
        mean, variance = ops.Moments((0, *range(2, x.ndim)))(x)
        self._keep("moving_mean", mean)
        self._keep("moving_variance", variance)
        return mean.reshape(-1), variance.reshape(-1)

    def _normalized(self, x: Array, mean: Array, variance: Array) -> Array:
        features = self.moving_mean.shape
        gamma = self.gamma if self.scale else np.ones(features)
        beta = self.beta if self.center else np.zeros(features)
        return ops.BatchNormalization(epsilon=self.epsilon)(x, gamma, beta, mean, variance)

    def _keep(self, name: str, statistic: Array) -> None:
        before = getattr(self, name)
        new = statistic.reshape(before.shape)
        self.update(name, before * self.momentum + new * (1.0 - self.momentum))


class LayerNormalization(Layer):
    """Each sample with mean 0 and variance 1 over some axes, then scaled and moved.

    Parameters
    ----------
    axis : what the statistics are taken over: an axis, or several.
    epsilon : added to the variance.
    center, scale : whether there are beta (added) and gamma (a factor).
    beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer : see `Weight`.

    Shapes
    ------
    The result is shaped as the input; gamma and beta have the extents of `axis`.
    """

    supports_masking: ClassVar[bool] = True

    axis: int | Sequence[int] = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Initializer = "zeros"
    gamma_initializer: Initializer = "ones"
    beta_regularizer: Regularizer = None
    gamma_regularizer: Regularizer = None

    gamma: Array = built()
    beta: Array = built()

    def validate(self) -> None:
        axes = self._given()
        if not axes or not all(isinstance(axis, int) and axis != 0 for axis in axes):
            refuse(self, "axis", "an axis other than 0, the batch, or several of them")
        check_number(self, "epsilon", least=0)

    def _given(self) -> tuple[int, ...]:
        return tuple(self.axis) if isinstance(self.axis, tuple) else (self.axis,)  # type: ignore[return-value]

    def _axes(self, rank: int) -> list[int]:
        """The axes from the front, in order."""
        return sorted(axis % rank for axis in self._given())

    def build(self, input_shape: InputShape) -> Mapping[str, Weight]:
        for axis in self._given():
            known_extent(self, input_shape, axis)
        axes = self._axes(len(input_shape))
        if axes[0] == 0 or len(set(axes)) != len(axes):
            raise ShapeError(f"{named(self)}: the axes {axes} hold the batch, or one axis twice")
        shape = tuple(known_extent(self, input_shape, axis) for axis in axes)
        weights = {}
        if self.scale:
            weights["gamma"] = Weight(
                shape, self.gamma_initializer, regularizer=self.gamma_regularizer
            )
        if self.center:
            weights["beta"] = Weight(
                shape, self.beta_initializer, regularizer=self.beta_regularizer
            )
        return weights

    def call(self, x: Array) -> Array:
        axes = self._axes(x.ndim)
        order = [axis for axis in range(x.ndim) if axis not in axes] + axes
        if order == list(range(x.ndim)):
            return self._normalized(x, axes[0])
        y = self._normalized(np.transpose(x, order), x.ndim - len(axes))
        return np.transpose(y, [order.index(axis) for axis in range(x.ndim)])

    def _normalized(self, x: Array, first: int) -> Array:
        """With statistics over `first` and all axes behind it."""
        extents = tuple(x.shape[first:])
        gamma: Any = self.gamma if self.scale else np.ones(extents, x.dtype)
        op = ops.LayerNormalization(axis=first - x.ndim, epsilon=self.epsilon)
        return (op(x, gamma, self.beta) if self.center else op(x, gamma))[0]
