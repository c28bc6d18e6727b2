"""RNN, GRU and LSTM against onnxruntime, formulas in float64 and finite differences."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from layerport.errors import ShapeError
from layerport.graph import Value
from layerport.ops.recurrent import GRU, LSTM, RNN
from layerport.testing import check_op

STEPS, SAMPLES, FEATURES, UNITS = 5, 3, 2, 4
GATES = {RNN: 1, GRU: 3, LSTM: 4}
STATES = {RNN: 1, GRU: 1, LSTM: 2}
DIRECTIONS = ("forward", "reverse", "bidirectional")


def operands(
    kind, directions, *, bias=True, lengths=None, states=False, peepholes=False, features=FEATURES
):
    rng = np.random.default_rng(3)
    rows = GATES[kind] * UNITS

    def draw(*shape):
        return (rng.standard_normal(shape) * 0.7).astype(np.float32)

    made = [draw(STEPS, SAMPLES, features), draw(directions, rows, features) / features**0.5]
    made.append(draw(directions, rows, UNITS))
    made.append(draw(directions, 2 * rows) if bias else None)
    made.append(None if lengths is None else np.array(lengths, np.int32))
    for _ in range(STATES[kind]):
        made.append(draw(directions, SAMPLES, UNITS) if states else None)
    if kind is LSTM:
        made.append(draw(directions, 3 * UNITS) if peepholes else None)
    while made[-1] is None:
        made.pop()
    return made


def make(kind, direction, **attributes):
    return kind(hidden_size=UNITS, direction=direction, **attributes)


def directions_of(direction):
    return 2 if direction == "bidirectional" else 1


KINDS = [
    (RNN, {}),
    (GRU, {}),
    (GRU, {"linear_before_reset": 1}),
    (LSTM, {}),
]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("kind", "attributes"), KINDS)
@pytest.mark.parametrize(
    "options",
    [
        {"bias": False},
        {},
        {"states": True},
        {"lengths": [5, 2, 3]},
        {"lengths": [1, 5, 4], "states": True},
    ],
    ids=["plain", "bias", "states", "lengths", "lengths-states"],
)
def test_like_onnxruntime(kind, attributes, direction, options, onnxruntime_outputs):
    op = make(kind, direction, **attributes)
    given = operands(kind, directions_of(direction), **options)
    check_op(op, *given, expected=onnxruntime_outputs(op, *given), atol=2e-6)


@pytest.mark.parametrize(("kind", "attributes"), KINDS)
@pytest.mark.parametrize("samples", [1, 3, 17])
@pytest.mark.parametrize("options", [{}, {"lengths": [5, 2, 3], "bias": False}])
def test_many_features(kind, attributes, samples, options, onnxruntime_outputs):
    """They are multiplied for all steps at once, in ways that depend on the number of samples."""
    op = make(kind, "bidirectional", **attributes)
    given = operands(kind, 2, features=37, **options)
    given[0] = np.resize(given[0], (STEPS, samples, 37))
    if options:
        given[4] = np.resize(given[4], samples)
    check_op(op, *given, expected=onnxruntime_outputs(op, *given), atol=2e-6)
    if options:
        given[0][3:, -samples // 3 :] = np.nan
        given[4][:] = np.minimum(given[4], 3)
        assert np.isfinite(op(*given)[0]).all()


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("coupled", [0, 1])
def test_peepholes(direction, coupled, onnxruntime_outputs):
    op = make(LSTM, direction, input_forget=coupled)
    given = operands(LSTM, directions_of(direction), states=True, peepholes=True)
    check_op(op, *given, expected=onnxruntime_outputs(op, *given), atol=2e-6)


ACTIVATIONS = {
    "Relu": ((), ()),
    "Affine": ((0.5,), (0.1,)),
    "LeakyRelu": ((0.2,), ()),
    "ThresholdedRelu": ((0.05,), ()),
    "ScaledTanh": ((0.8,), (1.2,)),
    "HardSigmoid": ((0.3,), (0.4,)),
    "Elu": ((0.7,), ()),
    "Softsign": ((), ()),
    "Softplus": ((), ()),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("kind", "attributes"), [*KINDS[:3], (LSTM, {"clip": 0.6})])
def test_activations(kind, attributes, name, onnxruntime_outputs):
    alphas, betas = ACTIVATIONS[name]
    names = {RNN: (name,), GRU: ("Sigmoid", name), LSTM: ("HardSigmoid", name, "Tanh")}[kind]
    if kind is LSTM:
        alphas, betas = (0.25, *alphas), (0.5, *betas)
    op = make(
        kind, "forward", activations=names, activation_alpha=alphas, activation_beta=betas,
        **attributes,
    )  # fmt: skip
    given = operands(kind, 1, states=True)
    check_op(op, *given, expected=onnxruntime_outputs(op, *given), atol=2e-6)


@pytest.mark.parametrize(("kind", "attributes"), KINDS)
def test_a_sigmoid_as_the_candidate(kind, attributes, onnxruntime_outputs):
    names = {RNN: ("Sigmoid",), GRU: ("Tanh", "Sigmoid"), LSTM: ("Tanh", "Sigmoid", "Sigmoid")}
    op = make(kind, "forward", activations=names[kind], **attributes)
    given = operands(kind, 1, states=True)
    check_op(op, *given, expected=onnxruntime_outputs(op, *given), atol=2e-6)


@pytest.mark.parametrize(("kind", "attributes"), KINDS)
def test_clip(kind, attributes, onnxruntime_outputs):
    op = make(kind, "forward", clip=0.5, **attributes)
    given = operands(kind, 1)
    check_op(op, *given, expected=onnxruntime_outputs(op, *given), atol=2e-6)


@pytest.mark.parametrize(("kind", "attributes"), KINDS)
def test_samples_first(kind, attributes, onnxruntime_outputs):
    """onnxruntime does not know this layout: its results are turned."""
    given = operands(kind, 2, states=True, lengths=[5, 2, 3])
    expected = onnxruntime_outputs(make(kind, "bidirectional", **attributes), *given)
    turned = [given[0].transpose(1, 0, 2), *given[1:5]]
    turned += [state.transpose(1, 0, 2) for state in given[5:]]
    wanted = [expected[0].transpose(2, 0, 1, 3), *(s.transpose(1, 0, 2) for s in expected[1:])]
    op = make(kind, "bidirectional", layout=1, **attributes)
    check_op(op, *turned, expected=wanted, atol=2e-6)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_lstm_by_the_formula():
    x, w, r, b = (a.astype(np.float64) for a in operands(LSTM, 1))
    h = c = np.zeros((SAMPLES, UNITS))
    states = []
    for step in range(STEPS):
        i, o, f, g = np.split(x[step] @ w[0].T + h @ r[0].T + b[0].reshape(2, -1).sum(0), 4, 1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    y, last, cell = LSTM(UNITS)(x, w, r, b)
    np.testing.assert_allclose(y[:, 0], states, rtol=1e-13)
    np.testing.assert_allclose(last[0], h, rtol=1e-13)
    np.testing.assert_allclose(cell[0], c, rtol=1e-13)


def test_what_lies_behind_a_sequence_does_not_matter():
    given = operands(LSTM, 2, lengths=[2, 5, 3], states=True)
    op = make(LSTM, "bidirectional")
    y, *last = op(*given)
    given[0][2:, 0] = np.nan
    again, *others = op(*given)
    np.testing.assert_array_equal(again, y)
    np.testing.assert_array_equal(again[2:, :, 0], 0)
    np.testing.assert_array_equal(others, last)


@pytest.mark.parametrize(("kind", "attributes"), KINDS)
def test_sequences_of_no_steps(kind, attributes):
    given = operands(kind, 2, states=True)
    given[0] = given[0][:0]
    y, *last = make(kind, "bidirectional", **attributes)(*given)
    assert y.shape == (0, 2, SAMPLES, UNITS)
    np.testing.assert_array_equal(last, given[5 : 5 + STATES[kind]])


@pytest.mark.parametrize(("kind", "attributes"), KINDS)
def test_symbolic_extents(kind, attributes):
    given = operands(kind, 2)
    dims = [("steps", "batch", FEATURES), *[None] * (len(given) - 1)]
    op = make(kind, "bidirectional", **attributes)
    check_op(op, *given, dims=dims, differentiate=False)


@pytest.mark.parametrize(
    ("attributes", "shapes", "message"),
    [
        ({"direction": "back"}, {}, "direction is 'back'"),
        ({"activations": ("Tanh",)}, {}, "3 activations each"),
        ({"activations": ("Tanh", "Tanh", "Sine")}, {}, "'Sine' is none of ONNX's activations"),
        ({"hidden_size": 5}, {}, "hidden_size is 5"),
        ({}, {1: (1, 16, 3)}, r"W \(1, 16, 3\) should be"),
        ({}, {2: (2, 16, 4)}, r"R \(2, 16, 4\) should be"),
        ({}, {3: (1, 16)}, r"B \(1, 16\) should be"),
        ({}, {4: (4,)}, r"sequence_lens \(4,\) should be"),
        ({}, {5: (3, 4)}, "initial state"),
        ({}, {7: (1, 16)}, r"P \(1, 16\) should be"),
    ],
)
def test_operands_that_do_not_fit(attributes, shapes, message):
    given = operands(LSTM, 1, states=True, peepholes=True, lengths=[1, 2, 3])
    values = [
        Value(shapes.get(place, array.shape), array.dtype) for place, array in enumerate(given)
    ]
    with pytest.raises(ShapeError, match=message):
        LSTM(**attributes).infer(*values)


def test_long_sequences_are_prepared_in_several_blocks():
    """More steps than fit into one block of the way back."""
    rng = np.random.default_rng(0)
    for kind, direction in product((LSTM, GRU, RNN), ("forward", "reverse")):
        rows = GATES[kind] * 40
        given = [rng.standard_normal((9, 60, 3)), rng.standard_normal((1, rows, 3)) * 0.2]
        given.append(rng.standard_normal((1, rows, 40)) * 0.2)
        check_op(kind(40, direction), *(a.astype(np.float32) for a in given))
