"""Random graphs of operators, with gradients and updates, in a plan and in the reference."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.gradient import gradient
from layerport.graph import Builder, Graph
from layerport.tensor import Tensor

SHAPES = {"a": (2, 4, 5), "b": (4, 1), "c": (5,), "d": (2, 1, 5)}
ROUNDS = 8
SEEDS = 40


def _same(choose: random.Random, pool: list[Any], a: Any) -> Any:
    """A tensor that broadcasts with another without making it larger."""
    alike = [p for p in pool if p.ndim <= a.ndim and _fits(p.shape, a.shape)]
    return choose.choice(alike)


def _fits(small: Any, large: Any) -> bool:
    pairs = zip(small[::-1], large[::-1], strict=False)
    return all(not isinstance(s, Dim) and (s == 1 or s == t) if not isinstance(t, Dim)
               else isinstance(s, Dim) or s == 1 for s, t in pairs)  # fmt: skip


def _step(choose: random.Random, pool: list[Any]) -> Any:
    a = choose.choice(pool)
    c = _same(choose, pool, a)
    axis = choose.randrange(a.ndim)
    fixed = [i for i, d in enumerate(a.shape) if not isinstance(d, Dim)]
    sliced = choose.choice(fixed) if fixed else 0
    cut = (slice(None),) * sliced
    options: list[Callable[[], Any]] = [
        lambda: np.tanh(a),
        lambda: a + c,
        lambda: a - c,
        lambda: a * c * 0.5,
        lambda: np.maximum(a, c),
        lambda: np.minimum(c, a),
        lambda: np.where(a > c, a, c * 0.3),
        lambda: np.where(c > 0, 1.5, a),
        lambda: a.transpose(choose.sample(range(a.ndim), a.ndim)),
        lambda: a[(*cut, slice(1, None))] if a.shape[sliced] != 1 and fixed else a,
        lambda: a[(*cut, slice(None, None, 2))] if fixed else a,
        lambda: a[(*cut, slice(None, None, -1))] * 1.1 if fixed else a,
        lambda: np.concatenate([a, np.tanh(a)], axis=sliced) if fixed else a,
        lambda: np.concatenate([a, a * 2, a], axis=sliced) if fixed else a,
        lambda: a - a.mean(axis, keepdims=True),
        lambda: a.sum(axis, keepdims=True) * c * 0.2,
        lambda: a.max(axis, keepdims=True) * c,
        lambda: a.sum(tuple(i for i in range(a.ndim) if i != axis)) * 0.1 if a.ndim > 1 else a,
        lambda: a.reshape(a.shape[0], -1) if a.ndim > 1 else a,
        lambda: a.reshape(-1, a.shape[-1]) if a.ndim > 2 else a,
        lambda: np.matmul(a, np.swapaxes(a, -1, -2)) * 0.2 if a.ndim > 1 else a,
        lambda: np.matmul(np.swapaxes(a, -1, -2), a) * 0.2 if a.ndim > 1 else a,
        lambda: ops.relu(a),
        lambda: ops.sigmoid(a),
        lambda: ops.softmax(a, axis),
        lambda: ops.log_softmax(a, axis),
        lambda: ops.leaky_relu(a, 0.2),
        lambda: ops.elu(a),
        lambda: ops.softplus(a),
        lambda: ops.gelu(a),
        lambda: np.exp(np.clip(a, -1, 1)),
        lambda: np.abs(a) + np.sign(a),
        lambda: np.sqrt(a * a + 0.5),
        lambda: a / (c * c + 1),
        lambda: (a > 0) * 1.0 * a,
        lambda: np.pad(a, [(0, 0)] * sliced + [(1, 2)] + [(0, 0)] * (a.ndim - sliced - 1))
        if fixed else a,
        lambda: np.pad(a, [(0, 0)] * sliced + [(1, 0)] + [(0, 0)] * (a.ndim - sliced - 1),
                       mode="edge") if fixed else a,
        lambda: np.take(a, np.array([0, 0, -1]), axis=sliced) if fixed else a,
        lambda: np.broadcast_to(a[np.newaxis], (2, *a.shape)) * 0.5,
        lambda: np.repeat(a, 2, axis=sliced) if fixed else a,
        lambda: a.astype("int32").astype(a.dtype) + a,
        lambda: np.stack([a, -a], axis=axis).sum(axis) + a,
        lambda: ops.Clip()(a, np.asarray(-0.5, a.dtype), np.asarray(0.5, a.dtype)),
        lambda: np.squeeze(np.expand_dims(a, axis), axis) * 2,
    ]  # fmt: skip
    return choose.choice(options)()


def random_graph(seed: int, dtype: str) -> Graph:
    """A graph of about fifteen operations with gradients, and with updates that may collide."""
    choose = random.Random(seed)
    build = Builder(float_dtype=dtype, rewrite=choose.random() < 0.8)
    x = Tensor(build, build.input("x", (Dim("batch"), 2, 4, 5), dtype))
    y = Tensor(build, build.input("y", (4, 5), dtype))
    parameters = {
        name: Tensor(build, build.parameter(name, shape, dtype)) for name, shape in SHAPES.items()
    }
    pool: list[Any] = [x, y, *parameters.values(), x * parameters["c"], x + parameters["b"]]
    for _ in range(choose.randrange(5, 16)):
        made = _step(choose, pool)
        if 0 < made.ndim < 6 and _elements(made) < 4000:
            pool.append(made)
    last = pool[-6:]
    loss = sum((np.tanh(p).mean() for p in last[1:]), start=np.tanh(last[0]).mean())
    outputs = [loss, *choose.sample(pool, 2)]
    graph = build.finish([t.value for t in outputs])
    wrt = [v for v in graph.parameters if choose.random() < 0.9] + [graph.inputs[0]]
    graph = gradient(graph, graph.outputs[0], wrt)
    return _with_updates(choose, graph, {v.name: v for v in wrt})


def _elements(tensor: Any) -> int:
    total = 1
    for extent in tensor.shape:
        total *= 3 if isinstance(extent, Dim) else extent
    return total


def _with_updates(choose: random.Random, graph: Graph, wrt: dict[str, Any]) -> Graph:
    build = Builder(float_dtype=graph.outputs[0].dtype)
    new = build.copy(graph)
    outputs = [Tensor(build, new(v)) for v in graph.outputs]
    slopes = dict(zip(wrt, outputs[len(outputs) - len(wrt) :], strict=True))
    updates = []
    kind = choose.randrange(4)
    names = [name for name in slopes if name != "x"]
    for name in names:
        parameter = Tensor(build, build.parameters[name])
        moved = parameter * 0.9 - slopes[name] * 0.1
        if kind == 1 and name == "a":
            moved = moved[::-1] + parameter
        if kind == 2 and name == "c":
            moved = np.concatenate([moved[3:], parameter[:3]])
        updates.append((parameter.value, moved.value))
        if kind == 3:
            outputs.append(choose.choice([moved, parameter, parameter[::-1]]))
    return build.finish([t.value for t in outputs], updates=updates)


def arrays(seed: int, dtype: str) -> tuple[dict[str, Any], dict[str, Any]]:
    random_numbers = np.random.default_rng(seed)
    feeds = {"x": (3, 2, 4, 5), "y": (4, 5)}
    return tuple(
        {
            name: random_numbers.standard_normal(shape).astype(dtype)
            for name, shape in shapes.items()
        }
        for shapes in (feeds, SHAPES)
    )  # type: ignore[return-value]


@pytest.mark.parametrize("start", range(0, ROUNDS * SEEDS, SEEDS))
def test_random_graphs_in_float64(start: int, check: Callable[..., Any]) -> None:
    for seed in range(start, start + SEEDS):
        feeds, parameters = arrays(seed, "float64")
        check(random_graph(seed, "float64"), feeds, parameters)


def test_random_graphs_in_float32(check: Callable[..., Any]) -> None:
    for seed in range(SEEDS):
        feeds, parameters = arrays(seed, "float32")
        check(random_graph(seed, "float32"), feeds, parameters, dtype="float32")
