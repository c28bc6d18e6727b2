"""The callbacks. Names, arguments and defaults are Keras's."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerport.errors import LayerportError
from layerport.train.callback import Callback, Logs
from layerport.train.schedule import Schedule

from layerport_plugins.progress import ProgressLine

if TYPE_CHECKING:
    from layerport.op import NDArray

RISING = ("acc", "precision", "recall", "auc", "f1")
"""Parts of the names of results that are better when they are larger."""


class Watch:
    """Whether a result is better than the best so far.

    Parameters
    ----------
    monitor : the name of the result.
    mode : "min", "max", or "auto", which goes by the name.
    min_delta : smaller improvements do not count.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise LayerportError(f"mode must be 'auto', 'min' or 'max', not {mode!r}")
        rising = mode == "max" or (mode == "auto" and any(word in monitor for word in RISING))
        self.monitor = monitor
        self.sign = 1.0 if rising else -1.0
        self.min_delta = abs(min_delta)
        self.best: float | None = None

    def value(self, logs: Logs | None) -> float | None:
        """The result; None, with a warning, where there is none of that name."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(
                f"there is no result {self.monitor!r} to monitor; there are "
                f"{', '.join(logs or {}) or 'none'}",
                RuntimeWarning,
                stacklevel=3,
            )
        return value

    def improves(self, value: float) -> bool:
        """Whether a value is the best; then it is remembered."""
        best = self.best
        if math.isnan(value):
            return False
        if best is not None and not (value - best) * self.sign > self.min_delta:
            return False
        self.best = value
        return True


class EarlyStopping(Callback):
    """Stop training when a result does not become better any more.

    Parameters
    ----------
    monitor : the result, such as "val_loss" or "val_accuracy".
    min_delta : smaller improvements do not count.
    patience : how many epochs without improvement are borne.
    mode : "min", "max", or "auto", which goes by the name of the result.
    baseline : the result must become better than this.
    restore_best_weights : whether the network gets back the weights of its best epoch.
    start_from_epoch : epochs before it are not looked at.

    Attributes
    ----------
    stopped_epoch, best_epoch : the epoch that ended training (0: none), and the best one.
    """

    monitor: str = "val_loss"
    min_delta: float = 0.0
    patience: int = 0
    mode: str = "auto"
    baseline: float | None = None
    restore_best_weights: bool = False
    start_from_epoch: int = 0

    def validate(self) -> None:
        self._watch = Watch(self.monitor, self.mode, self.min_delta)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._watch = Watch(self.monitor, self.mode, self.min_delta)
        self._watch.best = self.baseline
        self._waited = 0
        self._weights: list[NDArray] | None = None
        self.stopped_epoch = self.best_epoch = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self._watch.value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        if self._watch.improves(value):
            self._waited, self.best_epoch = 0, epoch
            if self.restore_best_weights:
                self._weights = self.network.get_weights()
            return
        self._waited += 1
        if self._waited >= max(self.patience, 1):
            self.stopped_epoch = epoch
            self.network.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._weights is not None:
            self.network.set_weights(self._weights)


class ModelCheckpoint(Callback):
    """Save the network after epochs.

    Parameters
    ----------
    filepath : where to; ``{epoch}`` (counted from 1) and the names of results are put in, as in
        ``"model-{epoch:02d}-{val_loss:.3f}.json"``. The suffix decides the format.
    monitor, mode : the result that tells which epoch is best.
    save_best_only : whether only the best so far is saved.
    save_freq : "epoch", or a number of steps.
    initial_value_threshold : a result that the first save must be better than.
    """

    filepath: str | Path
    monitor: str = "val_loss"
    save_best_only: bool = False
    mode: str = "auto"
    save_freq: str | int = "epoch"
    initial_value_threshold: float | None = None

    def validate(self) -> None:
        if self.save_freq != "epoch" and not (
            isinstance(self.save_freq, int) and self.save_freq > 0
        ):
            raise LayerportError(
                f"save_freq must be 'epoch' or a positive number of steps, not {self.save_freq!r}"
            )
        self._watch = Watch(self.monitor, self.mode)
        self._watch.best = self.initial_value_threshold
        self._epoch = self._steps = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        if self.save_freq == "epoch":
            return
        self._steps += 1
        if self._steps % int(self.save_freq) == 0:
            self._save(self._epoch, dict(logs or {}))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, logs)

    def _save(self, epoch: int, logs: Logs | None) -> None:
        from layerport.files import save

        if self.save_best_only:
            value = self._watch.value(logs)
            if value is None or not self._watch.improves(value):
                return
        try:
            path = str(self.filepath).format(epoch=epoch + 1, **(logs or {}))
        except (KeyError, IndexError) as error:
            raise LayerportError(
                f"filepath {str(self.filepath)!r} names {error}, which is no result; there are "
                f"epoch, {', '.join(logs or {})}"
            ) from error
        save(self.network, path)


class ReduceLROnPlateau(Callback):
    """Lower the learning rate when a result does not become better any more.

    Parameters
    ----------
    monitor, mode, min_delta : as for `EarlyStopping`.
    factor : what the learning rate is multiplied with.
    patience : how many epochs without improvement are borne.
    cooldown : epochs after a change that are not counted.
    min_lr : the learning rate goes no lower.
    """

    monitor: str = "val_loss"
    factor: float = 0.1
    patience: int = 10
    mode: str = "auto"
    min_delta: float = 0.0001
    cooldown: int = 0
    min_lr: float = 0.0

    def validate(self) -> None:
        if not 0 < self.factor < 1:
            raise LayerportError(f"factor must lie between 0 and 1, not {self.factor!r}")
        self._watch = Watch(self.monitor, self.mode, self.min_delta)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._watch = Watch(self.monitor, self.mode, self.min_delta)
        self._waited = self._cooling = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        rate = constant_rate(self)
        if logs is not None:
            logs["learning_rate"] = rate
        value = self._watch.value(logs)
        if value is None:
            return
        if self._cooling:
            self._cooling -= 1
            self._waited = 0
        if self._watch.improves(value):
            self._waited = 0
        elif not self._cooling:
            self._waited += 1
            if self._waited >= self.patience and rate > self.min_lr:
                self.optimizer.learning_rate = max(rate * self.factor, self.min_lr)
                self._cooling, self._waited = self.cooldown, 0


class LearningRateScheduler(Callback):
    """Set the learning rate at the start of each epoch.

    Parameters
    ----------
    schedule : a function of the epoch (from 0), or of epoch and learning rate.
    """

    schedule: Callable[..., float]

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        import inspect

        rate = constant_rate(self)
        takes_rate = not isinstance(self.schedule, Schedule) and (
            len(inspect.signature(self.schedule).parameters) > 1
        )
        new = self.schedule(epoch, rate) if takes_rate else self.schedule(epoch)
        self.optimizer.learning_rate = float(new)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = constant_rate(self)


class LambdaCallback(Callback):
    """Functions in place of methods: they get the same arguments as the methods of a callback."""

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
    ) -> None:
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        self.__dict__.update({name: f for name, f in given.items() if f is not None})


def constant_rate(callback: Callback) -> float:
    """The optimizer's learning rate; raises `LayerportError` where a schedule decides it."""
    rate = callback.optimizer.learning_rate
    if isinstance(rate, Schedule):
        raise LayerportError(
            f"{type(callback).__name__} changes the learning rate, which a schedule "
            f"({type(rate).__name__}) decides already; give the optimizer a number"
        )
    return float(rate)


CALLBACKS = (
    EarlyStopping,
    ModelCheckpoint,
    ReduceLROnPlateau,
    LearningRateScheduler,
    LambdaCallback,
    ProgressLine,
)
