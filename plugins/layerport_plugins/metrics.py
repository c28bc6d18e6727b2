"""The metrics. Names, arguments and defaults are Keras's. Losses can be used as metrics, too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from layerport import ops
from layerport.dim import is_extent
from layerport.errors import LayerportError
from layerport.train.loss import aligned, before, class_numbers, hold_labels
from layerport.train.metric import Metric

from layerport_plugins.losses import MeanSquaredError


def _scores(y_pred: Any) -> Any:
    """What orders the classes as the output does: where possible, the operand of its softmax."""
    logits = before(ops.Softmax, y_pred)
    return y_pred if logits is None else logits


def _hits(hits: Any, y_pred: Any) -> Any:
    return hits.astype(y_pred.dtype)


class BinaryAccuracy(Metric):
    """How often outputs and targets lie on the same side of a threshold.

    Parameters
    ----------
    threshold : outputs above it count as 1.
    """

    name = "binary_accuracy"

    threshold: float = 0.5

    def call(self, y_true: Any, y_pred: Any) -> Any:
        chosen = _hits(y_pred > self.threshold, y_pred)
        same = chosen == aligned(y_true, y_pred).astype(y_pred.dtype)
        return _hits(same, y_pred).mean(axis=-1)


class CategoricalAccuracy(Metric):
    """How often the largest output is the largest target; targets have a value for each class."""

    name = "categorical_accuracy"

    def call(self, y_true: Any, y_pred: Any) -> Any:
        best = _scores(y_pred).argmax(axis=-1)
        return _hits(best == y_true.argmax(axis=-1), y_pred)


class SparseCategoricalAccuracy(Metric):
    """How often the largest output is the target, a class number."""

    name = "sparse_categorical_accuracy"

    def call(self, y_true: Any, y_pred: Any) -> Any:
        best = _scores(y_pred).argmax(axis=-1)
        return _hits(best == class_numbers(y_true, y_pred).astype(best.dtype), y_pred)


class Accuracy(Metric):
    """How often the answer is right: binary, categorical or sparse, as the shapes say.

    One output column: `BinaryAccuracy`. Targets with a value for each class:
    `CategoricalAccuracy`. Class numbers: `SparseCategoricalAccuracy`.
    """

    name = "accuracy"
    aliases = ("acc",)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        kind: Metric = CategoricalAccuracy()
        if is_extent(y_pred.shape[-1], 1):
            kind = BinaryAccuracy()
        elif hold_labels(y_true, y_pred):
            kind = SparseCategoricalAccuracy()
        return kind.call(y_true, y_pred)


class TopKCategoricalAccuracy(Metric):
    """How often the target is among the `k` largest outputs.

    Parameters
    ----------
    k : how many count.
    """

    name = "top_k_categorical_accuracy"
    aliases = ("sparse_top_k_categorical_accuracy",)

    k: int = 5

    def validate(self) -> None:
        if self.k < 1:
            raise LayerportError(f"k must be at least 1, not {self.k!r}")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        scores = _scores(y_pred)
        if hold_labels(y_true, y_pred):
            labels = class_numbers(y_true, y_pred)
        else:
            labels = y_true.argmax(axis=-1)
        classes = np.arange(y_pred.shape[-1], dtype=labels.dtype)
        chosen = (labels.reshape((*labels.shape, 1)) == classes).astype(scores.dtype)
        own = (scores * chosen).sum(axis=-1, keepdims=True)
        above = (scores > own).astype(scores.dtype).sum(axis=-1)
        return _hits(above < self.k, y_pred)


class _Confusion(Metric):
    """Counts of right and wrong answers at a threshold."""

    threshold: float = 0.5

    def _signs(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        said = _hits(y_pred > self.threshold, y_pred)
        true = _hits(aligned(y_true, y_pred) > 0.5, y_pred)
        return said, true


class Precision(_Confusion):
    """The share of what was said to be 1 that is 1.

    Parameters
    ----------
    threshold : outputs above it count as 1.
    """

    name = "precision"

    def measure(self, y_true: Any, y_pred: Any) -> list[Any]:
        said, true = self._signs(y_true, y_pred)
        return [said * true, said]

    def result(self, means: Sequence[float]) -> float:
        return means[0] / means[1] if means[1] else 0.0


class Recall(_Confusion):
    """The share of what is 1 that was said to be 1.

    Parameters
    ----------
    threshold : outputs above it count as 1.
    """

    name = "recall"

    def measure(self, y_true: Any, y_pred: Any) -> list[Any]:
        said, true = self._signs(y_true, y_pred)
        return [said * true, true]

    def result(self, means: Sequence[float]) -> float:
        return means[0] / means[1] if means[1] else 0.0


class RootMeanSquaredError(Metric):
    """``sqrt(mean((y_true - y_pred) ** 2))``, the mean over all samples."""

    name = "root_mean_squared_error"
    aliases = ("rmse",)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return MeanSquaredError().call(y_true, y_pred)

    def result(self, means: Sequence[float]) -> float:
        return math.sqrt(means[0])


METRICS = (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    TopKCategoricalAccuracy,
    Precision,
    Recall,
    RootMeanSquaredError,
)
