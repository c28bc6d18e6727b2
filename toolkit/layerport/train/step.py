"""The training step as graphs: forward, loss, backward, update.

`TrainingStep.graph` is the whole step as one graph, for engines and printers; `gradients` and
`update` are its two halves. Run one after the other, the loss can be checked between them before
a weight changes, and the gradients of parts of a batch can be added up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from layerport import ops
from layerport.gradient import gradient
from layerport.graph import Builder, Graph, Node, Value
from layerport.numpy_engine.flat import flat_gradient, flat_parameter
from layerport.op import NDArray
from layerport.tensor import Tensor
from layerport.train.flat import Group, arrange, trainable_weights
from layerport.train.objective import Objective
from layerport.train.optimizer import Optimizer, norm, shrink

if TYPE_CHECKING:
    from layerport.network import Network

SEED = "train/seed"
"""Input of the gradients: what they are multiplied with."""

RATE = "train/learning_rate"
"""Input of the update: the learning rate."""

STEP = "train/step"
"""Input of the update: the number of the step as a float, from 1."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One training step.

    Attributes
    ----------
    gradients : computes the objective's values from the batch (the network's inputs,
        "target/output", "sample_weight/output"), `SEED` and the counters of random numbers.
        Updates "gradient/group" for each group, and moving averages and the like.
    update : reads "gradient/group", `RATE` and `STEP`; updates the groups and their state.
    groups : the weights that are trained.
    objective : what is minimised and measured.
    rate_sign : 1 or -1 where `update` takes gradients that are multiplied with plus or minus the
        learning rate already (by way of `SEED`, at no cost); None where it takes them as they are.
    """

    gradients: Graph
    update: Graph
    groups: tuple[Group, ...]
    objective: Objective
    rate_sign: int | None

    @property
    def graph(self) -> Graph:
        """The whole step as one graph: inputs are the batch, `RATE`, `STEP`."""
        rate = next(value for value in self.update.inputs if value.name == RATE)
        build = Builder(float_dtype=rate.dtype)
        known = {RATE: build.input(RATE, (), rate.dtype)}
        slope = Tensor(build, known[RATE])
        seed = slope if self.rate_sign == 1 else -slope
        known[SEED] = build.constant(1, rate.dtype) if self.rate_sign is None else seed.value
        # Each gradient goes from one half into the other; no parameter is left to hold it.
        unused = {p.name: p for p, _ in self.gradients.updates if p.name in self._gradient_names}
        new = build.copy(self.gradients, inputs={SEED: known[SEED], **unused})
        made = {p.name: new(value) for p, value in self.gradients.updates}
        updates = [
            (new(p), new(value)) for p, value in self.gradients.updates if p.name not in unused
        ]
        known |= {name: made[name] for name in unused}
        old = build.copy(self.update, inputs={**known, **build.parameters})
        updates += [(old(p), old(value)) for p, value in self.update.updates]
        outputs = [new(value) for value in self.gradients.outputs]
        return build.finish(outputs, updates=updates, output_names=self.gradients.output_names)

    @property
    def _gradient_names(self) -> set[str]:
        return {group.gradient_name for group in self.groups}


def training_step(
    network: Network,
    objective: Objective,
    optimizer: Optimizer,
    prepare: Callable[[Graph], Graph] | None = None,
    *,
    flat: bool = True,
) -> Step:
    """Derive the step that makes an objective smaller.

    Parameters
    ----------
    prepare : rewrites the objective's graph before it is differentiated.
    flat : whether weights may be laid into one vector; else each is a parameter of its own.

    Raises
    ------
    TrainingError : when no weight can be trained.
    UnsupportedError : naming every operator on the way that has no derivative.
    """
    groups = arrange(trainable_weights(network, objective.recording), optimizer, flat=flat)
    graph = objective.graph if prepare is None else prepare(objective.graph)
    values = {value.name: value for value in graph.parameters}
    wrt = [values[member.path] for group in groups for member in group.members]
    slopes = gradient(graph, graph.outputs[0], wrt, seed=SEED)
    update = _record_update(groups, optimizer, network.dtype)
    scalings = [_scaling(update, group) for group in groups]
    signs = {sign for _, sign in scalings}
    rate_sign = signs.pop() if len(signs) == 1 else None
    gone: dict[Node | None, str] = {}
    if rate_sign is not None:
        gone = {node: g.gradient_name for (node, _), g in zip(scalings, groups, strict=True)}
    update = update.replay(lambda build, node, _: build.parameters.get(gone.get(node, "")))
    return Step(_in_groups(slopes, groups), update, tuple(groups), objective, rate_sign)


def _in_groups(graph: Graph, groups: Sequence[Group]) -> Graph:
    """The graph of gradients, with weights and gradients laid out in groups."""
    build = Builder(float_dtype=graph.outputs[0].dtype)
    values = {value.name: value for value in graph.parameters}
    known: dict[str, Value] = {}
    for group in groups:
        if group.is_vector:
            members = [values[member.path] for member in group.members]
            known |= flat_parameter(build, group.name, members)[1]
    new = build.copy(graph, inputs=known)
    count = len(graph.outputs) - sum(len(group.members) for group in groups)
    slopes = iter([new(value) for value in graph.outputs[count:]])
    updates = [(new(parameter), new(value)) for parameter, value in graph.updates]
    for group in groups:
        parts = [next(slopes) for _ in group.members]
        whole = flat_gradient(build, parts) if group.is_vector else parts[0]
        updates.append((build.parameter(group.gradient_name, whole.shape, whole.dtype), whole))
    outputs = [new(value) for value in graph.outputs[:count]]
    return build.finish(outputs, updates=updates, output_names=graph.output_names[:count])


def _record_update(groups: Sequence[Group], optimizer: Optimizer, dtype: str) -> Graph:
    build = Builder(rewrite=False, float_dtype=dtype)

    def parameter(name: str, like: NDArray) -> Tensor:
        return Tensor(build, build.parameter(name, like.shape, like.dtype))

    rate, step = (Tensor(build, build.input(name, (), dtype)) for name in (RATE, STEP))
    gradients = [parameter(group.gradient_name, group.gradient) for group in groups]
    updates: list[tuple[Value, Value]] = []
    with build.scope("optimizer"):
        gradients = _clipped(gradients, groups, optimizer)
        for group, slope in zip(groups, gradients, strict=True):
            kind = group.array.dtype
            old = parameter(group.name, group.array)
            slots = {s: parameter(group.slot_name(s), array) for s, array in group.slots.items()}
            new, changed = optimizer.apply(old, slope, slots, rate.astype(kind), step.astype(kind))
            updates += [(slots[slot].value, tensor.value) for slot, tensor in changed.items()]
            updates.append((old.value, new.value))
    return build.finish([], updates=updates)


def _clipped(
    gradients: list[Tensor], groups: Sequence[Group], optimizer: Optimizer
) -> list[Tensor]:
    if optimizer.clipvalue is not None:
        limit = optimizer.clipvalue
        return [slope.clip(-limit, limit) for slope in gradients]
    if optimizer.global_clipnorm is not None:
        length = norm([slope.astype(gradients[0].dtype) for slope in gradients])
        return [shrink(s, length.astype(s.dtype), optimizer.global_clipnorm) for s in gradients]
    if optimizer.clipnorm is not None:
        each = zip(gradients, groups, strict=True)
        return [_clip_each(slope, group, optimizer.clipnorm) for slope, group in each]
    return gradients


def _clip_each(slope: Tensor, group: Group, limit: float) -> Tensor:
    if not group.is_vector:
        made: Tensor = shrink(slope, norm([slope]), limit)
        return made
    parts = [slope[member.start : member.stop] for member in group.members]
    joined: Tensor = ops.Concat(0)(*(shrink(part, norm([part]), limit) for part in parts))
    return joined


def _scaling(update: Graph, group: Group) -> tuple[Node | None, int | None]:
    """The node through which alone a gradient enters, and the sign of the rate it multiplies by.

    Nothing where the gradient enters otherwise than in a product with plus or minus `RATE`.
    """
    slope = next(value for value in update.parameters if value.name == group.gradient_name)
    readers = update.uses().get(slope, [])
    node = readers[0] if len(readers) == 1 else None
    if node is None or not isinstance(node.op, ops.Mul):
        return None, None
    factor = node.inputs[1] if node.inputs[0] is slope else node.inputs[0]
    negated = factor.made_by(ops.Neg) if factor is not None else None
    source = negated.inputs[0] if negated is not None else factor
    if source is None or source.name != RATE or source.node is not None:
        return None, None
    return node, 1 if negated is None else -1
