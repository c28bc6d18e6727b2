"""Losses that are computed from scores, without the detour over probabilities that overflow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.dim import Shape, same_shape
from layerport.errors import ShapeError, TrainingError
from layerport.loops.functions import cast, exp
from layerport.op import OURS, NDArray, Op, TensorType, apply
from layerport.ops import special
from layerport.ops.activation import Softplus, sigmoid
from layerport.ops.axes import normalize_axis
from layerport.ops.base import Elementwise, check_real, common_dtype
from layerport.ops.softmax import log_softmax

if TYPE_CHECKING:
    from layerport.graph import Value
    from layerport.loops.ir import Expr
    from layerport.loops.nest import NestBuilder
    from layerport.loops.sources import At
    from layerport.numpy_engine.emit import Emitter


@dataclasses.dataclass(frozen=True)
class _CrossEntropy(Op):
    """The outputs are the loss, without `axis`, and the probabilities ``softmax(logits)``."""

    axis: int = -1
    domain: ClassVar[str] = OURS

    def _loss_shape(self, logits: Value) -> Shape:
        axis = normalize_axis(self.axis, logits.ndim)
        return logits.shape[:axis] + logits.shape[axis + 1 :]

    def _spread(self, dloss: Any, logits: Any) -> Any:
        """The gradient of the loss with `axis` again, of extent 1."""
        axis = normalize_axis(self.axis, len(logits.shape))
        return dloss.reshape((*logits.shape[:axis], 1, *logits.shape[axis + 1 :]))

    def _through_probabilities(self, slope: Any, probabilities: Any) -> Any:
        weighted = slope * probabilities
        return weighted - probabilities * weighted.sum(axis=self.axis, keepdims=True)

    @contextmanager
    def rows(self, nest: NestBuilder) -> Iterator[tuple[Callable[[At], tuple[At, ...]], Expr]]:
        """Loops over samples that store the probabilities.

        Yields the function from a place on the axis to an index, and log(sum(exp(logits))).
        """
        logits, probabilities = nest.operands[0], nest.outputs[1]
        axis = normalize_axis(self.axis, logits.ndim)
        extent = logits.shape[axis : axis + 1]
        with nest.along(logits.shape, axis) as at:
            shift = nest.log_sum_exp(extent, lambda j: logits[at(j)])
            with nest.loops(extent) as (j,):
                probabilities[at(j)] = exp(logits[at(j)] - shift)
            yield at, shift

    def without_axis(self, at: Callable[[At], tuple[At, ...]]) -> tuple[At, ...]:
        """The index of a sample's loss."""
        index = at(0)
        axis = normalize_axis(self.axis, len(index))
        return index[:axis] + index[axis + 1 :]


@dataclasses.dataclass(frozen=True)
class SoftmaxCrossEntropy(_CrossEntropy):
    """``-sum(targets * log(softmax(logits)))`` along an axis.

    The targets are a distribution: they sum to 1 along the axis, which the gradient relies on.
    """

    def infer(self, logits: Value, targets: Value) -> Sequence[TensorType]:
        check_real(logits)
        dtype = common_dtype(logits, targets)
        if not same_shape(logits.shape, targets.shape):
            raise ShapeError(f"targets {targets.shape} do not match the logits {logits.shape}")
        return [TensorType(self._loss_shape(logits), dtype), TensorType(logits.shape, dtype)]

    def evaluate(self, logits: NDArray, targets: NDArray) -> tuple[NDArray, NDArray]:
        logs = special.log_softmax(logits, self.axis)
        return np.asarray(-np.sum(targets * logs, axis=self.axis)), np.exp(logs)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        logits, targets = inputs
        loss, probabilities = outputs
        each = emitter.cross_entropies(logits, self.axis, probabilities)
        emitter.ufunc(np.multiply, [each, targets], each)
        emitter.sum(each, (normalize_axis(self.axis, each.ndim),), loss)

    def gradient(self, dys: Any, ys: Any, logits: Any, targets: Any) -> Sequence[Any]:
        (dloss, dprobabilities), (_, probabilities) = dys, ys
        dlogits = dtargets = None
        if dloss is not None:
            dloss = self._spread(dloss, logits)
            dlogits = (probabilities - targets) * dloss
            dtargets = -log_softmax(logits, self.axis) * dloss
        if dprobabilities is not None:
            more = self._through_probabilities(dprobabilities, probabilities)
            dlogits = more if dlogits is None else dlogits + more
        return dlogits, dtargets

    def loops(self, nest: NestBuilder) -> None:
        logits, targets = nest.operands
        axis = normalize_axis(self.axis, logits.ndim)
        with self.rows(nest) as (at, shift):
            extent = logits.shape[axis : axis + 1]
            logs = nest.sum(extent, lambda j: targets[at(j)] * (logits[at(j)] - shift))
            nest.outputs[0][self.without_axis(at)] = -logs


@dataclasses.dataclass(frozen=True)
class SparseSoftmaxCrossEntropy(_CrossEntropy):
    """``-log(softmax(logits))`` at the class that the targets name: integers, without the axis."""

    def infer(self, logits: Value, targets: Value) -> Sequence[TensorType]:
        check_real(logits)
        if targets.dtype.kind not in "iu":
            raise ShapeError(f"targets are class numbers (integers), not {targets.dtype}")
        shape = self._loss_shape(logits)
        if not same_shape(shape, targets.shape):
            raise ShapeError(f"logits {logits.shape} need targets {shape}, not {targets.shape}")
        return [TensorType(shape, logits.dtype), TensorType(logits.shape, logits.dtype)]

    def evaluate(self, logits: NDArray, targets: NDArray) -> tuple[NDArray, NDArray]:
        logs = special.log_softmax(logits, self.axis)
        check_classes(targets, logits.shape[self.axis])
        chosen = np.take_along_axis(logs, np.expand_dims(targets, self.axis), self.axis)
        return np.asarray(-chosen.squeeze(self.axis)), np.exp(logs)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        logits, targets = inputs
        loss, probabilities = outputs
        if normalize_axis(self.axis, logits.ndim) != logits.ndim - 1 or logits.ndim != 2:
            super().emit(emitter, inputs, outputs)
            return
        samples, classes = logits.shape
        emitter.call(check_classes, targets, classes)
        each = emitter.cross_entropies(logits, 1, probabilities)
        if not each.flags.c_contiguous:
            turned, each = each, emitter.temp(each.shape, each.dtype)
            emitter.copy(each, turned)
        rows = emitter.shared(np.arange(0, samples * classes, classes))
        chosen = emitter.temp((samples,), rows.dtype)
        emitter.call(np.add, rows, targets, out=chosen, casting="unsafe")
        emitter.call(np.ndarray.take, each.reshape(-1), chosen, None, loss)

    def gradient(self, dys: Any, ys: Any, logits: Any, targets: Any) -> Sequence[Any]:
        (dloss, dprobabilities), (_, probabilities) = dys, ys
        dlogits = None
        if dloss is not None:
            axis = normalize_axis(self.axis, len(logits.shape))
            places = np.arange(logits.shape[axis], dtype=targets.dtype)
            places = places.reshape((-1,) + (1,) * (len(logits.shape) - 1 - axis))
            chosen = np.equal(self._spread(targets, logits), places).astype(logits.dtype)
            dlogits = (probabilities - chosen) * self._spread(dloss, logits)
        if dprobabilities is not None:
            more = self._through_probabilities(dprobabilities, probabilities)
            dlogits = more if dlogits is None else dlogits + more
        return dlogits, None

    def loops(self, nest: NestBuilder) -> None:
        logits, targets = nest.operands
        axis = normalize_axis(self.axis, logits.ndim)
        with self.rows(nest) as (at, shift):
            target = targets[self.without_axis(at)]
            place = nest.gather_index(cast(target, "i32"), logits.shape[axis])
            nest.outputs[0][self.without_axis(at)] = shift - logits[at(place)]


def check_classes(targets: NDArray, classes: int) -> None:
    """Raise `TrainingError` where targets name a class that there is no score for."""
    wrong = targets[(targets < 0) | (targets >= classes)]
    if wrong.size:
        raise TrainingError(
            f"a target is class {wrong.flat[0]}, but there are scores for {classes} classes "
            f"(0 to {classes - 1})"
        )


@dataclasses.dataclass(frozen=True)
class SigmoidCrossEntropy(Elementwise):
    """``-t * log(s) - (1 - t) * log(1 - s)``, s the sigmoid of a score and t the target."""

    domain: ClassVar[str] = OURS
    real: ClassVar[bool] = True

    def evaluate(self, logits: NDArray, targets: NDArray) -> NDArray:
        return np.asarray(special.softplus(logits) - logits * targets)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        logits, (loss,) = inputs[0], outputs
        product = emitter.temp_like(loss)
        emitter.ufunc(np.multiply, inputs, product)
        Softplus().emit(emitter, [logits], [loss])
        emitter.ufunc(np.subtract, [loss, product], loss)

    def gradient(self, dy: Any, y: Any, logits: Any, targets: Any) -> Sequence[Any]:
        return dy * (sigmoid(logits) - targets), -dy * logits

    def scalar(self, logits: Expr, targets: Expr) -> Expr:
        return Softplus().scalar(logits) - logits * targets


def softmax_cross_entropy(logits: Any, targets: Any, axis: int = -1) -> Any:
    """The cross entropy of softmax(logits) and target distributions, one number a sample."""
    return apply(SoftmaxCrossEntropy(axis), logits, targets)[0]


def sparse_softmax_cross_entropy(logits: Any, targets: Any, axis: int = -1) -> Any:
    """The cross entropy of softmax(logits) and target classes, one number a sample."""
    return apply(SparseSoftmaxCrossEntropy(axis), logits, targets)[0]


def sigmoid_cross_entropy(logits: Any, targets: Any) -> Any:
    """The cross entropy of sigmoid(logits) and target probabilities, element by element."""
    return apply(SigmoidCrossEntropy(), logits, targets)
