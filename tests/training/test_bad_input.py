"""What is wrong is named before the first step, and NaN stops training with the reason."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError, ShapeError, TrainingError, UnsupportedError
from layerport.op import NDArray

Data = tuple[NDArray, NDArray]
Make = Callable[..., lp.Sequential]
SPARSE = "sparse_categorical_crossentropy"
X = np.zeros((10, 2), np.float32)
Y = np.arange(10) % 3


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (X, np.array([0] * 8 + [3, 0]), {}, "sample 8: 3 is no class number.*0 to 2"),
        (X, np.array([0] * 9 + [-1]), {}, "sample 9: -1 is no class number"),
        (X, Y + 0.5, {}, "it is not whole"),
        (X, np.eye(3)[Y] * 2, {}, "sample 0: 2.0 is no probability"),
        (X, np.ones((10, 3)), {}, "sample 0: 3.0 is what the classes add up to"),
        (X, np.full(10, np.nan), {}, "sample 0: nan"),
        (X, np.zeros((10, 4)), {}, r"output 'dense_1'.*shape \(n, 4\).*\(n, 3\)"),
        (X, Y[:7], {}, "numbers of samples differ.*10.*7"),
        (np.zeros((10, 5)), Y, {}, r"input 'input'.*\(10, 5\).*\(None, 2\)"),
        (np.zeros(10), Y, {}, r"input 'input'.*\(10,\).*\(None, 2\)"),
        (np.zeros((0, 2)), np.zeros(0), {}, "empty"),
        (X, None, {}, "targets are missing"),
        (None, Y, {}, "x is None"),
        (np.array([["a", "b"]] * 10), Y, {}, "input 'input' holds .*not numbers"),
        (X, np.array(["cat"] * 10), {}, "target 'dense_1' holds"),
        ([[1.0, 2.0], [3.0]], Y, {}, "different shapes"),
        (X, Y, {"batch_size": 0}, "batch_size"),
        (X, Y, {"epochs": -1}, "epochs"),
        (X, Y, {"seed": -1}, "seed"),
        (X, Y, {"shuffle": "yes"}, "shuffle"),
        (X, Y, {"verbose": 7}, "verbose"),
        (X, Y, {"validation_split": 1.5}, "validation_split"),
        (X, Y, {"validation_split": 0.99}, "leaves one part empty"),
        (X, Y, {"validation_split": 0.5, "validation_data": (X, Y)}, "not both"),
        (X, Y, {"validation_data": (X,)}, "validation_data is"),
        (X, Y, {"validation_data": (X, Y[:3])}, "numbers of samples differ"),
        (X, Y, {"sample_weight": np.ones(3)}, "numbers of samples differ"),
        (X, Y, {"sample_weight": np.full(10, np.inf)}, "sample_weight of 'dense_1'.*finite"),
        (X, Y, {"sample_weight": np.ones((10, 4))}, "sample_weight has 2 axes"),
        (X, Y, {"class_weight": {"cat": 2.0}}, "class_weight is a dict from class numbers"),
        (X, Y, {"steps_per_epoch": 3}, "steps_per_epoch is for streams"),
        (iter([]), None, {}, "no batch at all"),
        (iter([(X, Y)]), Y, {}, "come with them"),
        (iter([(X, Y)]), None, {"epochs": 2}, "only once"),
        (iter([(X, Y)]), None, {"epochs": 2, "steps_per_epoch": 1}, "ended after 0 batches"),
        (iter([(X, Y)]), None, {"validation_split": 0.1}, "validation_split needs arrays"),
        (iter([(X, Y, Y, Y)]), None, {}, "not 4 things"),
        (X, Y, {"callbacks": [5]}, "5 is no callback"),
        (X, Y, {"optimizer": "adamm"}, "did you mean"),
        (X, Y, {"metrics": ["acuracy"]}, "did you mean accuracy"),
        (X, Y, {"metrics": ["accuracy", "accuracy"]}, "two results are called 'accuracy'"),
        (X, Y, {"loss": {"other": SPARSE}}, "loss names other; the outputs are dense_1"),
        (X, Y, {"loss": 5}, "5 is no loss"),
    ],
)
def test_wrong_data_are_named(
    classifier: Make, x: Any, y: Any, options: dict[str, Any], message: str
) -> None:
    network = classifier()
    before = network.get_weights()
    with pytest.raises(LayerportError, match=message):
        network.fit(x, y, **{"loss": SPARSE, "verbose": 0, **options})
    if options.get("steps_per_epoch") != 1:
        for a, b in zip(before, network.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
def test_nothing_compiled(classifier: Make, method: str) -> None:
    with pytest.raises(TrainingError, match=r"call network\.compile"):
        getattr(classifier(), method)(X, Y)


def test_no_loss(classifier: Make) -> None:
    with pytest.raises(TrainingError, match="nothing to minimise: give compile or fit a loss"):
        classifier().fit(X, optimizer="adam", verbose=0)


def test_nothing_to_train(classifier: Make) -> None:
    network = classifier()
    network.trainable = False
    with pytest.raises(TrainingError, match="every layer with weights is frozen"):
        network.fit(X, Y, loss=SPARSE, verbose=0)
    empty = lp.Sequential([lp.Input((3,)), lp.Activation("softmax")])
    with pytest.raises(TrainingError, match="no layer has trainable weights"):
        empty.fit(np.zeros((10, 3)), Y, loss=SPARSE, verbose=0)


def test_a_step_function_cannot_be_trained_through() -> None:
    network = lp.Sequential([lp.Input((2,)), lp.Dense(4, "step"), lp.Dense(3, "softmax")])
    with pytest.raises(UnsupportedError, match="dense"):
        network.fit(X, Y, loss=SPARSE, verbose=0)


def test_wrong_labels_in_a_stream_are_named(classifier: Make) -> None:
    def generate() -> Iterator[Data]:
        yield X, Y
        yield X, Y + 1

    with pytest.raises(TrainingError, match="sample 2 of a batch: 3 is no class number"):
        classifier().fit(generate, loss=SPARSE, verbose=0)


def test_nan_in_the_data(classifier: Make, blobs: Data) -> None:
    x, y = blobs
    x = x.copy()
    x[40, 1] = np.nan
    network = classifier()
    with pytest.raises(TrainingError, match=r"became nan at step 2.*NaN.*\(input, sample 8"):
        network.fit(x, y, loss=SPARSE, shuffle=False, verbose=0)
    assert all(np.isfinite(array).all() for array in network.get_weights())


def test_the_layer_that_goes_wrong_is_named() -> None:
    class Root(lp.Layer):
        def call(self, x: lp.Array) -> lp.Array:
            return np.log(x)

    network = lp.Sequential([lp.Input((2,)), lp.Dense(2, name="one"), Root(name="two"),
                             lp.Dense(1)])  # fmt: skip
    network.get_layer("one").set_weights([-np.eye(2), np.zeros(2)])
    with pytest.raises(TrainingError, match=r"step 1: .*layer 'two' \(Log\) was the first"):
        network.fit(np.ones((4, 2)), np.ones(4), loss="mse", verbose=0)


def test_exploding_weights_are_taken_back() -> None:
    network = lp.Sequential([lp.Input((2,)), lp.Dense(2), lp.BatchNormalization(), lp.Dense(1)])
    network.initialize(1)
    x, y = np.full((64, 2), 3.0), np.linspace(0, 1e4, 64)
    with pytest.raises(TrainingError, match="lower the learning rate") as caught:
        network.fit(x, y, loss="mse", optimizer=lp.SGD(1e6, momentum=0.9), epochs=99, verbose=0)
    assert "keeps the weights that it had after 0 steps" in str(caught.value)
    assert all(np.isfinite(array).all() for array in network.weights.values())
    assert all(np.isfinite(array).all() for array in network.optimizer_state.values())
    assert np.isfinite(network.predict(x)).all()


def test_the_best_weights_come_back_after_nan(classifier: Make, blobs: Data) -> None:
    network = classifier()
    kept: list[Any] = []

    def break_it(epoch: int, logs: Any) -> None:
        kept.append(network.get_weights())
        if epoch == 2:
            network.weights["dense/kernel"][...] = np.nan

    callbacks = [
        lp.EarlyStopping("loss", patience=9, restore_best_weights=True),
        lp.LambdaCallback(on_epoch_end=break_it),
    ]
    with pytest.raises(TrainingError, match="'dense/kernel' was not finite any more"):
        network.fit(*blobs, epochs=5, loss=SPARSE, callbacks=callbacks, verbose=0)
    for a, b in zip(network.get_weights(), kept[2], strict=True):
        np.testing.assert_array_equal(a, b)


def test_ctrl_c_ends_training_and_returns_the_history(classifier: Make, blobs: Data) -> None:
    def interrupt(batch: int, logs: Any) -> None:
        if network.optimizer_state["iterations"] == 12:
            os.kill(os.getpid(), signal.SIGINT)

    network = classifier()
    ended = []
    callbacks = [
        lp.LambdaCallback(on_train_batch_end=interrupt, on_train_end=lambda logs: ended.append(1))
    ]
    handler = signal.getsignal(signal.SIGINT)
    history = network.fit(*blobs, epochs=5, loss=SPARSE, callbacks=callbacks, verbose=0)
    assert history.interrupted
    assert history.epoch == [0]
    assert ended == [1]
    assert network.optimizer_state["iterations"] == 12
    assert signal.getsignal(signal.SIGINT) is handler


def test_states_that_do_not_fit_are_named(classifier: Make, blobs: Data) -> None:
    network = classifier()
    network.compile(lp.SGD(momentum=0.9), SPARSE)
    network.train_on_batch(*blobs)
    state = network.optimizer_state
    del state["momentum/dense/bias"]
    state["momentum/dense/kernel"] = np.zeros(3)
    state["velocity/dense/kernel"] = np.zeros(3)
    with pytest.raises(ShapeError) as caught:
        network.optimizer_state = state
    for part in ("momentum/dense/bias is missing", "shape .3,., not .2, 8.", "is not known"):
        assert __import__("re").search(part, str(caught.value))


def test_fixed_batch_sizes_are_asked_for() -> None:
    x = lp.Input((2,), batch_size=5)
    network = lp.Network(x, lp.Dense(3, "softmax")(x))
    with pytest.raises(TrainingError, match="batch_size=5"):
        network.fit(X, Y, loss=SPARSE, verbose=0)
    network.fit(X, Y, batch_size=5, loss=SPARSE, verbose=0)
