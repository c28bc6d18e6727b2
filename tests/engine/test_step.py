"""Training steps: whole, in parts, and against the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.errors import LayerportError, ShapeError
from layerport.gradient import gradient
from layerport.graph import Builder, Graph
from layerport.numpy_engine import parts as module
from layerport.numpy_engine.flat import flat_gradient, flat_parameter, flatten_parameters
from layerport.numpy_engine.parts import part_sizes
from layerport.numpy_engine.plan import Plan
from layerport.numpy_engine.reference import evaluate
from layerport.numpy_engine.segmented import SegmentedPlan, try_out
from layerport.numpy_engine.segments import cut
from layerport.numpy_engine.step import compile_step
from layerport.numpy_engine.threads import Crew
from layerport.recording import RANDOM_INPUTS, Random
from layerport.tensor import Tensor

SHAPES = {"w": (3, 2, 3, 3), "b": (3,), "v": (27, 4)}


def scores(x: Any, w: dict[str, Any], **extra: Any) -> Any:
    y = ops.relu(ops.conv(x, w["w"], w["b"]))
    y = ops.max_pool(y, 2, strides=2)
    return y.reshape(y.shape[0], -1) @ w["v"]


def with_random(x: Any, w: dict[str, Any], **extra: Any) -> Any:
    return scores(x, w) * (extra["random"].uniform((x.shape[0], 4)) > 0.5) * 2.0


def mixing(x: Any, w: dict[str, Any], **extra: Any) -> Any:
    z = scores(x, w)
    return (z - z.mean(axis=0)) / np.sqrt(((z - z.mean(axis=0)) ** 2).mean(axis=0) + 0.1)


def normalized(x: Any, w: dict[str, Any], **extra: Any) -> Any:
    y = ops.conv(x, w["w"], w["b"])
    mean, variance = ops.Moments((0, 2, 3))(y)
    y = ops.relu((y - mean) / np.sqrt(variance + 1e-3))
    y = ops.max_pool(y, 2, strides=2)
    return y.reshape(y.shape[0], -1) @ w["v"]


def centred(x: Any, w: dict[str, Any], **extra: Any) -> Any:
    y = ops.relu(ops.conv(x, w["w"], w["b"]))
    y = ops.max_pool(y - y.mean(axis=0), 2, strides=2)
    return y.reshape(y.shape[0], -1) @ w["v"]


MIXING: dict[str, Callable[..., Any]] = {
    "reversed": lambda x, w, **_: scores(x, w) + scores(x[::-1], w),
    "running sum": lambda x, w, **_: ops.cumsum(scores(x, w), 0),
    "neighbours": lambda x, w, **_: scores(np.concatenate([x[1:], x[:1]]), w),
    "maximum": lambda x, w, **_: scores(x, w) / np.abs(scores(x, w)).max(axis=0),
    "gram": lambda x, w, **_: ops.softmax(scores(x, w) @ scores(x, w).T) @ scores(x, w),
    "after statistics": lambda x, w, **_: mixing(x, w)[::-1],
}


def step_graph(
    function: Callable[..., Any], *, penalty: float = 0.0, dtype: str = "float64"
) -> Graph:
    """Loss, predictions, and momentum SGD on one flat vector."""
    build = Builder(float_dtype=dtype)
    shapes = Builder()
    values = [shapes.parameter(name, shape, dtype) for name, shape in SHAPES.items()]
    _, members = flat_parameter(build, "flat", values)
    weights = {name: Tensor(build, value) for name, value in members.items()}
    x = Tensor(build, build.input("x", (Dim("batch"), 2, 8, 8), dtype))
    target = Tensor(build, build.input("y", (Dim("batch"), 4), dtype))
    counters = [Tensor(build, build.input(name, (), np.uint32)) for name in RANDOM_INPUTS]
    z = function(x, weights, random=Random(counters, 0))
    loss = ops.softmax_cross_entropy(z, target).mean()
    if penalty:
        loss = loss + penalty * (weights["v"] ** 2).sum()
    graph = build.finish([loss.value, z.value])
    wrt = list(graph.parameters)
    graph = gradient(graph, graph.outputs[0], wrt)
    return _with_momentum(graph)


def _with_momentum(graph: Graph) -> Graph:
    build = Builder(float_dtype=graph.outputs[0].dtype)
    new = build.copy(graph)
    loss, z, slope = (Tensor(build, new(v)) for v in graph.outputs)
    flat = Tensor(build, build.parameters["flat"])
    speed = Tensor(build, build.parameter("speed", flat.shape, flat.dtype))
    rate = Tensor(build, build.input("rate", (), flat.dtype))
    faster = speed * 0.9 - slope * rate
    updates = [(speed.value, faster.value), (flat.value, (flat + faster).value)]
    return build.finish([loss.value, z.value], updates=updates)


def arrays(samples: int, dtype: str = "float64") -> tuple[dict[str, Any], dict[str, Any]]:
    numbers = np.random.default_rng(5)
    feeds = {
        "x": numbers.standard_normal((samples, 2, 8, 8)).astype(dtype),
        "y": np.eye(4, dtype=dtype)[numbers.integers(0, 4, samples)],
        "rate": np.asarray(0.1, dtype),
        **{name: np.asarray(k, np.uint32) for k, name in enumerate(RANDOM_INPUTS, 3)},
    }
    parts = {name: numbers.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}
    flat, _ = flatten_parameters(parts)
    return feeds, {"flat": flat, "speed": np.zeros_like(flat)}


def run(graph: Graph, samples: int, steps: int = 3) -> tuple[list[Any], dict[str, Any]]:
    feeds, parameters = arrays(samples)
    for _ in range(steps):
        outputs, updates = evaluate(graph, feeds, parameters)
        parameters = {**parameters, **updates}
    return outputs, parameters


@pytest.mark.parametrize("function", [scores, with_random, mixing, normalized, centred])
@pytest.mark.parametrize("penalty", [0.0, 0.01])
@pytest.mark.parametrize("samples", [1, 16, 17, 64, 100])
def test_steps_equal_the_reference(
    function: Callable[..., Any], penalty: float, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layerport.numpy_engine.step.PART_BYTES", 60_000)
    graph = step_graph(function, penalty=penalty)
    feeds, parameters = arrays(samples)
    step = compile_step(graph, parameters)
    for _ in range(3):
        outputs = step(feeds)
    wanted, updated = run(graph, samples)
    for got, want in zip(outputs, wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)
    for name, want in updated.items():
        np.testing.assert_allclose(parameters[name], want, rtol=1e-11, atol=1e-12)
    in_parts = samples > module.TRIAL
    assert isinstance(step.plan_for(feeds), SegmentedPlan if in_parts else Plan)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("sizes", [[5, 5, 5, 5], [7, 7, 6], [19, 1], [20]])
@pytest.mark.parametrize("function", [with_random, mixing, normalized])
def test_results_do_not_depend_on_the_parts(
    function: Callable[..., Any], sizes: list[int], threads: int
) -> None:
    graph = step_graph(function, penalty=0.01)
    segments = cut(graph)
    assert segments is not None
    feeds, parameters = arrays(20)
    trial = try_out(segments, parameters, {"batch": 20}, 4)
    parts = [sizes] * len(segments.segments)
    plan = SegmentedPlan(segments, parameters, {"batch": 20}, parts, trial.orders, Crew(threads))
    for _ in range(3):
        outputs = plan.run(feeds)
    wanted, updated = run(graph, 20)
    for got, want in zip(outputs, wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)
    for name, want in updated.items():
        np.testing.assert_allclose(parameters[name], want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", MIXING)
def test_graphs_that_mix_samples_otherwise_are_left_whole(name: str) -> None:
    graph = step_graph(MIXING[name])
    assert cut(graph) is None
    feeds, parameters = arrays(100)
    assert isinstance(compile_step(graph, parameters).plan_for(feeds), Plan)


def test_a_reduction_over_the_batch_begins_a_segment() -> None:
    def segments(function: Callable[..., Any]) -> int:
        found = cut(step_graph(function))
        assert found is not None
        return len(found.segments)

    assert segments(scores) == 1
    assert segments(normalized) == 3  # statistics, their gradients, gradients of weights
    assert segments(centred) == 3
    assert segments(mixing) > 3  # the variance follows the mean


def test_steps_are_repeatable_for_a_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerport.numpy_engine.step.PART_BYTES", 60_000)
    found = []
    graph = step_graph(lambda x, w, **extra: with_random(x, w, **extra) + normalized(x, w))
    for _ in range(2):
        feeds, parameters = arrays(100)
        step = compile_step(graph, parameters, threads=2)
        for _ in range(4):
            step(feeds)
        found.append(parameters["flat"])
    np.testing.assert_array_equal(found[0], found[1])


def test_errors_in_threads_reach_the_caller() -> None:
    def fail() -> None:
        raise ShapeError("on purpose")

    done: list[int] = []
    with pytest.raises(ShapeError, match="on purpose"):
        Crew(2).run([lambda: done.append(1), fail])
    with pytest.raises(ShapeError, match="on purpose"):
        Crew(2).run([fail, lambda: done.append(2)])
    assert done == [1, 2]
    with pytest.raises(LayerportError, match="threads"):
        Crew(0)


def test_parts_are_as_equal_as_possible() -> None:
    assert part_sizes(128, 19) == [16] * 8
    assert part_sizes(100, 30) == [25] * 4
    assert part_sizes(10, 30) == [10]
    assert part_sizes(23, 10) == [8, 8, 7]
    assert part_sizes(128, 43, 2) == [32] * 4
    assert part_sizes(128, 128, 2) == [128]
    assert part_sizes(3, 1, 2) == [1, 1, 1]
    assert module.TRIAL == 16


def test_wrong_inputs_are_named() -> None:
    feeds, parameters = arrays(4)
    step = compile_step(step_graph(scores), parameters)
    with pytest.raises(ShapeError, match="'y' is missing"):
        step({name: array for name, array in feeds.items() if name != "y"})
    with pytest.raises(ShapeError, match="'x' must be float64"):
        step({**feeds, "x": feeds["x"].astype(np.float32)})
    with pytest.raises(ShapeError, match="'y' must have shape"):
        step({**feeds, "y": feeds["y"][:2]})


def test_gradients_of_a_flat_parameter_are_one_vector() -> None:
    build = Builder(float_dtype="float64")
    values = [build.parameter(name, shape, "float64") for name, shape in SHAPES.items()]
    flat = flat_gradient(build, values)
    graph = build.finish([flat])
    numbers = np.random.default_rng(0)
    parts = {name: numbers.standard_normal(shape) for name, shape in SHAPES.items()}
    vector, views = flatten_parameters(parts)
    (got,), _ = evaluate(graph, {}, parts)
    np.testing.assert_array_equal(got, vector)
    for name, view in views.items():
        np.testing.assert_array_equal(view, parts[name])
        assert np.shares_memory(view, vector)


def test_flat_vectors_have_one_dtype() -> None:
    with pytest.raises(ShapeError, match="one dtype"):
        flatten_parameters({"a": np.zeros(2), "b": np.zeros(2, np.float32)})


def test_statistics_of_parts_are_put_together_without_cancelling() -> None:
    """Numbers far from 0, whose parts differ: the mean of squares would lose all digits."""
    build = Builder()
    x = Tensor(build, build.input("x", (Dim("batch"), 3), "float32"))
    mean, variance = ops.Moments((0,))(x)
    graph = build.finish([mean.value, variance.value])
    segments = cut(graph)
    assert segments is not None
    numbers = np.random.default_rng(1).standard_normal((96, 3)) + np.linspace(-1, 1, 96)[:, None]
    array = (numbers + 3000).astype("float32")
    wide = array.astype("float64")
    orders = try_out(segments, {}, {"batch": 96}, 4).orders
    plan = SegmentedPlan(segments, {}, {"batch": 96}, [[50, 30, 16]], orders, Crew(1))
    got = plan.run({"x": array})
    np.testing.assert_allclose(got[0], wide.mean(0, keepdims=True), rtol=1e-6)
    # As exact as numbers of 24 bits determine it; the mean of squares would be wrong by half.
    np.testing.assert_allclose(got[1], wide.var(0, keepdims=True), rtol=2 * 3000 * 2**-23)
