"""layerport on its NumPy engine."""

from __future__ import annotations

import inspect
from typing import Any

import layerport as lp

from benchmarks import networks as spec
from benchmarks.contenders.base import LEARNING_RATE, MOMENTUM, Contender
from benchmarks.contenders.layerport_network import build
from benchmarks.data import Samples


class Layerport(Contender):
    """Trains with `fit`, answers with `predict`."""

    packages = ("layerport", "numpy")

    def __init__(self, network: spec.Network, threads: int, samples: Samples) -> None:
        super().__init__(network, threads, samples)
        self._network = build(network)
        self._network.compile(
            lp.SGD(LEARNING_RATE, momentum=MOMENTUM), "sparse_categorical_crossentropy"
        )
        # What the engine is told only where it can be told.
        known = inspect.signature(self._network.fit).parameters
        self._threads: dict[str, Any] = {"threads": threads} if "threads" in known else {}

    @property
    def parameters(self) -> int:
        return sum(array.size for array in self._network.parameters.values())

    def train(self, count: int, batch: int, epochs: int) -> None:
        self._network.fit(self.samples.x[:count], self.samples.y[:count], batch_size=batch,
                          epochs=epochs, seed=1, verbose=0, **self._threads)  # fmt: skip

    def predict(self, x: Any) -> Any:
        return self._network.predict(x, **self._threads)
