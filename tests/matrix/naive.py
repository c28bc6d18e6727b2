"""Layers by their formulas, in float64, one loop an axis: the expected values of the cases."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

F64 = np.ndarray


def dense(x: F64, kernel: F64, bias: F64) -> F64:
    return np.einsum("...i,io->...o", x, kernel) + bias


def relu(x: F64) -> F64:
    return np.where(x > 0, x, 0.0)


def sigmoid(x: F64) -> F64:
    return 1 / (1 + np.exp(-x))


def swish(x: F64) -> F64:
    return x * sigmoid(x)


def softmax(x: F64) -> F64:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gelu(x: F64) -> F64:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def same_pads(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """TensorFlow's: the larger half at the end."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def padded(x: F64, kernel: tuple[int, int], strides: tuple[int, int], same: bool,
           dilation: int = 1, fill: float = 0.0) -> F64:  # fmt: skip
    if not same:
        return x
    pads = [same_pads(x.shape[1 + i], kernel[i], strides[i], dilation) for i in range(2)]
    return np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)


def windows(x: F64, kernel: tuple[int, int], strides: tuple[int, int], dilation: int,
            of: Callable[[F64], F64]) -> F64:  # fmt: skip
    """`of` each window (n, kh, kw, c) of x (n, h, w, c)."""
    rows = (x.shape[1] - (kernel[0] - 1) * dilation - 1) // strides[0] + 1
    columns = (x.shape[2] - (kernel[1] - 1) * dilation - 1) // strides[1] + 1
    made = []
    for i in range(rows):
        for j in range(columns):
            top, left = i * strides[0], j * strides[1]
            bottom, right = (
                top + (kernel[0] - 1) * dilation + 1,
                left + (kernel[1] - 1) * dilation + 1,
            )
            made.append(of(x[:, top:bottom:dilation, left:right:dilation]))
    return np.stack(made, 1).reshape(len(x), rows, columns, -1)


def conv2d(x: F64, kernel: F64, bias: F64, strides: tuple[int, int] = (1, 1), same: bool = False,
           dilation: int = 1) -> F64:  # fmt: skip
    size = kernel.shape[:2]
    x = padded(x, size, strides, same, dilation)
    return (
        windows(x, size, strides, dilation, lambda w: np.einsum("nhwc,hwco->no", w, kernel)) + bias
    )


def depthwise(x: F64, kernel: F64, bias: F64, strides: tuple[int, int] = (1, 1),
              same: bool = False) -> F64:  # fmt: skip
    """kernel (kh, kw, c, m); output channel c * m_count + m."""
    size = kernel.shape[:2]
    x = padded(x, size, strides, same)

    def of(w: F64) -> F64:
        return np.einsum("nhwc,hwcm->ncm", w, kernel).reshape(len(w), -1)

    return windows(x, size, strides, 1, of) + bias


def max_pool(x: F64, size: tuple[int, int], strides: tuple[int, int], same: bool = False) -> F64:
    x = padded(x, size, strides, same, fill=-np.inf)
    return windows(x, size, strides, 1, lambda w: w.max((1, 2)))


def average_pool(x: F64, size: tuple[int, int], strides: tuple[int, int]) -> F64:
    return windows(x, size, strides, 1, lambda w: w.mean((1, 2)))


def batch_norm(x: F64, gamma: F64, beta: F64, mean: F64, variance: F64) -> F64:
    return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta


def layer_norm(x: F64, gamma: F64, beta: F64) -> F64:
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
