"""A layer and an optimizer for layerport."""

from __future__ import annotations

import layerport as lp
import numpy as np


class Gated(lp.Layer):
    """tanh(x) weighed against the mean of |x|, by a trainable gate for each feature.

    Parameters
    ----------
    sharpness : power to which |x| is raised in the mean.
    """

    sharpness: float = 2.0

    gate: lp.Array = lp.built()

    def build(self, input_shape: lp.InputShape) -> dict[str, lp.Weight]:
        return {"gate": lp.Weight(input_shape[-1:], initializer="ones")}

    def call(self, x: lp.Array) -> lp.Array:
        energy = np.mean(np.abs(x) ** self.sharpness, axis=-1, keepdims=True)
        return np.where(x > 0, np.tanh(x) * self.gate, x * energy)


class SignDescent(lp.Optimizer):
    """Steps of one length against the sign of the gradient (Riedmiller and Braun, 1993)."""

    learning_rate: float | lp.Schedule = 0.001

    def update(
        self,
        parameter: lp.Array,
        gradient: lp.Array,
        slots: lp.Slots,
        learning_rate: lp.Array,
        step: lp.Array,
    ) -> tuple[lp.Array, lp.Slots]:
        return parameter - learning_rate * np.sign(gradient), {}


@lp.hookimpl
def layerport_layers() -> list[type[lp.Layer]]:
    """What the registry shows under `layers`."""
    return [Gated]


@lp.hookimpl
def layerport_optimizers() -> list[type[lp.Optimizer]]:
    """What the registry shows under `optimizers`."""
    return [SignDescent]
