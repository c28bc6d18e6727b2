"""What a contender is."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Samples
from benchmarks.networks import Network

LEARNING_RATE = 0.001
MOMENTUM = 0.9


class Unable(Exception):  # noqa: N818 (it is no error)
    """A framework has no such network, or is not meant for it: there is nothing to measure."""


class Contender(abc.ABC):
    """A framework with one network.

    Parameters
    ----------
    network : what to build.
    threads : how many it may use.
    samples : what it will train on or predict.

    Raises
    ------
    Unable : where the framework cannot do it.
    """

    packages: ClassVar[tuple[str, ...]]
    """The distributions whose versions are noted."""

    note: str = ""
    """What it chose to do, where it has a choice."""

    def __init__(self, network: Network, threads: int, samples: Samples) -> None:
        self.network = network
        self.threads = threads
        self.samples = samples

    @property
    @abc.abstractmethod
    def parameters(self) -> int:
        """How many numbers the network has, to see that all contenders have the same one."""

    def prepare(self, batch: int) -> None:  # noqa: B027 (most have nothing to do)
        """Get ready for batches of this size."""

    def train(self, count: int, batch: int, epochs: int) -> None:
        """Train with SGD and momentum for some epochs on the first samples, shuffled."""
        raise Unable("it is not meant for training")

    @abc.abstractmethod
    def predict(self, x: Any) -> Any:
        """The probabilities of the classes of one batch that `batch_of` made."""

    def batch_of(self, count: int) -> Any:
        """The first samples, as `predict` takes them."""
        return self.samples.x[:count].copy()


def channels_first(x: NDArray[Any]) -> NDArray[Any]:
    """A batch with channels before rows and columns, if it is one of images."""
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2) if x.ndim == 4 else x)
