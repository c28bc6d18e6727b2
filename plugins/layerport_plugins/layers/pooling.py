"""Pooling: the maximum or mean of each window, or of everything."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from layerport import ops
from layerport.layer import Array, InputShape, Layer

from layerport_plugins.layers.arguments import (
    PADDINGS,
    Sizes,
    check_choice,
    check_rank,
    set_data_format,
    set_sizes,
)
from layerport_plugins.layers.spatial import channels_back, channels_first, window_fields


class _Pooling(Layer):
    """The maximum (MaxPooling) or mean (AveragePooling) of each window.

    Parameters
    ----------
    pool_size : of the window; an integer, or one an axis.
    strides : how far the window moves; None for `pool_size`.
    padding : "valid", or "same" for ceil(extent / stride) windows; what is added does not count.
    data_format : "channels_last" (default) or "channels_first".

    Shapes
    ------
    (batch, *extents, channels) -> (batch, *windows, channels), the channels at axis 1 with
    "channels_first".
    """

    rank: ClassVar[int]
    operator: ClassVar[type[ops.MaxPool] | type[ops.AveragePool]]

    pool_size: Sizes = 2
    strides: Sizes = None
    padding: str = "valid"
    data_format: str | None = None

    def validate(self) -> None:
        set_sizes(self, "pool_size", self.rank)
        if self.strides is None:
            self.strides = self.pool_size
        set_sizes(self, "strides", self.rank)
        check_choice(self, "padding", PADDINGS)
        set_data_format(self)

    def build(self, input_shape: InputShape) -> dict[str, Any]:
        check_rank(self, input_shape, self.rank + 2)
        return {}

    def call(self, x: Array) -> Array:
        x = channels_first(x, self.data_format)
        reaches = [size - 1 for size in self.pool_size]
        fields = window_fields(self.padding, self.strides, reaches)
        op = self.operator(kernel_shape=self.pool_size, **fields)
        y = op.explicit(x.shape[2:], self.pool_size)(x)
        return channels_back(y, self.data_format)


class MaxPooling1D(_Pooling):
    rank: ClassVar[int] = 1
    operator: ClassVar[type[ops.MaxPool]] = ops.MaxPool


class MaxPooling2D(_Pooling):
    rank: ClassVar[int] = 2
    operator: ClassVar[type[ops.MaxPool]] = ops.MaxPool
    pool_size: Sizes = (2, 2)


class MaxPooling3D(_Pooling):
    rank: ClassVar[int] = 3
    operator: ClassVar[type[ops.MaxPool]] = ops.MaxPool
    pool_size: Sizes = (2, 2, 2)


class AveragePooling1D(_Pooling):
    rank: ClassVar[int] = 1
    operator: ClassVar[type[ops.AveragePool]] = ops.AveragePool


class AveragePooling2D(_Pooling):
    rank: ClassVar[int] = 2
    operator: ClassVar[type[ops.AveragePool]] = ops.AveragePool
    pool_size: Sizes = (2, 2)


class AveragePooling3D(_Pooling):
    rank: ClassVar[int] = 3
    operator: ClassVar[type[ops.AveragePool]] = ops.AveragePool
    pool_size: Sizes = (2, 2, 2)


class _GlobalPooling(Layer):
    """The maximum (GlobalMaxPooling) or mean (GlobalAveragePooling) over all spatial axes.

    Parameters
    ----------
    data_format : "channels_last" (default) or "channels_first".
    keepdims : whether the spatial axes stay, with extent 1.

    Shapes
    ------
    (batch, *extents, channels) -> (batch, channels).
    """

    rank: ClassVar[int]

    data_format: str | None = None
    keepdims: bool = False

    def validate(self) -> None:
        set_data_format(self)
        check_choice(self, "keepdims", (False, True))

    def build(self, input_shape: InputShape) -> dict[str, Any]:
        check_rank(self, input_shape, self.rank + 2)
        return {}

    def pooled(self, x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
        """What is computed over these axes."""
        raise NotImplementedError(type(self).__name__)

    def call(self, x: Array) -> Array:
        first = 2 if self.data_format == "channels_first" else 1
        return self.pooled(x, tuple(range(first, first + self.rank)), self.keepdims)


class _GlobalAverage(_GlobalPooling):
    def pooled(self, x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
        return np.mean(x, axis=axis, keepdims=keepdims)


class _GlobalMax(_GlobalPooling):
    def pooled(self, x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
        return np.max(x, axis=axis, keepdims=keepdims)


class GlobalAveragePooling1D(_GlobalAverage):
    rank: ClassVar[int] = 1

    def call(self, x: Array) -> Array:
        mask = self.mask_of(x)
        if mask is None:
            return super().call(x)
        # The mean over the steps that count.
        axis = 2 if self.data_format == "channels_first" else 1
        kept = np.expand_dims(mask, 3 - axis).astype(x.dtype)
        total = np.sum(x * kept, axis=axis, keepdims=self.keepdims)
        return total / np.sum(kept, axis=axis, keepdims=self.keepdims)


class GlobalAveragePooling2D(_GlobalAverage):
    rank: ClassVar[int] = 2


class GlobalAveragePooling3D(_GlobalAverage):
    rank: ClassVar[int] = 3


class GlobalMaxPooling1D(_GlobalMax):
    rank: ClassVar[int] = 1


class GlobalMaxPooling2D(_GlobalMax):
    rank: ClassVar[int] = 2


class GlobalMaxPooling3D(_GlobalMax):
    rank: ClassVar[int] = 3
