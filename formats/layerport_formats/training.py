"""Training inside an exported model: the step as a graph, its state, and what goes in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from layerport.errors import ShapeError, TrainingError, UnsupportedError
from layerport.graph import Graph
from layerport.loops.ir import Port, Program
from layerport.loops.link import linked
from layerport.loops.lowering import lower
from layerport.loops.target import Target
from layerport.loops.weights import Shared
from layerport.numpy_engine.pooling import pool_first
from layerport.op import NDArray, TensorType
from layerport.recording import RANDOM_INPUTS
from layerport.registry import Registry
from layerport.train.compiled import Compiled, Head
from layerport.train.component import find, resolve
from layerport.train.natural import natural_loss, output_operators
from layerport.train.objective import record_objective
from layerport.train.optimizer import Optimizer
from layerport.train.step import RATE, STEP, training_step
from layerport.train.supervision import supervise

if TYPE_CHECKING:
    from layerport.network import Network

OPTIMIZERS = ("sgd", "adam")
LARGEST_BATCH = 32


class TargetSpec(NamedTuple):
    """What an output is taught with.

    Attributes
    ----------
    name : of the output.
    shape : with None for the batch.
    classes : the extent of the last axis where class numbers may stand for it; else 0.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    classes: int


@dataclass(frozen=True)
class Training:
    """What a printer needs so that its file can learn.

    Attributes
    ----------
    step : one step; its first output is the loss.
    predict : the network, with parameters that the step updates.
    arrays : every parameter of the two by its name: weights and the optimizer's state.
    weights : every weight of the network, by name, in its order.
    targets : what the outputs are taught with.
    learning_rate, seed : where nothing else is said.
    batch : the largest batch.
    """

    step: Graph
    predict: Graph
    arrays: Mapping[str, NDArray]
    weights: Mapping[str, NDArray]
    targets: Sequence[TargetSpec]
    learning_rate: float
    seed: int
    batch: int

    def lower(self, target: Target, block: int | None = None) -> TrainingPrograms:
        """Lower both graphs for a target; `block` samples are predicted at once."""
        shared = Shared(self.arrays)
        predict = lower(self.predict, target, batch=block, shared=shared)
        if predict.symbol and not predict.splittable:
            predict = lower(self.predict, target, batch=self.batch, shared=shared)
        step = lower(self.step, target, batch=self.batch, shared=shared)
        return TrainingPrograms(linked(predict, step), predict, step, self)


class TrainingPrograms:
    """The programs of a file that can learn.

    Attributes
    ----------
    program : everything; its entry and ports are those of prediction.
    predict : prediction alone.
    step : the training step, whose functions and buffers are in `program`, too.
    """

    def __init__(
        self, program: Program, predict: Program, step: Program, training: Training
    ) -> None:
        self.program = program
        self.predict = predict
        self.step = step
        self._inputs = {port.name: port for port in step.inputs}
        self._targets = [f"target/{target.name}" for target in training.targets]

    @property
    def entry(self) -> str:
        """The name of the function that does a step."""
        return self.step.functions[-1].name

    @property
    def inputs(self) -> list[Port]:
        """The inputs of the network, in its order."""
        special = {RATE, STEP, *RANDOM_INPUTS, *self._targets}
        return [port for name, port in self._inputs.items() if name not in special]

    @property
    def targets(self) -> list[Port]:
        """Where targets go, in the order of `Training.targets`."""
        return [self._inputs[name] for name in self._targets]

    @property
    def rate(self) -> Port:
        """Where the learning rate goes."""
        return self._inputs[RATE]

    @property
    def count(self) -> Port:
        """Where the number of the step goes, as a float, from 1."""
        return self._inputs[STEP]

    @property
    def random(self) -> list[Port]:
        """Where seed, number of the step (from 0) and first sample (0) go; empty if unused."""
        return [self._inputs[name] for name in RANDOM_INPUTS if name in self._inputs]

    @property
    def loss(self) -> Port:
        """Where the loss is afterwards."""
        return self.step.outputs[0]


def prepare_training(
    network: Network, options: Mapping[str, Any], registry: Registry
) -> Training | None:
    """What the options ask for; None where they ask for no training.

    The loss is the one that the network was compiled with, or the natural one for its output. So is
    the optimizer, if it is of the kind asked for; it starts afresh.

    Raises
    ------
    UnsupportedError : naming what stands in the way.
    """
    kind = options.get("train")
    if kind is None:
        return None
    if kind not in OPTIMIZERS:
        raise UnsupportedError(f"option train={kind}: it is {' or '.join(OPTIMIZERS)}")
    if options.get("weights", "float32") != "float32":
        raise UnsupportedError(
            f"option weights={options['weights']}: a model that learns keeps its weights in float32"
        )
    batch = _whole(options, "train_batch", LARGEST_BATCH, 1)
    seed = _whole(options, "seed", 0, 0)
    compiled = _compiled(network, kind, registry)
    heads = compiled.heads(network)
    examples, targets = _targets(network, heads)
    try:
        taught = supervise(network, heads, examples, {})
        objective = record_objective(network, compiled, taught, training=True)
        step = training_step(network, objective, compiled.optimizer, pool_first, flat=False)
    except TrainingError as error:
        raise UnsupportedError(f"this network cannot be trained: {error}") from error
    weights = dict(network.weights)
    arrays = {**network.parameters, **weights}
    for group in step.groups:
        arrays |= {group.slot_name(slot): array for slot, array in group.slots.items()}
    rate = compiled.optimizer.rate(0)
    predict = network.lower().replay()
    return Training(step.graph, predict, arrays, weights, targets, rate, seed, batch)


def _whole(options: Mapping[str, Any], name: str, default: int, least: int) -> int:
    given = options.get(name, default)
    try:
        number = int(given)
    except (TypeError, ValueError):
        number = -1
    if not least <= number < 2**32:
        raise UnsupportedError(f"option {name}={given}: it is a whole number from {least}")
    return number


def _compiled(network: Network, kind: str, registry: Registry) -> Compiled:
    known = network.compiled
    loss: Any = None if known is None else known.loss
    weights = None if known is None else known.loss_weights
    if loss is None:
        operators = output_operators(network)
        if len(operators) > 1:
            names = ", ".join(port.name for port in network.outputs)
            raise UnsupportedError(
                f"the network has the outputs {names}, and nothing says what to minimise",
                hint="call network.compile(loss=...) before saving",
            )
        loss = natural_loss(operators[0])
    optimizer: Any = kind
    if known is not None and type(known.optimizer) is find("optimizers", kind, registry):
        optimizer = known.optimizer
    made = resolve("optimizers", optimizer, Optimizer, registry)
    return Compiled.of(made, loss, None, weights, registry)


def _targets(network: Network, heads: Sequence[Head]) -> tuple[dict[str, Any], list[TargetSpec]]:
    """Examples of targets, which tell their type, and the types."""
    examples: dict[str, Any] = {}
    specs: list[TargetSpec] = []
    triples = zip(network.outputs, network.output_outlets, heads, strict=True)
    for port, outlet, head in triples:
        if head.loss is None:
            continue
        sample = [extent for extent in port.shape[1:] if extent is not None]
        if len(sample) != len(port.shape) - 1:
            raise UnsupportedError(
                f"the output {port.name!r} has the shape {tuple(port.shape)}; training needs every "
                "extent but the batch"
            )
        example = np.zeros((1, *sample), port.dtype)
        classes = sample[-1] if sample and sample[-1] > 1 and head.loss.takes_labels else 0
        try:
            head.loss.target_type(tuple(sample), TensorType(outlet.shape, outlet.dtype))
        except ShapeError:
            example, classes = np.zeros((1, *sample[:-1]), np.int64), 0
        examples[port.name] = example
        shape = (None, *example.shape[1:])
        specs.append(TargetSpec(port.name, shape, str(example.dtype), classes))
    return examples, specs
