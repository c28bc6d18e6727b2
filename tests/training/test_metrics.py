"""Metrics against their definitions."""

from __future__ import annotations

from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport.op import NDArray


def measure(metrics: Any, y: NDArray, outputs: NDArray, activation: str | None = None) -> Any:
    """The metrics of a network that returns these outputs, in batches of 4."""
    network = lp.Sequential([lp.Input(outputs.shape[1:]), lp.Activation(activation or "linear")])
    network.astype("float64")
    loss = "binary_crossentropy" if outputs.shape[-1] == 1 else "categorical_crossentropy"
    return network.evaluate(outputs, y, loss=loss, metrics=metrics, batch_size=4)


RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(30, 6))
LABELS = RNG.integers(0, 6, 30)


@pytest.mark.parametrize("y", [LABELS, LABELS[:, None], np.eye(6)[LABELS]])
def test_accuracy_looks_at_shapes(y: NDArray) -> None:
    wanted = (SCORES.argmax(axis=1) == LABELS).mean()
    found = measure(["accuracy", "acc"], y, SCORES, "softmax")
    assert list(found) == ["loss", "accuracy", "acc"]
    assert found["accuracy"] == found["acc"] == pytest.approx(wanted)


def test_binary_accuracy_precision_and_recall() -> None:
    p = RNG.uniform(size=(30, 1))
    y = RNG.integers(0, 2, 30)
    said = p[:, 0] > 0.5
    found = measure(["accuracy", "precision", "recall"], y, p)
    assert found["accuracy"] == pytest.approx((said == y).mean())
    assert found["precision"] == pytest.approx((said & (y == 1)).sum() / said.sum())
    assert found["recall"] == pytest.approx((said & (y == 1)).sum() / y.sum())


@pytest.mark.parametrize("y", [LABELS, np.eye(6)[LABELS]])
def test_top_k(y: NDArray) -> None:
    best = np.argsort(-SCORES, axis=1)[:, :3]
    wanted = (best == LABELS[:, None]).any(axis=1).mean()
    metric = {"class_name": "TopKCategoricalAccuracy", "config": {"k": 3}}
    found = measure([metric], y, SCORES, "softmax")
    assert found["top_k_categorical_accuracy"] == pytest.approx(wanted)


def test_losses_and_functions_are_metrics() -> None:
    network = lp.Sequential([lp.Input((3,)), lp.Activation("linear")])
    network.astype("float64")
    p, y = RNG.normal(size=(9, 3)), RNG.normal(size=(9, 3))

    def largest(y_true: lp.Array, y_pred: lp.Array) -> lp.Array:
        return np.abs(y_true - y_pred).max(axis=-1)

    metrics = ["mse", "root_mean_squared_error", lp.MeanAbsoluteError(), largest]
    found = network.evaluate(p, y, loss="mse", metrics=metrics, batch_size=2)
    e = p - y
    assert found == pytest.approx(
        {
            "loss": (e**2).mean(),
            "mse": (e**2).mean(),
            "root_mean_squared_error": np.sqrt((e**2).mean()),
            "mean_absolute_error": abs(e).mean(),
            "largest": abs(e).max(axis=1).mean(),
        }
    )
