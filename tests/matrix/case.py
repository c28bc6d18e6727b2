"""What a case is, and what cases are made with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import layerport as lp
import numpy as np

SAMPLES = 5


@dataclass(frozen=True)
class Case:
    """A network, inputs, and what it must give.

    Attributes
    ----------
    network : makes the network, with its weights.
    tolerance : see `test_matrix.test_case`; float32 needs 1e-5.
    """

    name: str
    network: Callable[[], lp.Network] = field(repr=False)
    inputs: Sequence[np.ndarray] = field(repr=False)
    expected: Sequence[np.ndarray] = field(repr=False)
    tolerance: float = 1e-5


class Drawn:
    """Random numbers of a case; float32 values, so that nothing is lost on the way."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, *shape: int) -> np.ndarray:
        return self._rng.standard_normal(shape).astype(np.float32)

    def positive(self, *shape: int) -> np.ndarray:
        return (self._rng.random(shape) + 0.5).astype(np.float32)


def f64(*arrays: np.ndarray) -> list[np.ndarray]:
    return [array.astype(np.float64) for array in arrays]


def chain(shape: tuple[int, ...], *layers: lp.Layer, weights: Sequence[np.ndarray]) -> lp.Network:
    network = lp.Sequential([lp.Input(shape), *layers], name="chain")
    network.set_weights(weights)
    return network
