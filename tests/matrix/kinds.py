"""Networks of other dtypes, and js-mind's."""

from __future__ import annotations

import layerport as lp
import numpy as np

from matrix import naive
from matrix.case import SAMPLES, Case, Drawn, f64


def double_precision() -> Case:
    rng = np.random.default_rng(500)
    x, k1, b1, k2, b2 = (
        rng.standard_normal(shape) for shape in ((SAMPLES, 6), (6, 5), (5,), (5, 4), (4,))
    )
    want = naive.softmax(naive.dense(np.tanh(naive.dense(x, k1, b1)), k2, b2))

    def network() -> lp.Network:
        made = lp.Sequential([lp.Input((6,), dtype="float64"), lp.Dense(5, "tanh", dtype="float64"),
                              lp.Dense(4, "softmax", dtype="float64")], dtype="float64",
                             name="double")  # fmt: skip
        made.set_weights([k1, b1, k2, b2])
        return made

    return Case("double precision", network, [x], [want], tolerance=1e-13)


def double_precision_images() -> Case:
    rng = np.random.default_rng(501)
    x, k, b = (rng.standard_normal(shape) for shape in ((SAMPLES, 6, 6, 2), (3, 3, 2, 3), (3,)))
    y = naive.max_pool(naive.gelu(naive.conv2d(x, k, b, same=True)), (2, 2), (2, 2))
    want = naive.swish(y).reshape(SAMPLES, -1)

    def network() -> lp.Network:
        made = lp.Sequential(
            [
                lp.Input((6, 6, 2), dtype="float64"),
                lp.Conv2D(3, 3, padding="same", activation="gelu", dtype="float64"),
                lp.MaxPooling2D(dtype="float64"),
                lp.Activation("swish", dtype="float64"),
                lp.Flatten(dtype="float64"),
            ],
            dtype="float64",
            name="double",
        )
        made.set_weights([k, b])
        return made

    return Case("double precision images", network, [x], [want], tolerance=1e-12)


def bytes_of_images() -> Case:
    rng = np.random.default_rng(502)
    x = rng.integers(0, 256, (SAMPLES, 4, 4, 3), np.uint8)
    k, b = Drawn(503)(48, 3), Drawn(504)(3)
    X, K, B = f64(x, k, b)
    want = naive.dense((X / 127.5 - 1).reshape(SAMPLES, -1), K, B)

    def network() -> lp.Network:
        made = lp.Sequential([lp.Input((4, 4, 3), dtype="uint8"), lp.Rescaling(1 / 127.5, -1),
                              lp.Flatten(), lp.Dense(3)], name="bytes")  # fmt: skip
        made.set_weights([k, b])
        return made

    return Case("bytes of images", network, [x], [want])


def whole_numbers() -> Case:
    """int32 features beside float ones."""
    rng = np.random.default_rng(505)
    counts = rng.integers(-9, 10, (SAMPLES, 3), np.int32)
    rest = Drawn(506)(SAMPLES, 2)
    k, b = Drawn(507)(5, 3), Drawn(508)(3)
    N, R, K, B = f64(counts, rest, k, b)
    want = [naive.dense(np.concatenate([N / 9, R], 1), K, B), counts[:, ::1]]

    def network() -> lp.Network:
        numbers, rest = lp.Input((3,), dtype="int32", name="counts"), lp.Input((2,), name="rest")
        joined = lp.Concatenate()([lp.Rescaling(1 / 9)(numbers), rest])
        same = lp.Reshape((3,), dtype="int32", name="same")(numbers)
        made = lp.Network([numbers, rest], [lp.Dense(3)(joined), same], name="numbers")
        made.set_weights([k, b])
        return made

    return Case("whole numbers", network, [counts, rest], want)


def js_mind() -> Case:
    """js-mind drops a layer's own inputs, and scales the sum but not the bias."""
    rng = np.random.default_rng(509)
    x, w1, b1, w2, b2 = (
        rng.standard_normal(shape) for shape in ((SAMPLES, 6), (5, 6), (5, 1), (3, 5), (3, 1))
    )
    hidden = naive.relu((1 - 0.25) * (x @ w1.T) + b1[:, 0])
    want = naive.softmax((1 - 0.5) * (hidden @ w2.T) + b2[:, 0])

    def network() -> lp.Network:
        layers = [
            lp.JsMindDense(5, "relu", 0.25, "ReLULayer", dtype="float64"),
            lp.JsMindDense(3, "softmax", 0.5, "SoftmaxLayer", dtype="float64"),
        ]
        made = lp.Sequential([lp.Input((6,), dtype="float64"), *layers], dtype="float64", name="js")
        made.set_weights([w1, b1, w2, b2])
        return made

    return Case("js-mind", network, [x], [want], tolerance=1e-13)


CASES = [
    make()
    for make in (double_precision, double_precision_images, bytes_of_images, whole_numbers, js_mind)
]
