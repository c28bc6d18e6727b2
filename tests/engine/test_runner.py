"""Inference: `Network.predict` against the reference, in parts and whole."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError, ShapeError
from layerport.numpy_engine import runner as module
from layerport.numpy_engine.reference import evaluate


def convolutional() -> lp.Network:
    network = lp.Sequential(
        [
            lp.Input((12, 12, 2)),
            lp.Conv2D(4, 3, activation="relu"),
            lp.MaxPooling2D(2),
            lp.BatchNormalization(),
            lp.Flatten(),
            lp.Dropout(0.5),
            lp.Dense(5, activation="softmax"),
        ]
    )
    network.initialize(0)
    return network


class Centred(lp.Layer):
    """Mixes the samples of a batch."""

    def call(self, x: Any) -> Any:
        return x - x.mean(axis=0)


def reference(network: lp.Network, x: np.ndarray) -> np.ndarray:
    outputs, _ = evaluate(network.lower(), {network.inputs[0].name: x}, network.parameters)
    return outputs[0]


@pytest.fixture
def numbers() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize("samples", [1, 2, 15, 16, 17, 100])
@pytest.mark.parametrize("batch_size", [None, 1, 7, 1000])
def test_any_number_of_samples(
    samples: int, batch_size: int | None, numbers: np.random.Generator
) -> None:
    network = convolutional()
    x = numbers.random((samples, 12, 12, 2), np.float32)
    got = network.predict(x, batch_size)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, reference(network, x), rtol=1e-5, atol=1e-6)


def test_results_are_the_callers_own(numbers: np.random.Generator) -> None:
    network = convolutional()
    x = numbers.random((4, 12, 12, 2), np.float32)
    first = network.predict(x)
    kept = first.copy()
    network.predict(x * 2)
    np.testing.assert_array_equal(first, kept)


def test_large_batches_are_computed_in_parts(
    numbers: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = convolutional()
    x = numbers.random((200, 12, 12, 2), np.float32)
    whole = network.predict(x, 200)
    monkeypatch.setattr(module, "PART_BYTES", 40_000)
    other = convolutional()
    np.testing.assert_allclose(other.predict(x, threads=1), whole, rtol=1e-5, atol=1e-6)
    plans = other._runner._plans.values()
    assert max(plan.arena_bytes for plan in plans) < 1_000_000
    assert len(plans) <= 2


def test_several_threads_give_the_same(numbers: np.random.Generator) -> None:
    network = convolutional()
    x = numbers.random((50, 12, 12, 2), np.float32)
    wanted = network.predict(x, 8)
    feeds = network.feeds(x)
    for threads in (2, 3, 20):
        (got,) = network._runner.predict(feeds, 8, threads)
        np.testing.assert_array_equal(got, wanted)


def test_samples_that_are_mixed_are_never_split(numbers: np.random.Generator) -> None:
    network = lp.Sequential([lp.Input((3,)), Centred(), lp.Dense(2)])
    network.initialize(1)
    x = numbers.random((50, 3), np.float32)
    np.testing.assert_allclose(network.predict(x, 7), reference(network, x), rtol=1e-5, atol=1e-6)


def test_changed_weights_are_seen(numbers: np.random.Generator) -> None:
    network = convolutional()
    x = numbers.random((5, 12, 12, 2), np.float32)
    network.predict(x)
    weights = [w + 0.1 for w in network.get_weights()]
    network.set_weights(weights)
    np.testing.assert_allclose(network.predict(x), reference(network, x), rtol=1e-5, atol=1e-6)
    network.initialize(7)
    np.testing.assert_allclose(network.predict(x), reference(network, x), rtol=1e-5, atol=1e-6)


def test_float64_networks_compute_in_float64(numbers: np.random.Generator) -> None:
    network = convolutional()
    network.astype("float64")
    x = numbers.random((5, 12, 12, 2))
    got = network.predict(x)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, reference(network, x), rtol=1e-12, atol=1e-13)


def test_inputs_in_any_memory_order(numbers: np.random.Generator) -> None:
    network = convolutional()
    x = numbers.random((9, 12, 12, 2), np.float32)
    wanted = network.predict(x)
    turned = np.asfortranarray(x)
    np.testing.assert_array_equal(network.predict(turned), wanted)
    np.testing.assert_array_equal(network.predict(x[::-1])[::-1], wanted)


def test_several_outputs_of_different_kinds(numbers: np.random.Generator) -> None:
    x = lp.Input((4, 4, 1))
    y = lp.Conv2D(2, 3)(x)
    network = lp.Network(x, [y, lp.Dense(3)(lp.Flatten()(y))])
    network.initialize(0)
    image = numbers.random((30, 4, 4, 1), np.float32)
    first, second = network.predict(image, 8)
    outputs, _ = evaluate(network.lower(), {network.inputs[0].name: image}, network.parameters)
    np.testing.assert_allclose(first, outputs[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(second, outputs[1], rtol=1e-5, atol=1e-6)


def test_no_samples_give_no_results() -> None:
    got = convolutional().predict(np.zeros((0, 12, 12, 2), np.float32))
    assert got.shape == (0, 5)


def test_wrong_shapes_and_sizes_are_named() -> None:
    network = convolutional()
    with pytest.raises(ShapeError, match="input"):
        network.predict(np.zeros((2, 12, 12, 3), np.float32))
    with pytest.raises(LayerportError, match="batch_size"):
        network.predict(np.zeros((2, 12, 12, 2), np.float32), 0)


def test_a_network_tells_where_its_time_goes(numbers: np.random.Generator) -> None:
    network = convolutional()
    found = network.profile(numbers.random((40, 12, 12, 2), np.float32), runs=3)
    layers = {row.layer for row in found.by_layer()}
    assert {"conv2d", "dense"} <= layers
    assert 0 < found.product_share < 1


@pytest.mark.parametrize("kind", ["memmap", "h5py"])
def test_a_large_input_on_disk_is_read_in_parts(kind: str, tmp_path: Path) -> None:
    """uint8 pictures of 40 MB, which would be 160 MB as floats."""
    pictures = np.random.default_rng(1).integers(0, 256, (10_000, 4_000), np.uint8)
    network = lp.Sequential([lp.Input((4_000,)), lp.Rescaling(1 / 255), lp.Dense(3)])
    network.initialize(1)
    few = network.predict(pictures[::500].astype(np.float32))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = pictures
        np.save(tmp_path / "x.npy", pictures)
        x = file["x"] if kind == "h5py" else np.load(tmp_path / "x.npy", mmap_mode="r")
        tracemalloc.start()
        try:
            y = network.predict(x)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    np.testing.assert_allclose(y[::500], few, rtol=1e-4, atol=1e-5)
    assert peak < 35 << 20
