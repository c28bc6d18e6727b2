"""Convolutions in one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from layerport.errors import LayerportError, ShapeError
from layerport.layer import Array, Initializer, InputShape, Layer, Regularizer, Weight, built

from layerport_plugins.layers.arguments import (
    PADDINGS,
    ActivationLike,
    Sizes,
    check_choice,
    check_count,
    check_rank,
    known_extent,
    named,
    set_data_format,
    set_sizes,
)
from layerport_plugins.layers.penalty import penalize
from layerport_plugins.layers.spatial import (
    channel_axis,
    channels_back,
    channels_first,
    convolve,
    depthwise_weights,
    onnx_weights,
)


class Convolution(Layer):
    """What all convolutions share. Subclasses state the fields, each family in Keras's order."""

    rank: ClassVar[int]
    """The number of spatial axes."""
    paddings: ClassVar[tuple[str, ...]] = PADDINGS
    counts: ClassVar[tuple[str, ...]] = ("filters",)
    """The arguments that are positive integers."""

    def validate(self) -> None:
        for argument in self.counts:
            check_count(self, argument)
        for argument in ("kernel_size", "strides", "dilation_rate"):
            set_sizes(self, argument, self.rank)
        check_choice(self, "padding", self.paddings)
        set_data_format(self)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise LayerportError(
                f"{type(self).__name__}: either strides or dilation_rate may be above 1, not both "
                f"(they are {self.strides} and {self.dilation_rate})"
            )

    def channels(self, input_shape: InputShape) -> int:
        """The number of channels of the input, whose rank is checked on the way."""
        check_rank(self, input_shape, self.rank + 2)
        return known_extent(self, input_shape, channel_axis(self.data_format))

    def with_bias(self, weights: Mapping[str, Weight], channels: int) -> Mapping[str, Weight]:
        """These declarations and, where there is one, that of the bias."""
        if not self.use_bias:
            return weights
        bias = Weight((channels,), self.bias_initializer, regularizer=self.bias_regularizer)
        return {**weights, "bias": bias}

    def convolved(self, x: Array, weights: Array, *, group: int = 1, bias: bool = True) -> Array:
        """The convolution of `x` (channels first) with weights laid out as ONNX has them."""
        return convolve(
            x,
            weights,
            self.bias if bias and self.use_bias else None,
            strides=self.strides,
            dilations=self.dilation_rate,
            padding=self.padding,
            group=group,
        )

    def finished(self, y: Array) -> Array:
        """A result in Keras's layout, activated."""
        y = self.activate(channels_back(y, self.data_format), self.activation)
        return penalize(self, y, self.activity_regularizer)


class _Conv(Convolution):
    """Convolution.

    Parameters
    ----------
    filters : channels of the result.
    kernel_size : of the window; an integer, or one an axis.
    strides : how far the window moves.
    padding : "valid", or "same" for ceil(extent / stride) windows, the odd zero behind the input.
        `Conv1D` knows "causal", too: all zeros before, so that nothing depends on later steps.
    data_format : "channels_last" (default) or "channels_first".
    dilation_rate : the distance of the elements of a window; not together with strides.
    groups : in how many groups the channels are handled apart from one another.
    activation : name, function or layer; None for none.
    use_bias : whether there is a bias.
    kernel_initializer, bias_initializer : see `Weight`.
    kernel_regularizer, bias_regularizer : penalties on the weights.
    activity_regularizer : penalty on the result, divided by the number of samples.

    Shapes
    ------
    (batch, *extents, channels) -> (batch, *windows, filters), the channels at axis 1 with
    "channels_first"; kernel (*kernel_size, channels / groups, filters), bias (filters,).
    """

    counts: ClassVar[tuple[str, ...]] = ("filters", "groups")

    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    data_format: str | None = None
    dilation_rate: Sizes = 1
    groups: int = 1
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
        if self.filters % self.groups:
            raise LayerportError(
                f"{type(self).__name__}: filters ({self.filters}) must be a multiple of groups "
                f"({self.groups})"
            )

    def build(self, input_shape: InputShape) -> Mapping[str, Weight]:
        channels = self.channels(input_shape)
        if channels % self.groups:
            raise ShapeError(
                f"{named(self)}: the {channels} channels of the input do not make "
                f"{self.groups} groups"
            )
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        kernel = Weight(shape, self.kernel_initializer, regularizer=self.kernel_regularizer)
        return self.with_bias({"kernel": kernel}, self.filters)

    def call(self, x: Array) -> Array:
        x = channels_first(x, self.data_format)
        return self.finished(self.convolved(x, onnx_weights(self.kernel), group=self.groups))


class Conv1D(_Conv):
    rank: ClassVar[int] = 1
    paddings: ClassVar[tuple[str, ...]] = (*PADDINGS, "causal")


class Conv2D(_Conv):
    rank: ClassVar[int] = 2
    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)


class Conv3D(_Conv):
    rank: ClassVar[int] = 3
    strides: Sizes = (1, 1, 1)
    dilation_rate: Sizes = (1, 1, 1)


class _DepthwiseConv(Convolution):
    """Convolution of each channel apart from the others.

    Parameters
    ----------
    kernel_size, strides, padding, data_format, dilation_rate : as for `Conv2D`.
    depth_multiplier : how many results each channel gives.
    activation, use_bias, bias_initializer, bias_regularizer, activity_regularizer : as for
        `Conv2D`.
    depthwise_initializer, depthwise_regularizer : those of the kernel.

    Shapes
    ------
    (batch, *extents, channels) -> (batch, *windows, channels * depth_multiplier), the channels at
    axis 1 with "channels_first"; kernel (*kernel_size, channels, depth_multiplier),
    bias (channels * depth_multiplier,).
    """

    counts: ClassVar[tuple[str, ...]] = ("depth_multiplier",)

    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    depth_multiplier: int = 1
    data_format: str | None = None
    dilation_rate: Sizes = 1
    activation: ActivationLike = None
    use_bias: bool = True
    depthwise_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    depthwise_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    activity_regularizer: Regularizer = None

    kernel: Array = built()
    bias: Array = built()

    def build(self, input_shape: InputShape) -> Mapping[str, Weight]:
        channels = self.channels(input_shape)
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        kernel = Weight(shape, self.depthwise_initializer, regularizer=self.depthwise_regularizer)
        return self.with_bias({"kernel": kernel}, channels * self.depth_multiplier)

    def call(self, x: Array) -> Array:
        x = channels_first(x, self.data_format)
        weights = depthwise_weights(self.kernel)
        return self.finished(self.convolved(x, weights, group=self.kernel.shape[-2]))


class DepthwiseConv1D(_DepthwiseConv):
    rank: ClassVar[int] = 1


class DepthwiseConv2D(_DepthwiseConv):
    rank: ClassVar[int] = 2
    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)


class _SeparableConv(Convolution):
    """A depthwise convolution, and a window of a single element that mixes its channels.

    Parameters
    ----------
    filters : channels of the result.
    kernel_size, strides, padding, data_format, dilation_rate : of the depthwise convolution, as
        for `Conv2D`.
    depth_multiplier : how many results each channel gives before they are mixed.
    activation, use_bias, bias_initializer, bias_regularizer, activity_regularizer : as for
        `Conv2D`.
    depthwise_initializer, depthwise_regularizer : those of the depthwise kernel.
    pointwise_initializer, pointwise_regularizer : those of the kernel that mixes.

    Shapes
    ------
    (batch, *extents, channels) -> (batch, *windows, filters), the channels at axis 1 with
    "channels_first"; depthwise_kernel (*kernel_size, channels, depth_multiplier),
    pointwise_kernel (1..., channels * depth_multiplier, filters), bias (filters,).
    """

    counts: ClassVar[tuple[str, ...]] = ("filters", "depth_multiplier")

    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    data_format: str | None = None
    dilation_rate: Sizes = 1
    depth_multiplier: int = 1
    activation: ActivationLike = None
    use_bias: bool = True
    depthwise_initializer: Initializer = "glorot_uniform"
    pointwise_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    depthwise_regularizer: Regularizer = None
    pointwise_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    activity_regularizer: Regularizer = None

    depthwise_kernel: Array = built()
    pointwise_kernel: Array = built()
    bias: Array = built()

    def build(self, input_shape: InputShape) -> Mapping[str, Weight]:
        channels = self.channels(input_shape)
        depthwise = Weight(
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
        )
        pointwise = Weight(
            (*(1 for _ in self.kernel_size), channels * self.depth_multiplier, self.filters),
            self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
        )
        weights = {"depthwise_kernel": depthwise, "pointwise_kernel": pointwise}
        return self.with_bias(weights, self.filters)

    def call(self, x: Array) -> Array:
        x = channels_first(x, self.data_format)
        depthwise = depthwise_weights(self.depthwise_kernel)
        apart = self.convolved(x, depthwise, group=self.depthwise_kernel.shape[-2], bias=False)
        ones = (1,) * self.rank
        mixed = convolve(
            apart,
            onnx_weights(self.pointwise_kernel),
            self.bias if self.use_bias else None,
            strides=ones,
            dilations=ones,
            padding="valid",
        )
        return self.finished(mixed)


class SeparableConv1D(_SeparableConv):
    rank: ClassVar[int] = 1


class SeparableConv2D(_SeparableConv):
    rank: ClassVar[int] = 2
    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)
