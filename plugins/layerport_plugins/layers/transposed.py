"""Transposed convolutions: the adjoint of `Conv2D`, for growing images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from layerport import ops
from layerport.layer import Array, Initializer, InputShape, Regularizer, Weight, built

from layerport_plugins.layers.arguments import (
    ActivationLike,
    Sizes,
    is_count,
    refuse,
)
from layerport_plugins.layers.convolution import Convolution
from layerport_plugins.layers.spatial import channels_first, onnx_weights


class _ConvTranspose(Convolution):
    """Transposed convolution.

    Parameters
    ----------
    filters : channels of the result.
    kernel_size : of the window; an integer, or one an axis.
    strides : how far the window moves in the result for one element of the input.
    padding : "same" gives ``extent * stride``; "valid" at least one whole window for each element.
    output_padding : how much longer the result is than the windows need; None for the extents
        that `padding` says.
    data_format : "channels_last" (default) or "channels_first".
    dilation_rate : the distance of the elements of a window; not together with strides.
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer,
    bias_regularizer, activity_regularizer : as for `Conv2D`.

    Shapes
    ------
    (batch, *extents, channels) -> (batch, *new extents, filters), the channels at axis 1 with
    "channels_first"; kernel (*kernel_size, filters, channels), bias (filters,).
    """

    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    output_padding: Sizes = None
    data_format: str | None = None
    dilation_rate: Sizes = 1
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
        super().validate()
        extra = self.output_padding
        if extra is None:
            return
        if is_count(extra, 0):
            extra = (extra,) * self.rank
        fits = isinstance(extra, tuple) and len(extra) == self.rank
        if not fits or not all(
            is_count(e, 0) and e < s for e, s in zip(extra, self.strides, strict=True)
        ):
            refuse(self, "output_padding", f"None, or integers from 0 to below {self.strides}")
        self.output_padding = extra

    def build(self, input_shape: InputShape) -> Mapping[str, Weight]:
        channels = self.channels(input_shape)
        shape = (*self.kernel_size, self.filters, channels)
        kernel = Weight(shape, self.kernel_initializer, regularizer=self.kernel_regularizer)
        return self.with_bias({"kernel": kernel}, self.filters)

    def call(self, x: Array) -> Array:
        x = channels_first(x, self.data_format)
        before, behind, extra = zip(*map(self._margins, range(self.rank)), strict=True)
        op = ops.ConvTranspose(
            kernel_shape=self.kernel_size,
            strides=self.strides,
            dilations=self.dilation_rate,
            pads=(*before, *behind),
            output_padding=extra,
        )
        operands: Sequence[Any] = (x, onnx_weights(self.kernel))
        return self.finished(op(*operands, self.bias) if self.use_bias else op(*operands))

    def _margins(self, axis: int) -> tuple[int, int, int]:
        """What is cut off before and behind a spatial axis, and what is added behind it.

        All windows together span ``(extent - 1) * stride + reach``. Neither margin depends on the
        extent.
        """
        kernel, stride = self.kernel_size[axis], self.strides[axis]
        reach = (kernel - 1) * self.dilation_rate[axis] + 1
        if self.output_padding is None:
            # The result is extent * stride, or with "valid" as much as a whole window needs.
            surplus = reach - stride if self.padding == "same" else min(reach - stride, 0)
        else:
            cut = 2 * (kernel // 2) if self.padding == "same" else 0
            surplus = cut - self.output_padding[axis]
        before = max(surplus, 0) // 2
        return before, max(surplus, 0) - before, max(-surplus, 0)


class Conv1DTranspose(_ConvTranspose):
    rank: ClassVar[int] = 1


class Conv2DTranspose(_ConvTranspose):
    rank: ClassVar[int] = 2
    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)


class Conv3DTranspose(_ConvTranspose):
    rank: ClassVar[int] = 3
    strides: Sizes = (1, 1, 1)
    dilation_rate: Sizes = (1, 1, 1)
