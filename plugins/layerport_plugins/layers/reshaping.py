"""Layers that move elements: reshape, permute, pad, crop, repeat."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from layerport.dim import is_static, size_of
from layerport.errors import ShapeError
from layerport.layer import Array, InputShape, Layer, declared_shape

from layerport_plugins.layers.arguments import (
    Sizes,
    check_count,
    check_rank,
    is_count,
    named,
    pairs_of,
    refuse,
    set_data_format,
    set_margins,
)


class Flatten(Layer):
    """Each sample as one axis.

    Parameters
    ----------
    data_format : with "channels_first" the channels are moved last before, so that the result is
        the same as with "channels_last".
    """

    data_format: str | None = None

    def validate(self) -> None:
        set_data_format(self)

    def call(self, x: Array) -> Array:
        if self.data_format == "channels_first" and x.ndim > 2:
            x = np.moveaxis(x, 1, -1)
        return x.reshape(x.shape[0], size_of(x.shape[1:]))


class Reshape(Layer):
    """Samples of another shape.

    Parameters
    ----------
    target_shape : of a sample, without the batch; one extent may be -1, which means whatever is
        left.
    """

    target_shape: tuple[int, ...]

    def validate(self) -> None:
        if is_count(self.target_shape, -1):
            self.target_shape = (self.target_shape,)  # type: ignore[assignment]
        shape = self.target_shape
        whole = isinstance(shape, tuple) and all(d == -1 or is_count(d) for d in shape)
        if not whole or shape.count(-1) > 1:
            refuse(self, "target_shape", "positive integers, at most one of them -1")

    def call(self, x: Array) -> Array:
        before, known = x.shape[1:], math.prod(d for d in self.target_shape if d != -1)
        size = size_of(before)
        if is_static(before) and (size % known if -1 in self.target_shape else size != known):
            raise ShapeError(
                f"{named(self)}: a sample of shape {before} has {size} elements, which do not "
                f"fill {self.target_shape}"
            )
        return x.reshape(x.shape[0], *(size // known if d == -1 else d for d in self.target_shape))


class Permute(Layer):
    """Samples with their axes in another order.

    Parameters
    ----------
    dims : the axes counted from 1, in their new order.
    """

    dims: tuple[int, ...]

    def validate(self) -> None:
        dims = self.dims
        if not isinstance(dims, tuple) or sorted(dims) != list(range(1, len(dims) + 1)):
            refuse(self, "dims", "each of 1, 2... once")

    def build(self, input_shape: InputShape) -> dict[str, Any]:
        check_rank(self, input_shape, len(self.dims) + 1)
        return {}

    def call(self, x: Array) -> Array:
        return np.transpose(x, (0, *self.dims))


class RepeatVector(Layer):
    """(batch, features) -> (batch, n, features), the same n times."""

    n: int

    def validate(self) -> None:
        check_count(self, "n")

    def build(self, input_shape: InputShape) -> dict[str, Any]:
        check_rank(self, input_shape, 2)
        return {}

    def call(self, x: Array) -> Array:
        return np.tile(np.expand_dims(x, 1), (1, self.n, 1))


class _Spatial(Layer):
    """Base class of layers that change spatial axes and leave batch and channels."""

    rank: ClassVar[int]

    def build(self, input_shape: InputShape) -> dict[str, Any]:
        check_rank(self, input_shape, self.rank + 2)
        return {}

    def spatial_axes(self) -> range:
        """The axes between batch and channels, or behind both."""
        first = 2 if getattr(self, "data_format", None) == "channels_first" else 1
        return range(first, first + self.rank)


class _ZeroPadding(_Spatial):
    """Zeros around the spatial axes.

    Parameters
    ----------
    padding : how many on all sides; one number an axis; or a pair (before, behind) an axis.
    data_format : "channels_last" (default) or "channels_first".
    """

    padding: Sizes = 1
    data_format: str | None = None

    def validate(self) -> None:
        set_margins(self, "padding", self.rank)
        set_data_format(self)

    def call(self, x: Array) -> Array:
        widths = [(0, 0)] * x.ndim
        for axis, margin in zip(self.spatial_axes(), pairs_of(self.padding), strict=True):
            widths[axis] = margin
        return np.pad(x, widths)


class ZeroPadding1D(_ZeroPadding):
    rank: ClassVar[int] = 1
    padding: Sizes = (1, 1)


class ZeroPadding2D(_ZeroPadding):
    rank: ClassVar[int] = 2
    padding: Sizes = ((1, 1), (1, 1))


class ZeroPadding3D(_ZeroPadding):
    rank: ClassVar[int] = 3
    padding: Sizes = ((1, 1), (1, 1), (1, 1))


class _Cropping(_Spatial):
    """Without the margins of the spatial axes.

    Parameters
    ----------
    cropping : how much on all sides; one number an axis; or a pair (before, behind) an axis.
    """

    cropping: Sizes = 0

    def validate(self) -> None:
        set_margins(self, "cropping", self.rank)

    def call(self, x: Array) -> Array:
        index = [slice(None)] * x.ndim
        for axis, margins in zip(self.spatial_axes(), pairs_of(self.cropping), strict=True):
            before, behind = margins
            extent = x.shape[axis]
            if isinstance(extent, int) and before + behind >= extent:
                raise ShapeError(
                    f"{named(self)}: cropping {before} and {behind} elements leaves nothing of "
                    f"axis {axis} of {declared_shape(x.shape)}"
                )
            index[axis] = slice(before, -behind if behind else None)
        return x[tuple(index)]


class Cropping1D(_Cropping):
    rank: ClassVar[int] = 1
    cropping: Sizes = (1, 1)


class _ImageCropping(_Cropping):
    """Without the margins of the spatial axes.

    Parameters
    ----------
    cropping : how much on all sides; one number an axis; or a pair (before, behind) an axis.
    data_format : "channels_last" (default) or "channels_first".
    """

    data_format: str | None = None

    def validate(self) -> None:
        super().validate()
        set_data_format(self)


class Cropping2D(_ImageCropping):
    rank: ClassVar[int] = 2
    cropping: Sizes = ((0, 0), (0, 0))


class Cropping3D(_ImageCropping):
    rank: ClassVar[int] = 3
    cropping: Sizes = ((1, 1), (1, 1), (1, 1))
