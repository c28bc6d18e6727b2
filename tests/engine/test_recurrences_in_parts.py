"""Recurrences in parts of a batch: prediction and training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.gradient import gradient
from layerport.graph import Builder, Graph
from layerport.numpy_engine import parts, runner
from layerport.numpy_engine.parts import cache_for
from layerport.numpy_engine.plan import Plan
from layerport.numpy_engine.reference import evaluate
from layerport.numpy_engine.step import compile_step
from layerport.tensor import Tensor

UNITS = 4


def recurrent(kind: type[ops.LSTM | ops.GRU | ops.RNN], **fields: Any) -> Callable[..., Any]:
    def function(x: Any, w: Any, r: Any) -> Any:
        rows = kind.gates * UNITS
        return kind(**fields)(x.transpose(1, 0, 2), w[:, :rows], r[:, :rows])[1][0]

    return function


def unrolled(x: Any, w: Any, r: Any) -> Any:
    """Steps that no operator is made for, one product for the inputs of all."""
    rows = x.transpose(1, 0, 2).reshape(-1, x.shape[2])
    inputs = (rows @ w[0, :UNITS].T).reshape(5, -1, UNITS)
    state = np.sin(inputs[0])
    for step in range(1, 5):
        state = np.sin(inputs[step] + state @ r[0, :UNITS].T)
    return state


def training(function: Callable[..., Any], features: int) -> Graph:
    """The loss, results, and updates of W and R."""
    build = Builder(float_dtype="float64")
    x = Tensor(build, build.input("x", (Dim("batch"), 5, features), "float64"))
    y = Tensor(build, build.input("y", (Dim("batch"), UNITS), "float64"))
    w, r = (
        Tensor(build, build.parameter(name, (1, 4 * UNITS, columns), "float64"))
        for name, columns in (("w", features), ("r", UNITS))
    )
    z = function(x, w, r)
    graph = build.finish([((z - y) ** 2).mean().value, z.value])
    graph = gradient(graph, graph.outputs[0], [w.value, r.value])
    build = Builder(float_dtype="float64")
    new = build.copy(graph)
    loss, z, *slopes = (Tensor(build, new(value)) for value in graph.outputs)
    old = [Tensor(build, build.parameters[name]) for name in ("w", "r")]
    updates = [(p.value, (p - d).value) for p, d in zip(old, slopes, strict=True)]
    return build.finish([loss.value, z.value], updates=updates)


FUNCTIONS = {
    "rnn": recurrent(ops.RNN),
    "gru": recurrent(ops.GRU),
    "gru, reset after": recurrent(ops.GRU, linear_before_reset=1),
    "lstm": recurrent(ops.LSTM),
    "unrolled": unrolled,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("features", [3, 100])
def test_training(name: str, features: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerport.numpy_engine.step.PART_BYTES", 4_000)
    monkeypatch.setattr(parts, "STEPWISE", 7)
    graph = training(FUNCTIONS[name], features)
    numbers = np.random.default_rng(3)
    feeds = {"x": numbers.standard_normal((17, 5, features)), "y": numbers.random((17, UNITS))}
    shapes = {"w": (1, 4 * UNITS, features), "r": (1, 4 * UNITS, UNITS)}
    known = {key: numbers.standard_normal(shape) / 9 for key, shape in shapes.items()}
    wanted, updated = evaluate(graph, feeds, known)
    step = compile_step(graph, known)
    assert not isinstance(step.plan_for(feeds), Plan)
    got = step(feeds)
    for one, other in zip([*got, *known.values()], [*wanted, *updated.values()], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


def network(*layers: lp.Layer, masked: bool = False) -> lp.Network:
    ids = lp.Input((None,), dtype="int64")
    embedded = lp.Embedding(20, 3, mask_zero=masked)(ids)
    made = lp.Network(ids, lp.Sequential(list(layers))(embedded))
    made.initialize(2)
    return made


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "layers",
    [
        lambda: [lp.LSTM(4, go_backwards=True)],
        lambda: [lp.GRU(4, return_sequences=True), lp.GRU(4)],
        lambda: [lp.Bidirectional(lp.LSTM(4, return_sequences=True)), lp.SimpleRNN(4)],
        lambda: [lp.Bidirectional(lp.GRU(4), merge_mode="ave")],
    ],
)
def test_prediction_of_any_number_of_steps(
    layers: Callable[[], list[lp.Layer]], masked: bool
) -> None:
    made = network(*layers(), masked=masked)
    ids = np.random.default_rng(1).integers(0, 20, (50, 6))
    wanted, _ = evaluate(made.lower(), {made.inputs[0].name: ids}, made.parameters)
    np.testing.assert_allclose(made.predict(ids, batch_size=8), wanted[0], rtol=1e-5, atol=1e-6)
    plans = made._runner._plans.values()
    assert {plan.graph.inputs[0].shape[0] for plan in plans} == {8}


def test_long_sequences_are_predicted_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "PART_BYTES", 10_000)
    made = network(lp.LSTM(4))
    made.predict(np.ones((1000, 200), np.int64))
    sizes = {plan.graph.inputs[0].shape[0] for plan in made._runner._plans.values()}
    assert max(sizes) == 125


def test_memory_of_recurrences_is_bounded() -> None:
    graph = training(FUNCTIONS["lstm"], 3)
    assert cache_for(graph, 1000, 1 << 20) == 1 << 20
    assert cache_for(graph, 100_000, 1 << 20) == parts.STEPWISE * 100_000
    assert cache_for(graph, 1 << 30, 1 << 20) == parts.STEPWISE_BYTES
    assert cache_for(training(unrolled, 3), 100_000, 1 << 20) == 1 << 20
