"""What the better recipes of mnist.py add to training: pictures that are different in every epoch,
averaged weights, and answers averaged over shifted pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import layerport as lp
import numpy as np

SIDE = 28
SHIFTS = [(rows, columns) for rows in (-1, 0, 1) for columns in (-1, 0, 1)]

Batches = Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]


def distorted_batches(x: np.ndarray, y: np.ndarray, size: int, seed: int) -> Batches:
    """A function that gives the batches of an epoch, of pictures distorted anew each time."""
    rng = np.random.default_rng(seed)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = rng.permutation(len(x))
        for start in range(0, len(x) - size + 1, size):
            rows = order[start : start + size]
            yield distorted(x[rows], rng), y[rows]

    return batches


def distorted(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pictures (n, 28, 28, 1), each turned, sheared, scaled and moved a little at random."""
    n = len(pictures)

    def spread(scale: float) -> np.ndarray:
        return rng.normal(0, scale, (n, 1)).astype(np.float32)

    turn, shear = spread(0.12), spread(0.1)
    taller, wider = np.exp(spread(0.08)), np.exp(spread(0.08))
    down, right = (rng.uniform(-2, 2, (n, 1)).astype(np.float32) for _ in "yx")

    # For each pixel of the result, the place in the picture that it comes from.
    middle = np.float32((SIDE - 1) / 2)
    row, column = (np.indices((SIDE, SIDE), np.float32) - middle).reshape(2, 1, -1)
    y = (np.cos(turn) * row + np.sin(turn) * column) * taller + down + middle
    x = (np.cos(turn) * column - np.sin(turn) * row + shear * row) * wider + right + middle
    return interpolated(pictures, y, x)


def interpolated(pictures: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The pictures at the places (y, x), each (n, 784), bilinearly; outside they are 0."""
    wide = SIDE + 2
    framed = np.pad(pictures[..., 0], ((0, 0), (1, 1), (1, 1))).reshape(-1)
    y, x = (np.clip(place + 1, 0, SIDE + 0.999) for place in (y, x))
    top, left = y.astype(np.int32), x.astype(np.int32)
    y, x = y - top, x - left
    corner = np.arange(len(pictures), dtype=np.int32)[:, None] * wide**2 + top * wide + left
    upper = framed[corner] * (1 - x) + framed[corner + 1] * x
    lower = framed[corner + wide] * (1 - x) + framed[corner + wide + 1] * x
    return (upper * (1 - y) + lower * y).reshape(pictures.shape)


class AverageWeights(lp.Callback):
    """Average the weights over the last steps; the network gets the averages when training ends.

    Parameters
    ----------
    keep : how much of the average stays at each look.
    every : how many steps lie between two looks.
    """

    keep: float = 0.99
    every: int = 5

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._steps = 0
        self._averages = self.network.get_weights()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._steps += 1
        if self._steps % self.every:
            return
        looks = self._steps // self.every
        keep = min(self.keep, looks / (looks + 9))  # forget the start soon
        for average, weight in zip(self._averages, self.network.weights.values(), strict=True):
            average += (weight - average) * np.asarray(1 - keep, average.dtype)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self.network.set_weights(self._averages)


def predict_shifted(network: lp.Network, x: np.ndarray) -> np.ndarray:
    """Probabilities averaged over the pictures as they are and moved by a pixel, eight ways."""
    answers = [network.predict(np.roll(x, shift, axis=(1, 2))) for shift in SHIFTS]
    return np.mean(answers, axis=0)
