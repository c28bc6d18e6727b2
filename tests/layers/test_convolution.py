"""Convolutions against their definition as loops in float64, with TensorFlow's padding."""

from __future__ import annotations

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError, ShapeError

BIAS = {"bias_initializer": "random_normal"}


def _filled(layer, x):
    layer(x)
    layer.initialize(seed=3)
    return layer(x), layer.weights


CASES_2D = [
    # (shape, filters, kernel_size, options)
    ((2, 7, 6, 3), 4, 3, {}),
    ((2, 7, 6, 3), 4, (3, 2), {"padding": "same"}),
    ((1, 8, 9, 2), 3, (3, 2), {"strides": (2, 3)}),
    ((1, 8, 8, 2), 3, 3, {"strides": 2, "padding": "same"}),
    ((1, 7, 10, 2), 3, (5, 2), {"strides": (2, 3), "padding": "same"}),
    ((1, 5, 5, 2), 3, (1, 2), {"strides": (3, 4), "padding": "same"}),
    ((1, 9, 11, 2), 2, 3, {"dilation_rate": (2, 3)}),
    ((1, 9, 8, 2), 2, (3, 4), {"dilation_rate": 2, "padding": "same"}),
    ((2, 6, 6, 4), 6, 3, {"groups": 2, "padding": "same"}),
    ((1, 6, 6, 4), 8, 2, {"groups": 4, "strides": 2}),
    ((1, 4, 5, 3), 7, 1, {}),
]


@pytest.mark.parametrize(("shape", "filters", "kernel_size", "options"), CASES_2D)
def test_conv2d(shape, filters, kernel_size, options, rng, convolution):
    x = rng.standard_normal(shape).astype(np.float32)
    layer = lp.Conv2D(filters, kernel_size, **options, **BIAS)
    y, weights = _filled(layer, x)
    assert list(weights) == ["kernel", "bias"]
    assert weights["kernel"].shape == (*layer.kernel_size, shape[-1] // layer.groups, filters)
    expected = convolution(
        x,
        weights["kernel"],
        strides=layer.strides,
        dilations=layer.dilation_rate,
        padding=layer.padding,
        groups=layer.groups,
    )
    np.testing.assert_allclose(y, expected + weights["bias"], atol=1e-5)


@pytest.mark.parametrize(("shape", "filters", "kernel_size", "options"), CASES_2D)
def test_conv2d_channels_first_is_channels_last_transposed(
    shape, filters, kernel_size, options, rng
):
    x = rng.standard_normal(shape).astype(np.float32)
    last = lp.Conv2D(filters, kernel_size, **options, **BIAS)
    y, weights = _filled(last, x)
    first = lp.Conv2D(filters, kernel_size, **options, data_format="channels_first")
    turned = np.moveaxis(x, -1, 1)
    first(turned)
    first.set_weights(list(weights.values()))
    np.testing.assert_allclose(np.moveaxis(first(turned), 1, -1), y, atol=1e-6)


@pytest.mark.parametrize(("shape", "filters", "kernel_size", "options"), CASES_2D)
def test_conv2d_with_unknown_extents(shape, filters, kernel_size, options, rng, symbolic):
    x = rng.standard_normal(shape).astype(np.float32)
    layer = lp.Conv2D(filters, kernel_size, **options, **BIAS)
    y, _ = _filled(layer, x)
    np.testing.assert_array_equal(symbolic(layer, x, unknown=(1, 2)), y)
    np.testing.assert_array_equal(symbolic(layer, x, unknown=(2,)), y)


@pytest.mark.parametrize(
    ("length", "kernel_size", "options"),
    [
        (9, 3, {}),
        (9, 4, {"padding": "same", "strides": 2}),
        (9, 3, {"padding": "causal"}),
        (9, 3, {"padding": "causal", "dilation_rate": 2}),
        (10, 4, {"padding": "causal", "strides": 3}),
        (9, 3, {"groups": 2, "padding": "same"}),
    ],
)
@pytest.mark.parametrize("unknown", [(), (1,)])
def test_conv1d(length, kernel_size, options, unknown, rng, convolution, symbolic):
    x = rng.standard_normal((2, length, 4)).astype(np.float32)
    layer = lp.Conv1D(6, kernel_size, **options, **BIAS)
    _, weights = _filled(layer, x)
    expected = convolution(
        x,
        weights["kernel"],
        strides=layer.strides,
        dilations=layer.dilation_rate,
        padding=layer.padding,
        groups=layer.groups,
    )
    np.testing.assert_allclose(symbolic(layer, x, unknown), expected + weights["bias"], atol=1e-5)


def test_conv3d(rng, convolution):
    x = rng.standard_normal((1, 4, 5, 6, 2)).astype(np.float32)
    layer = lp.Conv3D(3, (2, 3, 1), strides=(1, 2, 2), padding="same", **BIAS)
    y, weights = _filled(layer, x)
    expected = convolution(
        x, weights["kernel"], strides=(1, 2, 2), dilations=(1, 1, 1), padding="same"
    )
    np.testing.assert_allclose(y, expected + weights["bias"], atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strides": 2, "padding": "same"},
        {"depth_multiplier": 3, "padding": "same"},
        {"dilation_rate": 2, "depth_multiplier": 2},
    ],
)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_depthwise_conv2d(options, data_format, rng, convolution):
    x = rng.standard_normal((2, 8, 7, 3)).astype(np.float32)
    layer = lp.DepthwiseConv2D(3, **options, data_format=data_format, **BIAS)
    given = x if data_format == "channels_last" else np.moveaxis(x, -1, 1)
    y, weights = _filled(layer, given)
    kernel = weights["kernel"]
    assert kernel.shape == (3, 3, 3, layer.depth_multiplier)
    parts = [
        convolution(
            x[..., c : c + 1],
            kernel[:, :, c : c + 1],
            strides=layer.strides,
            dilations=layer.dilation_rate,
            padding=layer.padding,
        )
        for c in range(3)
    ]
    expected = np.concatenate(parts, axis=-1) + weights["bias"]
    got = y if data_format == "channels_last" else np.moveaxis(y, 1, -1)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_depthwise_conv1d(rng, convolution):
    x = rng.standard_normal((2, 8, 3)).astype(np.float32)
    y, weights = _filled(lp.DepthwiseConv1D(3, strides=2, padding="same"), x)
    parts = [
        convolution(x[..., c : c + 1], weights["kernel"][:, c : c + 1], strides=(2,),
                    dilations=(1,), padding="same")
        for c in range(3)
    ]  # fmt: skip
    np.testing.assert_allclose(y, np.concatenate(parts, axis=-1), atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"strides": 2, "padding": "same"}, {"dilation_rate": 2}])
def test_separable_conv2d_is_depthwise_then_pointwise(options, rng):
    x = rng.standard_normal((2, 9, 8, 3)).astype(np.float32)
    layer = lp.SeparableConv2D(5, 3, depth_multiplier=2, activation="relu", **options, **BIAS)
    y, weights = _filled(layer, x)
    assert list(weights) == ["depthwise_kernel", "pointwise_kernel", "bias"]
    depthwise = lp.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, **options)
    depthwise(x)
    depthwise.set_weights([weights["depthwise_kernel"]])
    mixed = depthwise(x).astype(np.float64) @ weights["pointwise_kernel"][0, 0] + weights["bias"]
    np.testing.assert_allclose(y, np.maximum(mixed, 0), atol=1e-5)


def test_separable_conv1d(rng):
    x = rng.standard_normal((2, 9, 3)).astype(np.float32)
    y, weights = _filled(lp.SeparableConv1D(5, 3, padding="same", **BIAS), x)
    depthwise = lp.DepthwiseConv1D(3, padding="same", use_bias=False)
    depthwise(x)
    depthwise.set_weights([weights["depthwise_kernel"]])
    mixed = depthwise(x).astype(np.float64) @ weights["pointwise_kernel"][0] + weights["bias"]
    np.testing.assert_allclose(y, mixed, atol=1e-5)


def test_activation_sees_the_channels_last(rng):
    x = rng.standard_normal((2, 5, 5, 3)).astype(np.float32)
    y, _ = _filled(lp.Conv2D(4, 3, activation="softmax"), x)
    np.testing.assert_allclose(y.sum(-1), 1, atol=1e-6)


def test_shapes_of_connected_layers_keep_the_batch_open():
    x = lp.Input((28, 28, 1))
    y = lp.Conv2D(6, 5, padding="same")(x)
    assert y.shape[1:] == (28, 28, 6)
    assert str(y.shape[0]) == "batch"
    y = lp.Conv2D(6, 3, strides=2)(y)
    assert y.shape[1:] == (13, 13, 6)


def test_same_padding_is_explicit_where_it_is_known():
    strided = {"strides": 2, "padding": "same"}
    known = lp.Sequential([lp.Input((8, 8, 1)), lp.Conv2D(1, 3, **strided)]).lower()
    (op,) = [node.op for node in known.nodes if node.op.name == "Conv"]
    assert op.auto_pad == "NOTSET"
    assert op.pads == (0, 0, 1, 1)
    open_ = lp.Sequential([lp.Input((None, 8, 1)), lp.Conv2D(1, 3, **strided)]).lower()
    (op,) = [node.op for node in open_.nodes if node.op.name == "Conv"]
    assert op.auto_pad == "SAME_UPPER"
    dilated = lp.Conv2D(1, 3, dilation_rate=2, padding="same")
    open_ = lp.Sequential([lp.Input((None, None, 1)), dilated]).lower()
    (op,) = [node.op for node in open_.nodes if node.op.name == "Conv"]
    assert op.pads == (2, 2, 2, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lp.Conv2D(0, 3), "Conv2D: filters must be an integer of at least 1, not 0"),
        (lambda: lp.Conv2D(3, (3, 3, 3)), "kernel_size must be a positive integer, or 2 of them"),
        (lambda: lp.Conv2D(3, 3, strides=0), "Conv2D: strides must be a positive integer"),
        (lambda: lp.Conv2D(3, 3, padding="full"), "padding must be one of 'valid', 'same', not"),
        (lambda: lp.Conv1D(3, 3, padding="full"), "one of 'valid', 'same', 'causal'"),
        (lambda: lp.Conv2D(3, 3, data_format="NHWC"), "'channels_last', 'channels_first'"),
        (lambda: lp.Conv2D(3, 3, strides=2, dilation_rate=2), "either strides or dilation_rate"),
        (lambda: lp.Conv2D(3, 3, groups=2), r"filters \(3\) must be a multiple of groups \(2\)"),
        (lambda: lp.DepthwiseConv2D(3, depth_multiplier=0), "depth_multiplier must be an integer"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(LayerportError, match=message):
        make()


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="Conv2D 'c' takes inputs of 4 axes, the batch included"):
        lp.Conv2D(3, 3, name="c")(lp.Input((8, 8)))
    with pytest.raises(ShapeError, match="axis -1 of the input"):
        lp.Conv2D(3, 3)(lp.Input((8, 8, None)))
    with pytest.raises(ShapeError, match="the 3 channels of the input do not make 2 groups"):
        lp.Conv2D(4, 3, groups=2)(lp.Input((8, 8, 3)))
    with pytest.raises(ShapeError, match="a window of 3 does not fit into 2"):
        lp.Conv2D(4, 3)(lp.Input((2, 8, 3)))
