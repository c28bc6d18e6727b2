"""Layers that bring data into a range."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from layerport.errors import LayerportError, ShapeError
from layerport.layer import Array, InputShape, Layer, Weight
from layerport.op import NDArray

from layerport_plugins.layers.arguments import check_choice, known_extent, named, refuse

LEAST_DEVIATION = 1e-7
"""What `Normalization` divides by where the standard deviation is less, as Keras does."""


class Rescaling(Layer):
    """``x * scale + offset``.

    Parameters
    ----------
    scale, offset : a number, or one for each feature (the last axis).
    """

    supports_masking: ClassVar[bool] = True

    scale: float | Sequence[float]
    offset: float | Sequence[float] = 0.0

    def validate(self) -> None:
        for argument in ("scale", "offset"):
            value = np.asarray(getattr(self, argument))
            if value.dtype.kind not in "iuf" or value.ndim > 1 or not np.isfinite(value).all():
                refuse(self, argument, "a finite number, or one for each feature")

    def call(self, x: Array) -> Array:
        y = x * np.asarray(self.scale, np.float64)
        return y if not np.any(self.offset) else y + np.asarray(self.offset, np.float64)


class Normalization(Layer):
    """``(x - mean) / sqrt(variance)``, with statistics that `adapt` takes from data.

    Parameters
    ----------
    axis : axes that have statistics of their own; None for one mean and variance of everything.
    mean, variance : the statistics, where they are known; then there are no weights.
    invert : compute ``x * sqrt(variance) + mean`` instead.

    Shapes
    ------
    mean, variance : the extents of `axis`; count ().
    """

    supports_masking: ClassVar[bool] = True

    axis: int | Sequence[int] | None = -1
    mean: Any = None
    variance: Any = None
    invert: bool = False

    def validate(self) -> None:
        if self.axis is not None and not all(isinstance(axis, int) for axis in self._given()):
            refuse(self, "axis", "an axis, several of them, or None")
        if (self.mean is None) != (self.variance is None):
            raise LayerportError(
                "Normalization: mean and variance are given together, or neither of them"
            )
        check_choice(self, "invert", (False, True))

    def _given(self) -> tuple[Any, ...]:
        if self.axis is None:
            return ()
        return self.axis if isinstance(self.axis, tuple) else (self.axis,)

    def _kept(self, rank: int) -> list[int]:
        """The axes with statistics of their own, from the front."""
        return sorted(axis % rank for axis in self._given())

    def build(self, input_shape: InputShape) -> Mapping[str, Weight]:
        for axis in self._given():
            known_extent(self, input_shape, axis)
        if self.mean is not None:
            return {}
        shape = tuple(int(input_shape[axis]) for axis in self._kept(len(input_shape)))
        return {
            "mean": Weight(shape, "zeros", trainable=False),
            "variance": Weight(shape, "ones", trainable=False),
            "count": Weight((), "zeros", trainable=False, dtype="int32"),
        }

    def call(self, x: Array) -> Array:
        mean, variance = self._statistics(x)
        deviation = np.maximum(np.sqrt(variance), LEAST_DEVIATION)
        return x * deviation + mean if self.invert else (x - mean) / deviation

    def _statistics(self, x: Array) -> tuple[Array, Array]:
        kept = self._kept(x.ndim)
        shape = tuple(x.shape[axis] if axis in kept else 1 for axis in range(x.ndim))
        if self.mean is None:
            # The config has fields of the weights' names.
            return self._arrays["mean"].reshape(shape), self._arrays["variance"].reshape(shape)
        mean, variance = (
            self._spread(np.asarray(given, np.float64), shape)
            for given in (self.mean, self.variance)
        )
        return mean, variance

    def _spread(self, given: NDArray, shape: tuple[int, ...]) -> NDArray:
        """A statistic from the config, shaped to broadcast to the input."""
        if given.size == math.prod(shape):
            return given.reshape(shape)
        try:
            return np.broadcast_to(given, shape)
        except ValueError as error:
            raise ShapeError(
                f"{named(self)}: mean or variance of shape {given.shape} does not fit the "
                f"statistics {shape}"
            ) from error

    def adapt(self, data: Any) -> None:
        """Take the statistics from data, in place of earlier ones.

        Parameters
        ----------
        data : an array of samples, or batches of them.
        """
        if self.mean is not None:
            raise LayerportError(
                f"{named(self)} was given its mean and variance, so there is nothing to adapt"
            )
        batches = [data] if hasattr(data, "shape") else data
        count, mean, squares = 0, np.float64(0), np.float64(0)
        for batch in batches:
            samples = np.asarray(batch, np.float64)
            if not samples.size:
                continue
            self.ensure_built((None, *samples.shape[1:]))
            kept = self._kept(samples.ndim)
            others = tuple(axis for axis in range(samples.ndim) if axis not in kept)
            size = math.prod(samples.shape[axis] for axis in others)
            # Sums of squared deviations of two groups join so (Chan, Golub, LeVeque, 1983).
            step, share = samples.mean(axis=others) - mean, size / (count + size)
            squares = squares + samples.var(axis=others) * size + step**2 * count * share
            mean = mean + step * share
            count += size
        if not count:
            raise LayerportError(f"{named(self)}: there is no data to adapt to")
        for name, value in (("mean", mean), ("variance", squares / count), ("count", count)):
            self.weights[name][...] = value
