"""Plans: places, updates, inputs and errors."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from layerport import ops
from layerport.errors import ShapeError
from layerport.graph import Builder, Graph
from layerport.numpy_engine.plan import Plan
from layerport.numpy_engine.profile import profile
from layerport.numpy_engine.storage import Storage, arrange
from layerport.tensor import Tensor


class Recorder:
    """A graph of float64 vectors under construction."""

    def __init__(self) -> None:
        self.build = Builder(float_dtype="float64")

    def input(self, name: str, *shape: int) -> Any:
        return Tensor(self.build, self.build.input(name, shape, "float64"))

    def parameter(self, name: str, *shape: int) -> Any:
        return Tensor(self.build, self.build.parameter(name, shape, "float64"))

    def finish(self, outputs: list[Any], updates: dict[str, Any] | None = None) -> Graph:
        pairs = [(self.build.parameters[k], t.value) for k, t in (updates or {}).items()]
        return self.build.finish([t.value for t in outputs], updates=pairs)


def test_updates_take_place_at_once(check: Callable[..., Plan]) -> None:
    r = Recorder()
    a, b, c = (r.parameter(name, 4) for name in "abc")
    graph = r.finish([a, c], {"a": b, "b": a, "c": c[::-1] + a})
    parameters = {name: np.arange(4.0) + place for place, name in enumerate("abc")}
    check(graph, {}, parameters)


def test_an_updated_parameter_that_is_still_read_is_written_last(
    check: Callable[..., Plan],
) -> None:
    r = Recorder()
    x, w = r.input("x", 3, 4), r.parameter("w", 4, 4)
    new = w * 0.5 - 0.1
    graph = r.finish([x @ w, (x @ new) @ w], {"w": new})
    numbers = np.random.default_rng(0)
    check(graph, {"x": numbers.random((3, 4))}, {"w": numbers.random((4, 4))})


def test_updates_of_views_of_one_vector() -> None:
    flat = np.arange(12.0)
    parameters = {"a": flat[:4], "b": flat[4:8].reshape(2, 2), "c": flat[8:]}
    r = Recorder()
    a, b, c = r.parameter("a", 4), r.parameter("b", 2, 2), r.parameter("c", 4)
    plan = Plan(r.finish([], {"a": a + c, "c": a * 2, "b": b.T}), parameters)
    plan.run({})
    wanted = [8, 10, 12, 14, 4, 6, 5, 7, 0, 2, 4, 6]
    np.testing.assert_array_equal(flat, wanted)


def test_parameters_that_overlap_are_seen_as_one() -> None:
    flat = np.arange(6.0)
    r = Recorder()
    whole, part = r.parameter("whole", 6), r.parameter("part", 3)
    graph = r.finish([part * 10.0], {"whole": whole + 1.0})
    plan = Plan(graph, {"whole": flat, "part": flat[2:5]})
    np.testing.assert_array_equal(plan.run({})[0], [20, 30, 40])
    np.testing.assert_array_equal(flat, np.arange(6.0) + 1)


def test_weights_of_any_memory_order(check: Callable[..., Plan]) -> None:
    numbers = np.random.default_rng(0)
    big = numbers.random((8, 10))
    r = Recorder()
    x, w = r.input("x", 3, 4), r.parameter("w", 4, 5)
    graph = r.finish([x @ w + w.sum()])
    plan = Plan(graph, {"w": big[::2, ::-2]})
    feed = numbers.random((3, 4))
    expected = feed @ big[::2, ::-2] + big[::2, ::-2].sum()
    np.testing.assert_allclose(plan.run({"x": feed})[0], expected, rtol=1e-13)


def test_outputs_may_be_inputs_constants_and_parameters() -> None:
    r = Recorder()
    x, w = r.input("x", 3), r.parameter("w", 2)
    graph = r.finish([x, x[::-1], x.constant([7.0]), w, x])
    w_array, feed = np.ones(2), np.arange(3.0)
    plan = Plan(graph, {"w": w_array})
    outputs = plan.run({"x": feed})
    expected = [feed, feed[::-1], [7.0], [1, 1], feed]
    for got, want in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(got, want)
        assert not np.shares_memory(got, feed)
        assert not np.shares_memory(got, w_array)


def test_results_are_copied_unless_asked_otherwise() -> None:
    r = Recorder()
    plan = Plan(r.finish([r.input("x", 3) * 2.0]), {})
    first = plan.run({"x": np.ones(3)})[0]
    shared = plan.run({"x": np.ones(3)}, copy=False)[0]
    again = plan.run({"x": np.full(3, 5.0)}, copy=False)[0]
    assert shared is again
    np.testing.assert_array_equal(first, [2, 2, 2])


def test_memory_is_reused_and_values_work_in_place() -> None:
    r = Recorder()
    y = r.input("x", 1000)
    for _ in range(20):
        y = np.tanh(y) + 1.0
    plan = Plan(r.finish([y]), {})
    assert plan.arena_bytes <= 8000 + 64
    z = r.input("z", 1000)
    for _ in range(10):
        z = z * z[::-1]
    assert Plan(r.finish([z]), {}).arena_bytes <= 3 * 8064


def test_gradients_are_computed_inside_their_vector() -> None:
    r = Recorder()
    x, y = r.input("x", 5, 3), r.input("y", 5, 4)
    r.parameter("g", 16)
    flat = np.concatenate([(x.T @ y).reshape(-1), y.sum(axis=0)])
    gradient = np.zeros(16)
    plan = Plan(r.finish([], {"g": flat}), {"g": gradient})
    assert len(plan.calls) == 2
    assert plan.arena_bytes == 0
    numbers = np.random.default_rng(0)
    a, b = numbers.random((5, 3)), numbers.random((5, 4))
    plan.run({"x": a, "y": b})
    np.testing.assert_allclose(gradient[:12].reshape(3, 4), a.T @ b)
    np.testing.assert_allclose(gradient[12:], b.sum(axis=0))


def test_transposes_of_layers_cost_no_call() -> None:
    build = Builder()
    x = Tensor(build, build.input("x", (2, 8, 8, 3), "float32"))
    w = Tensor(build, build.parameter("w", (3, 3, 3, 4), "float32"))
    from layerport.numpy_engine.lowering import lowered

    y = ops.conv(x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1)).transpose(0, 2, 3, 1)
    y = ops.relu(y).reshape(2, -1)
    plan = Plan(lowered(build.finish([y.value])), {"w": np.zeros((3, 3, 3, 4), np.float32)})
    assert [call.function.__name__ for call in plan.calls] == ["copyto", "dot", "maximum"]


def test_the_source_names_nothing_of_the_model() -> None:
    build = Builder()
    name = "evil(); import os #"
    x = Tensor(build, build.input(name, (2, 3), "float32"))
    with build.scope(name):
        y = x + Tensor(build, build.parameter(name + "w", (3,), "float32"))
    plan = Plan(build.finish([y.value], output_names=[name]), {name + "w": np.ones(3, np.float32)})
    assert "evil" not in plan.source
    words = set(re.findall(r"[A-Za-z_]\w*", plan.source))
    counted = {word for word in words if re.fullmatch(r"[acftv]\d+", word)}
    assert words - counted <= {
        "def",
        "run",
        "return",
        "None",
        "out",
        "ndarray",
        "casting",
        "unsafe",
    }
    np.testing.assert_array_equal(plan.run({name: np.ones((2, 3), np.float32)})[0], 2)


def test_float32_stays_float32_and_nothing_warns(recwarn: pytest.WarningsRecorder) -> None:
    build = Builder()
    x = Tensor(build, build.input("x", (4,), "float32"))
    y = np.exp(x * 1000.0) / np.sqrt(x - 5.0)
    plan = Plan(build.finish([y.value]), {})
    with np.errstate(all="warn"):
        (got,) = plan.run({"x": np.arange(4, dtype=np.float32)})
    assert got.dtype == np.float32
    assert not recwarn.list


def test_empty_arrays(check: Callable[..., Plan]) -> None:
    r = Recorder()
    x = r.input("x", 0, 3)
    graph = r.finish([np.tanh(x), x.sum(axis=0), np.concatenate([x, x]), x @ np.ones((3, 2))])
    check(graph, {"x": np.zeros((0, 3))}, {})


def test_wrong_inputs_are_named() -> None:
    r = Recorder()
    plan = Plan(r.finish([r.input("x", 3) * 2.0]), {})
    with pytest.raises(ShapeError, match="'x' is missing"):
        plan.run({})
    with pytest.raises(ShapeError, match=r"'x' must be float64 of shape \(3,\)"):
        plan.run({"x": np.zeros(4)})
    with pytest.raises(ShapeError, match="not float32"):
        plan.run({"x": np.zeros(3, np.float32)})
    with pytest.raises(ShapeError, match="'w' must be"):
        Plan(r.finish([r.parameter("w", 3)]), {"w": np.zeros(4)})


def test_storages_share_bytes_only_at_different_times() -> None:
    choose = random.Random(0)
    for _ in range(50):
        storages = []
        for _ in range(choose.randrange(1, 40)):
            storage = Storage(0, choose.randrange(1, 5000), choose.randrange(20))
            storage.last = storage.first + choose.randrange(6)
            storages.append(storage)
        total = arrange(storages)
        for place, a in enumerate(storages):
            assert a.offset % 64 == 0
            assert a.offset + a.size <= total
            for b in storages[:place]:
                together = a.first <= b.last and b.first <= a.last
                apart = a.offset + a.size <= b.offset or b.offset + b.size <= a.offset
                assert apart or not together


def test_a_profile_counts_every_call() -> None:
    r = Recorder()
    x, w = r.input("x", 30, 40), r.parameter("w", 40, 50)
    with r.build.scope("dense"):
        y = np.tanh(x @ w)
    plan = Plan(r.finish([y]), {"w": np.ones((40, 50))})
    found = profile(plan.works({"x": np.ones((30, 40))}), runs=3)
    assert {(row.operator, row.layer) for row in found.rows} == {
        ("MatMul", "dense"),
        ("Tanh", "dense"),
    }
    assert 0 < found.product_share < 1
    assert sum(row.calls for row in found.rows) == len(plan.calls)
    assert [row.layer for row in found.by_layer()] == ["dense"]
    assert "MatMul" in str(found)
