"""scikit-learn's MLPClassifier."""

from __future__ import annotations

from typing import Any

from sklearn.neural_network import MLPClassifier

from benchmarks import networks as spec
from benchmarks.contenders.base import LEARNING_RATE, MOMENTUM, Contender, Unable
from benchmarks.data import Samples


class ScikitLearn(Contender):
    """Dense layers only."""

    packages = ("scikit-learn",)

    def __init__(self, network: spec.Network, threads: int, samples: Samples) -> None:
        super().__init__(network, threads, samples)
        if not all(isinstance(layer, spec.Dense) for layer in network.layers):
            raise Unable("scikit-learn has dense layers only")
        units = [layer.units for layer in network.layers if isinstance(layer, spec.Dense)]
        self._model = MLPClassifier(
            units[:-1], solver="sgd", alpha=0.0, learning_rate_init=LEARNING_RATE,
            momentum=MOMENTUM, nesterovs_momentum=False, random_state=0,
        )  # fmt: skip
        self._model.partial_fit(samples.x[:200], samples.y[:200], classes=range(network.classes))

    @property
    def parameters(self) -> int:
        return sum(array.size for array in (*self._model.coefs_, *self._model.intercepts_))

    def train(self, count: int, batch: int, epochs: int) -> None:
        self._model.set_params(batch_size=batch)
        for _ in range(epochs):
            self._model.partial_fit(self.samples.x[:count], self.samples.y[:count])

    def predict(self, x: Any) -> Any:
        return self._model.predict_proba(x)
