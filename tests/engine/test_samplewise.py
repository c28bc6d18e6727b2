"""Which graphs may be computed in parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.graph import Builder, Graph
from layerport.numpy_engine.reference import evaluate
from layerport.numpy_engine.sample_axes import Along, Kind
from layerport.numpy_engine.samplewise import is_samplewise, states_of
from layerport.tensor import Tensor

W = np.random.default_rng(0).standard_normal((4, 4))

APART: dict[str, Callable[[Any], Any]] = {
    "elementwise": lambda x: np.tanh(x) * 2 + x,
    "dense": lambda x: x @ W,
    "reshape": lambda x: x.reshape(x.shape[0], -1),
    "to rows and back": lambda x: (x.reshape(-1, 4) @ W).reshape(x.shape),
    "transposed twice": lambda x: np.tanh(x.transpose(1, 0, 2)).transpose(1, 0, 2),
    "feature mean": lambda x: x - x.mean(axis=(1, 2), keepdims=True),
    "softmax": lambda x: ops.softmax(x, -1),
    "attention": lambda x: ops.softmax(x @ np.swapaxes(x, 1, 2)) @ x,
    "feature slice": lambda x: x[:, ::-1, 1:],
    "concat": lambda x: np.concatenate([x, -x], axis=2),
    "constant": lambda x: x + np.ones_like(x),
    "pad": lambda x: np.pad(x, [(0, 0), (1, 2), (0, 0)]),
    "index": lambda x: np.take(x, np.array([0, 2, 2]), axis=1),
    "conv": lambda x: ops.conv(x, W.reshape(4, 4, 1)[:, :3]),
    "pool": lambda x: ops.max_pool(x, 2, strides=2),
    "steps before samples": lambda x: (
        (x.transpose(1, 0, 2).reshape(-1, 4) @ W).reshape(3, -1, 4).transpose(1, 0, 2)
    ),
    "recurrence": lambda x: ops.LSTM()(
        x.transpose(1, 0, 2), np.tile(W, (1, 3, 1))[:, :8], np.ones((1, 8, 2)) / 2
    )[1].transpose(1, 0, 2),
    "one hot": lambda x: ops.one_hot(x.argmax(axis=2), 4, dtype=np.float64),
}

MIXED: dict[str, Callable[[Any], Any]] = {
    "batch mean": lambda x: x - x.mean(axis=0),
    "batch maximum": lambda x: x / x.max(),
    "reversed": lambda x: x[::-1],
    "shifted": lambda x: np.concatenate([x[1:], x[:1]]),
    "softmax over the batch": lambda x: ops.softmax(x, 0),
    "samples in another order": lambda x: x.transpose(1, 2, 0).reshape(x.shape),
    "gram": lambda x: x.reshape(x.shape[0], -1) @ x.reshape(x.shape[0], -1).T,
    "counted": lambda x: x * ops.count(x, 0).astype("float64"),
    "doubled": lambda x: np.concatenate([x, x]),
    "padded": lambda x: np.pad(x, [(1, 0), (0, 0), (0, 0)]),
    "picked": lambda x: np.take(x, np.array([0, 0]), axis=0),
    "sum": lambda x: x.sum(axis=0, keepdims=True) + x,
}


def graph_of(function: Callable[[Any], Any]) -> Graph:
    build = Builder(float_dtype="float64")
    x = Tensor(build, build.input("x", (Dim("batch"), 3, 4), "float64"))
    return build.finish([function(x).value])


def run(graph: Graph, x: np.ndarray) -> np.ndarray:
    return evaluate(graph, {"x": x}, {})[0][0]


@pytest.mark.parametrize("name", APART)
def test_functions_of_each_sample_are_recognised(name: str) -> None:
    graph = graph_of(APART[name])
    assert is_samplewise(graph)
    x = np.random.default_rng(1).standard_normal((6, 3, 4))
    parts = np.concatenate([run(graph, x[:2]), run(graph, x[2:])])
    np.testing.assert_allclose(parts, run(graph, x), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", MIXED)
def test_functions_of_several_samples_are_not_split(name: str) -> None:
    assert not is_samplewise(graph_of(MIXED[name]))


def test_sums_over_samples_are_told_from_what_follows_them() -> None:
    def state(function: Callable[[Any], Any]) -> Any:
        graph = graph_of(function)
        return states_of(graph)[graph.outputs[0]]

    assert state(lambda x: x.sum(axis=0)) is Kind.TOTAL
    assert state(lambda x: x.sum() * 3.0) is Kind.TOTAL
    assert state(lambda x: x.reshape(-1, 4).T @ np.tanh(x).reshape(-1, 4)) is Kind.TOTAL
    assert state(lambda x: np.sqrt(x.sum())) is Kind.LATE
    assert state(lambda x: x.sum(axis=0) + 1.0) is Kind.LATE
    assert state(lambda x: x * x.sum()) == Along(0)
    assert state(lambda x: x.sum() + (x * x.sum()).sum()) is Kind.LATE
    assert state(lambda x: ops.Moments((0, 1))(x)[1]) is Kind.LATE
    assert state(lambda x: ops.Moments((1,))(x)[1]) == Along(0)
    assert state(lambda x: x.transpose(1, 0, 2)) == Along(1)
    assert state(lambda x: x.reshape(-1, 4)) == Along(0, 3)
    assert state(lambda x: x.transpose(1, 0, 2).reshape(-1, 4)) == Along(0, 1, 3)
    assert state(lambda x: x.transpose(1, 0, 2).reshape(-1, 4).reshape(3, -1, 2, 2)) == Along(1)
