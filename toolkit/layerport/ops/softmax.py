"""Softmax and its logarithm: activation functions whose elements share an axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from layerport.loops.functions import exp
from layerport.op import NDArray, Op, TensorType, apply
from layerport.ops import special
from layerport.ops.axes import normalize_axis
from layerport.ops.base import check_real

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.nest import NestBuilder
    from layerport.numpy_engine.emit import Emitter


@dataclasses.dataclass(frozen=True)
class AlongAxis(Op):
    """A function of the floats along one axis that keeps the shape."""

    axis: int = -1

    def infer(self, x: Value) -> Sequence[TensorType]:
        check_real(x)
        normalize_axis(self.axis, x.ndim)
        return [TensorType(x.shape, x.dtype)]

    def simplify(self, build: Builder, x: Value) -> Value | None:
        from layerport.simplify import without_maximum

        # The maximum is subtracted by the kernel itself.
        inner = without_maximum(x, normalize_axis(self.axis, x.ndim))
        return None if inner is None else build.one(self, inner)


@dataclasses.dataclass(frozen=True)
class Softmax(AlongAxis):
    """``exp(x) / sum(exp(x))`` along an axis."""

    def evaluate(self, x: NDArray) -> NDArray:
        return special.softmax(x, self.axis)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        emitter.softmax(inputs[0], self.axis, outputs[0])

    def loops(self, nest: NestBuilder) -> None:
        (x,), (y,) = nest.operands, nest.outputs
        axis = normalize_axis(self.axis, x.ndim)
        extent = x.shape[axis : axis + 1]
        powers = nest.temporary(extent)
        with nest.along(x.shape, axis) as at:
            top = nest.largest(extent, lambda j: x[at(j)])
            with nest.loops(extent, parallel=True) as (j,):
                powers[j] = exp(x[at(j)] - top)
            scale = nest.let(1.0 / nest.sum(extent, lambda j: powers[j]))
            with nest.loops(extent, parallel=True) as (j,):
                y[at(j)] = powers[j] * scale

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        weighted = dy * y
        return (weighted - y * weighted.sum(axis=self.axis, keepdims=True),)


@dataclasses.dataclass(frozen=True)
class LogSoftmax(AlongAxis):
    """``x - log(sum(exp(x)))`` along an axis."""

    def evaluate(self, x: NDArray) -> NDArray:
        return special.log_softmax(x, self.axis)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        emitter.log_softmax(inputs[0], self.axis, outputs[0])

    def loops(self, nest: NestBuilder) -> None:
        (x,), (y,) = nest.operands, nest.outputs
        axis = normalize_axis(self.axis, x.ndim)
        extent = x.shape[axis : axis + 1]
        with nest.along(x.shape, axis) as at:
            shift = nest.log_sum_exp(extent, lambda j: x[at(j)])
            with nest.loops(extent, parallel=True) as (j,):
                y[at(j)] = x[at(j)] - shift

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy - np.exp(y) * dy.sum(axis=self.axis, keepdims=True),)


def softmax(x: Any, axis: int = -1) -> Any:
    """``exp(x) / sum(exp(x))`` along an axis, without overflow."""
    return apply(Softmax(axis), x)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """``log(softmax(x))`` along an axis, without overflow."""
    return apply(LogSoftmax(axis), x)
