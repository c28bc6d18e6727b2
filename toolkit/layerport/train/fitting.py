"""The loop of `fit`: epochs, batches, validation, callbacks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from layerport.numpy_engine.threads import blas_threads
from layerport.train.arguments import whole_number
from layerport.train.callback import Callback, Callbacks, History, Logs
from layerport.train.data import ArrayBatches, Order, StreamBatches
from layerport.train.evaluator import Evaluator
from layerport.train.interrupt import Interruption
from layerport.train.scores import Scores
from layerport.train.trainer import Trainer

if TYPE_CHECKING:
    from layerport.network import Network


@dataclasses.dataclass(frozen=True)
class Plan:
    """What `fit` was asked to do.

    Parameters
    ----------
    epochs, initial_epoch : the epochs from the second to the first of them.
    order : how samples are shuffled; its seed is that of random numbers, too.
    threads : how many threads share a batch.
    """

    epochs: int
    initial_epoch: int
    order: Order
    threads: int

    def __post_init__(self) -> None:
        for name in ("epochs", "initial_epoch"):
            whole_number(name, getattr(self, name), 0)


class Fitting:
    """One call of `fit`."""

    def __init__(
        self,
        network: Network,
        trainer: Trainer,
        data: ArrayBatches | StreamBatches,
        validation: tuple[Evaluator, ArrayBatches | StreamBatches] | None,
        plan: Plan,
    ) -> None:
        self._network = network
        self._trainer = trainer
        self._data = data
        self._validation = validation
        self._plan = plan

    def run(self, callbacks: Sequence[Callback], batch_size: int) -> History:
        """Train; returns the history, also when Ctrl-C ends training.

        Raises
        ------
        DivergenceError : when the loss is no longer finite.
        """
        history = History()
        params = {
            "epochs": self._plan.epochs,
            "initial_epoch": self._plan.initial_epoch,
            "steps": self._data.steps,
            "samples": self._data.samples,
            "batch_size": batch_size,
        }
        # The history comes after the callbacks that may write into logs.
        calls = Callbacks([*callbacks, history], self._network, params)
        self._network.stop_training = False
        logs: Logs = {}
        self._trainer.start(self._plan.threads)
        with blas_threads(1), Interruption() as interruption:
            calls.train_begin()
            try:
                for epoch in range(self._plan.initial_epoch, self._plan.epochs):
                    done = self._epoch(epoch, calls, interruption)
                    if done is None:
                        history.interrupted = True
                        break
                    logs = done
                    history.interrupted = interruption.requested
                    if self._network.stop_training or interruption.requested:
                        break
            except KeyboardInterrupt:
                history.interrupted = True
            finally:
                calls.train_end(logs)
        return history

    def _epoch(self, epoch: int, calls: Callbacks, interruption: Interruption) -> Logs | None:
        """One epoch; returns its results, or None when it was interrupted."""
        calls.epoch_begin(epoch)
        scores = Scores(self._trainer.scores)
        order = dataclasses.replace(self._plan.order, epoch=epoch)
        step, seed = self._trainer.run, order.seed
        begin, end = calls.batch_begin, calls.batch_end
        for batch, (feeds, size) in enumerate(self._data.epoch(order)):
            for hook in begin:
                hook(batch, {})
            scores.add(step(feeds, seed), size)
            for hook in end:
                hook(batch, scores)
            if interruption.requested:
                return None
            if self._network.stop_training:
                break
        logs = dict(scores)
        if self._validation is not None:
            evaluator, data = self._validation
            results = evaluator.run(data, self._plan.threads)
            logs |= {f"val_{name}": value for name, value in results.items()}
        calls.epoch_end(epoch, logs)
        return logs
