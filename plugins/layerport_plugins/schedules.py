"""Learning-rate schedules. Names, arguments and defaults are Keras's."""

from __future__ import annotations

import bisect
import math

from layerport.errors import LayerportError
from layerport.train.schedule import Schedule


def _check_steps(schedule: Schedule, *names: str) -> None:
    for name in names:
        value = getattr(schedule, name)
        if value <= 0:
            raise LayerportError(f"{name} must be positive, not {value!r}")


class ExponentialDecay(Schedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    staircase : whether the exponent is rounded down.
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def validate(self) -> None:
        _check_steps(self, "decay_steps")

    def rate(self, step: int) -> float:
        power = step / self.decay_steps
        return float(
            self.initial_learning_rate
            * self.decay_rate ** (math.floor(power) if self.staircase else power)
        )


class PiecewiseConstantDecay(Schedule):
    """One value up to each boundary.

    Parameters
    ----------
    boundaries : numbers of steps, increasing; a step at a boundary still has the value before it.
    values : one more than boundaries.
    """

    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def validate(self) -> None:
        self.boundaries, self.values = tuple(self.boundaries), tuple(self.values)
        if len(self.values) != len(self.boundaries) + 1:
            raise LayerportError(
                f"{len(self.boundaries)} boundaries need {len(self.boundaries) + 1} values, "
                f"not {len(self.values)}"
            )
        if list(self.boundaries) != sorted(set(self.boundaries)):
            raise LayerportError(f"the boundaries {self.boundaries} do not increase")

    def rate(self, step: int) -> float:
        return float(self.values[bisect.bisect_left(self.boundaries, step)])


class PolynomialDecay(Schedule):
    """From `initial_learning_rate` to `end_learning_rate` in `decay_steps`.

    Parameters
    ----------
    power : 1 for a straight line.
    cycle : whether to start again, each time over a longer way, instead of staying at the end.
    """

    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False

    def validate(self) -> None:
        _check_steps(self, "decay_steps")

    def rate(self, step: int) -> float:
        steps = float(self.decay_steps)
        if self.cycle:
            steps *= max(1, math.ceil(step / self.decay_steps))
        left = (1 - min(step, steps) / steps) ** self.power
        span = self.initial_learning_rate - self.end_learning_rate
        return float(span * left + self.end_learning_rate)


class CosineDecay(Schedule):
    """Half a period of the cosine, after an optional linear warm-up.

    Parameters
    ----------
    initial_learning_rate : where the decay, or the warm-up, starts.
    decay_steps : the length of the decay, after the warm-up.
    alpha : the end, as a share of where the decay starts.
    warmup_target : what the warm-up leads to; None for no warm-up.
    warmup_steps : its length.

    References
    ----------
    Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2016.
    """

    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: int = 0

    def validate(self) -> None:
        _check_steps(self, "decay_steps")
        if self.warmup_target is not None and self.warmup_steps < 1:
            raise LayerportError("warmup_target needs warmup_steps of at least 1")

    def rate(self, step: int) -> float:
        start = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return float(start + (self.warmup_target - start) * step / self.warmup_steps)
            start, step = self.warmup_target, step - self.warmup_steps
        share = min(step, self.decay_steps) / self.decay_steps
        cosine = 0.5 * (1 + math.cos(math.pi * share))
        return float(start * ((1 - self.alpha) * cosine + self.alpha))


class Warmup(Schedule):
    """A straight line from `start` up to another schedule, which it then follows.

    Parameters
    ----------
    after : the schedule, or a constant rate.
    steps : the length of the line.
    start : where it starts.
    """

    after: float | Schedule
    steps: int
    start: float = 0.0

    def validate(self) -> None:
        _check_steps(self, "steps")

    def rate(self, step: int) -> float:
        if step >= self.steps:
            return self._after(step - self.steps)
        return float(self.start + (self._after(0) - self.start) * step / self.steps)

    def _after(self, step: int) -> float:
        return self.after.rate(step) if isinstance(self.after, Schedule) else float(self.after)


SCHEDULES = (ExponentialDecay, PiecewiseConstantDecay, PolynomialDecay, CosineDecay, Warmup)
