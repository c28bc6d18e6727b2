"""Regularizers against their formulas."""

from __future__ import annotations

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError

W = np.random.default_rng(0).standard_normal((4, 6))
L1, L2 = np.abs(W).sum(), (W**2).sum()


def _cosines(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    count = len(unit)
    pairs = [abs(unit[i] @ unit[j]) for i in range(count) for j in range(i)]
    return sum(pairs) / len(pairs)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("l1", 0.01 * L1),
        ("l2", 0.01 * L2),
        ("l1_l2", 0.0),
        ({"class_name": "L1", "config": {"l1": 0.3}}, 0.3 * L1),
        ({"class_name": "L2", "config": {"l2": 0.3}}, 0.3 * L2),
        ({"class_name": "L1L2", "config": {"l1": 0.3, "l2": 0.2}}, 0.3 * L1 + 0.2 * L2),
        ({"class_name": "L1L2", "config": {"l1": 0.3}}, 0.3 * L1),
        ({"class_name": "OrthogonalRegularizer", "config": {}}, 0.01 * _cosines(W)),
        (
            {"class_name": "OrthogonalRegularizer", "config": {"factor": 2, "mode": "columns"}},
            2 * _cosines(W.T),
        ),
        (lambda w: np.sum(w), W.sum()),
    ],
)
def test_regularizer(given, expected):
    penalty = lp.default_registry().regularizer(given)
    assert penalty(W) == pytest.approx(expected, rel=1e-12)


def test_regularizers_are_recorded():
    from layerport.recording import Recording

    recording = Recording(float_dtype="float64")
    w = recording.input("w", W.shape, W.dtype)
    for name in ("l1", "l2", "orthogonal_regularizer"):
        assert lp.default_registry().regularizer(name)(w).shape == ()


def test_layers_declare_them_with_their_weights():
    layer = lp.Dense(3, kernel_regularizer="l2", bias_regularizer="l1")
    layer(np.ones((1, 4)))
    declared = {name: weight.regularizer for name, weight in layer.declared_weights.items()}
    assert declared == {"kernel": "l2", "bias": "l1"}


def test_an_object_is_kept_as_its_config():
    penalty = lp.default_registry().regularizers["l2"](0.5)
    layer = lp.Dense(3, kernel_regularizer=penalty)
    config = layer.get_config()["kernel_regularizer"]
    assert config == {"class_name": "L2", "config": {"l2": 0.5}}


def test_wrong_arguments_are_named():
    for value in (-1, float("nan"), float("inf")):
        with pytest.raises(LayerportError, match="L2: l2 must be a finite number of at least 0"):
            lp.default_registry().regularizer({"class_name": "L2", "config": {"l2": value}})
    with pytest.raises(LayerportError, match="mode must be rows or columns"):
        lp.default_registry().regularizer(
            {"class_name": "OrthogonalRegularizer", "config": {"mode": "x"}}
        )
