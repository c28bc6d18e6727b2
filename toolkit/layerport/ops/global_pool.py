"""Pooling over whole images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from layerport.errors import ShapeError
from layerport.op import NDArray, Op, TensorType, apply
from layerport.ops.reduce import ReduceMax, ReduceMean

if TYPE_CHECKING:
    from layerport.graph import Builder, Value


@dataclasses.dataclass(frozen=True)
class _GlobalPool(Op):
    """Pooling over all spatial axes, which stay with extent 1."""

    def infer(self, x: Value) -> Sequence[TensorType]:
        if x.ndim < 3:
            raise ShapeError(f"{x.shape} has no spatial axes behind batch and channels")
        return [TensorType(x.shape[:2] + (1,) * (x.ndim - 2), x.dtype)]


def _spatial(x: Any) -> tuple[int, ...]:
    return tuple(range(2, len(x.shape)))


@dataclasses.dataclass(frozen=True)
class GlobalAveragePool(_GlobalPool):
    """The mean over all spatial axes."""

    def evaluate(self, x: NDArray) -> NDArray:
        return np.asarray(x.mean(axis=_spatial(x), keepdims=True))

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return ReduceMean(_spatial(x)).gradient(dy, y, x)

    def decompose(self, build: Builder, x: Value) -> Value | None:
        return build.one(ReduceMean(_spatial(x)), x)


@dataclasses.dataclass(frozen=True)
class GlobalMaxPool(_GlobalPool):
    """The maximum over all spatial axes."""

    def evaluate(self, x: NDArray) -> NDArray:
        return np.asarray(x.max(axis=_spatial(x), keepdims=True))

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return ReduceMax(_spatial(x)).gradient(dy, y, x)

    def decompose(self, build: Builder, x: Value) -> Value | None:
        return build.one(ReduceMax(_spatial(x)), x)


def global_average_pool(x: Any) -> Any:
    """The mean over all spatial axes of (batch, channels, *spatial); they stay, with extent 1."""
    return apply(GlobalAveragePool(), x)


def global_max_pool(x: Any) -> Any:
    """The maximum over all spatial axes of (batch, channels, *spatial); they stay, extent 1."""
    return apply(GlobalMaxPool(), x)
