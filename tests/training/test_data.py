"""Where data may come from: arrays of any kind, files on disk, streams of batches."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import layerport as lp
import numpy as np
import pytest
from layerport.op import NDArray
from layerport.train.columns import Column
from layerport.train.data import Order

Data = tuple[NDArray, NDArray]
Make = Callable[..., lp.Sequential]
OPTIONS: dict[str, Any] = {
    "optimizer": lp.SGD(0.1), "loss": "sparse_categorical_crossentropy", "seed": 4, "verbose": 0
}  # fmt: skip


def trained(network: lp.Network, x: Any, y: Any = None, **options: Any) -> list[NDArray]:
    """The weights after two epochs."""
    network.fit(x, y, **{"epochs": 2, **OPTIONS, **options})
    return network.get_weights()


def same(a: list[NDArray], b: list[NDArray]) -> bool:
    return all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


def test_files_on_disk_train_like_arrays(blobs: Data, classifier: Make, tmp_path: Path) -> None:
    x, y = blobs
    wanted = trained(classifier(), x, y)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert same(trained(classifier(), mapped, y), wanted)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"], file["y"] = x, y
        assert same(trained(classifier(), file["x"], file["y"]), wanted)
        in_order = trained(classifier(), x, y, shuffle="batch", validation_split=0.2)
        from_file = trained(
            classifier(), file["x"], file["y"], shuffle="batch", validation_split=0.2
        )
        assert same(in_order, from_file)


def test_data_on_disk_are_never_read_whole(blobs: Data, classifier: Make, tmp_path: Path) -> None:
    x, y = blobs
    seen = []

    class Watched:
        """Looks like a data set on disk."""

        chunks, shape, dtype, nbytes = None, x.shape, x.dtype, x.nbytes

        def __len__(self) -> int:
            return len(x)

        def __getitem__(self, key: Any) -> NDArray:
            rows = x[key]
            seen.append(len(rows))
            return rows

    trained(classifier(), Watched(), y, validation_split=0.5)
    assert max(seen) == 32


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64, np.float16, bool])
def test_dtypes_are_converted_batch_by_batch(classifier: Make, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 2, (100, 2)), rng.integers(0, 3, 100)
    wanted = trained(classifier(), x.astype(np.float32), y)
    assert same(trained(classifier(), x.astype(dtype), y), wanted)
    assert same(trained(classifier(), x.astype(dtype)[::-1][::-1], y.astype(np.int8)), wanted)
    assert same(trained(classifier(), x.tolist(), y.tolist()), wanted)


def test_columns_convert_into_one_buffer() -> None:
    array = np.arange(40, dtype=np.uint8).reshape(20, 2)
    column = Column("x", array, np.float32, first=5, count=15)
    rows = column.take(np.array([3, 0, 14]))
    np.testing.assert_array_equal(rows, array[[8, 5, 19]])
    assert rows.dtype == np.float32
    assert np.shares_memory(rows, column.take(np.array([1, 2])))
    np.testing.assert_array_equal(column.slice(0, 2), array[5:7])


@pytest.mark.parametrize("shuffle", [True, False, "batch"])
def test_orders_visit_each_sample_once(shuffle: bool | str) -> None:
    visits = []
    for epoch in (0, 1, 0):
        rows = [
            np.arange(r.start, r.stop) if isinstance(r, slice) else r
            for r in Order(shuffle, 3, epoch).batches(10, 4)
        ]
        assert sorted(map(len, rows)) == [2, 4, 4]
        visits.append(np.concatenate(rows).tolist())
        assert sorted(visits[-1]) == list(range(10))
    assert visits[0] == visits[2]
    assert (visits[0] == list(range(10))) == (shuffle is False)
    if shuffle is True:
        assert visits[0] != visits[1]


def batches(blobs: Data, size: int = 32) -> list[Data]:
    x, y = blobs
    return [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]


def test_streams_of_batches(blobs: Data, classifier: Make) -> None:
    x, y = blobs
    wanted = trained(classifier(), x, y, shuffle=False)

    def generate() -> Iterator[Data]:
        yield from batches(blobs)

    def forever() -> Iterator[Data]:
        while True:
            yield from batches(blobs)

    assert same(trained(classifier(), batches_of(blobs)), wanted)
    assert same(trained(classifier(), generate), wanted)
    assert same(trained(classifier(), forever(), steps_per_epoch=8), wanted)
    network = classifier()
    history = network.fit(generate(), validation_data=generate(), **OPTIONS)
    assert list(history.history) == ["loss", "val_loss"]


class batches_of:  # noqa: N801
    """Something that can be gone through again and again, but has no shape."""

    def __init__(self, blobs: Data) -> None:
        self.blobs = blobs

    def __iter__(self) -> Iterator[Data]:
        return iter(batches(self.blobs))


def test_streams_may_carry_weights(blobs: Data, classifier: Make) -> None:
    x, y = blobs
    weights = np.linspace(0, 1, len(y))
    wanted = trained(classifier(), x, y, shuffle=False, sample_weight=weights)

    def generate() -> Iterator[Any]:
        for start in range(0, len(x), 32):
            part = slice(start, start + 32)
            yield x[part], y[part], weights[part]

    assert same(trained(classifier(), generate), wanted)
    classes = {1: 3.0}
    wanted = trained(classifier(), x, y, shuffle=False, class_weight=classes)
    assert same(trained(classifier(), batches_of(blobs), class_weight=classes), wanted)


def test_inputs_by_name_and_in_order(rng: np.random.Generator) -> None:
    def make() -> lp.Network:
        a, b = lp.Input((2,), name="a"), lp.Input((3,), name="b")
        network = lp.Network([a, b], lp.Dense(2, "softmax")(lp.Concatenate()([a, b])))
        network.initialize(1)
        return network

    a, b, y = rng.normal(size=(50, 2)), rng.normal(size=(50, 3)), rng.integers(0, 2, 50)
    assert same(trained(make(), [a, b], y), trained(make(), {"b": b, "a": a}, y))


def test_varying_lengths_in_a_stream() -> None:
    x = lp.Input((None, 2))
    network = lp.Network(x, lp.Dense(3, "softmax")(lp.GlobalAveragePooling1D()(x)))
    rng = np.random.default_rng(0)

    def generate() -> Iterator[Data]:
        for length in (3, 7, 5, 3):
            yield rng.normal(size=(4, length, 2)), rng.integers(0, 3, 4)

    history = network.fit(generate, epochs=2, **OPTIONS)
    assert np.isfinite(history.history["loss"]).all()


def test_sequences_of_every_length_are_taught_step_by_step() -> None:
    """Targets, class numbers and weights vary as the output does."""
    network = lp.Sequential([lp.Input((None, 3)), lp.Dense(4, activation="softmax")])
    network.initialize(1)
    draw = np.random.default_rng(1)

    def batches(labels: bool) -> list[tuple[np.ndarray, ...]]:
        made = []
        for length in (5, 8, 2):
            x = draw.standard_normal((6, length, 3)).astype(np.float32)
            y = draw.integers(0, 4, (6, length))
            made.append((x, y if labels else np.eye(4)[y], draw.random((6, length))))
        return made

    for labels, loss in ((True, "sparse_categorical_crossentropy"),
                         (False, "categorical_crossentropy")):  # fmt: skip
        data = batches(labels)
        got = network.evaluate(functools.partial(iter, data), loss=loss, metrics=[])
        per_batch = []
        for x, y, weights in data:
            p = network.predict(x).astype(np.float64)
            chosen = np.take_along_axis(p, y[..., None], -1)[..., 0] if labels else (p * y).sum(-1)
            per_batch.append((-np.log(chosen) * weights).mean())
        np.testing.assert_allclose(got["loss"], np.mean(per_batch), rtol=1e-5)
        network.fit(functools.partial(iter, data), epochs=2, loss=loss, verbose=0)
