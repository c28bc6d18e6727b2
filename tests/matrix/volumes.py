"""Layers of volumes, transposed convolutions, and what is left of sequences."""

from __future__ import annotations

import layerport as lp
import numpy as np

from matrix import naive
from matrix.case import SAMPLES, Case, Drawn, chain, f64
from matrix.sequences import conv1d


def convolutions() -> Case:
    draw = Drawn(700)
    x, k1, b1, k2, b2 = (
        draw(SAMPLES, 6, 5, 7, 2), draw(3, 3, 3, 2, 3), draw(3), draw(2, 2, 2, 3, 4), draw(4),
    )  # fmt: skip
    X, K1, B1, K2, B2 = f64(x, k1, b1, k2, b2)
    y = naive.relu(naive.conv3d(X, K1, B1, 2, same=True))
    want = naive.conv3d(y, K2, B2).mean((1, 2, 3))

    def network() -> lp.Network:
        return chain((6, 5, 7, 2), lp.Conv3D(3, 3, strides=2, padding="same", activation="relu"),
                     lp.SpatialDropout3D(0.5), lp.Conv3D(4, 2), lp.GlobalAveragePooling3D(),
                     weights=[k1, b1, k2, b2])  # fmt: skip

    return Case("convolutions of volumes", network, [x], [want])


def pooling() -> Case:
    x = Drawn(701)(SAMPLES, 4, 5, 6, 2)
    (X,) = f64(x)
    padded = np.pad(X, [(0, 0), (1, 0), (0, 2), (1, 1), (0, 0)])
    want = [
        naive.max_pool3d(X, 2, 2), naive.max_pool3d(X, 3, 2, same=True),
        naive.average_pool3d(X, 2, 2), X.max((1, 2, 3)), padded,
        X[:, 1:, :-1, 1:4], X.repeat(2, 1).repeat(1, 2).repeat(3, 3),
    ]  # fmt: skip

    def network() -> lp.Network:
        source = lp.Input((4, 5, 6, 2))
        layers = [
            lp.MaxPooling3D(), lp.MaxPooling3D(3, 2, padding="same"), lp.AveragePooling3D(),
            lp.GlobalMaxPooling3D(), lp.ZeroPadding3D(((1, 0), (0, 2), (1, 1))),
            lp.Cropping3D(((1, 0), (0, 1), (1, 2))), lp.UpSampling3D((2, 1, 3)),
        ]  # fmt: skip
        return lp.Network(source, [layer(source) for layer in layers], name="pooling")

    return Case("pooling of volumes", network, [x], want)


def transposed() -> Case:
    draw = Drawn(702)
    line, image, volume = draw(SAMPLES, 4, 3), draw(SAMPLES, 3, 4, 2), draw(SAMPLES, 2, 3, 2, 2)
    k1, b1, k2, b2, k3, b3, k4 = (
        draw(3, 2, 3), draw(2), draw(3, 3, 4, 2), draw(4), draw(2, 2, 2, 3, 2), draw(3),
        draw(2, 2, 1, 2),
    )  # fmt: skip
    L, J, V, K1, B1, K2, B2, K3, B3, K4 = f64(line, image, volume, k1, b1, k2, b2, k3, b3, k4)
    want = [
        naive.conv_transpose(L, K1, B1, 2),
        naive.relu(naive.conv_transpose(J, K2, B2, 2, same=True)),
        naive.conv_transpose(V, K3, B3, 2),
        naive.conv_transpose(J, K4, 0.0, 1),
    ]

    def network() -> lp.Network:
        one, two, three = (
            lp.Input(x.shape[1:], name=name)
            for name, x in (("line", line), ("image", image), ("volume", volume))
        )
        outputs = [
            lp.Conv1DTranspose(2, 3, strides=2)(one),
            lp.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu")(two),
            lp.Conv3DTranspose(3, 2, strides=2)(three),
            lp.Conv2DTranspose(1, 2, use_bias=False)(two),
        ]
        made = lp.Network([one, two, three], outputs, name="transposed")
        made.set_weights([k1, b1, k2, b2, k3, b3, k4])
        return made

    return Case("transposed convolutions", network, [line, image, volume], want)


def separated_sequences() -> Case:
    draw = Drawn(703)
    x, d, db, s, p, b = (
        draw(SAMPLES, 9, 3), draw(3, 3, 2), draw(6), draw(3, 3, 2), draw(1, 6, 4), draw(4),
    )  # fmt: skip
    X, D, DB, S, P, B = f64(x, d, db, s, p, b)
    flat = X[:, :, None]
    separated = naive.depthwise(flat, S[:, None], 0.0, (2, 1))[:, :, 0]
    want = [
        naive.depthwise(flat, D[:, None], DB, same=True)[:, :, 0],
        naive.swish(conv1d(separated, P, B)),
    ]

    def network() -> lp.Network:
        source = lp.Input((9, 3))
        y = lp.SpatialDropout1D(0.3)(source)
        outputs = [
            lp.DepthwiseConv1D(3, padding="same", depth_multiplier=2)(y),
            lp.SeparableConv1D(4, 3, strides=2, depth_multiplier=2, activation="swish")(y),
        ]
        made = lp.Network(source, outputs, name="separated")
        made.set_weights([d, db, s, p, b])
        return made

    return Case("separated sequences", network, [x], want)


def products() -> Case:
    """Products of inputs, repeated vectors, thresholds; what only training notices."""
    draw = Drawn(704)
    a, b, v, image = (
        draw(SAMPLES, 4, 3),
        draw(SAMPLES, 5, 3),
        draw(SAMPLES, 3),
        draw(SAMPLES, 2, 2, 3),
    )
    A, B, V, J = f64(a, b, v, image)

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x * x).sum(-1, keepdims=True))

    want = [
        np.einsum("nsf,ntf->nst", A, B), np.einsum("nsf,ntf->nst", unit(A), unit(B)),
        (V * V).sum(-1, keepdims=True), np.stack([V] * 4, 1), np.where(A > 0.5, A, 0.0), J,
    ]  # fmt: skip

    def network() -> lp.Network:
        a, b, v, i = (
            lp.Input(shape, name=name)
            for name, shape in (("a", (4, 3)), ("b", (5, 3)), ("v", (3,)), ("image", (2, 2, 3)))
        )
        noisy = lp.ActivityRegularization(l2=0.1)(lp.AlphaDropout(0.2)(lp.SpatialDropout2D(0.5)(i)))
        outputs = [
            lp.Dot(2)([a, b]), lp.Dot((2, -1), normalize=True)([a, b]), lp.Dot(1)([v, v]),
            lp.RepeatVector(4)(v), lp.ThresholdedReLU(0.5)(a), noisy,
        ]  # fmt: skip
        return lp.Network([a, b, v, i], outputs, name="products")

    return Case("products", network, [a, b, v, image], want)


CASES = [make() for make in (convolutions, pooling, transposed, separated_sequences, products)]
