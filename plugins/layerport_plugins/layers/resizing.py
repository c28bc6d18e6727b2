"""Upsampling: larger images by repetition or interpolation."""

from __future__ import annotations

from typing import Any

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

INTERPOLATIONS = ("nearest", "bilinear")


def enlarged(x: Array, factors: tuple[int, ...], interpolation: str) -> Array:
    """`x` (channels first) with each spatial axis longer by its factor."""
    op = ops.Resize(
        scales=(1.0, 1.0, *map(float, factors)),
        mode="nearest" if interpolation == "nearest" else "linear",
        coordinate_transformation_mode="asymmetric" if interpolation == "nearest" else "half_pixel",
        nearest_mode="floor",
    )
    return op(x)


class UpSampling1D(Layer):
    """(batch, steps, channels) with each step repeated.

    Parameters
    ----------
    size : how often.
    """

    size: Sizes = 2

    def validate(self) -> None:
        set_sizes(self, "size", 1)
        (self.size,) = self.size

    def build(self, input_shape: InputShape) -> dict[str, Any]:
        check_rank(self, input_shape, 3)
        return {}

    def call(self, x: Array) -> Array:
        y = enlarged(channels_first(x, None), (self.size,), "nearest")
        return channels_back(y, None)


class UpSampling2D(Layer):
    """Larger images.

    Parameters
    ----------
    size : the factors of height and width, or one for both.
    data_format : "channels_last" (default) or "channels_first".
    interpolation : "nearest" (repeats) or "bilinear".
    """

    size: Sizes = (2, 2)
    data_format: str | None = None
    interpolation: str = "nearest"

    def validate(self) -> None:
        set_sizes(self, "size", 2)
        set_data_format(self)
        check_choice(self, "interpolation", INTERPOLATIONS)

    def build(self, input_shape: InputShape) -> dict[str, Any]:
        check_rank(self, input_shape, 4)
        return {}

    def call(self, x: Array) -> Array:
        x = channels_first(x, self.data_format)
        return channels_back(enlarged(x, self.size, self.interpolation), self.data_format)
