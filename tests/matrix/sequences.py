"""Layers of sequences, and shapes."""

from __future__ import annotations

import layerport as lp
import numpy as np

from matrix import naive
from matrix.case import SAMPLES, Case, Drawn, f64

Pair = tuple[int, int]


def pool(x: np.ndarray, size: int, stride: int, kind: str, same: bool = False) -> np.ndarray:
    function = naive.max_pool if kind == "max" else naive.average_pool
    return function(x[:, :, None], (size, 1), (stride, 1), same=same)[:, :, 0]


def conv1d(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride: int = 1, dilation: int = 1
) -> np.ndarray:
    """A convolution along one axis: along the first axis of an image of width one."""
    taps = kernel.shape[0]
    wide = np.zeros(((taps - 1) * dilation + 1, *kernel.shape[1:]))
    wide[::dilation] = kernel
    return naive.conv2d(x[:, :, None], wide[:, None], bias, (stride, 1))[:, :, 0]


def pooling() -> Case:
    x = Drawn(300)(SAMPLES, 9, 3)
    (X,) = f64(x)
    want = [
        pool(X, 2, 2, "average"), pool(X, 3, 2, "average", same=True), pool(X, 4, 1, "max"),
        pool(X, 2, 3, "max", same=True), X.max(1), X.mean(1, keepdims=True),
        X.transpose(0, 2, 1).max(1),
    ]  # fmt: skip

    def network() -> lp.Network:
        source = lp.Input((9, 3))
        layers = [
            lp.AveragePooling1D(), lp.AveragePooling1D(3, 2, padding="same"),
            lp.MaxPooling1D(4, 1), lp.MaxPooling1D(2, 3, padding="same"), lp.GlobalMaxPooling1D(),
            lp.GlobalAveragePooling1D(keepdims=True),
            lp.GlobalMaxPooling1D(data_format="channels_first"),
        ]  # fmt: skip
        return lp.Network(source, [layer(source) for layer in layers], name="pooling")

    return Case("pooling of sequences", network, [x], want)


def convolutions() -> Case:
    draw = Drawn(301)
    x = draw(SAMPLES, 11, 3)
    k1, b1, k2, b2, k3, b3 = draw(3, 3, 4), draw(4), draw(4, 3, 2), draw(2), draw(2, 11, 5), draw(5)
    X, K1, B1, K2, B2, K3, B3 = f64(x, k1, b1, k2, b2, k3, b3)
    before = np.pad(X, [(0, 0), ((3 - 1) * 2, 0), (0, 0)])
    begin, end = naive.same_pads(11, 4, 2)
    around = np.pad(X, [(0, 0), (begin, end), (0, 0)])
    first = conv1d(X.transpose(0, 2, 1), K3, B3).transpose(0, 2, 1)
    want = [conv1d(before, K1, B1, dilation=2), naive.relu(conv1d(around, K2, B2, 2)), first]

    def network() -> lp.Network:
        source = lp.Input((11, 3))
        layers = [
            lp.Conv1D(4, 3, padding="causal", dilation_rate=2),
            lp.Conv1D(2, 4, strides=2, padding="same", activation="relu"),
            lp.Conv1D(5, 2, data_format="channels_first"),
        ]
        made = lp.Network(source, [layer(source) for layer in layers], name="convolutions")
        made.set_weights([k1, b1, k2, b2, k3, b3])
        return made

    return Case("convolutions of sequences", network, [x], want)


def any_length() -> Case:
    draw = Drawn(302)
    x, k, b, k2, b2 = draw(SAMPLES, 8, 3), draw(3, 3, 4), draw(4), draw(4, 2), draw(2)
    X, K, B, K2, B2 = f64(x, k, b, k2, b2)
    around = np.pad(X, [(0, 0), (1, 1), (0, 0)])
    steps = naive.dense(naive.relu(conv1d(around, K, B)), K2, B2)

    def network() -> lp.Network:
        source = lp.Input((None, 3))
        y = lp.Conv1D(4, 3, padding="same", activation="relu")(source)
        y = lp.Dense(2)(y)
        made = lp.Network(source, [y, lp.GlobalMaxPooling1D()(y)], name="any")
        made.set_weights([k, b, k2, b2])
        return made

    return Case("any length", network, [x], [steps, steps.max(1)])


def arrangements() -> Case:
    draw = Drawn(303)
    x, k, b = draw(SAMPLES, 4, 6), draw(6, 2), draw(2)
    X, K, B = f64(x, k, b)
    want = [
        X.reshape(SAMPLES, 2, 4, 3), X.reshape(SAMPLES, 8, 3), X.transpose(0, 2, 1),
        X.reshape(SAMPLES, 24), naive.dense(X, K, B), X[:, 1:3], X.repeat(2, 1),
        np.pad(X, [(0, 0), (2, 1), (0, 0)]),
    ]  # fmt: skip

    def network() -> lp.Network:
        source = lp.Input((4, 6))
        layers = [
            lp.Reshape((2, 4, 3)), lp.Reshape((-1, 3)), lp.Permute((2, 1)), lp.Flatten(),
            lp.Dense(2), lp.Cropping1D((1, 1)), lp.UpSampling1D(2), lp.ZeroPadding1D((2, 1)),
        ]  # fmt: skip
        made = lp.Network(source, [layer(source) for layer in layers], name="arrangements")
        made.set_weights([k, b])
        return made

    return Case("arrangements", network, [x], want)


CASES = [make() for make in (pooling, convolutions, any_length, arrangements)]
