"""Layers with a state, and layers that look at other steps."""

from __future__ import annotations

import layerport as lp
import numpy as np

from matrix import naive
from matrix.case import SAMPLES, Case, Drawn, f64

STEPS, FEATURES, UNITS = 6, 3, 4


def weights_of(
    draw: Drawn, count: int, features: int = FEATURES, biases: int = 1
) -> list[np.ndarray]:
    """Kernel, recurrent kernel and bias of a layer with `count` gates."""
    bias = draw(count * UNITS) if biases == 1 else draw(biases, count * UNITS)
    return [draw(features, count * UNITS), draw(UNITS, count * UNITS), bias]


def last_states() -> Case:
    draw = Drawn(600)
    x = draw(SAMPLES, STEPS, FEATURES)
    simple, lstm, after, before = (
        weights_of(draw, 1), weights_of(draw, 4), weights_of(draw, 3, biases=2),
        weights_of(draw, 3),
    )  # fmt: skip
    (X,) = f64(x)
    want = [
        naive.recur(naive.simple_rnn, X, f64(*simple))[0][:, -1],
        naive.recur(naive.lstm, X, f64(*lstm), 2)[0][:, -1],
        naive.recur(naive.gru, X, f64(*after))[0][:, -1],
        naive.recur(naive.gru, X, f64(*before))[0][:, -1],
    ]

    def network() -> lp.Network:
        source = lp.Input((STEPS, FEATURES))
        layers = [lp.SimpleRNN(UNITS), lp.LSTM(UNITS), lp.GRU(UNITS),
                  lp.GRU(UNITS, reset_after=False)]  # fmt: skip
        made = lp.Network(source, [layer(source) for layer in layers], name="recurrent")
        made.set_weights([*simple, *lstm, *after, *before])
        return made

    return Case("recurrent", network, [x], want)


def all_steps() -> Case:
    """Results of every step, forwards and backwards, one layer on another, states given on."""
    draw = Drawn(601)
    x = draw(SAMPLES, STEPS, FEATURES)
    first, back, last, decoder = (
        weights_of(draw, 4), weights_of(draw, 3, UNITS, 2), weights_of(draw, 1, UNITS),
        weights_of(draw, 4),
    )  # fmt: skip
    (X,) = f64(x)
    y, states = naive.recur(naive.lstm, X, f64(*first), 2)
    turned = naive.recur(naive.gru, y[:, ::-1], f64(*back))[0]
    want = [
        naive.recur(naive.simple_rnn, turned, f64(*last))[0][:, -1],
        *states,
        naive.recur(naive.lstm, X, f64(*decoder), start=states)[0],
    ]

    def network() -> lp.Network:
        source = lp.Input((STEPS, FEATURES))
        y, *states = lp.LSTM(UNITS, return_sequences=True, return_state=True)(source)
        turned = lp.GRU(UNITS, return_sequences=True, go_backwards=True)(y)
        again = lp.LSTM(UNITS, return_sequences=True)(source, initial_state=states)
        made = lp.Network(source, [lp.SimpleRNN(UNITS)(turned), *states, again], name="steps")
        made.set_weights([*first, *back, *last, *decoder])
        return made

    return Case("recurrent steps", network, [x], want)


def both_directions() -> Case:
    draw = Drawn(602)
    x = draw(SAMPLES, STEPS, FEATURES)
    pairs = [
        (weights_of(draw, 4), weights_of(draw, 4)),
        (weights_of(draw, 3, biases=2), weights_of(draw, 3, biases=2)),
    ]
    (X,) = f64(x)
    forth, back = (
        naive.recur(naive.lstm, part, f64(*w), 2)[0]
        for part, w in zip((X, X[:, ::-1]), pairs[0], strict=True)
    )
    one, other = (
        naive.recur(naive.gru, part, f64(*w))[0][:, -1]
        for part, w in zip((X, X[:, ::-1]), pairs[1], strict=True)
    )
    want = [np.concatenate([forth, back[:, ::-1]], -1), one + other]

    def network() -> lp.Network:
        source = lp.Input((STEPS, FEATURES))
        outputs = [
            lp.Bidirectional(lp.LSTM(UNITS, return_sequences=True))(source),
            lp.Bidirectional(lp.GRU(UNITS), merge_mode="sum")(source),
        ]
        made = lp.Network(source, outputs, name="both")
        made.set_weights([w for pair in pairs for part in pair for w in part])
        return made

    return Case("both directions", network, [x], want)


def masked() -> Case:
    """Steps that do not count: by value, and by the number of a word."""
    draw = Drawn(603)
    x, words = draw(SAMPLES, STEPS, FEATURES), np.random.default_rng(604).integers(
        0, 7, (SAMPLES, STEPS), np.int32
    )  # fmt: skip
    lengths = np.array([6, 4, 1, 3, 5])
    counts = np.arange(STEPS) < lengths[:, None]
    x[~counts] = 0.5
    words[:, 0], words[1, 3:], words[2, 2] = 3, 0, 0
    lstm, table, gru = weights_of(draw, 4), draw(7, FEATURES), weights_of(draw, 3, biases=2)
    (X,) = f64(x)
    want = [
        naive.recur(naive.lstm, X, f64(*lstm), 2, counts)[0][:, -1],
        naive.recur(naive.gru, f64(table)[0][words], f64(*gru), mask=words != 0)[0][:, -1],
    ]

    def network() -> lp.Network:
        source = lp.Input((STEPS, FEATURES), name="numbers")
        numbers = lp.Input((STEPS,), dtype="int32", name="words")
        outputs = [
            lp.LSTM(UNITS)(lp.Masking(0.5)(source)),
            lp.GRU(UNITS)(lp.Embedding(7, FEATURES, mask_zero=True)(numbers)),
        ]
        made = lp.Network([source, numbers], outputs, name="masked")
        made.set_weights([*lstm, table, *gru])
        return made

    return Case("masked", network, [x, words], want)


def every_step_alone() -> Case:
    draw = Drawn(605)
    x, image, k, b, c, d = (
        draw(SAMPLES, 4, FEATURES), draw(SAMPLES, 2, 5, 5, 2), draw(FEATURES, 5), draw(5),
        draw(3, 3, 2, 3), draw(3),
    )  # fmt: skip
    X, J, K, B, C, D = f64(x, image, k, b, c, d)
    frames = np.stack([naive.relu(naive.conv2d(J[:, t], C, D)) for t in range(2)], 1)
    want = [np.tanh(naive.dense(X, K, B)), frames]

    def network() -> lp.Network:
        one, two = lp.Input((4, FEATURES), name="steps"), lp.Input((2, 5, 5, 2), name="frames")
        outputs = [
            lp.TimeDistributed(lp.Dense(5, "tanh"))(one),
            lp.TimeDistributed(lp.Conv2D(3, 3, activation="relu"))(two),
        ]
        made = lp.Network([one, two], outputs, name="alone")
        made.set_weights([k, b, c, d])
        return made

    return Case("every step alone", network, [x, image], want)


def attention() -> Case:
    draw = Drawn(606)
    query, value, key = draw(SAMPLES, 3, 4), draw(SAMPLES, 5, 2), draw(SAMPLES, 5, 4)
    scale, weight, factors = draw.positive(), draw.positive(), draw(4)
    Q, V, K, S, W, F = f64(query, value, key, np.array(scale), np.array(weight), factors)
    sums = np.tanh(Q[:, :, None] + K[:, None])
    causal = naive.attention(Q, Q, Q, np.tri(3, dtype=bool))
    want = [
        naive.attention(Q, K, V),
        naive.attention(Q * S, K, K),
        naive.softmax(W * sums.sum(-1)) @ V,
        naive.softmax((F * sums).sum(-1)) @ V,
        causal,
    ]

    def network() -> lp.Network:
        q, v, k = (
            lp.Input(x.shape[1:], name=name)
            for name, x in (("query", query), ("value", value), ("key", key))
        )
        outputs = [
            lp.Attention()([q, v, k]),
            lp.Attention(use_scale=True)([q, k]),
            lp.Attention(score_mode="concat")([q, v, k]),
            lp.AdditiveAttention()([q, v, k]),
            lp.Attention()([q, q], use_causal_mask=True),
        ]
        made = lp.Network([q, v, k], outputs, name="attention")
        made.set_weights([scale, weight, factors])
        return made

    return Case("attention", network, [query, value, key], want)


def heads() -> Case:
    draw = Drawn(607)
    x, other = draw(SAMPLES, 4, 6), draw(SAMPLES, 3, 5)

    def projections(others: int) -> list[np.ndarray]:
        return [draw(6, 2, 3), draw(2, 3), draw(others, 2, 3), draw(2, 3), draw(others, 2, 4),
                draw(2, 4), draw(2, 4, 6), draw(6)]  # fmt: skip

    own, cross = projections(6), projections(5)
    X, Y = f64(x, other)
    want = [
        naive.multi_head(X, X, f64(*own), causal=True), naive.multi_head(X, Y, f64(*cross))
    ]  # fmt: skip

    def network() -> lp.Network:
        source, beside = lp.Input((4, 6), name="x"), lp.Input((3, 5), name="other")
        outputs = [
            lp.MultiHeadAttention(2, 3, 4)(source, source, use_causal_mask=True),
            lp.MultiHeadAttention(2, 3, 4)(source, beside),
        ]
        made = lp.Network([source, beside], outputs, name="heads")
        made.set_weights([*own, *cross])
        return made

    return Case("heads", network, [x, other], want)


CASES = [
    make()
    for make in (
        last_states,
        all_steps,
        both_directions,
        masked,
        every_step_alone,
        attention,
        heads,
    )
]
