"""Recurrent layers, their wrappers and masks against Keras's definitions in float64."""

from __future__ import annotations

import layerport as lp
import numpy as np
import pytest
from layerport.dim import Dim
from layerport.errors import LayerportError, ShapeError, UnsupportedError
from layerport.gradient import gradient
from layerport.numpy_engine.reference import evaluate
from layerport.recording import Recording, arrays_of

STEPS, FEATURES, UNITS = 6, 3, 4
RNG = np.random.default_rng(11)
X = RNG.standard_normal((5, STEPS, FEATURES)).astype(np.float32)
MASKS = {
    "right": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0]],
    "left": [[0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1]],
    "inner": [[1, 0, 1, 1, 0, 1], [0, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 1, 1]],
}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step(layer, x, states, w):
    h, c = states
    i, f, g, o = np.split(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"], 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def gru_step(layer, x, states, w):
    (h,) = states
    own, inner = w["bias"] if layer.reset_after else (w["bias"], 0)
    a, b = x @ w["kernel"] + own, h @ w["recurrent_kernel"] + inner
    z, r = (sigmoid(a[:, k : k + UNITS] + b[:, k : k + UNITS]) for k in (0, UNITS))
    last = slice(2 * UNITS, None)
    product = r * b[:, last] if layer.reset_after else (r * h) @ w["recurrent_kernel"][:, last]
    return [z * h + (1 - z) * np.tanh(a[:, last] + product)]


def simple_step(layer, x, states, w):
    (h,) = states
    return [np.tanh(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"])]


def keras(layer, step, x, mask=None, initial=None):
    """All results in the order in which the steps are taken, and the last states, as Keras 3."""
    w = {name: array.astype(np.float64) for name, array in layer.weights.items()}
    count = 2 if isinstance(layer, lp.LSTM) else 1
    states = initial or [np.zeros((len(x), UNITS))] * count
    found = []
    order = range(x.shape[1])
    for place in reversed(order) if layer.go_backwards else order:
        new = step(layer, x[:, place].astype(np.float64), states, w)
        output = new[0]
        if mask is not None:
            keep = mask[:, place, None]
            output = np.where(keep, output, 0 if layer.zero_output_for_mask else states[0])
            new = [np.where(keep, a, b) for a, b in zip(new, states, strict=True)]
        states = new
        found.append(output)
    return np.stack(found, axis=1), states


LAYERS = [
    pytest.param(lp.LSTM, lstm_step, {}, id="lstm"),
    pytest.param(lp.GRU, gru_step, {}, id="gru"),
    pytest.param(lp.GRU, gru_step, {"reset_after": False}, id="gru-before"),
    pytest.param(lp.SimpleRNN, simple_step, {}, id="simple"),
]


def make(kind, **options):
    layer = kind(UNITS, bias_initializer="random_normal", **options)
    layer(X[:1])
    return layer


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize(("kind", "step", "options"), LAYERS)
def test_results_and_states(kind, step, options, go_backwards):
    layer = make(kind, go_backwards=go_backwards, return_sequences=True, return_state=True,
                 **options)  # fmt: skip
    y, *states = layer(X)
    wanted, last = keras(layer, step, X)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, wanted, atol=1e-6)
    np.testing.assert_allclose(states, last, atol=1e-6)
    initial = [RNG.standard_normal((5, UNITS)) for _ in states]
    y, *states = layer(X, initial)
    wanted, last = keras(layer, step, X, initial=initial)
    np.testing.assert_allclose(y, wanted, atol=1e-6)
    np.testing.assert_allclose(states, last, atol=1e-6)


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize(("kind", "step", "options"), LAYERS)
def test_masks(kind, step, options, mask, zero, go_backwards):
    mask = np.array(MASKS[mask], bool)
    x = X[: len(mask)]
    for initial in (None, [RNG.standard_normal((4, UNITS)) for _ in range(kind.states)]):
        for sequences in (True, False):
            layer = make(kind, go_backwards=go_backwards, return_sequences=sequences,
                         return_state=True, zero_output_for_mask=zero, **options)  # fmt: skip
            wanted, last = keras(layer, step, x, mask, initial)
            y, *states = layer(x, initial, mask=mask)
            np.testing.assert_allclose(y, wanted if sequences else wanted[:, -1], atol=1e-6)
            np.testing.assert_allclose(states, last, atol=1e-6)


@pytest.mark.parametrize(("kind", "step", "options"), LAYERS)
def test_steps_without_an_operator(kind, step, options):
    """With an activation that ONNX's operators do not know, one step after the other."""
    mask = np.array(MASKS["inner"], bool)
    for backwards in (False, True):
        layer = make(kind, return_sequences=True, activation=lambda x: np.tanh(x) * 1.0,
                     go_backwards=backwards, **options)  # fmt: skip
        np.testing.assert_allclose(layer(X), keras(layer, step, X)[0], atol=1e-6)
        wanted, _ = keras(layer, step, X[:4], mask)
        np.testing.assert_allclose(layer(X[:4], mask=mask), wanted, atol=1e-6)


@pytest.mark.parametrize(
    "activation", ["relu", "linear", "hard_sigmoid", "elu", "leaky_relu", "softsign", "softplus"]
)
def test_activations_of_the_operators(activation):
    layer = lp.LSTM(UNITS, activation, "hard_sigmoid", return_sequences=True)
    layer(X[:1])
    again = lp.LSTM(UNITS, lambda x: layer.activate(x, activation), "hard_sigmoid",
                    return_sequences=True)  # fmt: skip
    again(X[:1])
    again.set_weights(layer.get_weights())
    nodes = lp.Network(source := lp.Input((STEPS, FEATURES)), layer(source)).lower().nodes
    assert any(node.op.name == "LSTM" for node in nodes)
    np.testing.assert_allclose(layer(X), again(X), atol=1e-5)


def test_weights_are_those_of_keras():
    lstm, gru, before = make(lp.LSTM), make(lp.GRU), make(lp.GRU, reset_after=False)
    assert {n: w.shape for n, w in lstm.weights.items()} == {
        "kernel": (3, 16), "recurrent_kernel": (4, 16), "bias": (16,)
    }  # fmt: skip
    assert gru.weights["bias"].shape == (2, 12)
    assert before.weights["bias"].shape == (12,)
    assert list(make(lp.SimpleRNN, use_bias=False).weights) == ["kernel", "recurrent_kernel"]
    fresh = lp.LSTM(UNITS)
    fresh(X[:1])
    np.testing.assert_array_equal(fresh.bias, [0] * 4 + [1] * 4 + [0] * 8)
    recurrent = fresh.recurrent_kernel.astype(np.float64)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(4), atol=1e-5)
    plain = lp.LSTM(UNITS, unit_forget_bias=False)
    plain(X[:1])
    assert not plain.bias.any()


# Bidirectional ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["concat", "sum", "ave", "mul", None])
@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("mask", [None, "left", "inner"])
def test_bidirectional(mode, sequences, mask):
    inner = lp.LSTM(UNITS, return_sequences=sequences, return_state=True, name="rnn")
    layer = lp.Bidirectional(inner, merge_mode=mode)
    x = X[:4]
    where = None if mask is None else np.array(MASKS[mask], bool)
    found = layer(x, mask=where)
    one, other = layer.layer, layer.backward_layer
    assert (one.name, other.name) == ("forward_rnn", "backward_rnn")
    assert [name.split("/")[0] for name in layer.weights] == ["layer"] * 3 + ["backward_layer"] * 3
    ahead, first = keras(one, lstm_step, x, where)
    back, second = keras(other, lstm_step, x, where)
    a, b = (ahead, back[:, ::-1]) if sequences else (ahead[:, -1], back[:, -1])
    results = {
        "concat": [np.concatenate([a, b], axis=-1)], "sum": [a + b], "ave": [(a + b) / 2],
        "mul": [a * b], None: [a, b],
    }[mode]  # fmt: skip
    assert len(found) == len(results) + 4
    for y, wanted in zip(found, [*results, *first, *second], strict=True):
        np.testing.assert_allclose(y, wanted, atol=1e-6)


def test_bidirectional_with_layers_of_its_own():
    back = lp.GRU(UNITS, activation="relu", go_backwards=True)
    layer = lp.Bidirectional(lp.GRU(UNITS), backward_layer=back)
    assert layer(X).shape == (5, 2 * UNITS)
    assert layer.backward_layer is back
    with pytest.raises(LayerportError, match="one of the two layers must go backwards"):
        lp.Bidirectional(lp.GRU(UNITS), backward_layer=lp.GRU(UNITS))
    with pytest.raises(LayerportError, match="return_sequences of the two layers differs"):
        lp.Bidirectional(lp.GRU(UNITS, return_sequences=True), backward_layer=back)
    with pytest.raises(LayerportError, match="layer must be a recurrent layer"):
        lp.Bidirectional(lp.Dense(3))


# Embedding, Masking, TimeDistributed -----------------------------------------------------


def test_embedding():
    layer = lp.Embedding(10, 3)
    ids = np.array([[1, 2, 0], [9, 9, 4]])
    np.testing.assert_array_equal(layer(ids), layer.embeddings[ids])
    np.testing.assert_array_equal(layer(ids.astype(np.float32)), layer.embeddings[ids])
    assert np.abs(layer.embeddings).max() <= 0.05


@pytest.mark.parametrize("ids", [[[3, 4, 0, 0]], [[0, 0, 5, 6]], [[2, 0, 7, 0]]])
def test_a_mask_reaches_the_layers_behind(ids):
    """What 0 stands for is as if it were not there."""
    network = lp.Sequential(
        [
            lp.Input((None,), dtype="int32"),
            lp.Embedding(10, 5, mask_zero=True),
            lp.Dense(6, "tanh"),
            lp.Bidirectional(lp.GRU(4, return_sequences=True)),
            lp.Dropout(0.5),
            lp.LSTM(3),
        ]
    )
    network.initialize(0)
    ids = np.array(ids, np.int32)
    alone = ids[ids != 0][None]
    np.testing.assert_allclose(network.predict(ids), network.predict(alone), atol=1e-6)


def test_masks_go_through_a_network_in_a_network():
    inner = lp.Sequential([lp.Input((None, 5)), lp.Dense(4), lp.LSTM(3)])
    outer = lp.Sequential(
        [lp.Input((None,), dtype="int32"), lp.Embedding(10, 5, mask_zero=True), inner]
    )
    outer.initialize(0)
    ids = np.array([[3, 0, 7, 0, 1]], np.int32)
    np.testing.assert_allclose(outer.predict(ids), outer.predict(ids[ids != 0][None]), atol=1e-6)


def test_masking():
    x = X[:4].copy()
    mask = np.array(MASKS["inner"], bool)
    x[~mask] = -7
    source = lp.Input((STEPS, FEATURES))
    rnn = lp.LSTM(UNITS)
    network = lp.Network(source, rnn(lp.Masking(-7)(source)))
    network.initialize(1)
    np.testing.assert_allclose(network.predict(x), keras(rnn, lstm_step, x, mask)[0][:, -1],
                               atol=1e-6)  # fmt: skip
    np.testing.assert_array_equal(lp.Masking(-7)(x), np.where(mask[..., None], x, 0))


def test_sums_and_means_of_masked_steps():
    source = lp.Input((4,), dtype="int32")
    words = lp.Embedding(9, 3, mask_zero=True)
    others = lp.Embedding(9, 3, mask_zero=True)
    shifted = lp.Input((4,), dtype="int32")
    total = lp.Add()([words(source), others(shifted)])
    network = lp.Network([source, shifted], lp.GlobalAveragePooling1D()(total))
    network.initialize(2)
    a, b = np.array([[1, 2, 0, 0]], np.int32), np.array([[3, 0, 4, 0]], np.int32)
    rows = words.embeddings[a] + others.embeddings[b]
    # Keras: a step counts where it counts in either.
    np.testing.assert_allclose(network.predict([a, b]), rows[:, :3].mean(axis=1), atol=1e-6)


def test_time_distributed():
    layer = lp.TimeDistributed(lp.Sequential([lp.Flatten(), lp.Dense(2)]))
    x = RNG.standard_normal((2, 3, 4, 5)).astype(np.float32)
    y = layer(x)
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(y, x.reshape(2, 3, 20) @ kernel + bias, atol=1e-5)
    with pytest.raises(ShapeError, match="at least 3 axes"):
        lp.TimeDistributed(lp.Dense(2))(lp.Input(3))


def test_dropout_of_each_step_is_that_of_its_sample(in_training):
    """However the batch is split: samples are counted, not steps."""
    layer = lp.TimeDistributed(lp.Dropout(0.5))
    x = np.ones((4, 3, 8), np.float32)
    whole, _, _ = in_training(layer, x, seed=3)
    part, _, _ = in_training(layer, x[:2], seed=3)
    np.testing.assert_array_equal(whole[:2], part)
    assert len({row.tobytes() for row in whole.reshape(12, 8)}) > 6


# Training ---------------------------------------------------------------------------------


def test_dropout_falls_alike_at_all_steps(in_training):
    x = np.ones((64, STEPS, FEATURES), np.float32)
    layer = lp.SimpleRNN(UNITS, None, dropout=0.5, use_bias=False, return_sequences=True,
                         kernel_initializer="ones", recurrent_initializer="zeros")  # fmt: skip
    y, _, _ = in_training(layer, x)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    assert set(np.unique(y)) == {0, 2, 4, 6}
    np.testing.assert_array_equal(layer(x), 3)


@pytest.mark.parametrize("kind", [lp.LSTM, lp.GRU, lp.SimpleRNN])
def test_recurrent_dropout(kind, in_training):
    layer = kind(UNITS, recurrent_dropout=0.5, return_sequences=True)
    plain, x = layer(X), np.repeat(X[:1], 40, axis=0)
    y, _, _ = in_training(layer, x)
    np.testing.assert_allclose(y[:, 0], np.broadcast_to(plain[0, 0], y[:, 0].shape), atol=1e-6)
    assert not np.allclose(y[:, 1], plain[0, 1], atol=1e-3)
    recording = Recording(training=True)
    source = recording.input("x", (2, Dim("steps"), 3), np.float32)
    with pytest.raises(UnsupportedError, match="number of steps must be known"):
        recording.call(kind(UNITS, recurrent_dropout=0.5), [source], {})


@pytest.mark.parametrize("mask", [None, "left", "inner"])
@pytest.mark.parametrize(("kind", "step", "options"), LAYERS)
def test_gradients_of_layers(kind, step, options, mask):
    """Against central differences in float64, through masks and both results."""
    layer = lp.Bidirectional(kind(UNITS, return_sequences=True, return_state=True, **options),
                             dtype="float64")  # fmt: skip
    layer.astype("float64")
    recording = Recording(float_dtype="float64")
    x = X[:4].astype(np.float64)
    source = recording.input("x", x.shape, x.dtype)
    where = recording.input("mask", x.shape[:2], bool)
    y = recording.call(layer, [source], {"mask": None if mask is None else where})
    scales = [np.sin(np.arange(np.prod(r.shape))).reshape(r.shape) for r in y]
    loss = sum((r * s).sum() for r, s in zip(y, scales, strict=True))
    graph = recording.finish([loss])
    wrt = [*graph.parameters, graph.inputs[0]]
    slopes = gradient(graph, graph.outputs[0], wrt)
    feeds = {"x": x, "mask": np.array(MASKS[mask or "left"], bool)}
    arrays = {name: np.array(a, np.float64, order="C") for name, a in arrays_of(recording).items()}
    (_, *found), _ = evaluate(slopes, feeds, arrays)
    for value, slope in zip(wrt, found, strict=True):
        target = feeds["x"] if value.name == "x" else arrays[value.name]
        for place in RNG.permutation(target.size)[:6]:
            losses = []
            for sign in (1, -2):
                target.reshape(-1)[place] += sign * 1e-6
                losses.append(float(evaluate(graph, feeds, arrays)[0][0]))
            target.reshape(-1)[place] += 1e-6
            numeric = (losses[0] - losses[1]) / 2e-6
            assert slope.reshape(-1)[place] == pytest.approx(numeric, rel=1e-5, abs=1e-7)


def test_an_lstm_learns_to_remember():
    """The first of eight steps says what is to be told in the end."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((512, 8, 2)).astype(np.float32)
    y = (x[:, 0, 0] > 0).astype(np.int64)
    network = lp.Sequential([lp.Input((8, 2)), lp.LSTM(12), lp.Dense(2, "softmax")])
    network.initialize(1)
    network.compile(optimizer=lp.Adam(0.02), loss="sparse_categorical_crossentropy")
    network.fit(x, y, epochs=12, batch_size=32, seed=1, verbose=0)
    fresh = rng.standard_normal((256, 8, 2)).astype(np.float32)
    told = network.predict(fresh).argmax(axis=1)
    assert (told == (fresh[:, 0, 0] > 0)).mean() > 0.95


def test_text_with_padding_is_learned():
    """Whether the word 1 occurs, in sequences that are padded in front."""
    rng = np.random.default_rng(0)
    ids = rng.integers(2, 12, (512, 9))
    has = rng.random(512) < 0.5
    ids[has, rng.integers(5, 9, has.sum())] = 1
    ids[np.arange(9) < rng.integers(0, 5, 512)[:, None]] = 0
    network = lp.Sequential(
        [
            lp.Input((9,), dtype="int32"),
            lp.Embedding(12, 6, mask_zero=True),
            lp.Bidirectional(lp.GRU(8)),
            lp.Dense(1, "sigmoid"),
        ]
    )
    network.initialize(1)
    network.compile(optimizer=lp.Adam(0.02), loss="binary_crossentropy")
    ids = ids.astype(np.int32)
    network.fit(ids, has[:, None].astype(np.float32), epochs=10, batch_size=32, seed=1, verbose=0)
    assert ((network.predict(ids)[:, 0] > 0.5) == has).mean() > 0.95


# What does not fit ------------------------------------------------------------------------


def test_arguments_that_do_not_fit():
    with pytest.raises(LayerportError, match="units must be an integer of at least 1"):
        lp.LSTM(0)
    with pytest.raises(LayerportError, match="dropout must be below 1"):
        lp.GRU(3, dropout=1)
    with pytest.raises(LayerportError, match="merge_mode must be one of"):
        lp.Bidirectional(lp.LSTM(3), "max")
    with pytest.raises(LayerportError, match="input_dim must be"):
        lp.Embedding(0, 3)
    with pytest.raises(ShapeError, match="takes inputs of 3 axes"):
        lp.LSTM(3)(lp.Input(4))
    with pytest.raises(ShapeError, match=r"axis -1 .* must be known"):
        lp.LSTM(3)(lp.Input((4, None)))
    with pytest.raises(ShapeError, match="has 2 states, 1 initial ones"):
        lp.LSTM(3)(X, [np.zeros((5, 3))])
