"""What a callback is: what `fit` calls at the start and end of training, epochs and batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from layerport.train.component import Component

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.train.optimizer import Optimizer

Logs = MutableMapping[str, float]


class Callback(Component):
    """Base class of the callbacks: the hooks, their names and arguments are Keras's.

    Attributes
    ----------
    network : the network in training (also as `model`). ``network.stop_training = True`` ends
        training after the epoch.
    params : "epochs", "steps" and "samples" of an epoch (None where nobody knows), "batch_size",
        "initial_epoch".
    """

    network: Network = dataclasses.field(init=False, repr=False)
    params: Mapping[str, Any] = dataclasses.field(init=False, repr=False)

    @property
    def model(self) -> Network:
        """Keras's name for `network`."""
        return self.network

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer that trains the network."""
        return self.network.optimizer

    def set_network(self, network: Network) -> None:
        """Called before training."""
        self.network = network

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Called before training."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Training starts."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Training has ended, also when it failed or was interrupted."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """An epoch starts; the first is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """An epoch has ended; what is written into `logs` goes into the history."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A step starts; the first of an epoch is 0."""

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """A step has ended; `logs` are the means of the epoch so far, computed when looked at."""


class History(Callback):
    """What training gave, epoch by epoch.

    Attributes
    ----------
    epoch : the numbers of the epochs.
    history : for each result its values, one an epoch.
    interrupted : whether Ctrl-C ended training.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}
        self.interrupted = False

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.history.items())
        return f"History({len(self.epoch)} epochs{', ' + last if last else ''})"


class Callbacks:
    """Several callbacks, called in order; hooks that nobody overrides cost nothing."""

    def __init__(
        self, callbacks: Sequence[Callback], network: Network, params: Mapping[str, Any]
    ) -> None:
        self._callbacks = list(callbacks)
        for callback in self._callbacks:
            callback.set_network(network)
            callback.set_params(params)
        self.batch_begin = self._hooks("on_train_batch_begin")
        self.batch_end = self._hooks("on_train_batch_end")

    def _hooks(self, name: str) -> list[Callable[..., None]]:
        base = getattr(Callback, name)
        hooks = [getattr(callback, name) for callback in self._callbacks]
        return [hook for hook in hooks if getattr(hook, "__func__", None) is not base]

    def train_begin(self) -> None:
        """Training starts."""
        for callback in self._callbacks:
            callback.on_train_begin({})

    def train_end(self, logs: Logs) -> None:
        """Training has ended."""
        for callback in self._callbacks:
            callback.on_train_end(logs)

    def epoch_begin(self, epoch: int) -> None:
        """An epoch starts."""
        for callback in self._callbacks:
            callback.on_epoch_begin(epoch, {})

    def epoch_end(self, epoch: int, logs: Logs) -> None:
        """An epoch has ended."""
        for callback in self._callbacks:
            callback.on_epoch_end(epoch, logs)
