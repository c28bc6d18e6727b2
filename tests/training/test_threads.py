"""Threads share a batch, and change nothing but rounding: every layer trains the same."""

from __future__ import annotations

import layerport as lp
import numpy as np
import pytest
from layerport.numpy_engine import parts
from layerport.numpy_engine.threads import thread_count

from matrix.case import Case
from matrix.cases import CASES

SAMPLES = 24

TRAINABLE = [case for case in CASES if case.name != "activation step"]
"""What comes before a step function has no gradient."""


class Scaled(lp.Layer):
    """Something to train in front of layers that have no weights."""

    scale: lp.Array
    offset: lp.Array

    def build(self, input_shape: lp.InputShape) -> dict[str, lp.Weight]:
        return {
            "scale": lp.Weight((), np.float32(0.001), dtype=self.dtype),
            "offset": lp.Weight((), "zeros"),
        }

    def call(self, x: lp.Tensor) -> lp.Tensor:
        return x * self.scale + self.offset


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of a test are shared, too."""
    monkeypatch.setattr(parts, "SHARED_BYTES", 1)


def _train(case: Case, threads: int) -> tuple[lp.Network, list[float]]:
    inner = case.network()
    sources = [lp.Input(port.shape[1:], dtype=port.dtype) for port in inner.inputs]
    scaled = [Scaled()(x) if x.dtype.kind == "f" else x for x in sources]
    network = lp.Network(sources, inner(*scaled))
    x = [np.resize(given, (SAMPLES, *given.shape[1:])).clip(-3, 3) for given in case.inputs]
    draw = np.random.default_rng(1)
    y = [
        draw.standard_normal((SAMPLES, *out.shape[1:])).astype(np.float32)
        for out in map(np.asarray, case.expected)
    ]
    history = network.fit(
        x if len(x) > 1 else x[0], y if len(y) > 1 else y[0], batch_size=SAMPLES, epochs=3,
        optimizer=lp.SGD(0.01, momentum=0.9, global_clipnorm=1.0), loss="mse", seed=3, verbose=0,
        threads=threads,
    )  # fmt: skip
    return network, history.history["loss"]


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("case", TRAINABLE, ids=lambda case: case.name)
def test_every_layer_trains_alike(case: Case) -> None:
    alone, losses = _train(case, 1)
    shared, losses_shared = _train(case, 2)
    np.testing.assert_allclose(losses_shared, losses, rtol=1e-4)
    for one, other in zip(alone.get_weights(), shared.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-4 * (np.abs(one).max() + 1e-3))


def test_a_network_that_mixes_samples_learns_from_the_whole_batch() -> None:
    """Batch statistics are those of all 24 samples, however many threads there are."""
    x = np.random.default_rng(2).standard_normal((SAMPLES, 3)).astype(np.float32)

    def moved(threads: int) -> np.ndarray:
        network = lp.Sequential([lp.Input((3,)), lp.BatchNormalization(momentum=0.0), lp.Dense(1)])
        network.fit(x, x[:, :1], batch_size=SAMPLES, loss="mse", seed=1, verbose=0, threads=threads)
        return network.layers[0].get_weights()[2]

    for threads in (1, 2, 3):
        np.testing.assert_allclose(moved(threads), x.mean(axis=0, dtype=np.float64), rtol=1e-5)


def test_the_number_of_threads_does_not_change_evaluate_and_predict() -> None:
    network = lp.Sequential([lp.Input((12, 12, 2)), lp.Conv2D(4, 3), lp.Flatten(), lp.Dense(2)])
    network.initialize(1)
    x = np.random.default_rng(2).standard_normal((500, 12, 12, 2)).astype(np.float32)
    y = network.predict(x, threads=1)
    np.testing.assert_allclose(network.predict(x, threads=2), y, rtol=1e-5, atol=1e-6)
    alone = network.evaluate(x, 0 * y, loss="mse", batch_size=100, threads=1)
    both = network.evaluate(x, 0 * y, loss="mse", batch_size=100, threads=2)
    np.testing.assert_allclose(both["loss"], alone["loss"], rtol=1e-5)


@pytest.mark.parametrize("threads", [0, -1, 1.5, True])
def test_a_wrong_number_of_threads_is_named(threads: object) -> None:
    network = lp.Sequential([lp.Input((3,)), lp.Dense(1)])
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(lp.LayerportError, match="threads"):
        network.fit(x, x[:, :1], loss="mse", threads=threads)  # type: ignore[arg-type]
    with pytest.raises(lp.LayerportError, match="threads"):
        network.predict(x, 1, threads=threads)  # type: ignore[arg-type]


def test_none_means_every_processor() -> None:
    assert thread_count(None) >= 1
