"""What training minimises and measures, as a graph: network, losses, regularizers, metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from layerport.dim import Extent, Shape
from layerport.errors import ShapeError, TrainingError
from layerport.graph import Graph
from layerport.recording import Recording
from layerport.tensor import Tensor
from layerport.train.compiled import Compiled, Head
from layerport.train.flat import frozen_layers
from layerport.train.supervision import Supervision

if TYPE_CHECKING:
    from layerport.network import Network

_LEAST_SHARE = 1e-7
"""Of steps that count: a batch without any has the loss 0."""


@dataclasses.dataclass(frozen=True)
class Score:
    """A result, made of the means of some of an objective's values."""

    key: str
    start: int
    stop: int
    result: Callable[[Sequence[float]], float]


@dataclasses.dataclass(frozen=True)
class Objective:
    """A graph whose outputs are the loss and then whatever `scores` need: all single numbers.

    Attributes
    ----------
    graph : the function; its parameters are the network's.
    recording : what it was recorded with.
    scores : the results that the values make, the loss first.
    is_mean : whether the loss is a mean over samples, so that the values of two parts of a batch,
        averaged, are those of the whole.
    """

    graph: Graph
    recording: Recording
    scores: tuple[Score, ...]
    is_mean: bool


def record_objective(
    network: Network,
    compiled: Compiled,
    taught: Mapping[str, Supervision],
    *,
    training: bool,
) -> Objective:
    """Record a network with its losses and metrics.

    Parameters
    ----------
    taught : for each output that has targets, their type.
    training : whether layers behave as in training.

    Raises
    ------
    TrainingError : when there is nothing to minimise.
    """
    recording = Recording(training=training, rewrite=True, float_dtype=network.dtype)
    recording.frozen = frozen_layers(network)
    inputs, outputs = network.record(recording)
    sheet = _Sheet(recording, inputs[0].shape[0])
    heads = compiled.heads(network)
    with recording.builder.scope("loss"):
        for head, output in zip(heads, outputs, strict=True):
            if head.output in taught:
                sheet.add(head, output, taught[head.output])
        sheet.terms += _penalties(recording)
        sheet.terms += [np.asarray(x) if isinstance(x, float) else x for x in recording.losses]
        values = [sheet.total(), *sheet.values]
    graph = recording.finish(values, [f"value/{place}" for place in range(len(values))])
    scores = (Score("loss", 0, 1, _first), *sheet.scores)
    is_mean = all(h.loss is None or h.loss.reduction != "sum" for h in heads)
    return Objective(graph, recording, scores, is_mean)


class _Sheet:
    """Where the parts of the loss and the measures of metrics are collected."""

    def __init__(self, recording: Recording, batch: Extent) -> None:
        self.recording = recording
        self.batch = batch
        self.terms: list[Any] = []
        self.values: list[Tensor] = []
        self.scores: list[Score] = []

    def add(self, head: Head, output: Tensor, taught: Supervision) -> None:
        """Record what is measured at one output."""
        kind = taught.target
        name = f"target/{head.output}"
        y_true = self.recording.input(name, self._shape(kind.shape, output), kind.dtype)
        y_pred = output if output.ndim > 1 else output.reshape(-1, 1)
        if y_true.ndim == 1 and output.ndim == 1:
            y_true = y_true.reshape(-1, 1)
        if head.loss is not None:
            losses = head.loss.call(y_true, y_pred)
            if taught.weight is not None:
                shape = self._shape(taught.weight, output)
                losses = losses * self._weights(head, shape, losses)
            mask = self._mask(output, losses)
            term = head.loss.reduce(losses if mask is None else losses * mask)
            if mask is not None and head.loss.reduction != "sum":
                term = term / np.maximum(mask.mean(), _LEAST_SHARE)
            self.terms.append(term if head.loss_weight == 1 else term * head.loss_weight)
            if head.loss_key:
                self._score(head.loss_key, [term], _first)
        for key, metric in head.metrics:
            means = [self._mean(value, output) for value in metric.measure(y_true, y_pred)]
            self._score(key, means, metric.result)

    def _shape(self, sample: Sequence[int | None], output: Tensor) -> Shape:
        """The shape of a batch whose samples vary where those of the output do."""
        known = output.shape[1:]
        rest = (known[i] if extent is None else extent for i, extent in enumerate(sample))
        return (self.batch, *rest)

    def _mask(self, output: Tensor, values: Tensor) -> Tensor | None:
        """1 for the values of steps that count and 0 for others; None where all of them do."""
        mask = self.recording.mask_of(output)
        if mask is None or mask.ndim > values.ndim:
            return None
        made: Tensor = mask.astype(values.dtype)
        return made.reshape(made.shape + (1,) * (values.ndim - made.ndim))

    def _mean(self, values: Tensor, output: Tensor) -> Tensor:
        """The mean over the steps that count."""
        values = values.astype(values.builder.float_dtype)
        mask = self._mask(output, values)
        if mask is None:
            made: Tensor = values.mean()
        else:
            made = (values * mask).mean() / np.maximum(mask.mean(), _LEAST_SHARE)
        return made

    def _weights(self, head: Head, shape: Shape, losses: Tensor) -> Tensor:
        name = f"sample_weight/{head.output}"
        weights = self.recording.input(name, shape, losses.dtype)
        if weights.ndim > losses.ndim:
            raise ShapeError(
                f"sample_weight has {weights.ndim} axes, the losses of {head.output!r} have "
                f"{losses.ndim}"
            )
        return weights.reshape(weights.shape + (1,) * (losses.ndim - weights.ndim))

    def _score(
        self, key: str, values: Sequence[Tensor], result: Callable[[Sequence[float]], float]
    ) -> None:
        start = 1 + len(self.values)
        self.values += values
        self.scores.append(Score(key, start, start + len(values), result))

    def total(self) -> Tensor:
        """The sum of all parts of the loss."""
        if not self.terms:
            raise TrainingError(
                "there is nothing to minimise: give compile or fit a loss, for example "
                'loss="categorical_crossentropy", and fit the targets y'
            )
        made: Tensor = sum(self.terms[1:], self.terms[0])
        return made.reshape(()) if made.ndim else made


def _penalties(recording: Recording) -> list[Any]:
    """What regularizers of trainable weights add to the loss."""
    found = []
    for layer, name in recording.parameters.values():
        weight = layer.declared_weights[name]
        penalty = recording.registry.regularizer(weight.regularizer)
        if penalty is not None and weight.trainable and layer not in recording.frozen:
            found.append(penalty(recording.weights_of(layer)[name]))
    return found


def _first(means: Sequence[float]) -> float:
    return means[0]
