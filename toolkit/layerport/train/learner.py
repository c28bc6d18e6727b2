"""What a network knows about its own training, from one call to the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layerport.errors import LayerportError, TrainingError
from layerport.network import Network
from layerport.numpy_engine.profile import Profile
from layerport.numpy_engine.threads import blas_threads
from layerport.op import NDArray
from layerport.registry import Registry, default_registry
from layerport.train.callback import Callback, History
from layerport.train.compiled import Compiled
from layerport.train.component import resolve
from layerport.train.data import ArrayBatches, Order, Repeat, Source, StreamBatches, tie
from layerport.train.evaluator import Evaluator
from layerport.train.fitting import Fitting, Plan
from layerport.train.scores import Scores
from layerport.train.supervision import Supervision
from layerport.train.trainer import Trainer


class Fingerprint:
    """What the graphs of a network's training depend on; `==` says whether it is as it was."""

    def __init__(
        self, network: Network, compiled: Compiled, taught: Mapping[str, Supervision]
    ) -> None:
        layers = [layer for _, layer in network.walk()]
        self._compiled, self._taught = compiled, dict(taught)
        self._layers = [(layer, layer.trainable, layer.dtype) for layer in layers]
        self._calls = [(x, x.calls) for x in layers if isinstance(x, Network)]

    def fits(self, compiled: Compiled, taught: Mapping[str, Supervision]) -> bool:
        """Whether the graphs would be the same now."""
        return (
            self._compiled is compiled
            and self._taught == taught
            and all(x.trainable == flag and x.dtype == dtype for x, flag, dtype in self._layers)
            and all(network.calls == calls for network, calls in self._calls)
        )


class Learner:
    """Trains a network; one belongs to each network that has been compiled.

    Attributes
    ----------
    compiled : what to minimise, and how; None until `compile` or `fit` says it.
    """

    def __init__(self, network: Network, registry: Registry | None = None) -> None:
        self.network = network
        self.registry = default_registry() if registry is None else registry
        self.compiled: Compiled | None = None
        self._trainer: tuple[Fingerprint, Trainer] | None = None
        self._evaluator: tuple[Fingerprint, Evaluator] | None = None
        self._repeat: Repeat | None = None
        self._state: Mapping[str, Any] | None = None
        self._seed = fresh_seed()

    def __getstate__(self) -> dict[str, Any]:
        """For copies: plans and vectors belong to this network's arrays; settings and state go."""
        fresh = {"_trainer": None, "_evaluator": None, "_repeat": None, "registry": None}
        return {**self.__dict__, **fresh, "_state": self.state or None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, registry=default_registry())

    # Settings ---------------------------------------------------------------------------

    def compile(self, optimizer: Any, loss: Any, metrics: Any, loss_weights: Any) -> None:
        """Settle what to minimise, and how; training starts afresh."""
        self.compiled = Compiled.of(optimizer, loss, metrics, loss_weights, self.registry)
        self._trainer = self._evaluator = self._repeat = self._state = None

    def amend(self, **given: Any) -> Compiled:
        """Change what is given and not None; an optimizer equal to the one so far goes on.

        Raises
        ------
        TrainingError : when nothing has been said yet.
        """
        changes = {name: value for name, value in given.items() if value is not None}
        if not changes:
            return self.settings()
        parts = {"optimizer": "sgd", "loss": None, "metrics": None, "loss_weights": None}
        new = Compiled.of(**{**parts, **changes}, registry=self.registry)
        old = self.compiled
        if old is not None:
            new = dataclasses.replace(old, **{name: getattr(new, name) for name in changes})
            if _equal(new.optimizer, old.optimizer):
                new = dataclasses.replace(new, optimizer=old.optimizer)
        self.compiled = new
        return new

    def settings(self) -> Compiled:
        """What has been compiled.

        Raises
        ------
        TrainingError : when nothing has been.
        """
        if self.compiled is None:
            raise TrainingError(
                "what to minimise is not known: call network.compile(optimizer=..., loss=...) "
                'first, or say it to fit, for example fit(x, y, optimizer="adam", '
                'loss="categorical_crossentropy")'
            )
        return self.compiled

    # Training ---------------------------------------------------------------------------

    def trainer(self, taught: Mapping[str, Supervision]) -> Trainer:
        """The trainer for these targets: the last one, if nothing that matters has changed."""
        compiled = self.settings()
        old = None
        if self._trainer is not None:
            known, old = self._trainer
            if known.fits(compiled, taught):
                old.refresh()
                return old
        made = Trainer(self.network, compiled, taught)
        if old is not None and old.optimizer is compiled.optimizer:
            made.inherit(old)
        elif self._state is not None:
            made.load_state(self._state)
        self._trainer = Fingerprint(self.network, compiled, taught), made
        self._state = None
        return made

    def evaluator(self, compiled: Compiled, taught: Mapping[str, Supervision]) -> Evaluator:
        """The evaluator for these targets."""
        if self._evaluator is None or not self._evaluator[0].fits(compiled, taught):
            made = Evaluator(self.network, compiled, taught)
            self._evaluator = Fingerprint(self.network, compiled, taught), made
        return self._evaluator[1]

    def tie(self, source: Source, compiled: Compiled) -> ArrayBatches | StreamBatches:
        """Tie data to the network."""
        return tie(self.network, lambda: compiled.heads(self.network), source)

    def fit(
        self,
        source: Source,
        validation: Source | float | None,
        plan: Plan,
        callbacks: Sequence[Any],
    ) -> History:
        """Train on data; `validation` is other data, or a share of them."""
        compiled = self.settings()
        made = [resolve("callbacks", item, Callback, self.registry) for item in callbacks]
        data = self.tie(source, compiled)
        held_out: ArrayBatches | StreamBatches | None = None
        if isinstance(validation, Source):
            held_out = self.tie(validation, compiled)
        elif validation is not None:
            if not isinstance(data, ArrayBatches):
                raise TrainingError("validation_split needs arrays; give validation_data")
            data, held_out = data.split(validation)
        several = plan.epochs - plan.initial_epoch > 1
        for stream in (data, held_out):
            if several and isinstance(stream, StreamBatches):
                stream.require_restart()
        self.network.initialize_missing(plan.order.seed)
        trainer = self.trainer(data.supervision)
        checked = None
        if held_out is not None:
            checked = (self.evaluator(compiled, held_out.supervision), held_out)
        return Fitting(self.network, trainer, data, checked, plan).run(made, source.batch_size)

    def train_on_batch(self, source: Source) -> dict[str, float]:
        """One step."""
        repeat = self._repeat
        feeds = None if repeat is None else repeat.feeds(source, self.settings())
        if repeat is None or feeds is None:
            compiled = self.settings()
            data = self.tie(source, compiled)
            self.network.initialize_missing()
            self._repeat = repeat = Repeat(source, data, compiled)
            feeds, _ = next(iter(data.epoch(Order())))
        trainer = self.trainer(repeat.supervision)
        scores = Scores(trainer.scores)
        scores.add(trainer.run(feeds, self._seed), 1)
        return dict(scores)

    def profile(self, source: Source, runs: int, threads: int) -> Profile:
        """Where the time of a step on the first batch of data goes."""
        data = self.tie(source, self.settings())
        self.network.initialize_missing()
        feeds, _ = next(iter(data.epoch(Order())))
        with blas_threads(1):
            return self.trainer(data.supervision).profile(feeds, runs, threads)

    def evaluate(self, source: Source, compiled: Compiled, threads: int) -> dict[str, float]:
        """Loss and metrics on data."""
        data = self.tie(source, compiled)
        self.network.initialize_missing()
        with blas_threads(1):
            return self.evaluator(compiled, data.supervision).run(data, threads)

    # State ------------------------------------------------------------------------------

    @property
    def state(self) -> dict[str, NDArray]:
        """The optimizer's state; empty before the first step."""
        if self._trainer is not None:
            return self._trainer[1].state
        return {name: np.array(array) for name, array in (self._state or {}).items()}

    @state.setter
    def state(self, given: Mapping[str, Any]) -> None:
        if self._trainer is not None:
            self._trainer[1].load_state(given)
        else:
            self._state = {name: np.array(array) for name, array in given.items()}


def fresh_seed() -> int:
    """A seed that nobody has chosen."""
    return int(np.random.SeedSequence().generate_state(1)[0])


def _equal(a: Any, b: Any) -> bool:
    try:
        return type(a) is type(b) and a.get_config() == b.get_config()
    except LayerportError:
        return False
