"""PyTorch, eager, in its faster memory format."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import networks as spec
from benchmarks.contenders.base import LEARNING_RATE, MOMENTUM, Contender
from benchmarks.data import Samples

EPSILON = 1e-3
"""Of normalisations, as Keras has it."""


class SelfAttention(nn.Module):
    """Attention by the fused operator."""

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(features, 3 * features)
        self.output = nn.Linear(features, features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, length, d = x.shape
        q, k, v = self.project(x).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v)
        return self.output(y.transpose(1, 2).reshape(n, length, d))


class LastOfLstm(nn.Module):
    """What an LSTM says after the last step."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, units, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[1][0][-1]


class Residual(nn.Module):
    """The sum of two branches."""

    def __init__(self, main: nn.Module, side: nn.Module) -> None:
        super().__init__()
        self.main, self.side = main, side

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.main(x) + self.side(x)


class Every(nn.Module):
    """Every n-th row and column of an image.

    In front of a 1x1 convolution it stands for the strides of it: with them oneDNN writes past
    its memory when there are few channels, channels last (oneDNN issue 6035).
    """

    def __init__(self, strides: int) -> None:
        super().__init__()
        self.strides = strides

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, :: self.strides, :: self.strides]


class Mean(nn.Module):
    """The mean over positions: all axes behind the channels of an image, the second otherwise."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3) if x.ndim == 4 else 1)


def pooling(size: int, strides: int, padding: str, extent: int) -> nn.Module:
    """Max-pooling padded as Keras pads it: one more at the end where it is not even."""
    if padding == "valid":
        return nn.MaxPool2d(size, strides)
    total = max((-(-extent // strides) - 1) * strides + size - extent, 0)
    return nn.MaxPool2d(size, strides, padding=total // 2, ceil_mode=total % 2 == 1)


def modules(layer: spec.Layer, shape: torch.Size) -> list[nn.Module]:
    """The modules of a layer.

    Parameters
    ----------
    shape : of the input, the batch and, for images, channels first.
    """
    features = shape[-1]
    match layer:
        case spec.Dense(units, activation):
            return [nn.Linear(features, units), *relu(activation)]
        case spec.Conv(filters, size, activation, strides, padding, bias):
            around = size // 2 if padding == "same" else 0
            if size == 1 and strides > 1:
                return [Every(strides), nn.Conv2d(shape[1], filters, 1, bias=bias)]
            conv = nn.Conv2d(shape[1], filters, size, strides, around, bias=bias)
            return [conv, *relu(activation)]
        case spec.SeparableConv(filters, size):
            depth = nn.Conv2d(shape[1], shape[1], size, 1, size // 2, groups=shape[1], bias=False)
            return [depth, nn.Conv2d(shape[1], filters, 1, bias=False)]
        case spec.MaxPool(size, strides, padding):
            return [pooling(size, strides, padding, features)]
        case spec.BatchNorm():
            return [nn.BatchNorm2d(shape[1], EPSILON, momentum=0.01)]
        case spec.LayerNorm():
            return [nn.LayerNorm(features, EPSILON)]
        case spec.Relu():
            return relu("relu")
        case spec.Flatten():
            return [nn.Flatten()]
        case spec.GlobalAverage():
            return [Mean()]
        case spec.SelfAttention(heads):
            return [SelfAttention(features, heads)]
        case spec.Lstm(units):
            return [LastOfLstm(features, units)]
        case spec.Residual(main, side):
            return [Residual(chain(main, shape), chain(side, shape) if side else nn.Identity())]


def relu(activation: str) -> list[nn.Module]:
    """The module of an activation."""
    return [nn.ReLU(inplace=True)] if activation == "relu" else []


def chain(layers: tuple[spec.Layer, ...], shape: torch.Size) -> nn.Sequential:
    """Layers one after another."""
    made: list[nn.Module] = []
    example = torch.zeros(shape)
    with torch.no_grad():
        for layer in layers:
            for module in modules(layer, example.shape):
                example = module(example)
                made.append(module)
    return nn.Sequential(*made)


class PyTorch(Contender):
    """Trains with fused SGD on batches gathered by index."""

    packages = ("torch",)

    def __init__(self, network: spec.Network, threads: int, samples: Samples) -> None:
        super().__init__(network, threads, samples)
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        torch.manual_seed(0)
        x = torch.from_numpy(samples.x)
        self._is_image = x.ndim == 4
        self._x = x.permute(0, 3, 1, 2) if self._is_image else x
        self._y = torch.from_numpy(samples.y)
        self._model = chain(network.layers, torch.Size((2, *self._x.shape[1:])))
        self._optimizer = torch.optim.SGD(
            self._model.parameters(), LEARNING_RATE, momentum=MOMENTUM, fused=True
        )

    @property
    def parameters(self) -> int:
        state = self._model.state_dict()
        # An LSTM has a second bias here, of no use; BatchNorm2d counts batches.
        unusual = ("bias_hh_l0", "num_batches_tracked")
        return sum(array.numel() for name, array in state.items() if not name.endswith(unusual))

    def prepare(self, batch: int) -> None:
        """Take the memory format in which a training step is faster."""
        if not self._is_image:
            return
        formats = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
        taken = {name: self._time(kind, batch) for name, kind in formats.items()}
        self.note = min(taken, key=lambda name: taken[name])
        self._to(formats[self.note])

    def _time(self, memory_format: Any, batch: int) -> float:
        self._to(memory_format)
        self.train(2 * batch, batch, 1)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            self.train(2 * batch, batch, 1)
            times.append(time.perf_counter() - start)
        return float(np.median(times))

    def _to(self, memory_format: Any) -> None:
        self._model = self._model.to(memory_format=memory_format)
        # `contiguous` would leave strides as they are that say the wrong thing for one channel.
        self._x = self._x.clone(memory_format=memory_format)

    def train(self, count: int, batch: int, epochs: int) -> None:
        model, optimizer = self._model.train(), self._optimizer
        for _ in range(epochs):
            order = torch.randperm(count)
            for start in range(0, count, batch):
                rows = order[start : start + batch]
                optimizer.zero_grad()
                loss = functional.cross_entropy(model(self._x[rows]), self._y[rows])
                loss.backward()
                optimizer.step()

    def batch_of(self, count: int) -> Any:
        self._model.eval()
        return self._x[:count].clone(memory_format=torch.preserve_format)

    def predict(self, x: Any) -> Any:
        with torch.inference_mode():
            return torch.softmax(self._model(x), dim=-1)
