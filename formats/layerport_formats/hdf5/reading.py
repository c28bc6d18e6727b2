"""Reads the kinds of HDF5 files that Keras has written over the years."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from layerport.errors import ModelFileError
from layerport.format import ReadContext

from layerport_formats.hdf5.files import Place, open_file
from layerport_formats.hdf5.legacy import plan_weights
from layerport_formats.hdf5.training import note_training
from layerport_formats.hdf5.tree import container_of, plan_tree
from layerport_formats.keras_config.dialect import dialect_of
from layerport_formats.keras_config.reading import read_network
from layerport_formats.layers_json.text import parse

if TYPE_CHECKING:
    from layerport.network import Network

    from layerport_formats.hdf5.placing import Plan

CONFIG, LABELS, OUTPUT_NAMES = "model_config", "layerport_labels", "layerport_output_names"


def read(path: Path, context: ReadContext) -> Network:
    """The network of a file that holds a whole model."""
    with open_file(path, context) as root:
        text = root.text(CONFIG)
        if text is None:
            _refuse_without_config(root)
        config = _parsed(text, context)
        version = root.text("keras_version")
        dialect = dialect_of(config if isinstance(config, dict) else {}, version)
        network = read_network(config, dialect, context, CONFIG)
        _read_own_attributes(root, network)
        weights = root.group("model_weights")
        if weights is None:
            root.fail("there is no group model_weights")
        plan_weights(weights, network, by_name=True).place()
        note_training(root, context)
    return network


def read_weights(path: Path, network: Network, context: ReadContext) -> None:
    """Put the weights of a file of any kind into a network."""
    with open_file(path, context) as root:
        _plan(root, network).copy()


def _parsed(text: str, context: ReadContext) -> Any:
    try:
        return parse(text.encode("utf-8"), context)
    except ModelFileError as error:
        context.fail(error.reason, f"{CONFIG}, {error.place}" if error.place else CONFIG)


def _plan(root: Place, network: Network) -> Plan:
    if container_of(root) is not None:
        return plan_tree(root, network)
    holder = root.group("model_weights") or root
    if holder.names("layer_names") is None:
        root.fail("it is an HDF5 file, but holds no weights in a form that Keras writes")
    return plan_weights(holder, network, by_name=False)


def _refuse_without_config(root: Place) -> NoReturn:
    if container_of(root) is not None or root.names("layer_names") is not None:
        root.fail(
            "it holds weights, but no network",
            hint="load or build the network, then call network.load_weights with this file",
        )
    root.fail(f"there is no attribute {CONFIG}: it is no model that Keras has saved")


def _read_own_attributes(root: Place, network: Network) -> None:
    """What layerport keeps in files of its own beside what Keras keeps."""
    labels = _strings(root, LABELS)
    if labels is not None:
        network.labels = labels
    names = _strings(root, OUTPUT_NAMES)
    if names is not None:
        if len(names) != len(network.output_outlets):
            root.fail(f"the attribute {OUTPUT_NAMES} does not name every output")
        network.output_names = tuple(names)


def _strings(root: Place, name: str) -> list[str] | None:
    text = root.text(name)
    if text is None:
        return None
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        root.fail(f"the attribute {name} is no list of texts")
    return listed
