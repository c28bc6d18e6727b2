"""Callbacks: when they are called, and what those that come with layerport do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError
from layerport.op import NDArray

Data = tuple[NDArray, NDArray]
Make = Callable[..., lp.Sequential]
OPTIONS: dict[str, Any] = {
    "optimizer": lp.SGD(0.1), "loss": "sparse_categorical_crossentropy", "seed": 4, "verbose": 0
}  # fmt: skip


class Script(lp.Callback):
    """Puts results into the logs, epoch by epoch."""

    values: tuple[float, ...] = ()
    key: str = "val_loss"

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs[self.key] = self.values[epoch]


def test_hooks_are_called_in_order(blobs: Data, classifier: Make) -> None:
    calls: list[Any] = []

    class Spy(lp.Callback):
        def __init__(self) -> None:
            self.seen = 0

        def on_train_begin(self, logs: Any = None) -> None:
            calls.append(("begin", self.network is self.model, dict(self.params)))

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            calls.append(("epoch", epoch))

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            calls.append(("batch", batch, sorted(logs), logs.samples))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["mine"] = 5
            calls.append(("end", epoch, sorted(logs)))

        def on_train_end(self, logs: Any = None) -> None:
            calls.append(("done", sorted(logs)))

    x, y = blobs
    history = classifier().fit(
        x[:50], y[:50], epochs=2, batch_size=32, callbacks=[Spy()], **OPTIONS
    )
    params = {"epochs": 2, "initial_epoch": 0, "steps": 2, "samples": 50, "batch_size": 32}
    epoch = [("batch", 0, ["loss"], 32), ("batch", 1, ["loss"], 50)]
    assert calls == [
        ("begin", True, params),
        *[("epoch", 0), *epoch, ("end", 0, ["loss", "mine"])],
        *[("epoch", 1), *epoch, ("end", 1, ["loss", "mine"])],
        ("done", ["loss", "mine"]),
    ]
    assert history.history["mine"] == [5, 5]


def test_early_stopping_waits_and_restores(blobs: Data, classifier: Make) -> None:
    network = classifier()
    kept = {}
    keep = lp.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.update({epoch: network.get_weights()})
    )
    stop = lp.EarlyStopping(patience=2, restore_best_weights=True, min_delta=0.05)
    script = Script((1.0, 0.5, 0.46, 0.6, 0.1, 0.0))
    history = network.fit(*blobs, epochs=6, callbacks=[script, stop, keep], **OPTIONS)
    assert history.epoch == [0, 1, 2, 3]
    assert (stop.best_epoch, stop.stopped_epoch) == (1, 3)
    for a, b in zip(network.get_weights(), kept[1], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("monitor", "mode", "values", "epochs"),
    [
        ("val_accuracy", "auto", (0.1, 0.2, 0.2, 0.9), 3),
        ("val_loss", "max", (0.1, 0.2, 0.2, 0.9), 3),
        ("val_loss", "auto", (0.2, 0.1, 0.1, 0.0), 3),
        ("score", "min", (float("nan"), 0.1, 0.0, 0.0), 1),
    ],
)
def test_early_stopping_knows_the_direction(
    blobs: Data, classifier: Make, monitor: str, mode: str, values: Any, epochs: int
) -> None:
    callbacks = [Script(values, monitor), lp.EarlyStopping(monitor, mode=mode)]
    history = classifier().fit(*blobs, epochs=4, callbacks=callbacks, **OPTIONS)
    assert len(history.epoch) == epochs


def test_a_result_that_is_not_there_is_warned_about(blobs: Data, classifier: Make) -> None:
    with pytest.warns(RuntimeWarning, match="no result 'val_loss'.*there are loss"):
        classifier().fit(*blobs, callbacks=[lp.EarlyStopping()], **OPTIONS)


def test_learning_rates_fall_on_a_plateau(blobs: Data, classifier: Make) -> None:
    network = classifier()
    callback = lp.ReduceLROnPlateau(factor=0.5, patience=2, cooldown=1, min_lr=0.02)
    script = Script((1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9))
    network.compile(lp.SGD(0.08), OPTIONS["loss"])
    history = network.fit(*blobs, epochs=8, callbacks=[script, callback], seed=4, verbose=0)
    rates = [0.08, 0.08, 0.08, 0.08, 0.04, 0.04, 0.02, 0.02]
    assert history.history["learning_rate"] == pytest.approx(rates)


def test_learning_rate_scheduler(blobs: Data, classifier: Make) -> None:
    network = classifier()
    seen = []
    watch = lp.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: seen.append(network.optimizer.rate(0))
    )
    callbacks = [lp.LearningRateScheduler(lambda epoch, rate: rate / (epoch + 1)), watch]
    network.compile(lp.SGD(0.6), OPTIONS["loss"])
    history = network.fit(*blobs, epochs=3, batch_size=240, callbacks=callbacks, verbose=0)
    assert seen == pytest.approx([0.6, 0.3, 0.1])
    assert history.history["learning_rate"] == pytest.approx(seen)


def test_a_schedule_and_a_callback_clash(blobs: Data, classifier: Make) -> None:
    network = classifier()
    network.compile(lp.SGD(lp.CosineDecay(0.1, 10)), OPTIONS["loss"])
    with pytest.raises(LayerportError, match=r"schedule \(CosineDecay\) decides already"):
        network.fit(*blobs, callbacks=[lp.LearningRateScheduler(lambda epoch: 0.1)], verbose=0)


def test_checkpoints(blobs: Data, classifier: Make, tmp_path: Path) -> None:
    network = classifier()
    script = Script((1.0, 2.0, 0.5))
    best = lp.ModelCheckpoint(tmp_path / "best-{epoch}-{val_loss:.1f}.json", save_best_only=True)
    last = lp.ModelCheckpoint(tmp_path / "last.json")
    network.fit(*blobs, epochs=3, callbacks=[script, best, last], **OPTIONS)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["best-1-1.0.json", "best-3-0.5.json", "last.json"]
    again = lp.load(tmp_path / "last.json")
    np.testing.assert_allclose(again.predict(blobs[0]), network.predict(blobs[0]), rtol=1e-6)


def test_stop_training_and_names(blobs: Data, classifier: Make) -> None:
    network = classifier()

    def stop(epoch: int, logs: Any) -> None:
        network.stop_training = epoch == 1

    history = network.fit(
        *blobs, epochs=9, callbacks=lp.LambdaCallback(on_epoch_end=stop), **OPTIONS
    )
    assert history.epoch == [0, 1]
    history = network.fit(*blobs, epochs=1, callbacks=["early_stopping"],
                          validation_split=0.1, **OPTIONS)  # fmt: skip
    assert history.epoch == [0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: lp.EarlyStopping(mode="up"),
        lambda: lp.ReduceLROnPlateau(factor=2.0),
        lambda: lp.ModelCheckpoint("x.json", save_freq="never"),
    ],
)
def test_wrong_arguments_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(LayerportError):
        make()
