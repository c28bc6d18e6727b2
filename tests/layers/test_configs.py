"""Configs, defaults and documentation of every layer."""

from __future__ import annotations

import inspect
import json

import layerport as lp
import numpy as np
import pytest
from layerport_plugins.layers import LAYERS

STRUCTURE = {"InputLayer", "Network", "Sequential", "Operator"}
ARGUMENTS = {  # arguments without a default, or more telling than the default, and an input shape
    "Activation": (("tanh",), (2, 3)),
    "ActivityRegularization": ((0.1, 0.2), (2, 3)),
    "AlphaDropout": ((0.5,), (2, 3)),
    "AveragePooling1D": ((), (2, 6, 3)),
    "AveragePooling2D": (((2, 3),), (2, 6, 6, 3)),
    "AveragePooling3D": ((), (2, 4, 4, 4, 3)),
    "BatchNormalization": ((), (2, 4, 3)),
    "Conv1D": ((4, 3, 1, "causal"), (2, 6, 3)),
    "Conv1DTranspose": ((4, 3), (2, 6, 3)),
    "Conv2D": ((4, (3, 2), 2, "same"), (2, 6, 6, 3)),
    "Conv2DTranspose": ((4, (3, 2), 2, "same", 1), (2, 6, 6, 3)),
    "Conv3D": ((4, 2), (2, 4, 4, 4, 3)),
    "Conv3DTranspose": ((4, 2), (2, 4, 4, 4, 3)),
    "Cropping1D": ((), (2, 6, 3)),
    "Cropping2D": ((((1, 0), (2, 1)),), (2, 6, 6, 3)),
    "Cropping3D": ((), (2, 4, 4, 4, 3)),
    "Dense": ((4, lp.LeakyReLU(0.1)), (2, 3)),
    "DepthwiseConv1D": ((3,), (2, 6, 3)),
    "DepthwiseConv2D": ((3,), (2, 6, 6, 3)),
    "Dropout": ((0.5, (None, 1)), (2, 3)),
    "Embedding": ((9, 4), (2, 6)),
    "Flatten": ((), (2, 3, 4)),
    "GRU": ((4,), (2, 6, 3)),
    "GaussianDropout": ((0.5,), (2, 3)),
    "GaussianNoise": ((0.5,), (2, 3)),
    "GlobalAveragePooling1D": ((), (2, 6, 3)),
    "GlobalAveragePooling2D": ((), (2, 6, 6, 3)),
    "GlobalAveragePooling3D": ((), (2, 4, 4, 4, 3)),
    "GlobalMaxPooling1D": ((), (2, 6, 3)),
    "GlobalMaxPooling2D": ((), (2, 6, 6, 3)),
    "GlobalMaxPooling3D": ((), (2, 4, 4, 4, 3)),
    "JsMindDense": ((4, "relu", 0.25, "ReLULayer"), (2, 3)),
    "LSTM": ((4,), (2, 6, 3)),
    "LayerNormalization": (((1, 2),), (2, 4, 3)),
    "MaxPooling1D": ((), (2, 6, 3)),
    "MaxPooling2D": ((3, 2, "same"), (2, 6, 6, 3)),
    "MaxPooling3D": ((), (2, 4, 4, 4, 3)),
    "MultiHeadAttention": ((2, 3, 4), ((2, 6, 5), (2, 4, 3))),
    "Normalization": ((-1, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)), (2, 3)),
    "PReLU": (("ones", None, (1,)), (2, 4, 3)),
    "Permute": (((2, 1),), (2, 4, 3)),
    "RepeatVector": ((3,), (2, 3)),
    "Rescaling": (((1.0, 2.0, 3.0), 0.5), (2, 3)),
    "Reshape": (((-1, 2),), (2, 4)),
    "SeparableConv1D": ((4, 3), (2, 6, 3)),
    "SeparableConv2D": ((4, 3), (2, 6, 6, 3)),
    "SimpleRNN": ((4,), (2, 6, 3)),
    "Softmax": (((1, 2),), (2, 4, 3)),
    "SpatialDropout1D": ((0.5,), (2, 6, 3)),
    "SpatialDropout2D": ((0.5,), (2, 6, 6, 3)),
    "SpatialDropout3D": ((0.5,), (2, 4, 4, 4, 3)),
    "TimeDistributed": ((lp.Dense(4),), (2, 6, 3)),
    "UpSampling1D": ((), (2, 6, 3)),
    "UpSampling2D": (((2, 3), None, "bilinear"), (2, 6, 6, 3)),
    "UpSampling3D": ((), (2, 2, 3, 4, 3)),
    "ZeroPadding1D": (((1, 2),), (2, 6, 3)),
    "ZeroPadding2D": ((((1, 2), (0, 1)),), (2, 6, 6, 3)),
    "ZeroPadding3D": ((), (2, 2, 3, 4, 3)),
    "AdditiveAttention": ((), [(2, 4, 3), (2, 5, 3)]),
    "Attention": ((True,), [(2, 4, 3), (2, 5, 3)]),
    "Bidirectional": ((lp.LSTM(4, return_sequences=True), "sum"), (2, 6, 3)),
    "Concatenate": ((), [(2, 3), (2, 4)]),
    "Dot": ((-1, True), [(2, 3), (2, 3)]),
    **{
        name: ((), [(2, 3), (2, 3)])
        for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")
    },
}
CLASSES = [cls for cls in LAYERS if cls.__name__ not in STRUCTURE]


def _shapes(shape):
    """The shapes of all inputs: a list for layers that take a list, a tuple for several inputs."""
    return list(shape) if isinstance(shape[0], tuple) else [shape]


def _input(shape, rng):
    return [rng.standard_normal(one).astype(np.float32) for one in _shapes(shape)]


def _called(layer, shape, inputs):
    return layer(inputs) if isinstance(shape, list) else layer(*inputs)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_config_makes_an_equal_layer(cls, rng):
    arguments, shape = ARGUMENTS.get(cls.__name__, ((), (2, 3)))
    layer = cls(*arguments, name="one", trainable=False)
    config = layer.get_config()
    written = json.loads(json.dumps(config))
    again = cls.from_config(written)
    assert again.get_config() == config
    assert repr(again) == repr(layer)
    x = _input(shape, rng)
    y = _called(layer, shape, x)
    _called(again, shape, x)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(_called(again, shape, x), y)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_connecting_and_computing_give_the_same_shape(cls, rng):
    arguments, shape = ARGUMENTS.get(cls.__name__, ((), (2, 3)))
    inputs = [lp.Input(one[1:]) for one in _shapes(shape)]
    layer = cls(*arguments)
    outlet = _called(layer, shape, inputs)
    y = _called(layer, shape, _input(shape, rng))
    assert str(outlet.shape[0]) == "batch"
    assert outlet.shape[1:] == y.shape[1:]
    assert outlet.dtype == y.dtype == np.float32
    assert len(y) == 2


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_onnxruntime_computes_the_same(cls, rng, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    arguments, shape = ARGUMENTS.get(cls.__name__, ((), (2, 3)))
    inputs = [lp.Input(one[1:], name=f"x{i}") for i, one in enumerate(_shapes(shape))]
    network = lp.Network(inputs, _called(cls(*arguments), shape, inputs))
    network.initialize(0)
    arrays = _input(shape, rng)
    lp.save(network, tmp_path / "layer.onnx")
    session = runtime.InferenceSession(tmp_path / "layer.onnx", providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {f"x{i}": x for i, x in enumerate(arrays)})
    got = network.predict(arrays if len(arrays) > 1 else arrays[0])
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)
def test_every_layer_is_documented(cls):
    text = inspect.getdoc(cls)
    assert text
    assert not text.startswith(f"{cls.__name__}("), "the text is the signature that dataclass makes"
    arguments = [
        f.name for f in cls.config_fields() if f.name not in ("name", "trainable", "dtype")
    ]
    missing = [name for name in arguments if name not in text]
    if cls.__name__ not in STRUCTURE:
        assert not missing, f"{cls.__name__} says nothing of {missing}"


def test_arguments_come_in_the_order_of_keras():
    expected = {
        lp.Dense: "units activation use_bias kernel_initializer bias_initializer "
        "kernel_regularizer bias_regularizer activity_regularizer",
        lp.Conv2D: "filters kernel_size strides padding data_format dilation_rate groups "
        "activation use_bias kernel_initializer bias_initializer kernel_regularizer "
        "bias_regularizer activity_regularizer",
        lp.DepthwiseConv2D: "kernel_size strides padding depth_multiplier data_format "
        "dilation_rate activation use_bias depthwise_initializer bias_initializer "
        "depthwise_regularizer bias_regularizer activity_regularizer",
        lp.SeparableConv2D: "filters kernel_size strides padding data_format dilation_rate "
        "depth_multiplier activation use_bias depthwise_initializer pointwise_initializer "
        "bias_initializer depthwise_regularizer pointwise_regularizer bias_regularizer "
        "activity_regularizer",
        lp.MaxPooling2D: "pool_size strides padding data_format",
        lp.BatchNormalization: "axis momentum epsilon center scale beta_initializer "
        "gamma_initializer moving_mean_initializer moving_variance_initializer "
        "beta_regularizer gamma_regularizer",
        lp.LayerNormalization: "axis epsilon center scale beta_initializer gamma_initializer "
        "beta_regularizer gamma_regularizer",
        lp.ReLU: "max_value negative_slope threshold",
        lp.Dropout: "rate noise_shape seed",
    }
    for cls, names in expected.items():
        given = [field.name for field in cls.config_fields() if not field.kw_only]
        assert given == names.split(), cls.__name__


def test_a_network_of_layers_survives_its_config(rng):
    x = lp.Input((8, 8, 3))
    a = lp.Conv2D(4, 3, padding="same", activation="relu")(x)
    b = lp.SeparableConv2D(4, 3, padding="same", activation=lp.PReLU())(x)
    y = lp.BatchNormalization()(lp.Add()([a, b]))
    y = lp.Dense(3, activation="softmax")(lp.GlobalAveragePooling2D()(y))
    network = lp.Network(x, y)
    network.initialize(0)
    again = lp.Network.from_config(json.loads(json.dumps(network.get_config())))
    again.set_weights(network.get_weights())
    data = rng.standard_normal((2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(again.predict(data), network.predict(data))
