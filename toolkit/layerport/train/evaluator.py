"""Loss and metrics of a network on data, without training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from layerport.recording import RANDOM_INPUTS
from layerport.train.compiled import Compiled
from layerport.train.data import ArrayBatches, Order, StreamBatches
from layerport.train.objective import record_objective
from layerport.train.program import Program
from layerport.train.scores import Scores
from layerport.train.supervision import Supervision

if TYPE_CHECKING:
    from layerport.network import Network


class Evaluator:
    """Computes loss and metrics of a network.

    Parameters
    ----------
    network, compiled, taught : as for `Trainer`.
    """

    def __init__(
        self, network: Network, compiled: Compiled, taught: Mapping[str, Supervision]
    ) -> None:
        objective = record_objective(network, compiled, taught, training=False)
        self._scores = objective.scores
        self._program = Program(objective.graph, objective.recording)
        inputs = {value.name for value in objective.graph.inputs}
        self._fixed = {name: np.zeros((), np.uint32) for name in RANDOM_INPUTS if name in inputs}

    def run(self, data: ArrayBatches | StreamBatches, threads: int) -> dict[str, float]:
        """The results over all samples, the loss first."""
        self._program.refresh()
        self._program.use_threads(threads)
        scores = Scores(self._scores)
        for feeds, size in data.epoch(Order()):
            feeds.update(self._fixed)
            scores.add(self._program.run(feeds), size)
        return dict(scores)
