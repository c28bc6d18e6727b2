"""Inference: what `Network.predict` runs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from layerport.numpy_engine.step import TrainingStep
from layerport.op import NDArray

if TYPE_CHECKING:
    from layerport.network import Network


class Runner:
    """Computes the outputs of a network.

    Parameters
    ----------
    network : what to run. Its weights are used by reference.
    """

    def __init__(self, network: Network) -> None:
        self._step = TrainingStep(network.lower(rewrite=True), network.parameters)

    def predict(self, feeds: Mapping[str, NDArray], batch_size: int | None = None) -> list[NDArray]:
        """The outputs for inputs by name, `batch_size` samples at once."""
        return self._step(feeds)
