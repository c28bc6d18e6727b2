"""Layers of several inputs, networks inside networks."""

from __future__ import annotations

import layerport as lp
import numpy as np

from matrix import naive
from matrix.case import SAMPLES, Case, Drawn, f64


def merging() -> Case:
    draw = Drawn(400)
    a, b, c = draw(SAMPLES, 3, 4), draw(SAMPLES, 3, 4), draw(SAMPLES, 3, 4)
    A, B, C = f64(a, b, c)
    want = [
        A + B + C, A - B, A * B * C, (A + B + C) / 3, np.maximum(np.maximum(A, B), C),
        np.minimum(np.minimum(A, B), C), np.concatenate([A, B], -1), np.concatenate([A, C, B], 1),
    ]  # fmt: skip

    def network() -> lp.Network:
        a, b, c = (lp.Input((3, 4), name=name) for name in "abc")
        outputs = [
            lp.Add()([a, b, c]), lp.Subtract()([a, b]), lp.Multiply()([a, b, c]),
            lp.Average()([a, b, c]), lp.Maximum()([a, b, c]), lp.Minimum()([a, b, c]),
            lp.Concatenate()([a, b]), lp.Concatenate(axis=1)([a, c, b]),
        ]  # fmt: skip
        return lp.Network([a, b, c], outputs, name="merging")

    return Case("merging", network, [a, b, c], want)


def merging_with_broadcasting() -> Case:
    draw = Drawn(401)
    a, b = draw(SAMPLES, 3, 4), draw(SAMPLES, 1, 4)
    A, B = f64(a, b)
    want = [A + B, A * B, np.maximum(A, B)]

    def network() -> lp.Network:
        a, b = lp.Input((3, 4), name="a"), lp.Input((1, 4), name="b")
        outputs = [lp.Add()([a, b]), lp.Multiply()([a, b]), lp.Maximum()([a, b])]
        return lp.Network([a, b], outputs, name="broadcasting")

    return Case("merging with broadcasting", network, [a, b], want)


def residual() -> Case:
    draw = Drawn(402)
    x, k1, b1, k2, b2 = draw(SAMPLES, 6, 6, 3), draw(3, 3, 3, 3), draw(3), draw(3, 3, 3, 3), draw(3)
    X, K1, B1, K2, B2 = f64(x, k1, b1, k2, b2)
    y = naive.conv2d(naive.relu(naive.conv2d(X, K1, B1, same=True)), K2, B2, same=True)
    want = naive.relu(X + y).mean((1, 2))

    def network() -> lp.Network:
        source = lp.Input((6, 6, 3))
        y = lp.Conv2D(3, 3, padding="same", activation="relu")(source)
        y = lp.Add()([source, lp.Conv2D(3, 3, padding="same")(y)])
        y = lp.GlobalAveragePooling2D()(lp.Activation("relu")(y))
        made = lp.Network(source, y, name="residual")
        made.set_weights([k1, b1, k2, b2])
        return made

    return Case("residual", network, [x], [want])


def outputs_of_nested_networks() -> Case:
    """A network with two outputs, used twice, inside a Sequential's neighbour."""
    draw = Drawn(403)
    a, b = draw(SAMPLES, 3), draw(SAMPLES, 3)
    k1, c1, k2, c2, k3, c3 = draw(3, 4), draw(4), draw(3, 4), draw(4), draw(4, 2), draw(2)
    A, B, K1, C1, K2, C2, K3, C3 = f64(a, b, k1, c1, k2, c2, k3, c3)

    def inner(x: np.ndarray) -> list[np.ndarray]:
        return [np.tanh(naive.dense(x, K1, C1)), naive.sigmoid(naive.dense(x, K2, C2))]

    (left, gate), (right, _) = inner(A), inner(B)
    want = [left * gate, naive.dense(left - right, K3, C3), right]

    def network() -> lp.Network:
        source = lp.Input((3,), name="x")
        outputs = [
            lp.Dense(4, "tanh", name="value")(source),
            lp.Dense(4, "sigmoid", name="gate")(source),
        ]
        pair = lp.Network(source, outputs, name="pair")
        head = lp.Sequential([lp.Input((4,)), lp.Dense(2, name="last")], name="head")
        one, two = lp.Input((3,), name="one"), lp.Input((3,), name="two")
        (left, gate), (right, _) = pair(one), pair(two)
        outputs = [lp.Multiply()([left, gate]), head(lp.Subtract()([left, right])), right]
        made = lp.Network([one, two], outputs, name="outer")
        made.set_weights([k1, c1, k2, c2, k3, c3])
        return made

    return Case("outputs of nested networks", network, [a, b], want)


def deeply_nested() -> Case:
    draw = Drawn(404)
    x, k, b = draw(SAMPLES, 3), draw(3, 3), draw(3)
    X, K, B = f64(x, k, b)
    want = naive.relu(naive.dense(naive.relu(naive.dense(X, K, B)), K, B))

    def network() -> lp.Network:
        inner = lp.Sequential([lp.Input((3,)), lp.Dense(3, "relu", name="core")], name="inner")
        middle = lp.Sequential([lp.Input((3,)), inner], name="middle")
        source = lp.Input((3,))
        made = lp.Network(source, middle(middle(source)), name="deep")
        made.set_weights([k, b])
        return made

    return Case("deeply nested", network, [x], [want])


def input_is_output() -> Case:
    x = Drawn(405)(SAMPLES, 3)

    def network() -> lp.Network:
        source = lp.Input((3,))
        doubled = lp.Rescaling(2.0)(source)
        return lp.Network(source, [doubled, doubled, source], name="same")

    (X,) = f64(x)
    return Case("the same output twice, and the input", network, [x], [2 * X, 2 * X, X])


CASES = [
    make()
    for make in (
        merging,
        merging_with_broadcasting,
        residual,
        outputs_of_nested_networks,
        deeply_nested,
        input_is_output,
    )
]
