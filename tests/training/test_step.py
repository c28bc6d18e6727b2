"""The step as a graph: gradients against finite differences, one graph against its two halves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport.graph import verify
from layerport.numpy_engine.reference import evaluate
from layerport.op import NDArray
from layerport.train.data import Order, Source
from layerport.train.step import RATE, SEED, STEP


def mlp() -> lp.Network:
    return lp.Sequential(
        [
            lp.Input((6,)),
            lp.Dense(5, "tanh", kernel_regularizer="l2"),
            lp.Dense(4, "elu", activity_regularizer="l1"),
            lp.Dense(3, "softmax"),
        ]
    )


def cnn() -> lp.Network:
    return lp.Sequential(
        [
            lp.Input((6, 6, 2)),
            lp.Conv2D(3, 3, activation="sigmoid"),
            lp.BatchNormalization(),
            lp.MaxPooling2D(2),
            lp.Flatten(),
            lp.Dense(3, "softmax"),
        ]
    )


def shared() -> lp.Network:
    a, b = lp.Input((4,), name="a"), lp.Input((4,), name="b")
    layer = lp.Dense(3, "tanh")
    joined = lp.Concatenate()([layer(a), layer(b)])
    return lp.Network([a, b], lp.Dense(3, "softmax")(joined))


def batch_for(network: lp.Network) -> tuple[Any, NDArray]:
    rng = np.random.default_rng(1)
    x = [rng.normal(size=(7, *port.shape[1:])) for port in network.inputs]
    return x[0] if len(x) == 1 else x, rng.integers(0, 3, 7)


@pytest.mark.parametrize("make", [mlp, cnn, shared])
def test_gradients_equal_finite_differences(make: Callable[[], lp.Network]) -> None:
    network = make()
    network.astype("float64")
    network.initialize(5)
    # A rate of 1 without momentum: the weights change by exactly the negative gradient.
    network.compile(lp.SGD(1.0), "sparse_categorical_crossentropy")
    x, y = batch_for(network)
    weights = [w for layer in network.layers for w in trainable(layer)]
    before = [w.copy() for w in weights]
    state = [w.copy() for w in network.weights.values()]
    network.train_on_batch(x, y)
    weights = [w for layer in network.layers for w in trainable(layer)]
    gradients = [old - new for old, new in zip(before, weights, strict=True)]
    network.set_weights(state)
    rng = np.random.default_rng(2)
    for weight, gradient in zip(weights, gradients, strict=True):
        for _ in range(4):
            place = tuple(rng.integers(0, size) for size in weight.shape)
            wanted = slope(network, x, y, weight, place, state)
            assert gradient[place] == pytest.approx(wanted, rel=1e-6, abs=1e-9)


def trainable(layer: lp.Layer) -> list[NDArray]:
    declared = layer.declared_weights
    return [array for name, array in layer.own_weights.items() if declared[name].trainable]


def slope(
    network: lp.Network, x: Any, y: NDArray, weight: NDArray, place: tuple[int, ...],
    state: list[NDArray],
) -> float:  # fmt: skip
    """The derivative of the training loss, by central differences."""
    width = 1e-5
    losses = []
    centre = weight[place]
    for sign in (1, -1):
        network.set_weights(state)
        weight[place] = centre + sign * width
        losses.append(network.train_on_batch(x, y)["loss"])
        network.set_weights(state)
    return (losses[0] - losses[1]) / (2 * width)


@pytest.mark.parametrize("optimizer", [lp.SGD(0.1, momentum=0.9), lp.Adam(0.1), lp.RMSprop(0.1)])
@pytest.mark.parametrize("make", [mlp, cnn])
def test_the_whole_step_is_one_graph(
    make: Callable[[], lp.Network], optimizer: lp.Optimizer
) -> None:
    network = make()
    network.astype("float64")
    network.initialize(5)
    network.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    learner = network._learner
    data = learner.tie(Source(*batch_for(network)), learner.settings())
    trainer = learner.trainer(data.supervision)
    step = trainer.step
    for graph in (step.gradients, step.update, step.graph):
        verify(graph)
    assert {v.name for v in step.graph.inputs}.isdisjoint({SEED})
    feeds, _ = next(iter(data.epoch(Order())))
    arrays = {group.name: group.array for group in step.groups}
    arrays |= {g.slot_name(slot): a for g in step.groups for slot, a in g.slots.items()}
    arrays |= trainer._gradients.borrowed
    given = {v.name: v for v in step.graph.inputs}
    scalars = {RATE: np.array(0.1), STEP: np.array(1.0)}
    whole = {**feeds, **{name: a for name, a in scalars.items() if name in given}}
    outputs, updates = evaluate(step.graph, whole, arrays)
    values = trainer.run(feeds, 0)
    np.testing.assert_allclose([float(o) for o in outputs], values, rtol=1e-12)
    for name, array in arrays.items():
        np.testing.assert_allclose(updates.get(name, array), array, rtol=1e-10, atol=1e-13)


def test_optimizers_run_on_one_vector() -> None:
    network = mlp()
    network.compile("adam", "sparse_categorical_crossentropy")
    network.train_on_batch(*batch_for(network))
    (group,) = network._learner._trainer[1].step.groups
    assert group.array.size == network.count_params()
    for array in network.weights.values():
        assert np.shares_memory(array, group.array)


@pytest.mark.parametrize("samples", [8, 600])
def test_a_profile_of_a_step_changes_nothing(samples: int) -> None:
    network = lp.Sequential(
        [lp.Input((10, 10, 1)), lp.Conv2D(8, 3), lp.BatchNormalization(), lp.Flatten(), lp.Dense(2)]
    )
    network.compile(lp.Adam(), "mse")
    x = np.random.default_rng(1).random((samples, 10, 10, 1), np.float32)
    y = np.zeros((samples, 2), np.float32)
    network.fit(x, y, batch_size=samples, verbose=0)
    before, state = [w.copy() for w in network.get_weights()], network.optimizer_state
    found = network.profile(x, y, batch_size=samples, runs=2)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    for name, array in state.items():
        np.testing.assert_array_equal(network.optimizer_state[name], array)
    assert {"conv2d", "batch_normalization", "dense", "optimizer"} <= {r.layer for r in found.rows}
    assert sum(row.share for row in found.rows) == pytest.approx(1)
    assert 0 < found.product_share < 1
