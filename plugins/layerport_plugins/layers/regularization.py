"""Layers that disturb or penalise in training and pass everything on otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from layerport.layer import Array, InputShape, Layer

from layerport_plugins.layers.arguments import (
    check_number,
    check_rank,
    is_count,
    refuse,
    set_data_format,
)
from layerport_plugins.layers.penalty import penalize
from layerport_plugins.regularizers import L1L2


def drop(layer: Layer, x: Array, rate: float, shape: Sequence[Any], scale: float) -> Array:
    """`x` with random elements set to 0 and the others multiplied by `scale`.

    Parameters
    ----------
    rate : the probability of an element to be dropped.
    shape : of the random choices; an extent 1 makes one choice for a whole axis.
    """
    kept = layer.random.uniform(tuple(shape), x.dtype) >= rate
    masked = x * kept.astype(x.dtype)
    return masked if scale == 1 else masked * scale


class _Dropping(Layer):
    """Base class: subclasses have a field `rate` and say which elements fall together."""

    supports_masking: ClassVar[bool] = True

    rate: float

    def validate(self) -> None:
        check_number(self, "rate", least=0, most=1)

    def choices(self, x: Array) -> Sequence[Any]:
        """The shape of the random choices for an input."""
        return x.shape  # type: ignore[no-any-return]

    def call(self, x: Array, *, training: bool = False) -> Array:
        if not training or self.rate == 0:
            return x
        if self.rate == 1:
            return np.zeros_like(x)
        return drop(self, x, self.rate, self.choices(x), 1 / (1 - self.rate))


class Dropout(_Dropping):
    """In training, random elements are 0 and the others grow by 1 / (1 - rate).

    Parameters
    ----------
    rate : the share of elements that fall.
    noise_shape : shape of the random choices, the batch included: 1 drops along a whole axis,
        None stands for the input's extent.
    seed : kept for files; what falls is decided by the seed of the training run.
    """

    noise_shape: tuple[int | None, ...] | None = None
    seed: int | None = None

    def validate(self) -> None:
        super().validate()
        shape = self.noise_shape
        if shape is not None and not (
            isinstance(shape, tuple) and all(d is None or is_count(d) for d in shape)
        ):
            refuse(self, "noise_shape", "None, or an integer or None for each axis")

    def build(self, input_shape: InputShape) -> dict[str, Any]:
        if self.noise_shape is not None:
            check_rank(self, input_shape, len(self.noise_shape))
        return {}

    def choices(self, x: Array) -> Sequence[Any]:
        shape = self.noise_shape or (None,) * x.ndim
        return [extent if d is None else d for d, extent in zip(shape, x.shape, strict=True)]


class SpatialDropout1D(_Dropping):
    """Dropout of whole channels: (batch, steps, channels).

    Parameters
    ----------
    rate : the share of channels that fall.
    seed : kept for files; what falls is decided by the seed of the training run.
    """

    seed: int | None = None

    def build(self, input_shape: InputShape) -> dict[str, Any]:
        check_rank(self, input_shape, 3)
        return {}

    def choices(self, x: Array) -> Sequence[Any]:
        return x.shape[0], 1, x.shape[2]


class _ImageDropout(_Dropping):
    """Dropout of whole channels.

    Parameters
    ----------
    rate : the share of channels that fall.
    data_format : "channels_last" (default) or "channels_first".
    seed : kept for files; what falls is decided by the seed of the training run.
    """

    rank: ClassVar[int]

    data_format: str | None = None
    seed: int | None = None

    def validate(self) -> None:
        super().validate()
        set_data_format(self)

    def build(self, input_shape: InputShape) -> dict[str, Any]:
        check_rank(self, input_shape, self.rank + 2)
        return {}

    def choices(self, x: Array) -> Sequence[Any]:
        ones = (1,) * self.rank
        if self.data_format == "channels_first":
            return x.shape[0], x.shape[1], *ones
        return x.shape[0], *ones, x.shape[-1]


class SpatialDropout2D(_ImageDropout):
    rank: ClassVar[int] = 2


class SpatialDropout3D(_ImageDropout):
    rank: ClassVar[int] = 3


class GaussianNoise(Layer):
    """In training, normally distributed noise is added.

    Parameters
    ----------
    stddev : standard deviation of the noise.
    seed : kept for files; the noise is decided by the seed of the training run.
    """

    supports_masking: ClassVar[bool] = True

    stddev: float
    seed: int | None = None

    def validate(self) -> None:
        check_number(self, "stddev", least=0)

    def call(self, x: Array, *, training: bool = False) -> Array:
        if not training or self.stddev == 0:
            return x
        return x + self.stddev * self.random.normal(x.shape, x.dtype)


class GaussianDropout(Layer):
    """In training, everything is multiplied by normal noise with mean 1.

    Parameters
    ----------
    rate : the noise has the variance rate / (1 - rate), that of dropout at this rate.
    seed : kept for files; the noise is decided by the seed of the training run.
    """

    supports_masking: ClassVar[bool] = True

    rate: float
    seed: int | None = None

    def validate(self) -> None:
        check_number(self, "rate", least=0, most=1)
        if self.rate == 1:
            refuse(self, "rate", "below 1")

    def call(self, x: Array, *, training: bool = False) -> Array:
        if not training or self.rate == 0:
            return x
        stddev = math.sqrt(self.rate / (1 - self.rate))
        return x * (1.0 + stddev * self.random.normal(x.shape, x.dtype))


class AlphaDropout(Dropout):
    """Dropout that keeps mean and variance of what `selu` gives (Klambauer et al., 2017).

    Parameters
    ----------
    rate : the share of elements that are set to the value that selu saturates at.
    noise_shape, seed : as for `Dropout`.
    """

    saturation: ClassVar[float] = -1.6732632423543772 * 1.0507009873554805

    def call(self, x: Array, *, training: bool = False) -> Array:
        if not training or self.rate == 0:
            return x
        low, rate = self.saturation, self.rate
        if rate == 1:
            return np.zeros_like(x)
        scale = ((1 - rate) * (1 + rate * low**2)) ** -0.5
        kept = self.random.uniform(tuple(self.choices(x)), x.dtype) >= rate
        return scale * np.where(kept, x, low) - scale * low * rate


class ActivityRegularization(Layer):
    """Passes its input on and adds ``l1 * sum(|x|) + l2 * sum(x ** 2)`` a sample to the loss."""

    supports_masking: ClassVar[bool] = True

    l1: float = 0.0
    l2: float = 0.0

    def validate(self) -> None:
        check_number(self, "l1", least=0)
        check_number(self, "l2", least=0)

    def call(self, x: Array) -> Array:
        return penalize(self, x, L1L2(self.l1, self.l2) if self.l1 or self.l2 else None)
