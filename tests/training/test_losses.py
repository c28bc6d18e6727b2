"""Losses against their formulas in float64, extreme scores included."""

from __future__ import annotations

from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError
from layerport.op import NDArray


def value(
    loss: Any, y: Any, scores: NDArray, activation: str | None, dtype: str = "float64"
) -> Any:
    """The loss of a network whose last layer is the activation, on these scores."""
    layers = [lp.Input(scores.shape[1:]), lp.Activation(activation or "linear")]
    network = lp.Sequential(layers)
    network.astype(dtype)
    return network.evaluate(scores, y, loss=loss)["loss"]


def log_softmax(scores: NDArray) -> NDArray:
    top = scores - scores.max(axis=-1, keepdims=True)
    return top - np.log(np.exp(top).sum(axis=-1, keepdims=True))


SCORES = np.random.default_rng(0).normal(size=(5, 4))
LABELS = np.array([0, 3, 1, 1, 2])
ONE_HOT = np.eye(4)[LABELS]
EXTREME = np.array([[1e4, -1e4, 0, 5], [-3e4, 0, 0, 3e4], [700, 800, -800, 0]])


@pytest.mark.parametrize("name", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
@pytest.mark.parametrize("y", [LABELS, LABELS[:, None], LABELS.astype(float), ONE_HOT])
def test_cross_entropy_takes_numbers_and_rows(name: str, y: NDArray) -> None:
    wanted = -log_softmax(SCORES)[np.arange(5), LABELS].mean()
    assert value(name, y, SCORES, "softmax") == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("y", [np.array([1, 0, 2]), np.eye(4)[[1, 0, 2]]])
def test_cross_entropy_of_extreme_scores_is_exact(y: NDArray) -> None:
    wanted = -log_softmax(EXTREME)[np.arange(3), [1, 0, 2]].mean()
    for dtype in ("float64", "float32"):
        found = value("categorical_crossentropy", y, EXTREME, "softmax", dtype)
        assert found == pytest.approx(wanted, rel=1e-6)
    found = value(lp.CategoricalCrossentropy(from_logits=True), y, EXTREME, None)
    assert found == pytest.approx(wanted, rel=1e-12)


def test_cross_entropy_of_given_probabilities() -> None:
    chances = np.exp(log_softmax(SCORES))
    wanted = -np.log(chances)[np.arange(5), LABELS].mean()
    # A reshape hides the softmax: the loss has nothing but probabilities, and clips them.
    for y in (LABELS, ONE_HOT):
        found = value("categorical_crossentropy", y, chances, None)
        assert found == pytest.approx(wanted, rel=1e-12)
    zero = np.array([[0.0, 0, 0, 1]])
    found = value("categorical_crossentropy", np.array([0]), zero, None)
    assert found == pytest.approx(-np.log(1e-7), rel=1e-6)


@pytest.mark.parametrize("y", [LABELS, ONE_HOT])
def test_label_smoothing(y: NDArray) -> None:
    smooth = ONE_HOT * 0.9 + 0.1 / 4
    wanted = -(smooth * log_softmax(SCORES)).sum(axis=-1).mean()
    loss = lp.CategoricalCrossentropy(label_smoothing=0.1)
    assert value(loss, y, SCORES, "softmax") == pytest.approx(wanted, rel=1e-12)


def test_binary_cross_entropy() -> None:
    y = np.array([[1, 0, 1, 0], [0, 0, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    softplus = np.logaddexp(0, SCORES)
    wanted = (softplus - y * SCORES).mean()
    assert value("binary_crossentropy", y, SCORES, "sigmoid") == pytest.approx(wanted, rel=1e-12)
    loss = lp.BinaryCrossentropy(from_logits=True)
    assert value(loss, y, SCORES, None) == pytest.approx(wanted, rel=1e-12)
    chances = 1 / (1 + np.exp(-SCORES))
    assert value("binary_crossentropy", y, chances, None) == pytest.approx(wanted, rel=1e-9)
    smooth = y * 0.8 + 0.1
    loss = lp.BinaryCrossentropy(label_smoothing=0.2)
    wanted = (softplus - smooth * SCORES).mean()
    assert value(loss, y, SCORES, "sigmoid") == pytest.approx(wanted, rel=1e-12)


def test_binary_cross_entropy_of_extreme_scores_is_exact() -> None:
    scores, y = np.array([[1e4], [-1e4], [50.0]]), np.array([0, 1, 0])
    wanted = np.mean([1e4, 1e4, 50.0])
    for dtype in ("float64", "float32"):
        found = value("binary_crossentropy", y, scores, "sigmoid", dtype)
        assert found == pytest.approx(wanted, rel=1e-6)


def test_gradients_of_extreme_scores_are_finite() -> None:
    network = lp.Sequential([lp.Input((2,)), lp.Dense(3, "softmax")])
    network.set_weights([np.full((2, 3), 1e4) * [1, -1, 0], np.zeros(3)])
    network.compile(lp.SGD(1.0), "categorical_crossentropy")
    network.train_on_batch(np.ones((4, 2)), np.array([1, 2, 1, 1]))
    assert all(np.isfinite(array).all() for array in network.get_weights())


def test_regression_losses() -> None:
    rng = np.random.default_rng(1)
    y, p = rng.normal(size=(6, 3)) * 3, rng.normal(size=(6, 3))
    e = p - y
    small = abs(e) <= 1.5
    huber = np.where(small, 0.5 * e**2, 1.5 * abs(e) - 0.5 * 1.5**2)
    for loss, wanted in (
        ("mean_squared_error", (e**2).mean()),
        ("mse", (e**2).mean()),
        ("MSE", (e**2).mean()),
        ("MeanAbsoluteError", abs(e).mean()),
        (lp.Huber(1.5), huber.mean()),
        (lambda t, q: np.abs(t - q).max(axis=-1), abs(e).max(axis=-1).mean()),
        (lp.MeanSquaredError(reduction="sum"), (e**2).mean(axis=-1).sum()),
    ):
        assert value(loss, y, p, None) == pytest.approx(wanted, rel=1e-12)


def test_columns_of_targets_come_and_go() -> None:
    p = np.array([[1.0], [2], [4]])
    for y in (np.array([1.0, 1, 1]), np.array([[1.0], [1], [1]])):
        assert value("mse", y, p, None) == pytest.approx(10 / 3, rel=1e-12)


def test_hinges() -> None:
    y, p = np.array([[1, 0, 1], [0, 0, 1]]), np.array([[0.5, 0.2, -2], [-3, 0.1, 3]])
    margin = np.maximum(1 - (2 * y - 1) * p, 0)
    assert value("hinge", y, p, None) == pytest.approx(margin.mean(), rel=1e-12)
    assert value("hinge", 2 * y - 1, p, None) == pytest.approx(margin.mean(), rel=1e-12)
    found = value("squared_hinge", y, p, None)
    assert found == pytest.approx((margin**2).mean(), rel=1e-12)


def test_losses_of_sequences() -> None:
    scores = np.random.default_rng(2).normal(size=(3, 5, 4))
    y = np.random.default_rng(3).integers(0, 4, (3, 5))
    wanted = -np.take_along_axis(log_softmax(scores), y[..., None], -1).mean()
    found = value("sparse_categorical_crossentropy", y, scores, "softmax")
    assert found == pytest.approx(wanted, rel=1e-12)


def test_unknown_losses_are_named_with_a_guess() -> None:
    network = lp.Sequential([lp.Input((2,)), lp.Dense(1)])
    with pytest.raises(LayerportError, match=r"mean_squared_eror.*did you mean mean_squared_error"):
        network.compile("sgd", "mean_squared_eror")


@pytest.mark.parametrize(
    "make",
    [
        lambda: lp.Huber(0.0),
        lambda: lp.CategoricalCrossentropy(label_smoothing=1.5),
        lambda: lp.MeanSquaredError(reduction="average"),
    ],
)
def test_wrong_arguments_are_refused(make: Any) -> None:
    with pytest.raises(LayerportError):
        make()


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
def test_steps_that_are_masked_do_not_count(reduction: str) -> None:
    """As Keras 3: the mean is taken over the steps that count (`losses/loss.py`, apply_mask)."""
    network = lp.Sequential(
        [lp.Input((5, 2)), lp.Masking(), lp.SimpleRNN(3, return_sequences=True), lp.Dense(2)]
    )
    network.initialize(1)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((6, 5, 2)).astype(np.float32)
    lengths = rng.integers(1, 6, 6)
    counts = np.arange(5) < lengths[:, None]
    x[~counts] = 0
    y, weights = rng.standard_normal((6, 5, 2)), rng.random((6, 5))
    errors = ((network.predict(x).astype(np.float64) - y) ** 2).mean(-1)
    loss = lp.MeanSquaredError(reduction=reduction)
    for given, weighted in ((None, errors), (weights, errors * weights)):
        total = weighted[counts].sum()
        want = total if reduction == "sum" else total / counts.sum()
        got = network.evaluate(x, y, loss=loss, metrics=["mse"], sample_weight=given, batch_size=6)
        np.testing.assert_allclose(got["loss"], want, rtol=1e-5)
        np.testing.assert_allclose(got["mse"], errors[counts].mean(), rtol=1e-5)
    network.fit(x, y, loss=loss, epochs=2, verbose=0)
