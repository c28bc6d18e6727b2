"""Weights in fewer bits: what rounding does to them, and that their short form loses nothing."""

from __future__ import annotations

import layerport as lp
import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.errors import UnsupportedError
from layerport.graph import Graph
from layerport.loops.compact import compact
from layerport.loops.ir import Buffer
from layerport.loops.lowering import lower
from layerport.loops.target import Target
from layerport.quantization import (
    STORAGES,
    checked_storage,
    compute,
    cost,
    round_to_float16,
    round_to_int8,
    rounded,
)
from layerport.recording import Recording

RANDOM = np.random.default_rng(3)
TARGETS = {
    "plain": Target(),
    "vectors": Target(lanes=4, columns=8, lone_columns=8),
    "packed": Target(lanes=4, columns=8, lone_columns=8, packing=4),
}


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_int8_is_a_code_times_a_scale(axis: int) -> None:
    array = normal(6, 7, 8) * np.float32(10.0 ** RANDOM.integers(-20, 20))
    made = round_to_int8(array, axis)
    assert made.dtype == np.float32
    rows, given = (np.moveaxis(a, axis, 0).reshape(a.shape[axis], -1) for a in (made, array))
    scale = np.abs(rows.astype(np.float64)).max(axis=1) / 127
    codes = rows / scale[:, np.newaxis]
    np.testing.assert_array_equal(codes, np.rint(codes))
    assert (np.abs(codes) <= 127).all()
    # The nearest multiple of a scale that is as small as it can be, but for 16 bits.
    assert (np.abs(rows - given) <= scale[:, np.newaxis] / 2 * (1 + 1e-6)).all()
    np.testing.assert_allclose(scale, np.abs(given).max(axis=1) / 127, rtol=2**-15)


def test_int8_of_empty_channels() -> None:
    array = normal(5, 20)
    array[2] = 0
    made = round_to_int8(array, 0)
    assert not made[2].any()
    assert made[3].any()


def test_float16_is_the_nearest() -> None:
    array = normal(10, 10) * np.float32(1e-3)
    np.testing.assert_array_equal(round_to_float16(array), array.astype(np.float16))
    array[0, 0] = 1e6
    assert round_to_float16(array) is array


def convolution() -> Graph:
    recording = Recording()
    x = recording.input("x", (Dim("batch"), 6, 9, 9), np.float32)
    y = ops.relu(ops.conv(x, normal(8, 6, 3, 3), normal(8), pads=1))
    y = ops.conv(y, normal(12, 2, 3, 3), group=4)
    y = ops.conv_transpose(y, normal(12, 5, 2, 2), strides=2)
    return recording.finish([y])


def products() -> Graph:
    recording = Recording()
    x = recording.input("x", (Dim("batch"), 24), np.float32)
    y = np.tanh(x @ normal(24, 16) + normal(16))
    y = ops.Gemm(transB=1)(y, normal(32, 16), normal(32))
    return recording.finish([normal(16, 4) @ y.reshape((y.shape[0], 4, 8))])


def embedding() -> Graph:
    recording = Recording()
    x = recording.input("x", (Dim("batch"), 5), np.int64)
    return recording.finish([ops.Gather(0)(normal(20, 8), x)])


@pytest.mark.parametrize("storage", ["float16", "int8"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("graph", [convolution, products, embedding], ids=lambda f: f.__name__)
def test_every_weight_has_a_short_form(graph: object, target: str, storage: str) -> None:
    made = rounded(graph(), checked_storage(storage))  # type: ignore[operator]
    found = 0
    for buffer in lower(made, TARGETS[target]).of_kind("weight"):
        short = compact(buffer, checked_storage(storage))
        if sum(extent > 1 for extent in buffer.shape) > 1:
            assert short is not None
            found += 1
        if short is not None:
            np.testing.assert_array_equal(short.values(), buffer.data)
            assert short.codes.itemsize == {"float16": 2, "int8": 1}[storage]
    assert found >= 1


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_what_is_not_rounded_has_none(storage: str) -> None:
    data = normal(64)
    buffer = Buffer("w", 64, kind="weight", data=data, shape=(8, 8), strides=(8, 1))
    assert compact(buffer, checked_storage(storage)) is None
    assert compact(buffer, "float32") is None


def test_weights_that_are_not_finite_stay() -> None:
    recording = Recording()
    x = recording.input("x", (Dim("batch"), 8), np.float32)
    kernel = normal(8, 8)
    kernel[0, 0] = np.nan
    graph = recording.finish([x @ kernel])
    for storage in ("float16", "int8"):
        (node,) = rounded(graph, checked_storage(storage)).nodes
        np.testing.assert_array_equal(node.inputs[1].constant, kernel)


def network() -> lp.Network:
    made = lp.Sequential([lp.Input((20,)), lp.Dense(30, "relu"), lp.Dense(6, "softmax")])
    made.initialize(1)
    return made


def test_cost() -> None:
    made = network()
    graph = made.lower().replay(constants=made.parameters)
    assert cost(made, graph).changes == 0
    assert cost(made, graph).difference < 1e-6
    coarse = made.lower().replay(
        constants={name: np.round(array) for name, array in made.parameters.items()}
    )
    found = cost(made, coarse, samples=16)
    assert found.samples == 16
    assert found.difference > 0.01
    assert 1 <= found.changes <= 16
    assert f"one in {found.changes} of 16 random samples" in str(found)


def test_rounded_networks_compute_nearly_the_same() -> None:
    made = network()
    x = normal(8, 20)
    graph = made.lower().replay(constants=made.parameters)
    exact = made.predict(x)
    differences = [
        float(np.abs(compute(made, rounded(graph, storage), [x])[0] - exact).max())
        for storage in STORAGES
    ]
    assert differences[0] < 1e-6
    assert differences[0] < differences[1] < 1e-3
    assert differences[1] < differences[2] < 2e-2


def test_unknown_storage() -> None:
    with pytest.raises(UnsupportedError, match="weights=int4: it is float32, float16, int8"):
        checked_storage("int4")
