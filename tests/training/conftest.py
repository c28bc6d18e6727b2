"""Data and networks that the tests of training share."""

from __future__ import annotations

from collections.abc import Callable

import layerport as lp
import numpy as np
import pytest
from layerport.op import NDArray


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture
def blobs(rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Three clouds of points in the plane, and the number of the cloud."""
    centres = np.array([[0, 2], [2, -1], [-2, -1]], np.float32)
    y = rng.integers(0, 3, 240)
    x = centres[y] + 0.3 * rng.normal(size=(240, 2))
    return x.astype(np.float32), y


@pytest.fixture
def classifier() -> Callable[..., lp.Sequential]:
    """A function that makes a small network for `blobs`; the same weights for the same seed."""

    def make(seed: int | None = 7, dtype: str = "float32", **options: object) -> lp.Sequential:
        network = lp.Sequential(
            [lp.Input((2,)), lp.Dense(8, "tanh"), lp.Dense(3, "softmax", **options)]
        )
        if dtype != "float32":
            network.astype(dtype)
        if seed is not None:
            network.initialize(seed)
        return network

    return make
