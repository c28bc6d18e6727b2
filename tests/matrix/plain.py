"""Networks of everyday layers."""

from __future__ import annotations

import layerport as lp
import numpy as np

from matrix import naive
from matrix.case import SAMPLES, Case, Drawn, chain, f64


def perceptron() -> Case:
    draw = Drawn(1)
    x, k1, b1, k2, b2, k3, b3 = (draw(SAMPLES, 6), draw(6, 5), draw(5), draw(5, 7), draw(7),
                                 draw(7, 3), draw(3))  # fmt: skip
    X, K1, B1, K2, B2, K3, B3 = f64(x, k1, b1, k2, b2, k3, b3)
    hidden = naive.sigmoid(naive.dense(naive.relu(naive.dense(X, K1, B1)), K2, B2))
    want = naive.softmax(naive.dense(hidden, K3, B3))

    def network() -> lp.Network:
        return chain((6,), lp.Dense(5, "relu"), lp.Dropout(0.5), lp.Dense(7, "sigmoid"),
                     lp.Dense(3, "softmax"), weights=[k1, b1, k2, b2, k3, b3])  # fmt: skip

    return Case("perceptron", network, [x], [want])


def lenet() -> Case:
    draw = Drawn(2)
    x = draw(SAMPLES, 12, 12, 1)
    k1, b1, k2, b2, k3, b3 = (draw(3, 3, 1, 4), draw(4), draw(2, 2, 4, 5), draw(5),
                              draw(20, 6), draw(6))  # fmt: skip
    X, K1, B1, K2, B2, K3, B3 = f64(x, k1, b1, k2, b2, k3, b3)
    y = naive.max_pool(naive.relu(naive.conv2d(X, K1, B1)), (2, 2), (2, 2))
    y = naive.average_pool(naive.relu(naive.conv2d(y, K2, B2)), (2, 2), (2, 2))
    want = naive.softmax(naive.dense(y.reshape(SAMPLES, -1), K3, B3))

    def network() -> lp.Network:
        return chain((12, 12, 1), lp.Conv2D(4, 3, activation="relu"), lp.MaxPooling2D(),
                     lp.Conv2D(5, 2, activation="relu"), lp.AveragePooling2D(), lp.Flatten(),
                     lp.Dense(6, "softmax"), weights=[k1, b1, k2, b2, k3, b3])  # fmt: skip

    return Case("lenet", network, [x], [want])


def strided_convolutions() -> Case:
    draw = Drawn(3)
    x, k1, b1, k2, b2 = draw(SAMPLES, 9, 8, 3), draw(3, 2, 3, 4), draw(4), draw(3, 3, 4, 2), draw(2)
    X, K1, B1, K2, B2 = f64(x, k1, b1, k2, b2)
    y = naive.conv2d(X, K1, B1, (2, 3), same=True)
    want = naive.conv2d(y, K2, B2, same=True, dilation=2)

    def network() -> lp.Network:
        return chain((9, 8, 3), lp.Conv2D(4, (3, 2), strides=(2, 3), padding="same"),
                     lp.Conv2D(2, 3, padding="same", dilation_rate=2),
                     weights=[k1, b1, k2, b2])  # fmt: skip

    return Case("strided convolutions", network, [x], [want])


def separable() -> Case:
    draw = Drawn(4)
    x, d, p, b = draw(SAMPLES, 8, 7, 3), draw(3, 3, 3, 2), draw(1, 1, 6, 4), draw(4)
    dk, db = draw(2, 2, 4, 1), draw(4)
    scale = [draw.positive(4), draw(4), draw(4), draw.positive(4)]
    X, D, P, B, DK, DB = f64(x, d, p, b, dk, db)
    y = naive.depthwise(X, D, np.zeros(6), same=True)
    y = naive.batch_norm(naive.conv2d(y, P, B), *f64(*scale))
    y = naive.depthwise(naive.swish(y), DK, DB, (2, 2))
    want = naive.max_pool(y, (3, 3), (2, 2), same=True)

    def network() -> lp.Network:
        return chain((8, 7, 3), lp.SeparableConv2D(4, 3, padding="same", depth_multiplier=2),
                     lp.BatchNormalization(), lp.Activation("swish"),
                     lp.DepthwiseConv2D(2, strides=2), lp.MaxPooling2D(3, 2, padding="same"),
                     weights=[d, p, b, *scale, dk, db])  # fmt: skip

    return Case("separable", network, [x], [want])


def sequence() -> Case:
    draw = Drawn(5)
    x, k1, b1, gamma, beta = draw(SAMPLES, 9, 4), draw(3, 4, 5), draw(5), draw.positive(5), draw(5)
    X, K1, B1, G, B = f64(x, k1, b1, gamma, beta)
    y = naive.conv2d(X[:, :, None], K1[:, None], B1)
    y = naive.layer_norm(naive.gelu(y), G, B)
    want = naive.max_pool(y, (2, 1), (2, 1))[:, :, 0].mean(1)

    def network() -> lp.Network:
        return chain((9, 4), lp.Conv1D(5, 3, activation="gelu"), lp.LayerNormalization(),
                     lp.MaxPooling1D(2), lp.GlobalAveragePooling1D(),
                     weights=[k1, b1, gamma, beta])  # fmt: skip

    return Case("sequence", network, [x], [want])


def shapes() -> Case:
    draw = Drawn(6)
    x = draw(SAMPLES, 4, 6, 2)
    (X,) = f64(x)
    y = np.pad(X, [(0, 0), (1, 0), (2, 1), (0, 0)])[:, 1:-1, 0:-2]
    y = y.repeat(2, 1).repeat(3, 2).transpose(0, 3, 1, 2)
    want = y.reshape(SAMPLES, 6, -1).max(1)

    def network() -> lp.Network:
        return chain((4, 6, 2), lp.ZeroPadding2D(((1, 0), (2, 1))), lp.Cropping2D(((1, 1), (0, 2))),
                     lp.UpSampling2D((2, 3)), lp.Permute((3, 1, 2)), lp.Reshape((6, -1)),
                     lp.GlobalMaxPooling1D(), weights=[])  # fmt: skip

    return Case("shapes", network, [x], [want])


def several_inputs_and_outputs() -> Case:
    draw = Drawn(7)
    a, b, k, c = draw(SAMPLES, 3), draw(SAMPLES, 4), draw(3, 4), draw(4)
    A, B, K, C = f64(a, b, k, c)
    left = naive.dense(A, K, C)
    joined = np.concatenate([left + B, left * B, np.maximum(left, B)], 1)

    def network() -> lp.Network:
        one, two = lp.Input((3,), name="one"), lp.Input((4,), name="two")
        left = lp.Dense(4, name="left")(one)
        joined = lp.Concatenate(name="joined")(
            [lp.Add()([left, two]), lp.Multiply()([left, two]), lp.Maximum()([left, two])]
        )
        made = lp.Network([one, two], [joined, lp.Subtract(name="less")([left, two])], name="two")
        made.set_weights([k, c])
        return made

    return Case("several inputs and outputs", network, [a, b], [joined, left - B])


def shared_and_nested() -> Case:
    draw = Drawn(8)
    a, b, k, c, k2, c2 = (
        draw(SAMPLES, 3),
        draw(SAMPLES, 3),
        draw(3, 4),
        draw(4),
        draw(4, 2),
        draw(2),
    )
    A, B, K, C, K2, C2 = f64(a, b, k, c, k2, c2)

    def encode(x: np.ndarray) -> np.ndarray:
        return np.tanh(naive.dense(x, K, C))

    want = naive.dense(np.minimum(encode(A), encode(B)), K2, C2)

    def network() -> lp.Network:
        encoder = lp.Sequential([lp.Input((3,)), lp.Dense(4, "tanh", name="inner")], name="encoder")
        one, two = lp.Input((3,)), lp.Input((3,))
        least = lp.Minimum()([encoder(one), encoder(two)])
        made = lp.Network([one, two], lp.Dense(2, name="head")(least), name="siamese")
        made.set_weights([k, c, k2, c2])
        return made

    return Case("shared and nested", network, [a, b], [want])


class Gated(lp.Layer):
    """A layer that no plugin knows."""

    sharpness: float = 2.0

    gate: lp.Array = lp.built()

    def build(self, input_shape: lp.InputShape) -> dict[str, lp.Weight]:
        return {"gate": lp.Weight(input_shape[-1:], initializer="ones")}

    def call(self, x: lp.Array) -> lp.Array:
        energy = np.mean(np.abs(x) ** self.sharpness, axis=-1, keepdims=True)
        return np.where(x > 0, np.tanh(x) * self.gate, x * energy)


def custom_layer() -> Case:
    draw = Drawn(9)
    x, k, b, gate = draw(SAMPLES, 4), draw(4, 6), draw(6), draw(6)
    X, K, B, G = f64(x, k, b, gate)
    y = naive.dense(X, K, B)
    want = np.where(y > 0, np.tanh(y) * G, y * (np.abs(y) ** 3).mean(-1, keepdims=True))

    def network() -> lp.Network:
        return chain((4,), lp.Dense(6), Gated(3.0), weights=[k, b, gate])

    return Case("custom layer", network, [x], [want])


CASES = [
    make()
    for make in (
        perceptron,
        lenet,
        strided_convolutions,
        separable,
        sequence,
        shapes,
        several_inputs_and_outputs,
        shared_and_nested,
        custom_layer,
    )
]
