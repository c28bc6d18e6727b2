"""Upsampling: larger images by repetition or interpolation."""

from __future__ import annotations

from typing import Any, ClassVar

from layerport import ops
from layerport.layer import Array, InputShape, Layer

from layerport_plugins.layers.arguments import (
    Sizes,
    check_choice,
    check_rank,
    set_data_format,
    set_sizes,
)
from layerport_plugins.layers.spatial import channels_back, channels_first


class _UpSampling(Layer):
    rank: ClassVar[int]

    def validate(self) -> None:
        set_sizes(self, "size", self.rank)
        set_data_format(self)

    def build(self, input_shape: InputShape) -> dict[str, Any]:
        check_rank(self, input_shape, self.rank + 2)
        return {}

    def enlarged(self, x: Array, interpolation: str = "nearest") -> Array:
        """`x` with each spatial axis longer by its factor."""
        nearest = interpolation == "nearest"
        op = ops.Resize(
            scales=(1.0, 1.0, *map(float, self.size)),
            mode="nearest" if nearest else "linear",
            coordinate_transformation_mode="asymmetric" if nearest else "half_pixel",
            nearest_mode="floor",
        )
        return channels_back(op(channels_first(x, self.data_format)), self.data_format)


class UpSampling1D(_UpSampling):
    """(batch, steps, channels) with each step repeated.

    Parameters
    ----------
    size : how often.
    """

    rank: ClassVar[int] = 1
    data_format: ClassVar[str] = "channels_last"

    size: Sizes = 2

    def call(self, x: Array) -> Array:
        return self.enlarged(x)


class UpSampling2D(_UpSampling):
    """Larger images.

    Parameters
    ----------
    size : the factors of height and width, or one for both.
    data_format : "channels_last" (default) or "channels_first".
    interpolation : "nearest" (repeats) or "bilinear".
    """

    rank: ClassVar[int] = 2

    size: Sizes = (2, 2)
    data_format: str | None = None
    interpolation: str = "nearest"

    def validate(self) -> None:
        super().validate()
        check_choice(self, "interpolation", ("nearest", "bilinear"))

    def call(self, x: Array) -> Array:
        return self.enlarged(x, self.interpolation)


class UpSampling3D(_UpSampling):
    """Larger volumes, by repetition.

    Parameters
    ----------
    size : the factors of the three spatial axes, or one for all.
    data_format : "channels_last" (default) or "channels_first".
    """

    rank: ClassVar[int] = 3

    size: Sizes = (2, 2, 2)
    data_format: str | None = None

    def call(self, x: Array) -> Array:
        return self.enlarged(x)
