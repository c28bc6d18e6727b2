"""Trainable weights, their gradients and the optimizer's state, laid out in long vectors.

A step of the optimizer is then a few calls, however many layers there are.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from layerport.errors import TrainingError
from layerport.layer import Layer
from layerport.numpy_engine.flat import flatten_parameters
from layerport.op import NDArray
from layerport.recording import Recording
from layerport.train.optimizer import Optimizer


@dataclasses.dataclass(frozen=True)
class Member:
    """A weight and its place in the vector of its group.

    Attributes
    ----------
    path : "layer/weight".
    layer, weight : where it belongs.
    start, stop : the part of the vector.
    array : that part, in the weight's shape.
    """

    path: str
    layer: Layer
    weight: str
    start: int
    stop: int
    array: NDArray

    def view(self, vector: NDArray) -> NDArray:
        """The part of another such vector that belongs to this weight, in its shape."""
        return vector.reshape(-1)[self.start : self.stop].reshape(self.array.shape)


@dataclasses.dataclass(frozen=True)
class Group:
    """Weights that are updated together.

    Attributes
    ----------
    name : of the parameter in graphs: the weight's own path for a weight that stands alone.
    members : the weights in it.
    array, gradient : the weights, and their gradient: vectors, or one weight in its shape.
    slots : the optimizer's state: arrays like `array`.
    """

    name: str
    members: tuple[Member, ...]
    array: NDArray
    gradient: NDArray
    slots: Mapping[str, NDArray]

    @property
    def is_vector(self) -> bool:
        """Whether several weights can lie in it, behind one another."""
        return self.name != self.members[0].path

    @property
    def gradient_name(self) -> str:
        """What the gradient is called in graphs."""
        return f"gradient/{self.name}"

    def slot_name(self, slot: str) -> str:
        """What a slot is called in graphs."""
        return f"optimizer/{slot}/{self.name}"


def frozen_layers(layer: Layer) -> set[Layer]:
    """The layers whose weights training leaves alone: those not trainable, and all inside them."""
    found: set[Layer] = set()

    def visit(inner: Layer, frozen: bool) -> None:
        frozen = frozen or not inner.trainable
        if frozen:
            found.add(inner)
        for _, below in inner.sublayers():
            visit(below, frozen)

    visit(layer, False)
    return found


def trainable_weights(network: Layer, recording: Recording) -> list[tuple[str, Layer, str]]:
    """Path, layer and name of each weight that training changes.

    Raises
    ------
    TrainingError : when there is none.
    """
    frozen = frozen_layers(network)
    found = [
        (path, layer, name)
        for path, (layer, name) in recording.parameters.items()
        if layer not in frozen and layer.declared_weights[name].trainable
    ]
    if not found:
        if any(w.trainable for _, x in network.walk() for w in x.declared_weights.values()):
            raise TrainingError(
                "there is nothing to train: every layer with weights is frozen "
                "(trainable=False); set layer.trainable = True where training should change it"
            )
        raise TrainingError("there is nothing to train: no layer has trainable weights")
    return found


def arrange(
    weights: Sequence[tuple[str, Layer, str]], optimizer: Optimizer, *, flat: bool = True
) -> list[Group]:
    """Lay weights out as the optimizer wants them: one vector a dtype, or each on its own."""
    fill = optimizer.slots()
    if not (optimizer.flat and flat):
        return [_group(path, [(path, x, w)], fill) for path, x, w in weights]
    kinds: dict[np.dtype[Any], list[tuple[str, Layer, str]]] = {}
    for path, layer, weight in weights:
        dtype = layer.own_weights[weight].dtype
        kinds.setdefault(dtype, []).append((path, layer, weight))
    return [_group(f"trainable/{dtype}", found, fill) for dtype, found in kinds.items()]


def _group(
    name: str, weights: Sequence[tuple[str, Layer, str]], fill: Mapping[str, float]
) -> Group:
    arrays = {path: layer.own_weights[weight] for path, layer, weight in weights}
    if name in arrays:
        whole = arrays[name].copy()
        views = {name: whole}
    else:
        whole, views = flatten_parameters(arrays)
    ends = list(itertools.accumulate(view.size for view in views.values()))
    members = tuple(
        Member(path, layer, weight, end - views[path].size, end, views[path])
        for (path, layer, weight), end in zip(weights, ends, strict=True)
    )
    slots = {slot: np.full_like(whole, value) for slot, value in fill.items()}
    return Group(name, members, whole, np.zeros_like(whole), slots)


def adopt(groups: Sequence[Group]) -> bool:
    """Make the groups' arrays the weights of the layers, with the values that the layers have.

    Returns whether anything had to change: a layer may have been given other arrays meanwhile.
    """
    changed = False
    for group in groups:
        for member in group.members:
            current = member.layer.own_weights[member.weight]
            if current is not member.array:
                member.array[...] = current
                member.layer.place(member.weight, member.array)
                changed = True
    return changed


def states(groups: Sequence[Group]) -> Iterator[tuple[str, NDArray]]:
    """The optimizer's state weight by weight: ``slot/layer/weight`` and a view of it."""
    for group in groups:
        for slot, array in group.slots.items():
            for member in group.members:
                yield f"{slot}/{member.path}", member.view(array)
