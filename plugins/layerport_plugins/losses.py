"""The losses. Names, arguments and defaults are Keras's.

Cross-entropies look at what the output was made by: behind a softmax or sigmoid they start from
its operand, the scores, so that nothing overflows and no logarithm of 0 is taken.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from layerport import ops
from layerport.dim import Shape
from layerport.errors import LayerportError
from layerport.op import NDArray
from layerport.train.loss import (
    Loss,
    aligned,
    before,
    class_numbers,
    first_bad,
    hold_labels,
    is_labels,
)

SMALLEST = 1e-7
"""Probabilities that are not made by a softmax or sigmoid are kept this far from 0 and 1."""

SUM_TOLERANCE = 1e-3


def _check_smoothing(loss: Any) -> None:
    if not 0 <= loss.label_smoothing < 1:
        raise LayerportError(
            f"label_smoothing must be at least 0 and below 1, not {loss.label_smoothing!r}"
        )


def _check_class_numbers(y: NDArray, classes: Any) -> tuple[int, str] | None:
    if isinstance(classes, int):
        reason = f"is no class number: there are {classes} classes, 0 to {classes - 1}"
        problem = first_bad(~((y >= 0) & (y < classes)), y, reason)
        if problem is not None:
            return problem
    return first_bad(y % 1 != 0, y, "is no class number: it is not whole")


def _check_distributions(y: NDArray) -> tuple[int, str] | None:
    problem = first_bad(~((y >= 0) & (y <= 1)), y, "is no probability of a class")
    if problem is not None:
        return problem
    totals = y.sum(axis=-1, dtype=np.float64)
    return first_bad(
        abs(totals - 1) > SUM_TOLERANCE,
        totals,
        "is what the classes add up to, not 1; where several classes can be right at once, use "
        "sigmoid and binary_crossentropy",
    )


def _one_hot(labels: Any, like: Any) -> Any:
    classes = np.arange(like.shape[-1], dtype=labels.dtype)
    return (labels.reshape((*labels.shape, 1)) == classes).astype(like.dtype)


def _probabilities(y_pred: Any) -> Any:
    total = y_pred.sum(axis=-1, keepdims=True)
    return np.clip(y_pred / total, SMALLEST, 1 - SMALLEST)


class CategoricalCrossentropy(Loss):
    """``-sum(y_true * log(y_pred))`` over the classes of the last axis.

    Parameters
    ----------
    from_logits : whether outputs are scores, which a softmax turns into probabilities.
    label_smoothing : the share of the target that is spread evenly over all classes.

    Targets are distributions, such as one-hot rows; class numbers are accepted, too.
    """

    name = "categorical_crossentropy"
    takes_labels: ClassVar[bool] = True

    from_logits: bool = False
    label_smoothing: float = 0.0

    def validate(self) -> None:
        super().validate()
        _check_smoothing(self)

    def check(self, y: NDArray, output: Shape) -> tuple[int, str] | None:
        if is_labels(y.shape[1:], output[1:]):
            return _check_class_numbers(y, output[-1])
        return _check_distributions(y)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logits = y_pred if self.from_logits else before(ops.Softmax, y_pred)
        if hold_labels(y_true, y_pred):
            labels = class_numbers(y_true, y_pred)
            if logits is not None and not self.label_smoothing:
                return ops.sparse_softmax_cross_entropy(logits, labels)
            y_true = _one_hot(labels, y_pred)
        if self.label_smoothing:
            share = self.label_smoothing / y_pred.shape[-1]
            y_true = y_true * (1 - self.label_smoothing) + share
        if logits is not None:
            return ops.softmax_cross_entropy(logits, y_true)
        return -(y_true * np.log(_probabilities(y_pred))).sum(axis=-1)


class SparseCategoricalCrossentropy(Loss):
    """``-log(y_pred[y_true])``: the cross-entropy for targets that are class numbers.

    Parameters
    ----------
    from_logits : whether outputs are scores, which a softmax turns into probabilities.

    Rows with a value for each class are accepted, too.
    """

    name = "sparse_categorical_crossentropy"
    takes_labels: ClassVar[bool] = True

    from_logits: bool = False

    def check(self, y: NDArray, output: Shape) -> tuple[int, str] | None:
        return CategoricalCrossentropy().check(y, output)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return CategoricalCrossentropy(self.from_logits).call(y_true, y_pred)


class BinaryCrossentropy(Loss):
    """``-y_true * log(y_pred) - (1 - y_true) * log(1 - y_pred)``, the mean of the last axis.

    Parameters
    ----------
    from_logits : whether outputs are scores, which a sigmoid turns into probabilities.
    label_smoothing : the share of the target that is drawn towards 1/2.
    """

    name = "binary_crossentropy"

    from_logits: bool = False
    label_smoothing: float = 0.0

    def validate(self) -> None:
        super().validate()
        _check_smoothing(self)

    def check(self, y: NDArray, output: Shape) -> tuple[int, str] | None:
        return first_bad(~((y >= 0) & (y <= 1)), y, "does not lie between 0 and 1")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true = aligned(y_true, y_pred)
        if self.label_smoothing:
            y_true = y_true * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        logits = y_pred if self.from_logits else before(ops.Sigmoid, y_pred)
        if logits is not None:
            return ops.sigmoid_cross_entropy(logits, y_true).mean(axis=-1)
        chance = np.clip(y_pred, SMALLEST, 1 - SMALLEST)
        right = y_true * np.log(chance) + (1 - y_true) * np.log(1 - chance)
        return -right.mean(axis=-1)


class MeanSquaredError(Loss):
    """``mean((y_true - y_pred) ** 2)`` over the last axis."""

    name = "mean_squared_error"
    aliases = ("mse",)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        error = y_pred - aligned(y_true, y_pred)
        return (error * error).mean(axis=-1)


class MeanAbsoluteError(Loss):
    """``mean(abs(y_true - y_pred))`` over the last axis."""

    name = "mean_absolute_error"
    aliases = ("mae",)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return np.abs(y_pred - aligned(y_true, y_pred)).mean(axis=-1)


class Huber(Loss):
    """Squared for errors up to `delta`, linear beyond; the mean of the last axis.

    Parameters
    ----------
    delta : where the square ends.

    References
    ----------
    Huber, Robust estimation of a location parameter, 1964.
    """

    name = "huber"
    aliases = ("huber_loss",)

    delta: float = 1.0

    def validate(self) -> None:
        super().validate()
        if not self.delta > 0:
            raise LayerportError(f"delta must be positive, not {self.delta!r}")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        error = np.abs(y_pred - aligned(y_true, y_pred))
        inner = np.minimum(error, self.delta)
        # Up to delta the two are equal: e**2 / 2. Beyond, delta * e - delta**2 / 2.
        return (inner * (error - 0.5 * inner)).mean(axis=-1)


class Hinge(Loss):
    """``mean(max(1 - y_true * y_pred, 0))`` over the last axis.

    Targets are -1 and 1; 0 is taken for -1.
    """

    name = "hinge"

    def check(self, y: NDArray, output: Shape) -> tuple[int, str] | None:
        return first_bad(~((y == -1) | (y == 0) | (y == 1)), y, "is neither -1 (or 0) nor 1")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self._margin(y_true, y_pred).mean(axis=-1)

    def _margin(self, y_true: Any, y_pred: Any) -> Any:
        sign = np.where(aligned(y_true, y_pred) > 0, 1.0, -1.0).astype(y_pred.dtype)
        return np.maximum(1 - sign * y_pred, 0)


class SquaredHinge(Hinge):
    """``mean(max(1 - y_true * y_pred, 0) ** 2)`` over the last axis.

    Targets are -1 and 1; 0 is taken for -1.
    """

    name = "squared_hinge"

    def call(self, y_true: Any, y_pred: Any) -> Any:
        margin = self._margin(y_true, y_pred)
        return (margin * margin).mean(axis=-1)


LOSSES = (
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    BinaryCrossentropy,
    MeanSquaredError,
    MeanAbsoluteError,
    Huber,
    Hinge,
    SquaredHinge,
)
