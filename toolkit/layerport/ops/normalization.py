"""Normalization: over the batch, over features, over neighbouring channels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from layerport.dim import Shape, broadcast_shapes, is_static, same_extent, same_shape, size_of
from layerport.errors import ShapeError
from layerport.loops.functions import sqrt
from layerport.op import NDArray, Op, TensorType, apply
from layerport.ops.axes import normalize_axis
from layerport.ops.base import check_real, common_dtype
from layerport.ops.broadcasting import unbroadcast
from layerport.ops.elementwise import Add, Div, Mul, Pow, Sqrt, Sub
from layerport.ops.reduce import Count, kept_shape
from layerport.ops.shape import Reshape, Unsqueeze

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.index import Index
    from layerport.loops.nest import NestBuilder


def _beside_channels(vector: Any, rank: int) -> Any:
    """A vector with one element a channel (axis 1) as something that broadcasts."""
    return vector.reshape((vector.shape[0],) + (1,) * (rank - 2))


@dataclasses.dataclass(frozen=True)
class BatchNormalization(Op):
    """``(x - mean) / sqrt(var + epsilon) * scale + bias``, each a vector over channels (axis 1).

    This is how it is at inference, with the statistics of the training; training composes the
    statistics of a batch from other operators.
    """

    epsilon: float = 1e-5

    def infer(
        self, x: Value, scale: Value, bias: Value, mean: Value, var: Value
    ) -> Sequence[TensorType]:
        check_real(x)
        common_dtype(x, scale, bias, mean, var)
        if x.ndim < 2:
            raise ShapeError(f"needs a batch and a channel axis, {x.shape} has {x.ndim}")
        for name, value in (("scale", scale), ("bias", bias), ("mean", mean), ("var", var)):
            if value.ndim != 1 or not same_extent(value.shape[0], x.shape[1]):
                raise ShapeError(f"{name} {value.shape} is not one number for each of "
                                 f"{x.shape[1]} channels")  # fmt: skip
        return [TensorType(x.shape, x.dtype)]

    def evaluate(
        self, x: NDArray, scale: NDArray, bias: NDArray, mean: NDArray, var: NDArray
    ) -> NDArray:
        factor = scale / np.sqrt(var + self.epsilon)
        factor, bias, mean = (_beside_channels(v, x.ndim) for v in (factor, bias, mean))
        return np.asarray((x - mean) * factor + bias)

    def gradient(
        self, dy: Any, y: Any, x: Any, scale: Any, bias: Any, mean: Any, var: Any
    ) -> Sequence[Any]:
        rank = len(x.shape)
        others = tuple(axis for axis in range(rank) if axis != 1)
        inverse = 1 / np.sqrt(var + self.epsilon)
        factor = scale * inverse
        total = dy.sum(axis=others)
        projected = (dy * (x - _beside_channels(mean, rank))).sum(axis=others)
        return (
            dy * _beside_channels(factor, rank),
            projected * inverse,
            total,
            -factor * total,
            projected * factor * (inverse * inverse) * -0.5,
        )

    def decompose(
        self, build: Builder, x: Value, scale: Value, bias: Value, mean: Value, var: Value
    ) -> Value | None:
        def beside(vector: Value) -> Value:
            return build.one(Unsqueeze(tuple(range(1, x.ndim - 1))), vector)

        variance = build.one(Add(), var, build.constant(self.epsilon, x.dtype))
        factor = build.one(Div(), scale, build.one(Sqrt(), variance))
        scaled = build.one(Mul(), build.one(Sub(), x, beside(mean)), beside(factor))
        return build.one(Add(), scaled, beside(bias))


@dataclasses.dataclass(frozen=True)
class LayerNormalization(Op):
    """Mean 0 and variance 1 over the axes from `axis` on, then times scale, plus bias.

    The outputs are the result, the mean and the inverse standard deviation; float16 is computed
    in float32, and so are its statistics.
    """

    axis: int = -1
    epsilon: float = 1e-5

    def axes(self, rank: int) -> tuple[int, ...]:
        return tuple(range(normalize_axis(self.axis, rank), rank))

    def infer(self, x: Value, scale: Value, bias: Value | None = None) -> Sequence[TensorType]:
        check_real(x)
        for name, value in (("scale", scale), ("bias", bias)):
            if value is None:
                continue
            common_dtype(x, value)
            if not same_shape(broadcast_shapes(x.shape, value.shape), x.shape):
                raise ShapeError(f"the {name} {value.shape} does not broadcast to {x.shape}")
        statistic = TensorType(kept_shape(x.shape, self.axes(x.ndim)), _stash(x.dtype))
        return [TensorType(x.shape, x.dtype), statistic, statistic]

    def evaluate(
        self, x: NDArray, scale: NDArray, bias: NDArray | None = None
    ) -> tuple[NDArray, NDArray, NDArray]:
        axes = self.axes(x.ndim)
        wide = x.astype(_stash(x.dtype), copy=False)
        mean = np.mean(wide, axis=axes, keepdims=True)
        deviation = wide - mean
        variance = np.mean(deviation * deviation, axis=axes, keepdims=True)
        inverse = np.asarray(1 / np.sqrt(variance + self.epsilon))
        y = np.asarray(deviation * inverse).astype(x.dtype, copy=False) * scale
        return np.asarray(y if bias is None else y + bias), mean, inverse

    def gradient(self, dys: Any, ys: Any, x: Any, scale: Any, bias: Any = None) -> Sequence[Any]:
        axes = self.axes(len(x.shape))
        dy, dmean, dinverse = dys
        mean, inverse = (statistic.astype(x.dtype) for statistic in ys[1:])
        normal = (x - mean) * inverse
        parts = []
        if dmean is not None:
            parts.append(dmean.astype(x.dtype) / _count(x, axes))
        if dinverse is not None:
            slope = dinverse.astype(x.dtype) * -(inverse * inverse) / _count(x, axes)
            parts.append(slope * normal)
        dscale = dbias = None
        if dy is not None:
            slope = dy * scale
            centred = slope - slope.mean(axis=axes, keepdims=True)
            along = (slope * normal).mean(axis=axes, keepdims=True)
            parts.append(inverse * (centred - normal * along))
            dscale = unbroadcast(dy * normal, scale.shape)
            dbias = None if bias is None else unbroadcast(dy, bias.shape)
        return sum(parts[1:], start=parts[0]), dscale, dbias

    def loops(self, nest: NestBuilder) -> None:
        (x, scale), bias = nest.operands[:2], nest.optional(2)
        y, mean_out, inverse_out = nest.outputs
        outer = x.ndim - len(self.axes(x.ndim))
        inner = x.shape[outer:]
        count = nest.count(inner)
        with nest.loops(x.shape[:outer], parallel=True) as row:
            mean = nest.let(nest.sum(inner, lambda *k: x[*row, *k]) / count)

            def square(*k: Index) -> Any:
                deviation = nest.let(x[*row, *k] - mean)
                return deviation * deviation

            variance = nest.sum(inner, square) / count
            inverse = nest.let(1.0 / sqrt(variance + self.epsilon))
            mean_out[*row, *[0] * len(inner)] = mean
            inverse_out[*row, *[0] * len(inner)] = inverse
            with nest.loops(inner) as k:
                normal = (x[*row, *k] - mean) * inverse * scale.broadcast((*row, *k))
                y[*row, *k] = normal + bias.broadcast((*row, *k)) if bias else normal


def _count(x: Any, axes: tuple[int, ...]) -> Any:
    return apply(Count(axes, x.dtype.name), x)


def _stash(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.result_type(dtype, np.float32)


@dataclasses.dataclass(frozen=True)
class LRN(Op):
    """``x / (bias + alpha / size * s) ** beta``, s the sum of squares over `size` channels around.

    Of an even number of channels, one more comes after than before.
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0

    def infer(self, x: Value) -> Sequence[TensorType]:
        check_real(x)
        if x.ndim < 2:
            raise ShapeError(f"needs a batch and a channel axis, {x.shape} has {x.ndim}")
        if not is_static(x.shape[1:2]):
            raise ShapeError(f"the number of channels {x.shape[1]} must be known")
        return [TensorType(x.shape, x.dtype)]

    def evaluate(self, x: NDArray) -> NDArray:
        return np.asarray(x / self._base(x) ** self.beta)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        base = self._base(x)
        own = dy / base**self.beta
        shared = self._summed(dy * y / base, around=False)
        return (own - (2 * self.alpha * self.beta / self.size) * (x * shared),)

    def _base(self, x: Any) -> Any:
        return self.bias + (self.alpha / self.size) * self._summed(x * x)

    def _summed(self, x: Any, *, around: bool = True) -> Any:
        """Sums over the window of each channel, or over all windows that the channel is in."""
        channels = x.shape[1]
        place = np.arange(channels)
        distance = place - place[:, np.newaxis]
        before, after = (self.size - 1) // 2, self.size // 2
        window = (-before <= distance) & (distance <= after)
        band = (window if around else window.T).astype(x.dtype)
        flat: Shape = (x.shape[0], channels, -1)
        return np.matmul(band, x.reshape(flat)).reshape(x.shape)

    def decompose(self, build: Builder, x: Value) -> Value | None:
        """The mean of squares over neighbouring channels is an average pooling."""
        from layerport.ops.pool import AveragePool

        rows = size_of(x.shape[2:])
        squares = build.one(Mul(), x, x)
        image = build.one(Reshape((x.shape[0], 1, x.shape[1], rows)), squares)
        window = AveragePool(
            kernel_shape=(self.size, 1),
            pads=((self.size - 1) // 2, 0, self.size // 2, 0),
            count_include_pad=1,
        )
        mean = build.one(Reshape(x.shape), build.one(window, image))
        weighted = build.one(Mul(), mean, build.constant(self.alpha, x.dtype))
        base = build.one(Add(), weighted, build.constant(self.bias, x.dtype))
        power = build.one(Pow(), base, build.constant(self.beta, x.dtype))
        return build.one(Div(), x, power)
