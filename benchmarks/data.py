"""Samples to train on: MNIST's digits where they are, else pictures with as many zeros."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.networks import Network

EXAMPLES = Path(__file__).parent.parent / "examples"
PIXELS = 784
ZEROS = 0.6
"""The share of pixels of the stand-in that are 0. (Of MNIST's own, 0.81.)"""


@dataclasses.dataclass(frozen=True)
class Samples:
    """Inputs (n, *shape) in float32, classes (n,) in int64, and what they are."""

    x: np.ndarray[Any, np.dtype[np.float32]]
    y: np.ndarray[Any, np.dtype[np.int64]]
    source: str


def samples_for(network: Network, folder: Path | None) -> Samples:
    """Samples for a network.

    Parameters
    ----------
    folder : with MNIST's IDX files; None looks where the examples keep them.
    """
    rng = np.random.default_rng(0)
    if np.prod(network.shape) == PIXELS:
        images, labels, source = _digits(folder, rng)
        return Samples(images.reshape(-1, *network.shape), labels, source)
    count = (32 << 20) // (4 * int(np.prod(network.shape)))
    noise = rng.standard_normal((count, *network.shape), dtype=np.float32)
    return Samples(noise, rng.integers(network.classes, size=count), "normal noise")


def _digits(folder: Path | None, rng: np.random.Generator) -> tuple[Any, Any, str]:
    """10,000 pictures of 784 pixels from 0 to 1, their classes, and their source."""
    sys.path.insert(0, str(EXAMPLES))
    from digits_data import CACHE, FILES, load_digits

    place = CACHE if folder is None else folder
    if all((place / name).exists() for name in FILES.values()):
        digits = load_digits(place)
        return digits["x_test"] / np.float32(255), digits["y_test"].astype(np.int64), "MNIST"
    coarse = rng.random((10_000, 7, 7), dtype=np.float32)
    images = np.kron(coarse, np.ones((1, 4, 4), np.float32))
    images += rng.random(images.shape, dtype=np.float32) / 4
    level = np.quantile(images[:100], ZEROS)
    images = np.maximum(images - level, 0)
    source = f"pictures with {ZEROS:.0%} zeros (MNIST is not in {place})"
    return images / images.max(), rng.integers(10, size=len(images)), source
