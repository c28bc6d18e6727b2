"""Layers of images."""

from __future__ import annotations

import layerport as lp
import numpy as np

from matrix import naive
from matrix.case import SAMPLES, Case, Drawn, chain, f64

FIRST = "channels_first"


def channels_first() -> Case:
    draw = Drawn(200)
    x = draw(SAMPLES, 3, 9, 8)
    k1, b1, scale = (
        draw(3, 2, 3, 4),
        draw(4),
        [draw.positive(4), draw(4), draw(4), draw.positive(4)],
    )
    d, k2, b2 = draw(2, 2, 4, 1), draw(16, 5), draw(5)
    X, K1, B1, D, K2, B2 = f64(x, k1, b1, d, k2, b2)
    y = naive.conv2d(naive.first_to_last(X), K1, B1, (2, 1), same=True)
    y = naive.relu(naive.batch_norm(y, *f64(*scale)))
    y = naive.max_pool(y, (2, 2), (1, 2))
    y = naive.depthwise(y, D, 0.0, same=True)
    y = naive.average_pool(y, (2, 2), (2, 2), same=True)
    want = naive.dense(y.reshape(SAMPLES, -1), K2, B2)  # Keras moves the channels last, too

    def network() -> lp.Network:
        return chain(
            (3, 9, 8),
            lp.Conv2D(4, (3, 2), strides=(2, 1), padding="same", data_format=FIRST),
            lp.BatchNormalization(axis=1), lp.ReLU(),
            lp.MaxPooling2D(2, (1, 2), data_format=FIRST),
            lp.DepthwiseConv2D(2, padding="same", use_bias=False, data_format=FIRST),
            lp.AveragePooling2D(2, padding="same", data_format=FIRST),
            lp.Flatten(data_format=FIRST), lp.Dense(5),
            weights=[k1, b1, *scale, d, k2, b2],
        )  # fmt: skip

    return Case("channels first", network, [x], [want])


def channels_first_shapes() -> Case:
    x = Drawn(201)(SAMPLES, 2, 3, 4)
    (X,) = f64(x)
    y = np.pad(X, [(0, 0), (0, 0), (1, 2), (0, 1)])[:, :, 1:, :-2]
    y = y.repeat(2, 2).repeat(2, 3)
    want = [y.max((2, 3)), y.mean((2, 3), keepdims=True)]

    def network() -> lp.Network:
        source = lp.Input((2, 3, 4))
        y = lp.ZeroPadding2D(((1, 2), (0, 1)), data_format=FIRST)(source)
        y = lp.Cropping2D(((1, 0), (0, 2)), data_format=FIRST)(y)
        y = lp.UpSampling2D(data_format=FIRST)(y)
        most = lp.GlobalMaxPooling2D(data_format=FIRST)(y)
        mean = lp.GlobalAveragePooling2D(data_format=FIRST, keepdims=True)(y)
        return lp.Network(source, [most, mean], name="shapes")

    return Case("channels first shapes", network, [x], want)


def pooling() -> Case:
    x = Drawn(202)(SAMPLES, 7, 6, 3)
    (X,) = f64(x)
    want = [
        naive.average_pool(X, (3, 2), (2, 2), same=True),
        naive.average_pool(X, (3, 3), (1, 2)),
        naive.max_pool(X, (2, 3), (2, 1), same=True),
        naive.max_pool(X, (4, 4), (3, 2)),
        X.max((1, 2)), X.mean((1, 2)), X.max((1, 2), keepdims=True),
    ]  # fmt: skip

    def network() -> lp.Network:
        source = lp.Input((7, 6, 3))
        layers = [
            lp.AveragePooling2D((3, 2), 2, padding="same"), lp.AveragePooling2D(3, (1, 2)),
            lp.MaxPooling2D((2, 3), (2, 1), padding="same"), lp.MaxPooling2D(4, (3, 2)),
            lp.GlobalMaxPooling2D(), lp.GlobalAveragePooling2D(),
            lp.GlobalMaxPooling2D(keepdims=True),
        ]  # fmt: skip
        return lp.Network(source, [layer(source) for layer in layers], name="pooling")

    return Case("pooling", network, [x], want)


def convolutions() -> Case:
    draw = Drawn(203)
    x = draw(SAMPLES, 6, 7, 4)
    g, gb, k, d, db = draw(3, 3, 2, 6), draw(6), draw(2, 2, 4, 3), draw(3, 3, 4, 2), draw(8)
    sd, sp, sb = draw(3, 3, 4, 1), draw(1, 1, 4, 5), draw(5)
    X, G, GB, K, D, DB, SD, SP, SB = f64(x, g, gb, k, d, db, sd, sp, sb)
    separated = naive.conv2d(naive.depthwise(X, SD, 0.0, (2, 2), same=True), SP, SB)
    want = [
        naive.grouped(X, G, GB, 2, same=True),
        np.tanh(naive.conv2d(X, K, 0.0, (3, 2))),
        naive.relu(naive.depthwise(X, D, DB, (2, 2), same=True)),
        naive.sigmoid(separated),
    ]

    def network() -> lp.Network:
        source = lp.Input((6, 7, 4))
        layers = [
            lp.Conv2D(6, 3, padding="same", groups=2),
            lp.Conv2D(3, 2, strides=(3, 2), use_bias=False, activation="tanh"),
            lp.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2, activation="relu"),
            lp.SeparableConv2D(5, 3, strides=2, padding="same", activation="sigmoid"),
        ]
        made = lp.Network(source, [layer(source) for layer in layers], name="convolutions")
        made.set_weights([g, gb, k, d, db, sd, sp, sb])
        return made

    return Case("convolutions", network, [x], want)


def upsampling() -> Case:
    x = Drawn(204)(SAMPLES, 3, 4, 2)
    (X,) = f64(x)
    want = [X.repeat(3, 1).repeat(2, 2), naive.bilinear(X, 2, 3)]

    def network() -> lp.Network:
        source = lp.Input((3, 4, 2))
        layers = [lp.UpSampling2D((3, 2)), lp.UpSampling2D((2, 3), interpolation="bilinear")]
        return lp.Network(source, [layer(source) for layer in layers], name="upsampling")

    return Case("upsampling", network, [x], want)


def normalizations() -> Case:
    draw = Drawn(205)
    x = draw(SAMPLES, 3, 4, 5)
    mean, variance = draw(5), draw.positive(5)
    beta, gamma = draw(5), draw.positive(5)
    X, M, V, B, G = f64(x, mean, variance, beta, gamma)
    flat = X.reshape(SAMPLES, -1)
    centred = X - X.mean(-1, keepdims=True)
    whole = (flat - 0.25) / np.sqrt(4.0)
    want = [
        naive.batch_norm(X, 1.0, B, M, V),
        naive.batch_norm(X, G, 0.0, M, V, 0.01),
        centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5),
        (X - M) / np.sqrt(V),
        whole.reshape(X.shape),
        X * np.array([1, 2, 3, 4, 5.0]) - 1,
    ]

    def network() -> lp.Network:
        source = lp.Input((3, 4, 5))
        layers = [
            lp.BatchNormalization(scale=False),
            lp.BatchNormalization(center=False, epsilon=0.01),
            lp.LayerNormalization(scale=False, center=False, epsilon=1e-5),
            lp.Normalization(),
            lp.Normalization(axis=None, mean=0.25, variance=4.0),
            lp.Rescaling([1, 2, 3, 4, 5], -1.0),
        ]
        made = lp.Network(source, [layer(source) for layer in layers], name="normalizations")
        count = np.array(7, np.int32)
        made.set_weights([beta, mean, variance, gamma, mean, variance, mean, variance, count])
        return made

    return Case("normalizations", network, [x], want)


def any_size() -> Case:
    draw = Drawn(206)
    x = draw(SAMPLES, 10, 7, 3)
    k, b, scale = draw(3, 3, 3, 4), draw(4), [draw.positive(4), draw(4), draw(4), draw.positive(4)]
    k2, b2 = draw(4, 2), draw(2)
    X, K, B, K2, B2 = f64(x, k, b, k2, b2)
    y = naive.relu(naive.batch_norm(naive.conv2d(X, K, B, same=True), *f64(*scale)))
    y = naive.max_pool(y, (2, 2), (2, 2)).mean((1, 2))
    want = naive.softmax(naive.dense(y, K2, B2))

    def network() -> lp.Network:
        return chain((None, None, 3), lp.Conv2D(4, 3, padding="same"), lp.BatchNormalization(),
                     lp.ReLU(), lp.MaxPooling2D(), lp.GlobalAveragePooling2D(),
                     lp.Dense(2, "softmax"), weights=[k, b, *scale, k2, b2])  # fmt: skip

    return Case("any size", network, [x], [want])


def any_size_strided() -> Case:
    """What is padded depends on the size of the image."""
    draw = Drawn(207)
    x, k, b = draw(SAMPLES, 10, 7, 3), draw(3, 3, 3, 4), draw(4)
    X, K, B = f64(x, k, b)
    y = naive.max_pool(naive.conv2d(X, K, B, (2, 2), same=True), (3, 3), (2, 2), same=True)
    want = y.repeat(2, 1).repeat(2, 2)

    def network() -> lp.Network:
        return chain((None, None, 3), lp.Conv2D(4, 3, strides=2, padding="same"),
                     lp.MaxPooling2D(3, 2, padding="same"), lp.UpSampling2D(),
                     weights=[k, b])  # fmt: skip

    return Case("any size strided", network, [x], [want])


CASES = [
    make()
    for make in (
        channels_first,
        channels_first_shapes,
        pooling,
        convolutions,
        upsampling,
        normalizations,
        any_size,
        any_size_strided,
    )
]
