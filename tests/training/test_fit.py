"""Fitting: learning, repeating, resuming, weighing, validating, freezing."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport.op import NDArray

Data = tuple[NDArray, NDArray]
Make = Callable[..., lp.Sequential]
SPARSE = "sparse_categorical_crossentropy"


def test_learns_blobs(blobs: Data, classifier: Make) -> None:
    network = classifier()
    history = network.fit(*blobs, epochs=15, optimizer=lp.Adam(0.02), loss=SPARSE,
                          metrics=["accuracy"], seed=1, verbose=0)  # fmt: skip
    assert history.epoch == list(range(15))
    assert history.history["loss"][-1] < 0.1 < history.history["loss"][0]
    assert history.history["accuracy"][-1] > 0.98
    predicted = network.predict(blobs[0]).argmax(axis=1)
    assert (predicted == blobs[1]).mean() > 0.98


def test_learns_xor_without_an_input_shape() -> None:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    y = np.array([0, 1, 1, 0])
    network = lp.Sequential([lp.Dense(8, "tanh"), lp.Dense(1, "sigmoid")])
    network.fit(x, y, epochs=300, batch_size=4, optimizer=lp.Adam(0.1),
                loss="binary_crossentropy", seed=3, verbose=0)  # fmt: skip
    assert (network.predict(x)[:, 0] > 0.5).astype(int).tolist() == [0, 1, 1, 0]


def noisy() -> lp.Sequential:
    return lp.Sequential(
        [
            lp.Input((2,)),
            lp.Dense(16, "relu"),
            lp.Dropout(0.3),
            lp.BatchNormalization(),
            lp.Dense(3, "softmax"),
        ]
    )


def test_a_seed_repeats_bit_for_bit(blobs: Data) -> None:
    runs = []
    for seed in (5, 5, 6):
        network = noisy()
        history = network.fit(*blobs, epochs=3, optimizer="adam", loss=SPARSE, seed=seed, verbose=0)
        runs.append((history.history["loss"], network.get_weights()))
    assert runs[0][0] == runs[1][0] != runs[2][0]
    for a, b in zip(runs[0][1], runs[1][1], strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("optimizer", ["adam", lp.SGD(0.05, momentum=0.9)])
def test_resuming_equals_an_uninterrupted_run(blobs: Data, optimizer: Any) -> None:
    whole = noisy()
    whole.compile(optimizer, SPARSE)
    whole.fit(*blobs, epochs=5, seed=9, verbose=0)

    first = noisy()
    first.compile(optimizer, SPARSE)
    first.fit(*blobs, epochs=2, seed=9, verbose=0)
    state, weights = first.optimizer_state, first.get_weights()

    second = noisy()
    second.compile(optimizer, SPARSE)
    second.set_weights(weights)
    second.optimizer_state = state
    second.fit(*blobs, epochs=5, initial_epoch=2, seed=9, verbose=0)
    first.fit(*blobs, epochs=5, initial_epoch=2, seed=9, verbose=0)

    for a, b, c in zip(whole.get_weights(), second.get_weights(), first.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes() == c.tobytes()


def test_an_equal_optimizer_goes_on(blobs: Data, classifier: Make) -> None:
    network = classifier()
    for _ in range(2):
        network.fit(*blobs, optimizer="adam", loss=SPARSE, seed=1, verbose=0)
    assert network.optimizer_state["iterations"] == 16
    network.fit(*blobs, optimizer=lp.Adam(0.5), seed=1, verbose=0)
    assert network.optimizer_state["iterations"] == 8
    network.compile(network.optimizer, SPARSE)
    assert network.optimizer_state == {}


def weighted_loss(network: lp.Network, x: NDArray, y: NDArray, weights: NDArray) -> float:
    """Keras's mean: the weighted losses added up, divided by the number of samples."""
    chances = network.predict(x).astype(np.float64)
    return float((-np.log(chances[np.arange(len(y)), y]) * weights).sum() / len(y))


def test_sample_and_class_weights(blobs: Data, classifier: Make, rng: np.random.Generator) -> None:
    x, y = blobs
    weights = rng.uniform(size=len(y))
    classes = {0: 2.0, 2: 0.5}
    by_class = np.array([2.0, 1.0, 0.5])[y]
    for given, wanted in (
        ({"sample_weight": weights}, weights),
        ({"class_weight": classes}, by_class),
        ({"sample_weight": weights, "class_weight": classes}, weights * by_class),
    ):
        network = classifier(dtype="float64")
        network.compile(lp.SGD(0.0), SPARSE)
        loss = weighted_loss(network, x, y, wanted)
        for targets in (y, np.eye(3)[y]):
            history = network.fit(x, targets, batch_size=50, verbose=0, **given)
            assert history.history["loss"] == pytest.approx([loss], rel=1e-9)
    evaluated = network.evaluate(x, y, sample_weight=weights)
    assert evaluated["loss"] == pytest.approx(weighted_loss(network, x, y, weights), rel=1e-9)


def test_weights_act_on_gradients_as_repetition_does(blobs: Data, classifier: Make) -> None:
    x, y = blobs[0][:8].astype(np.float64), blobs[1][:8]
    counts = np.array([1, 2, 3, 1, 1, 2, 1, 1])
    a, b = classifier(dtype="float64"), classifier(dtype="float64")
    for network in (a, b):
        network.compile(lp.SGD(0.5), SPARSE)
    a.train_on_batch(x, y, sample_weight=counts * 8 / counts.sum())
    b.train_on_batch(np.repeat(x, counts, axis=0), np.repeat(y, counts))
    for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_validation(blobs: Data, classifier: Make) -> None:
    x, y = blobs
    split = classifier()
    options = {"optimizer": "sgd", "loss": SPARSE, "metrics": ["accuracy"], "verbose": 0, "seed": 2}
    a = split.fit(x, y, validation_split=0.25, epochs=2, **options)
    given = classifier()
    b = given.fit(x[:180], y[:180], validation_data=(x[180:], y[180:]), epochs=2, **options)
    assert a.history == b.history
    assert list(a.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    scores = given.evaluate(x[180:], y[180:])
    assert scores == {"loss": b.history["val_loss"][-1], "accuracy": b.history["val_accuracy"][-1]}


def test_evaluate_does_not_train_and_ignores_dropout(blobs: Data) -> None:
    network = noisy()
    network.compile("sgd", SPARSE)
    network.initialize(1)
    before = network.get_weights()
    first = network.evaluate(*blobs)
    assert network.evaluate(*blobs, batch_size=7) == pytest.approx(first, rel=1e-5)
    for a, b in zip(before, network.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()


def test_regularizers_are_part_of_the_loss(blobs: Data, classifier: Make) -> None:
    x, y = blobs
    plain = classifier(dtype="float64")
    heavy = classifier(dtype="float64", kernel_regularizer={"class_name": "L2",
                                                             "config": {"l2": 0.1}})  # fmt: skip
    penalty = 0.1 * (heavy.weights["dense_1/kernel"] ** 2).sum()
    losses = [n.evaluate(x, y, loss=SPARSE)["loss"] for n in (plain, heavy)]
    assert losses[1] == pytest.approx(losses[0] + penalty, rel=1e-9)


def two_headed() -> lp.Network:
    x = lp.Input((2,), name="x")
    hidden = lp.Dense(6, "tanh", name="hidden")(x)
    return lp.Network(x, [
        lp.Dense(3, "softmax", name="kind")(hidden),
        lp.Dense(1, name="size")(hidden),
    ])  # fmt: skip


def test_several_outputs(blobs: Data) -> None:
    x, y = blobs
    sizes = np.linalg.norm(x, axis=1)
    network = two_headed()
    network.astype("float64")
    network.initialize(1)
    chances, guesses = network.predict(x)
    kind = -np.log(chances[np.arange(len(y)), y]).mean()
    size = ((guesses[:, 0] - sizes) ** 2).mean()
    for loss, targets in (
        ([SPARSE, "mse"], [y, sizes]),
        ({"kind": SPARSE, "size": "mse"}, {"size": sizes, "kind": y}),
    ):
        network.compile("sgd", loss, {"kind": ["accuracy"]}, loss_weights={"size": 0.25})
        found = network.evaluate(x, targets)
        assert list(found) == ["loss", "kind_loss", "kind_accuracy", "size_loss"]
        assert found["kind_loss"] == pytest.approx(kind, rel=1e-9)
        assert found["size_loss"] == pytest.approx(size, rel=1e-9)
        assert found["loss"] == pytest.approx(kind + 0.25 * size, rel=1e-9)
    history = network.fit(x, {"kind": y, "size": sizes}, epochs=10, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_an_output_without_a_loss_is_not_trained(blobs: Data) -> None:
    x, y = blobs
    network = two_headed()
    network.initialize(1)
    before = network.get_layer("size").get_weights()
    network.fit(x, {"kind": y}, loss={"kind": SPARSE}, verbose=0)
    for a, b in zip(before, network.get_layer("size").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_layers_stay(blobs: Data, classifier: Make) -> None:
    x, y = blobs
    inner = lp.Sequential([lp.Input((2,)), lp.Dense(4, "tanh"), lp.BatchNormalization()])
    network = lp.Sequential([lp.Input((2,)), inner, lp.Dense(3, "softmax")])
    network.initialize(1)
    inner.trainable = False
    before = inner.get_weights()
    network.fit(x, y, loss=SPARSE, optimizer=lp.SGD(0.1, momentum=0.9), verbose=0, epochs=2)
    for a, b in zip(before, inner.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)  # moving averages, too: frozen means inference
    assert list(network.optimizer_state) == [
        "iterations", "momentum/dense/kernel", "momentum/dense/bias"
    ]  # fmt: skip
    inner.trainable = True
    network.fit(x, y, verbose=0)
    assert not np.array_equal(before[0], inner.get_weights()[0])


def test_moving_averages_move(blobs: Data) -> None:
    network = noisy()
    network.initialize(1)
    layer = network.get_layer("batch_normalization")
    before = layer.moving_mean.copy()
    network.fit(*blobs, loss=SPARSE, verbose=0)
    assert not np.array_equal(before, layer.moving_mean)


def test_weights_can_be_replaced_between_calls(blobs: Data, classifier: Make) -> None:
    x, y = blobs
    a, b = classifier(), classifier()
    for network in (a, b):
        network.compile(lp.SGD(0.1), SPARSE)
    a.fit(x, y, seed=1, verbose=0)
    a.initialize(7)  # new arrays
    a.fit(x, y, seed=1, verbose=0)
    b.fit(x, y, seed=1, verbose=0)
    for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()
    np.testing.assert_array_equal(a.predict(x), b.predict(x))


def test_a_layer_shared_by_two_networks_is_trained_by_both(blobs: Data) -> None:
    x, y = blobs
    layer = lp.Dense(3, "softmax")
    entry = lp.Input((2,))
    a = lp.Network(entry, layer(entry))
    b = lp.Sequential([lp.Input((2,)), layer])
    for network in (a, b):
        network.compile(lp.SGD(0.5), SPARSE)
    losses = []
    for network in (a, b, a, b, a, b):
        losses.append(network.train_on_batch(x, y)["loss"])
        np.testing.assert_allclose(a.predict(x), b.predict(x), rtol=1e-6)
    assert losses == sorted(losses, reverse=True)


def test_a_layer_may_add_to_the_loss() -> None:
    class Pull(lp.Layer):
        weight: lp.Array

        def build(self, input_shape: Any) -> dict[str, lp.Weight]:
            return {"weight": lp.Weight((), initializer="ones")}

        def call(self, x: lp.Array) -> lp.Array:
            self.add_loss((self.weight - 3) ** 2)
            return x * self.weight

    network = lp.Sequential([lp.Input((2,)), Pull()])
    network.compile(lp.SGD(0.5))
    found = network.train_on_batch(np.zeros((4, 2)))
    assert found == {"loss": 4.0}
    assert network.weights["pull/weight"] == pytest.approx(3.0)


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
def test_copies_go_on_alone(blobs: Data, copier: Callable[[Any], Any]) -> None:
    a = noisy()
    a.compile("adam", SPARSE)
    a.fit(*blobs, seed=1, verbose=0)
    a.predict(blobs[0])
    b = copier(a)
    before = a.get_weights()
    b.fit(*blobs, epochs=2, initial_epoch=1, seed=1, verbose=0)
    for one, other in zip(before, a.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    a.fit(*blobs, epochs=2, initial_epoch=1, seed=1, verbose=0)
    for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()
    np.testing.assert_array_equal(a.predict(blobs[0]), b.predict(blobs[0]))


def test_batches_may_be_larger_than_the_data(blobs: Data, classifier: Make) -> None:
    network = classifier()
    network.fit(*blobs, batch_size=10_000, loss=SPARSE, verbose=0)
    assert network.optimizer_state["iterations"] == 1
