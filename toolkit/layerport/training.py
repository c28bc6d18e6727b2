"""compile, fit, evaluate: what a network can do to learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from layerport.errors import TrainingError

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.numpy_engine.profile import Profile
    from layerport.op import NDArray
    from layerport.train.callback import History
    from layerport.train.compiled import Compiled
    from layerport.train.learner import Learner
    from layerport.train.optimizer import Optimizer


class Trainable:
    """The training methods of a network. Names, arguments and defaults follow Keras.

    Attributes
    ----------
    stop_training : set to True by callbacks (or anybody) to end `fit`.
    """

    stop_training = False
    _learner_made: Learner | None = None

    @property
    def _learner(self) -> Learner:
        from layerport.train.learner import Learner

        if self._learner_made is None:
            self._learner_made = Learner(cast("Network", self))
        return self._learner_made

    def compile(
        self,
        optimizer: Any = "sgd",
        loss: Any = None,
        metrics: Any = (),
        loss_weights: Any = None,
    ) -> None:
        """Say what training minimises, and how. The optimizer starts afresh.

        Call it again after changing the arguments of layers, other than `trainable`.

        Parameters
        ----------
        optimizer : name ("sgd", "adam", "adamw", "rmsprop", "adagrad"...) or `Optimizer`.
        loss : name, `Loss`, or function of (y_true, y_pred) in NumPy that returns one number a
            sample. For several outputs a list, or a dict by the names of outputs; None where an
            output has no targets.
        metrics : likewise, names ("accuracy"...), `Metric` or functions; a list for one output,
            else a list of lists, or a dict of lists.
        loss_weights : shares of the losses in the total; a list or dict.

        Raises
        ------
        LayerportError : naming what is not known.
        """
        self._learner.compile(optimizer, loss, metrics, loss_weights)

    @property
    def compiled(self) -> Compiled | None:
        """What `compile` settled: optimizer, losses, metrics; None before."""
        return None if self._learner_made is None else self._learner_made.compiled

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer; its `learning_rate` can be changed between steps."""
        return self._learner.settings().optimizer

    @property
    def optimizer_state(self) -> dict[str, NDArray]:
        """The optimizer's state: "iterations", and for every weight ``slot/layer/weight``.

        Set it, on a network that was compiled in the same way, to go on where another run ended.
        """
        return self._learner.state

    @optimizer_state.setter
    def optimizer_state(self, state: Mapping[str, Any]) -> None:
        self._learner.state = state

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: Any = None,
        validation_split: float = 0.0,
        callbacks: Any = (),
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        shuffle: bool | str = True,
        seed: int | None = None,
        verbose: int = 1,
        threads: int | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
    ) -> History:
        """Train.

        Parameters
        ----------
        x : an array (in memory, memory-mapped, or a data set of h5py, which is never read
            whole), a list of them in the order of `inputs`, or a dict by their names. Or batches:
            an iterable, a generator or a function that returns one, of (x, y) or
            (x, y, sample_weight).
        y : targets: an array, or a list or dict for several outputs. Classes may be numbers or
            one-hot rows.
        epochs, initial_epoch : training goes from epoch `initial_epoch` up to `epochs`.
        batch_size : samples of a step.
        validation_data : (x, y), (x, y, sample_weight) or batches, which are evaluated after
            each epoch.
        validation_split : or the share of the samples, from the end, that is kept for it.
        callbacks : `Callback` objects or names.
        sample_weight : one factor a sample for its loss.
        class_weight : class number -> factor for the loss of its samples.
        shuffle : True; False; or "batch", which keeps neighbouring samples together.
        seed : makes the run repeatable bit for bit, for one number of threads: shuffling, dropout,
            and the initial values of weights that have none yet.
        verbose : 0 shows nothing, 1 a live line in a terminal, 2 a line an epoch.
        threads : how many threads share a batch; None takes one for each processor. The number
            changes results by rounding only.
        steps_per_epoch, validation_steps : how many batches of a stream make an epoch.
        optimizer, loss, metrics, loss_weights : as for `compile`; what is given changes. An
            optimizer equal to the one so far goes on with its state.

        Returns
        -------
        History
            ``history.history`` maps "loss", the metrics and "val_..." to a value an epoch. After
            Ctrl-C it holds the epochs that were completed, and the network the weights of the
            last step.

        Raises
        ------
        TrainingError : when training cannot start: `DataError` where the data are the reason.
        ShapeError : when data do not fit the network.
        DivergenceError : when the loss is no longer finite.
        """
        from layerport.numpy_engine.threads import thread_count
        from layerport.train.data import Order, Source
        from layerport.train.fitting import Plan
        from layerport.train.learner import fresh_seed

        learner = self._learner
        learner.amend(optimizer=optimizer, loss=loss, metrics=metrics, loss_weights=loss_weights)
        source = Source(x, y, sample_weight, class_weight, batch_size, steps_per_epoch)
        order = Order(shuffle, fresh_seed() if seed is None else seed)
        given = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
        return learner.fit(
            source,
            _validation(validation_data, validation_split, batch_size, validation_steps),
            Plan(epochs, initial_epoch, order, thread_count(threads)),
            [*given, *_progress(verbose)],
        )

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        *,
        batch_size: int = 32,
        sample_weight: Any = None,
        steps: int | None = None,
        threads: int | None = None,
        loss: Any = None,
        metrics: Any = None,
    ) -> dict[str, float]:
        """Loss and metrics on data.

        Parameters
        ----------
        x, y, batch_size, sample_weight, threads : as for `fit`.
        steps : how many batches of a stream to take.
        loss, metrics : other ones than those compiled, for this call.

        Returns
        -------
        dict
            "loss" first, then, for several outputs, their losses, then the metrics, by name.
        """
        from layerport.numpy_engine.threads import thread_count
        from layerport.train.compiled import Compiled
        from layerport.train.data import Source

        learner = self._learner
        if loss is None and metrics is None:
            compiled = learner.settings()
        else:
            old = learner.compiled
            compiled = Compiled.of(
                "sgd",
                loss if loss is not None or old is None else old.loss,
                metrics if metrics is not None or old is None else old.metrics,
                None if old is None else old.loss_weights,
                learner.registry,
            )
        source = Source(x, y, sample_weight, None, batch_size, steps)
        return learner.evaluate(source, compiled, thread_count(threads))

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> dict[str, float]:
        """One training step on one batch: online learning.

        Returns
        -------
        dict
            Loss and metrics of the batch, for the weights before the step.
        """
        from layerport.train.data import Source

        return self._learner.train_on_batch(Source(x, y, sample_weight, class_weight, 1 << 62))

    def _profile_step(
        self, x: Any, y: Any, batch_size: int, runs: int, threads: int | None
    ) -> Profile:
        from layerport.numpy_engine.threads import thread_count
        from layerport.train.data import Source

        source = Source(x, y, None, None, batch_size)
        return self._learner.profile(source, runs, thread_count(threads))


def _validation(data: Any, split: float, batch_size: int, steps: int | None) -> Any:
    """The data, or the share of the data, that validation takes; None for none."""
    from layerport.train.data import Source

    if data is None:
        return split or None
    if split:
        raise TrainingError("give validation_data or validation_split, not both")
    if isinstance(data, (tuple, list)):
        if not 2 <= len(data) <= 3:
            raise TrainingError(
                f"validation_data is (x, y) or (x, y, sample_weight), not {len(data)} things"
            )
        x, y, weights = (*data, None)[:3]
        return Source(x, y, weights, None, batch_size)
    return Source(data, None, None, None, batch_size, steps)


def _progress(verbose: int) -> list[Any]:
    if verbose not in (0, 1, 2):
        raise TrainingError(f"verbose must be 0, 1 or 2, not {verbose!r}")
    if not verbose:
        return []
    return [{"class_name": "ProgressLine", "config": {"live": verbose == 1}}]
