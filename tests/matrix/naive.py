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
    return np.where(x >= 0, 1, np.exp(-np.abs(x))) / (1 + np.exp(-np.abs(x)))


def swish(x: F64) -> F64:
    return x * sigmoid(x)


def softmax(x: F64, axis: int = -1) -> F64:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def softplus(x: F64) -> F64:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


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


def conv2d(x: F64, kernel: F64, bias: F64 | float, strides: tuple[int, int] = (1, 1),
           same: bool = False, dilation: int = 1) -> F64:  # fmt: skip
    size = kernel.shape[:2]
    x = padded(x, size, strides, same, dilation)
    return (
        windows(x, size, strides, dilation, lambda w: np.einsum("nhwc,hwco->no", w, kernel)) + bias
    )


def grouped(x: F64, kernel: F64, bias: F64, groups: int, same: bool = False) -> F64:
    """kernel (kh, kw, channels / groups, filters); each group sees its share of the channels."""
    shares = zip(np.split(x, groups, -1), np.split(kernel, groups, -1), strict=True)
    return np.concatenate([conv2d(part, k, 0.0, same=same) for part, k in shares], -1) + bias


def depthwise(x: F64, kernel: F64, bias: F64 | float, strides: tuple[int, int] = (1, 1),
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


def average_pool(x: F64, size: tuple[int, int], strides: tuple[int, int],
                 same: bool = False) -> F64:  # fmt: skip
    """What is padded does not count."""
    x = padded(x, size, strides, same, fill=np.nan)
    return windows(x, size, strides, 1, lambda w: np.nanmean(w, (1, 2)))


def bilinear(x: F64, height: int, width: int) -> F64:
    """Centres of pixels lie at one half; beyond the outermost centres the edge goes on."""
    for axis, factor in ((1, height), (2, width)):
        extent = x.shape[axis]
        place = np.clip((np.arange(extent * factor) + 0.5) / factor - 0.5, 0, extent - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, extent - 1)
        share = (place - low).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x


def first_to_last(x: F64) -> F64:
    """Channels first to channels last."""
    return np.moveaxis(x, 1, -1)


def last_to_first(x: F64) -> F64:
    return np.moveaxis(x, -1, 1)


def batch_norm(x: F64, gamma: F64 | float, beta: F64 | float, mean: F64, variance: F64,
               epsilon: float = 1e-3) -> F64:  # fmt: skip
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def layer_norm(x: F64, gamma: F64, beta: F64) -> F64:
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta


def along_depth(x: F64, size: int, stride: int, same: bool, fill: float,
                of: Callable[[F64, int], F64], join: Callable[..., F64]) -> F64:  # fmt: skip
    """A window over the depth of x (n, d, h, w, c): `of` slices and their places in it, joined."""
    if same:
        pads = same_pads(x.shape[1], size, stride)
        x = np.pad(x, [(0, 0), pads, (0, 0), (0, 0), (0, 0)], constant_values=fill)
    starts = range(0, x.shape[1] - size + 1, stride)
    made = [join([of(x[:, at + k], k) for k in range(size)], axis=0) for at in starts]
    return np.stack(made, 1)


def conv3d(x: F64, kernel: F64, bias: F64, stride: int = 1, same: bool = False) -> F64:
    def of(part: F64, k: int) -> F64:
        return conv2d(part, kernel[k], 0.0, (stride, stride), same)

    return along_depth(x, len(kernel), stride, same, 0.0, of, np.sum) + bias


def max_pool3d(x: F64, size: int, stride: int, same: bool = False) -> F64:
    def of(part: F64, k: int) -> F64:
        return max_pool(part, (size, size), (stride, stride), same)

    return along_depth(x, size, stride, same, -np.inf, of, np.max)


def average_pool3d(x: F64, size: int, stride: int) -> F64:
    def of(part: F64, k: int) -> F64:
        return average_pool(part, (size, size), (stride, stride))

    return along_depth(x, size, stride, False, 0.0, of, np.mean)


def conv_transpose(x: F64, kernel: F64, bias: F64 | float, stride: int, same: bool = False) -> F64:
    """Each element adds its window (..., filters, c) to the result; "same" cuts the surplus off."""
    size, extents = kernel.shape[:-2], x.shape[1:-1]
    whole = [(e - 1) * stride + max(k, stride) for e, k in zip(extents, size, strict=True)]
    made = np.zeros((len(x), *whole, kernel.shape[-2]))
    for place in np.ndindex(*extents):
        for tap in np.ndindex(*size):
            at = tuple(p * stride + t for p, t in zip(place, tap, strict=True))
            made[(slice(None), *at)] += x[(slice(None), *place)] @ kernel[tap].T
    if same:
        for axis, (extent, k) in enumerate(zip(extents, size, strict=True), 1):
            begin = max(k - stride, 0) // 2
            made = made.take(range(begin, begin + extent * stride), axis)
    return made + bias


Step = Callable[..., list[F64]]


def simple_rnn(x: F64, states: list[F64], kernel: F64, recurrent: F64, bias: F64) -> list[F64]:
    return [np.tanh(x @ kernel + states[0] @ recurrent + bias)]


def lstm(x: F64, states: list[F64], kernel: F64, recurrent: F64, bias: F64) -> list[F64]:
    h, c = states
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def gru(x: F64, states: list[F64], kernel: F64, recurrent: F64, bias: F64) -> list[F64]:
    """With two biases the reset gate applies behind the recurrent product, otherwise before it."""
    (h,) = states
    after = bias.ndim == 2
    own, inner = bias if after else (bias, np.zeros_like(bias))
    (xz, xr, xn), (hz, hr, hn) = (
        np.split(a, 3, -1) for a in (x @ kernel + own, h @ recurrent + inner)
    )
    z, r = sigmoid(xz + hz), sigmoid(xr + hr)
    inside = r * hn if after else (r * h) @ np.split(recurrent, 3, -1)[2]
    return [z * h + (1 - z) * np.tanh(xn + inside)]


def recur(step: Step, x: F64, weights: list[F64], states: int = 1, mask: F64 | None = None,
          start: list[F64] | None = None) -> tuple[F64, list[F64]]:  # fmt: skip
    """The results of all steps of x (n, steps, features), and the last states; where a step is
    masked everything stays as it was."""
    now = start or [np.zeros((len(x), weights[1].shape[0]))] * states
    made = []
    for place in range(x.shape[1]):
        new = step(x[:, place], now, *weights)
        if mask is not None:
            new = [np.where(mask[:, place, None], a, b) for a, b in zip(new, now, strict=True)]
        now = new
        made.append(now[0])
    return np.stack(made, 1), now


def attention(query: F64, key: F64, value: F64, allowed: F64 | None = None) -> F64:
    """(..., queries, width) of the values, weighed by the softmax of products."""
    scores = query @ np.swapaxes(key, -1, -2)
    return softmax(scores if allowed is None else np.where(allowed, scores, -np.inf)) @ value


def multi_head(query: F64, value: F64, weights: list[F64], causal: bool = False) -> F64:
    """Weights of queries, keys, values (features, heads, width) and of the result."""
    qk, qb, kk, kb, vk, vb, ok, ob = weights
    q, k, v = (
        np.einsum("nsf,fhw->nhsw", x, kernel) + bias[:, None]
        for x, kernel, bias in ((query, qk, qb), (value, kk, kb), (value, vk, vb))
    )
    allowed = np.tri(query.shape[1], value.shape[1], dtype=bool) if causal else None
    heads = attention(q / math.sqrt(q.shape[-1]), k, v, allowed)
    return np.einsum("nhsw,hwo->nso", heads, ok) + ob
