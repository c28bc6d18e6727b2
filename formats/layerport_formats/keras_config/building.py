"""Connects the layers of a blueprint."""

from __future__ import annotations

from typing import Any

from layerport.connections import InputLayer
from layerport.errors import LayerportError
from layerport.format import ReadContext
from layerport.network import Network
from layerport.sequential import Sequential

from layerport_formats.keras_config.calls import CallError, Connection
from layerport_formats.keras_config.parsing import Blueprint, Entry


def build(blueprint: Blueprint, context: ReadContext, place: str, path: str = "") -> Network:
    """The network of a blueprint.

    Parameters
    ----------
    place, path : where in the file its config stands, and the names of the networks around it.
    """
    if blueprint.made is None:
        layers = [_made(entry, context, place, path) for entry in blueprint.entries]
        where = f"{place}, layer {path.removesuffix('/')}" if path else place
        try:
            make = _sequential if blueprint.is_sequential else _functional
            blueprint.made = make(blueprint, layers)
        except CallError as error:
            context.fail(error.reason, f"{place}, layer {path}{error.layer}")
        except LayerportError as error:
            context.fail(str(error), where)
    return blueprint.made


def _made(entry: Entry, context: ReadContext, place: str, path: str) -> Any:
    if isinstance(entry.layer, Blueprint):
        return build(entry.layer, context, place, f"{path}{entry.name}/")
    return entry.layer


def _sequential(blueprint: Blueprint, layers: list[Any]) -> Network:
    if blueprint.input_layer is not None:
        layers = [blueprint.input_layer, *layers]
    elif layers and isinstance(layers[0], Network) and layers[0].calls:
        # Keras takes the shape from the network that comes first.
        port = layers[0].inputs[0]
        layers = [InputLayer(port.shape[1:], dtype=port.dtype, name=f"{port.name}"), *layers]
    return Sequential(layers, **blueprint.arguments)


def _functional(blueprint: Blueprint, layers: list[Any]) -> Network:
    named = {entry.name: layer for entry, layer in zip(blueprint.entries, layers, strict=True)}
    if len(named) < len(layers):
        raise LayerportError("two of its layers have the same name")
    nodes = {entry.name: entry.nodes for entry in blueprint.entries}
    connection = Connection(named, nodes, [*blueprint.inputs, *blueprint.outputs])
    names = blueprint.output_names
    return Network(
        [connection.outlet(ref) for ref in blueprint.inputs],
        [connection.outlet(ref) for ref in blueprint.outputs],
        None if names is None else tuple(names),
        **blueprint.arguments,
    )
