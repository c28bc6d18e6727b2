"""Random convolutional networks with gradients, in a plan and in the reference."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.gradient import gradient
from layerport.graph import Builder, Graph, verify
from layerport.numpy_engine.pooling import pool_first
from layerport.tensor import Tensor

ROUNDS = 5
SEEDS = 30


class Net:
    """A network under construction, with its parameters' values."""

    def __init__(self, seed: int, dtype: str) -> None:
        self.choose = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.build = Builder(float_dtype=dtype)
        self.dtype = dtype
        self.parameters: dict[str, Any] = {}

    def weight(self, *shape: int) -> Tensor:
        name = f"w{len(self.parameters)}"
        scale = 1 / np.sqrt(np.prod(shape[1:]) or 1)
        self.parameters[name] = (self.numbers.standard_normal(shape) * scale).astype(self.dtype)
        return Tensor(self.build, self.build.parameter(name, shape, self.dtype))

    def conv(self, x: Any) -> Any:
        choose, channels, rank = self.choose, x.shape[1], x.ndim - 2
        kernel = [choose.choice([1, 2, 3]) for _ in range(rank)]
        group = choose.choice([1, 1, 1, channels, 2 if channels % 2 == 0 else 1])
        filters = group * choose.choice([1, 2, 3])
        auto = choose.choice(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
        pads = [choose.choice([0, 0, 1, 2]) for _ in range(2 * rank)] if auto == "NOTSET" else 0
        w = self.weight(filters, channels // group, *kernel)
        if choose.random() < 0.3:  # weights as Keras has them
            w = self.weight(*kernel, channels // group, filters).transpose(
                rank + 1, rank, *range(rank)
            )
        b = self.weight(filters) if choose.random() < 0.6 else None
        strides = choose.choice([1, 1, 2, [1, 2, 3][:rank]])
        dilations = choose.choice([1, 1, 1, 2]) if min(x.shape[2:]) > 4 else 1
        return ops.conv(x, w, b, strides=strides, pads=pads, dilations=dilations, group=group,
                        auto_pad=auto)  # fmt: skip

    def conv_transpose(self, x: Any) -> Any:
        choose, channels, rank = self.choose, x.shape[1], x.ndim - 2
        kernel = [choose.choice([1, 2, 3]) for _ in range(rank)]
        group = choose.choice([1, 1, channels])
        w = self.weight(channels, choose.choice([1, 2]), *kernel)
        b = self.weight(w.shape[1] * group) if choose.random() < 0.5 else None
        return ops.conv_transpose(x, w, b, strides=choose.choice([1, 2]), group=group)

    def activation(self, x: Any) -> Any:
        names = ["relu", "tanh", "sigmoid", "leaky_relu", "elu", "softplus", "gelu", "none"]
        name = self.choose.choice(names)
        return x if name == "none" else getattr(ops, name)(x)

    def bias(self, x: Any) -> Any:
        c = self.weight(x.shape[1], *(1,) * (x.ndim - 2))
        return x + c if self.choose.random() < 0.5 else c + x

    def pool(self, x: Any) -> Any:
        choose, rank = self.choose, x.ndim - 2
        kernel = [choose.choice([1, 2, 3]) for _ in range(rank)]
        strides = kernel if choose.random() < 0.6 else choose.choice([1, 2])
        function = choose.choice([ops.max_pool, ops.max_pool, ops.average_pool])
        pads = choose.choice([0, 0, [choose.choice([0, k // 2]) for k in kernel * 2]])
        return function(x, kernel, strides=strides, pads=pads, ceil_mode=choose.random() < 0.2)

    def channels_last(self, x: Any) -> Any:
        """An activation and a bias on the channels at the end, as Keras layers have it."""
        rank = x.ndim
        y = x.transpose(0, *range(2, rank), 1)
        y = self.activation(y + self.weight(x.shape[1]))
        return y.transpose(0, rank - 1, *range(1, rank - 1))

    def normalize(self, x: Any) -> Any:
        c = x.shape[1]
        vectors = [self.weight(c), self.weight(c), self.weight(c), self.weight(c) ** 2]
        if self.choose.random() < 0.5:
            return ops.BatchNormalization()(x, *vectors)
        axes = (0, *range(2, x.ndim))
        mean = x.mean(axes, keepdims=True)
        variance = ((x - mean) ** 2).mean(axes, keepdims=True)
        return (x - mean) / np.sqrt(variance + 1e-3)

    def join(self, x: Any) -> Any:
        y = self.activation(x)
        return np.concatenate([x, y], axis=1) if self.choose.random() < 0.5 else x * 0.5 + y


def random_net(seed: int, dtype: str) -> tuple[Graph, dict[str, Any], dict[str, Any]]:
    net = Net(seed, dtype)
    choose = net.choose
    spatial = choose.choice([(9, 8), (12, 10), (7, 7), (11,), (5, 6, 4)])
    shape = (choose.choice([1, 2, 3, 6]), *spatial)
    x: Any = Tensor(net.build, net.build.input("x", (Dim("batch"), *shape), dtype))
    y = x
    steps = [net.conv, net.conv, net.conv, net.activation, net.pool, net.bias, net.channels_last,
             net.normalize, net.join, net.conv_transpose]  # fmt: skip
    for _ in range(choose.randrange(3, 9)):
        if min(y.shape[2:]) < 3 or np.prod(y.shape[1:]) > 3000:
            break
        y = choose.choice(steps)(y)
    end = choose.randrange(4)
    if end == 0:
        y = ops.global_average_pool(y)
    elif end == 1:
        y = ops.global_max_pool(y)
    elif end == 2:
        y = y.transpose(0, *range(2, y.ndim), 1)
    y = y.reshape(y.shape[0], -1)
    z = y @ net.weight(y.shape[1], 4) + net.weight(4)
    loss = (np.tanh(z) * z).mean()
    graph = net.build.finish([loss.value, z.value])
    feeds = {"x": net.numbers.standard_normal((3, *shape)).astype(dtype)}
    return graph, feeds, net.parameters


def differentiated(graph: Graph) -> Graph:
    wrt = [*graph.parameters, graph.inputs[0]]
    return gradient(graph, graph.outputs[0], wrt)


@pytest.mark.parametrize("start", range(0, ROUNDS * SEEDS, SEEDS))
def test_random_networks_in_float64(start: int, check: Callable[..., Any]) -> None:
    for seed in range(start, start + SEEDS):
        graph, feeds, parameters = random_net(seed, "float64")
        moved = pool_first(graph)
        verify(moved)
        check(differentiated(graph), feeds, parameters)
        check(differentiated(moved), feeds, parameters, reference=differentiated(graph))


def test_random_networks_in_float32(check: Callable[..., Any]) -> None:
    for seed in range(SEEDS):
        graph, feeds, parameters = random_net(seed, "float32")
        check(differentiated(pool_first(graph)), feeds, parameters, dtype="float32")
