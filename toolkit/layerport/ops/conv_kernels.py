"""Convolution and its two adjoints in plain NumPy, given the geometry in numbers.

No loop runs over elements, only over the places of the kernel; the arithmetic is one matrix
product for each image and group, or shifted products where a group has a single channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from layerport.op import NDArray
from layerport.ops.windows import Axis, Tap, is_pointwise, taps


def correlate(x: NDArray, w: NDArray, axes: Sequence[Axis], group: int) -> NDArray:
    """Convolution as machine learning has it (the kernel is not flipped), without bias."""
    if _is_depthwise(w, group):
        return _correlate_depthwise(x, w, axes, group)
    counts = tuple(axis.count for axis in axes)
    columns = _columns(x, axes).reshape(x.shape[0], group, -1, prod(counts))
    matrices = w.reshape(1, group, w.shape[0] // group, -1)
    return (matrices @ columns).reshape(x.shape[0], w.shape[0], *counts)


def scatter(dy: NDArray, w: NDArray, axes: Sequence[Axis], group: int) -> NDArray:
    """The adjoint of `correlate` in x."""
    if _is_depthwise(w, group):
        return _scatter_depthwise(dy, w, axes, group)
    batch, channels = dy.shape[0], group * w.shape[1]
    matrices = w.reshape(1, group, w.shape[0] // group, -1).swapaxes(2, 3)
    columns = matrices @ dy.reshape(batch, group, w.shape[0] // group, -1)
    columns = columns.reshape(batch, channels, *w.shape[2:], *dy.shape[2:])
    dx = np.zeros((batch, channels, *(axis.extent for axis in axes)), dy.dtype)
    for tap in taps(axes):
        part = tap.read(dx)
        part += tap.of(_at(columns, tap))
    return dx


def correlate_windows(x: NDArray, dy: NDArray, axes: Sequence[Axis], group: int) -> NDArray:
    """The adjoint of `correlate` in w."""
    batch, kernel = x.shape[0], tuple(axis.kernel for axis in axes)
    windows = prod(dy.shape[2:])
    columns = _columns(x, axes).reshape(batch, group, -1, windows)
    slopes = dy.reshape(batch, group, dy.shape[1] // group, windows)
    dw = np.zeros((group, slopes.shape[2], columns.shape[2]), x.dtype)
    for slope, readings in zip(slopes, columns, strict=True):
        dw += slope @ readings.swapaxes(1, 2)
    return dw.reshape(dy.shape[1], x.shape[1] // group, *kernel)


def _columns(x: NDArray, axes: Sequence[Axis]) -> NDArray:
    """What each window reads: (batch, channels, *kernel, *windows), zeros outside."""
    if is_pointwise(axes):
        return x
    kernel = tuple(axis.kernel for axis in axes)
    columns = np.zeros((*x.shape[:2], *kernel, *(axis.count for axis in axes)), x.dtype)
    for tap in taps(axes):
        tap.of(_at(columns, tap))[...] = tap.read(x)
    return columns


def _at(columns: NDArray, tap: Tap) -> NDArray:
    index: Any = (slice(None), slice(None), *tap.place)
    part: NDArray = columns[index]
    return part


def _is_depthwise(w: NDArray, group: int) -> bool:
    return group > 1 and w.shape[1] == 1


def _factors(w: NDArray, group: int, tap: Tap) -> NDArray:
    """The weights at one place of the kernel: (channels, multiplier, 1...)."""
    index: Any = (slice(None), 0, *tap.place)
    factors: NDArray = w[index].reshape(group, -1, *(1 for _ in tap.place))
    return factors


def _correlate_depthwise(x: NDArray, w: NDArray, axes: Sequence[Axis], group: int) -> NDArray:
    counts = tuple(axis.count for axis in axes)
    y = np.zeros((x.shape[0], group, w.shape[0] // group, *counts), x.dtype)
    for tap in taps(axes):
        part = tap.of(y)
        part += tap.read(x)[:, :, np.newaxis] * _factors(w, group, tap)
    return y.reshape(x.shape[0], w.shape[0], *counts)


def _scatter_depthwise(dy: NDArray, w: NDArray, axes: Sequence[Axis], group: int) -> NDArray:
    dy = dy.reshape(dy.shape[0], group, -1, *dy.shape[2:])
    dx = np.zeros((dy.shape[0], group, *(axis.extent for axis in axes)), dy.dtype)
    for tap in taps(axes):
        part = tap.read(dx)
        part += (tap.of(dy) * _factors(w, group, tap)).sum(axis=2)
    return dx
