"""What an optimizer is: an update rule, written in NumPy on Tensors, that becomes graph."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from layerport.errors import LayerportError
from layerport.train.component import Component
from layerport.train.schedule import Schedule

Slots = Mapping[str, Any]
"""The optimizer's state for one parameter: name of the slot -> Tensor of the parameter's shape."""


class Optimizer(Component):
    """Base class of the optimizers. Arguments are Keras's.

    ::

        class SGD(Optimizer):
            learning_rate: float | Schedule = 0.01

            def update(self, parameter, gradient, slots, learning_rate, step):
                return parameter - learning_rate * gradient, {}

    Parameters
    ----------
    weight_decay : every step takes this share, times the learning rate, off the weights.
    clipnorm : the gradient of each weight is scaled down to this norm.
    clipvalue : elements of gradients are clipped to plus or minus this value.
    global_clipnorm : all gradients together are scaled down to this norm.
    """

    flat: ClassVar[bool] = True
    """Whether the rule works element by element, so that all weights can be one long vector.

    With False, `update` is called for each weight, in the weight's own shape."""

    learning_rate: float | Schedule = dataclasses.field(default=0.001)
    weight_decay: float | None = dataclasses.field(default=None, kw_only=True)
    clipnorm: float | None = dataclasses.field(default=None, kw_only=True)
    clipvalue: float | None = dataclasses.field(default=None, kw_only=True)
    global_clipnorm: float | None = dataclasses.field(default=None, kw_only=True)

    def validate(self) -> None:
        rate = self.learning_rate
        if not isinstance(rate, Schedule) and not (np.isfinite(rate) and rate >= 0):
            raise LayerportError(f"learning_rate must be a number of at least 0, not {rate!r}")
        clips = ("clipnorm", "clipvalue", "global_clipnorm")
        given = [name for name in clips if getattr(self, name) is not None]
        if len(given) > 1:
            raise LayerportError(f"only one of {', '.join(given)} can be given")
        for name in given:
            if not getattr(self, name) > 0:
                raise LayerportError(f"{name} must be positive, not {getattr(self, name)!r}")
        if self.weight_decay is not None and self.weight_decay < 0:
            raise LayerportError(f"weight_decay must be at least 0, not {self.weight_decay!r}")

    # What a subclass writes -------------------------------------------------------------

    def slots(self) -> Mapping[str, float]:
        """The names of the state arrays, with the value that each is filled with at the start."""
        return {}

    def update(
        self, parameter: Any, gradient: Any, slots: Slots, learning_rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """One step: the new parameter and the new state.

        Parameters
        ----------
        parameter, gradient : Tensors of one shape; with `flat`, all trainable weights in a row.
        slots : the state, by the names that `slots()` states.
        learning_rate : a scalar Tensor.
        step : a scalar Tensor, the number of this step: 1.0, 2.0...

        An `if` cannot look at the values of Tensors: this is recorded once, and runs (and is
        printed in other languages) as a graph.
        """
        raise LayerportError(f"{type(self).__name__} defines no update method")

    # ------------------------------------------------------------------------------------

    def apply(
        self, parameter: Any, gradient: Any, slots: Slots, learning_rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """Weight decay, then `update`."""
        if self.weight_decay:
            parameter = parameter - parameter * (learning_rate * self.weight_decay)
        return self.update(parameter, gradient, slots, learning_rate, step)

    def rate(self, step: int) -> float:
        """The learning rate of the step after `step` steps."""
        rate = self.learning_rate
        return rate.rate(step) if isinstance(rate, Schedule) else float(rate)


def unbias(beta: float, step: Any) -> Any:
    """1 - beta ** step: what a moving average that started at 0 has seen.

    By way of tanh, which is exact in float32, too, where beta is close to 1 and steps are few.
    """
    half = np.tanh(step * (-0.5 * math.log(beta) if beta else math.inf))
    return 2 * half / (1 + half)


def norm(gradients: list[Any]) -> Any:
    """The Euclidean norm of several Tensors taken together."""
    squares = [(gradient * gradient).sum() for gradient in gradients]
    return np.sqrt(sum(squares[1:], squares[0]))


def shrink(gradient: Any, length: Any, limit: float) -> Any:
    """A gradient of this norm, scaled down to at most `limit`."""
    return gradient * (limit / np.maximum(length, limit))
