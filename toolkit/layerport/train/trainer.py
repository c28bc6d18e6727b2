"""What a network keeps between calls of `fit`: its step, compiled, and the optimizer's state."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from layerport.errors import DivergenceError, ShapeError
from layerport.numpy_engine.pooling import pool_first
from layerport.numpy_engine.profile import Profile, profile
from layerport.op import NDArray
from layerport.recording import RANDOM_INPUTS
from layerport.train.compiled import Compiled
from layerport.train.diagnosis import explain
from layerport.train.flat import adopt, states
from layerport.train.objective import record_objective
from layerport.train.program import Program
from layerport.train.step import RATE, SEED, STEP, training_step
from layerport.train.supervision import Supervision

if TYPE_CHECKING:
    from layerport.network import Network

ITERATIONS = "iterations"
"""The entry of the optimizer's state that counts steps."""

SAFE_STEPS = 256
"""After how many steps the weights are copied, in case training runs into NaN."""


class Trainer:
    """Runs training steps of a network.

    Parameters
    ----------
    network : its weights become views of the vectors that the optimizer works on.
    compiled : what is minimised, and how.
    taught : how each output is taught.
    """

    def __init__(
        self, network: Network, compiled: Compiled, taught: Mapping[str, Supervision]
    ) -> None:
        objective = record_objective(network, compiled, taught, training=True)
        self.network = network
        self.step = training_step(network, objective, compiled.optimizer, pool_first)
        self.scores = objective.scores
        self.optimizer = compiled.optimizer
        self.iterations = 0
        groups = self.step.groups
        arrays = {group.name: group.array for group in groups}
        slopes = {group.gradient_name: group.gradient for group in groups}
        slots = {g.slot_name(slot): a for g in groups for slot, a in g.slots.items()}
        self._gradients = Program(self.step.gradients, objective.recording, {**arrays, **slopes})
        self._update = Program(self.step.update, objective.recording, {**arrays, **slopes, **slots})
        given = {v.name: v for v in (*self.step.gradients.inputs, *self.step.update.inputs)}
        self._rate, self._count, self._seed = (
            np.zeros((), given[name].dtype) for name in (RATE, STEP, SEED)
        )
        self._scalars = {SEED: self._seed}
        self._update_feeds = {RATE: self._rate, STEP: self._count}
        self._random = {name: np.zeros((), np.uint32) for name in RANDOM_INPUTS}
        if any(value.name in self._random for value in self.step.gradients.inputs):
            self._scalars |= self._random
        self._safe = Safe(self)
        self.refresh()

    def refresh(self) -> None:
        """Take the layers' weights as they are now; they may have been given other arrays."""
        if adopt(self.step.groups):
            self._safe.clear()
        self._gradients.refresh()

    def start(self, threads: int) -> None:
        """A run of many steps begins; what was kept before is not gone back to."""
        self._gradients.use_threads(threads)
        self._safe.clear()

    def profile(self, batch: Mapping[str, NDArray], runs: int, threads: int) -> Profile:
        """Where the time of a step goes; afterwards everything is as it was."""
        self.start(threads)
        self._safe.keep()
        try:
            gradients = self._gradients.works({**batch, **self._scalars})
            return profile([*gradients, *self._update.works(self._update_feeds)], runs=runs)
        finally:
            self._safe.restore(weights=True)
            self._safe.clear()

    def run(self, batch: Mapping[str, NDArray], seed: int) -> list[float]:
        """One step; returns the objective's values for the weights before it.

        Parameters
        ----------
        batch : the inputs of `Step.gradients` that come from the data.
        seed : of the random numbers; together with the count of steps it decides them.

        Raises
        ------
        DivergenceError : when the loss is not finite. The network then has weights again that gave
            a finite one.
        """
        rate = self.optimizer.rate(self.iterations)
        sign = self.step.rate_sign
        self._seed[...] = 1.0 if sign is None else sign * rate
        self._random[RANDOM_INPUTS[0]][...] = seed & 0xFFFFFFFF
        self._random[RANDOM_INPUTS[1]][...] = self.iterations & 0xFFFFFFFF
        feeds = {**batch, **self._scalars}
        values = self._gradients.run(feeds)
        if not math.isfinite(values[0]):
            self._fail(feeds, values[0])
        if self.iterations % SAFE_STEPS == 0 or self._safe.is_empty:
            self._safe.keep()
        self.iterations += 1
        self._rate[...] = rate
        self._count[...] = self.iterations
        self._update.run(self._update_feeds)
        return values

    def _fail(self, feeds: Mapping[str, NDArray], loss: float) -> None:
        """Say what went wrong, after going back to weights that were still good."""
        arrays = {group.name: group.array for group in self.step.groups}
        arrays |= {group.gradient_name: group.gradient for group in self.step.groups}
        failed = self.iterations + 1
        cause = explain(self.step, feeds, {**arrays, **self._gradients.borrowed})
        self._safe.restore(weights=not cause.is_data)
        raise DivergenceError(
            f"the loss became {loss} at step {failed}: {cause.reason}. The network keeps the "
            f"weights that it had after {self.iterations} steps, when the loss was finite"
        )

    # State ------------------------------------------------------------------------------

    @property
    def state(self) -> dict[str, NDArray]:
        """Copies of the optimizer's state, weight by weight, and the number of steps."""
        found = {name: array.copy() for name, array in states(self.step.groups)}
        return {ITERATIONS: np.asarray(self.iterations, np.int64), **found}

    def load_state(self, given: Mapping[str, Any]) -> None:
        """Go on from a state that `state` returned.

        Raises
        ------
        ShapeError : naming every entry that is missing, not known, or of another shape.
        """
        targets = dict(states(self.step.groups))
        problems = [f"{name} is missing" for name in (ITERATIONS, *targets) if name not in given]
        problems += [
            f"{name} is not known" for name in given if name not in targets and name != ITERATIONS
        ]
        problems += [
            f"{name} has the shape {np.shape(given[name])}, not {array.shape}"
            for name, array in targets.items()
            if name in given and np.shape(given[name]) != array.shape
        ]
        if problems:
            raise ShapeError("the optimizer's state does not fit: " + "; ".join(problems))
        for name, array in targets.items():
            array[...] = given[name]
        self.iterations = int(given[ITERATIONS])

    def inherit(self, other: Trainer) -> None:
        """Go on with what another trainer of the same optimizer knows about the same weights."""
        known = dict(states(other.step.groups))
        for name, array in states(self.step.groups):
            if name in known and known[name].shape == array.shape:
                array[...] = known[name]
        self.iterations = other.iterations

    def arrays(self) -> Iterator[NDArray]:
        """Every array that a step changes."""
        for group in self.step.groups:
            yield group.array
            yield from group.slots.values()
        yield from self._gradients.borrowed.values()


class Safe:
    """A copy of what a trainer changes, from a moment when the loss was finite."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.clear()

    def clear(self) -> None:
        """Forget the copies."""
        self._copies: list[NDArray] = []
        self._iterations = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is no copy."""
        return not self._copies

    def keep(self) -> None:
        """Copy the arrays."""
        arrays = list(self._trainer.arrays())
        if len(self._copies) != len(arrays):
            self._copies = [array.copy() for array in arrays]
        else:
            for copy, array in zip(self._copies, arrays, strict=True):
                np.copyto(copy, array)
        self._iterations = self._trainer.iterations

    def restore(self, *, weights: bool) -> None:
        """Put back what is no longer finite (moving averages...), or everything."""
        if self.is_empty:
            return
        for copy, array in zip(self._copies, self._trainer.arrays(), strict=True):
            if weights or (array.dtype.kind == "f" and not np.isfinite(array).all()):
                np.copyto(array, copy)
        if weights:
            self._trainer.iterations = self._iterations
