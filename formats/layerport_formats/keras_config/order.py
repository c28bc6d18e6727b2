"""Keras's orders: of the layers of a network, and of the weights of a layer.

Keras lists weights by position, so both are part of every file format of Keras.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from layerport.connections import Call, InputLayer, Outlet
from layerport.layer import Layer, Weight
from layerport.network import Network
from layerport.sequential import Sequential


def keras_layers(network: Network) -> list[Layer]:
    """The layers in the order of `model.layers`; a Sequential's input layer is left out.

    Keras sorts a functional model's layers by their distance from the outputs, the farthest first,
    and those at the same distance in the order in which a walk from the outputs meets them.
    """
    if isinstance(network, Sequential):
        return network.layers
    met, finished = _walk(network.output_outlets)
    distance: dict[Call, int] = {}
    of_layer: dict[Layer, int] = {}
    for call in reversed(finished):
        # A layer that is called twice stands where its first call stands.
        depth = max(distance.get(call, 0), of_layer.get(call.layer, 0))
        of_layer[call.layer] = distance[call] = depth
        for outlet in _inputs(call):
            distance[outlet.call] = max(distance.get(outlet.call, 0), depth + 1)
    for outlet in network.input_outlets:
        if outlet.layer not in of_layer:
            of_layer[outlet.layer], met[outlet.layer] = 0, -1
    return sorted(of_layer, key=lambda layer: (-of_layer[layer], met[layer]))


def _inputs(call: Call) -> list[Outlet]:
    """What a call takes, keyword arguments by name."""
    ordered = Call(call.layer, call.args, dict(sorted(call.kwargs.items())))
    return ordered.inputs


def _walk(outputs: Sequence[Outlet]) -> tuple[dict[Layer, int], list[Call]]:
    """When a walk from the outputs meets each layer, and the calls in the order it leaves them."""
    met: dict[Layer, int] = {}
    finished: dict[Call, None] = {}
    stack = [(outlet.call, False) for outlet in reversed(outputs)]
    while stack:
        call, leaving = stack.pop()
        if leaving:
            finished.setdefault(call)
        elif call not in finished:
            met.setdefault(call.layer, len(met))
            stack.append((call, True))
            stack += [(outlet.call, False) for outlet in reversed(_inputs(call))]
    return met, list(finished)


@dataclasses.dataclass(frozen=True)
class Slot:
    """A weight as a place for an array.

    Attributes
    ----------
    layer : the layer that owns it.
    name : of the weight in its layer.
    owner : the name under which files know the layer: that of the layer, or of the field that
        holds it.
    trainable : whether training changes it, all layers around it considered.
    """

    layer: Layer
    name: str
    owner: str
    weight: Weight
    trainable: bool

    @property
    def full_name(self) -> str:
        """Layer and weight, for messages."""
        return f"{self.owner}/{self.name}"


def slots(layer: Layer) -> list[Slot]:
    """The weights of a layer and of all inside it, trainable ones before others."""
    found: dict[tuple[int, str], Slot] = {}
    for slot in _slots(layer, layer.name, True):
        found.setdefault((id(slot.layer), slot.name), slot)
    return sorted(found.values(), key=lambda slot: not slot.trainable)


def _slots(layer: Layer, owner: str, trainable: bool) -> Iterator[Slot]:
    trainable = trainable and layer.trainable
    yield from own_slots(layer, owner, trainable)
    for field, inner in inner_layers(layer):
        yield from _slots(inner, inner.name or field, trainable)


def own_slots(layer: Layer, owner: str, trainable: bool = True) -> list[Slot]:
    """A layer's own weights, the trainable ones first."""
    made = [
        Slot(layer, name, owner, weight, trainable and weight.trainable)
        for name, weight in layer.declared_weights.items()
    ]
    return sorted(made, key=lambda slot: not slot.weight.trainable)


def inner_layers(layer: Layer) -> list[tuple[str, Layer]]:
    """The layers right inside a layer, in Keras's order, with their names or fields."""
    if isinstance(layer, Network):
        return [(inner.name, inner) for inner in keras_layers(layer)]
    return list(layer.sublayers())


def is_input(layer: Layer) -> bool:
    """Whether a layer is where samples enter."""
    return isinstance(layer, InputLayer)
