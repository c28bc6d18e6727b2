"""What a learning-rate schedule is: a function of the number of steps done."""

from __future__ import annotations

from layerport.errors import LayerportError
from layerport.train.component import Component


class Schedule(Component):
    """Base class of the learning-rate schedules.

    An instance stands where an optimizer takes its `learning_rate`.
    """

    def rate(self, step: int) -> float:
        """The learning rate of the step that follows `step` steps."""
        raise LayerportError(f"{type(self).__name__} defines no rate method")

    def __call__(self, step: int) -> float:
        return self.rate(step)
