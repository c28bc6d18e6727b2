"""What a metric is: numbers a sample whose means, over all samples, make the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from layerport.errors import LayerportError
from layerport.train.component import Component
from layerport.train.loss import Loss


class Metric(Component):
    """Base class of the metrics. Most are the mean of `call`.

    A metric that is no mean (precision...) overrides `measure` and `result` instead.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Numbers for each sample, in NumPy on Tensors: the outputs' shape without the last axis.

        Parameters
        ----------
        y_true : targets, as the loss gets them.
        y_pred : an output of the network.
        """
        raise LayerportError(f"{type(self).__name__} defines neither call nor measure")

    def measure(self, y_true: Any, y_pred: Any) -> list[Any]:
        """Tensors whose means over all samples `result` needs."""
        return [self.call(y_true, y_pred)]

    def result(self, means: Sequence[float]) -> float:
        """The metric, from the means of what `measure` returns."""
        return means[0]


class FunctionMetric(Metric):
    """A function of (y_true, y_pred) as a metric."""

    function: Callable[[Any, Any], Any]

    @property
    def label(self) -> str:
        """The function's name."""
        return getattr(self.function, "__name__", "metric")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.function(y_true, y_pred)


class LossMetric(Metric):
    """A loss as a metric: its mean, without weights."""

    loss: Loss

    @property
    def label(self) -> str:
        """The loss's name."""
        return self.loss.label

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.loss.call(y_true, y_pred)
