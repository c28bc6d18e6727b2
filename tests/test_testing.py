"""`check_layer`: what it lets pass, and what it finds."""

from __future__ import annotations

from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport.testing import check_layer

X = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


class Scale(lp.Layer):
    """x * gamma."""

    initial: float = 2.0
    gamma: lp.Array = lp.built()

    def build(self, input_shape: lp.InputShape) -> dict[str, lp.Weight]:
        return {"gamma": lp.Weight(input_shape[-1:], initializer="ones")}

    def call(self, x: lp.Array) -> lp.Array:
        return x * self.gamma * self.initial


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (Scale(3.0), [X]),
        (lp.Dense(5, "tanh"), [X]),
        (lp.BatchNormalization(), [X]),
        (lp.Dropout(0.5), [X]),
        (lp.Add(), [X, X[::-1].copy()]),
        (lp.Conv2D(2, 3, padding="same"), [X.reshape(3, 2, 2, 1)]),
    ],
)
def test_good_layers_pass(layer: lp.Layer, inputs: list[np.ndarray]) -> None:
    check_layer(layer, *inputs)


def test_expected_values() -> None:
    check_layer(Scale(3.0), X, expected=X.astype(np.float64) * 3)
    with pytest.raises(AssertionError):
        check_layer(Scale(3.0), X, expected=X * 3.01)


def test_a_layer_whose_samples_meet_is_found() -> None:
    class Centred(lp.Layer):
        """Minus the mean over the batch."""

        def call(self, x: lp.Array) -> lp.Array:
            return x - np.mean(x, axis=0, keepdims=True)

    with pytest.raises(AssertionError, match="alone"):
        check_layer(Centred(), X)


def test_a_layer_that_forgets_is_found() -> None:
    class Forgetful(lp.Layer):
        """A factor that is no field."""

        factor: float = 1.0

        def get_config(self) -> dict[str, Any]:
            return {key: v for key, v in super().get_config().items() if key != "factor"}

        def call(self, x: lp.Array) -> lp.Array:
            return x * self.factor

    with pytest.raises(AssertionError, match="config"):
        check_layer(Forgetful(2.0), X)


def test_a_wrong_derivative_is_found() -> None:
    """Where the layer is not smooth, differences and derivative are not the same."""

    class Bent(lp.Layer):
        """With a corner at 0."""

        def call(self, x: lp.Array) -> lp.Array:
            return np.maximum(x, 0)

    check_layer(Bent(), X)
    with pytest.raises(AssertionError, match="derivative"):
        check_layer(Bent(), np.zeros((3, 4), np.float32))
