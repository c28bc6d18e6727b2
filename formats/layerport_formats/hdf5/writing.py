"""Writes legacy .h5 files, in the form that most versions of Keras read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from layerport.errors import UnsupportedError

from layerport_formats.hdf5.reading import CONFIG, LABELS, OUTPUT_NAMES
from layerport_formats.keras_config.needs import choose_dialect
from layerport_formats.keras_config.order import Slot, keras_layers, slots
from layerport_formats.keras_config.substitution import in_keras_layers
from layerport_formats.keras_config.tables import rule_of
from layerport_formats.keras_config.writing import ConfigWriter

if TYPE_CHECKING:
    import h5py
    from layerport.format import WriteContext
    from layerport.layer import Layer
    from layerport.network import Network
    from layerport.op import NDArray

ATTRIBUTE_BYTES = 64512
"""The longest attribute that every version of HDF5 takes; longer lists are cut in pieces."""

VERSIONS = {2: "2.4.0", 3: "3.0.0"}
"""Dialect -> the oldest version of Keras that has all that we write, which files name."""


def write(network: Network, context: WriteContext) -> None:
    """Write a whole model."""
    import h5py

    written = in_keras_layers(network, context)
    wanted = str(context.options.get("config", "auto"))
    dialect = choose_dialect(written, wanted, context)
    config = ConfigWriter(dialect, context).model(written)
    try:
        text = json.dumps(config, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise UnsupportedError(f"{context.target}: the config of a layer: {error}") from error
    with h5py.File(context.path, "w") as file:
        file.attrs[CONFIG] = text
        if network.labels is not None:
            file.attrs[LABELS] = json.dumps([str(label) for label in network.labels])
        if network.output_names is not None:
            file.attrs[OUTPUT_NAMES] = json.dumps(list(network.output_names))
        weights = file.create_group("model_weights")
        for place in (file, weights):
            place.attrs["keras_version"] = VERSIONS[dialect.major]
            place.attrs["backend"] = "tensorflow"
        _write_weights(weights, written)


def _write_weights(root: h5py.Group, network: Network) -> None:
    layers = keras_layers(network)
    _set_names(root, "layer_names", [layer.name for layer in layers])
    for layer in layers:
        group = root.require_group(layer.name)
        arrays = _named_arrays(layer)
        _set_names(group, "weight_names", list(arrays))
        for name, array in arrays.items():
            group.create_dataset(name, data=array)


def _named_arrays(layer: Layer) -> dict[str, NDArray]:
    """The weights of a layer and of all inside it, by the names that files have, in order."""
    listed: list[tuple[str, NDArray]] = []
    wanted = slots(layer)
    for index, slot in enumerate(wanted):
        listed.append((slot.full_name, slot.layer.own_weights[slot.name]))
        last = index + 1 == len(wanted) or wanted[index + 1].layer is not slot.layer
        if last:
            listed += _extra(slot)
    named: dict[str, NDArray] = {}
    for name, array in listed:
        unique, count = f"{name}:0", 0
        while unique in named:
            count += 1
            unique = f"{name}_{count}:0"
        named[unique] = array
    return named


def _extra(last: Slot) -> list[tuple[str, Any]]:
    """Weights that Keras expects behind those of a layer, and that our layer lacks."""
    declared = last.layer.declared_weights
    extra = rule_of(type(last.layer).__name__).extra_weights
    return [
        (f"{last.owner}/{name}", np.zeros((), np.int32)) for name in extra if name not in declared
    ]


def _set_names(group: h5py.Group, attribute: str, names: list[str]) -> None:
    """List names in an attribute, or in several where one would be too long."""
    if not names:
        group.attrs[attribute] = np.zeros(0)
        return
    encoded = np.array([name.encode("utf-8") for name in names])
    if encoded.nbytes <= ATTRIBUTE_BYTES:
        group.attrs[attribute] = encoded
        return
    count = -(-encoded.nbytes // ATTRIBUTE_BYTES)
    while any(piece.nbytes > ATTRIBUTE_BYTES for piece in np.array_split(encoded, count)):
        count += 1
    for index, piece in enumerate(np.array_split(encoded, count)):
        group.attrs[f"{attribute}{index}"] = piece
