"""The layers that a file was written from, kept in the model's metadata.

They are a proposal: a network made of them counts only if it lowers to the graph in the file, so
a file that another tool has changed is read as what it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import onnx
from layerport.connections import InputLayer
from layerport.errors import LayerportError, UnsupportedError
from layerport.format import ReadContext
from layerport.network import Network
from layerport.operator import Operator
from layerport.sequential import Sequential
from layerport.structure import layer_config

from .digest import digest
from .nodes import NEWEST
from .reading import Translation, translate
from .tensors import TensorReader
from .writing import OLDEST, Lowered, Model, lower, to_model

if TYPE_CHECKING:
    from pathlib import Path

    from layerport.op import NDArray

KEY = "layerport.network"
"""The entry of the model's metadata: a JSON object with class name and config of the network."""

_CLASSES: Mapping[str, type[Network]] = {"Network": Network, "Sequential": Sequential}


def is_plain(network: Network) -> bool:
    """Whether a network is nothing but raw operators, which the graph holds completely."""
    return (
        not isinstance(network, Sequential)
        and network.labels is None
        and all(type(layer) in (Operator, InputLayer) for layer in network.layers)
        and all(layer.trainable for layer in network.layers)
    )


def describe(network: Network) -> str:
    """The metadata of a network.

    Raises
    ------
    UnsupportedError : when a layer holds what no file can keep.
    """
    if type(network) not in _CLASSES.values():
        raise UnsupportedError(f"{type(network).__name__} is a network class of its own")
    return json.dumps(layer_config(network), separators=(",", ":"))


def attach(model: onnx.ModelProto, network: Network) -> None:
    """Put the layers of a network into a model's metadata."""
    model.metadata_props.add(key=KEY, value=describe(network))


def restore(model: onnx.ModelProto, context: ReadContext, folder: Path) -> Network | None:
    """The network of layers that a model was written from.

    None, with a note that says why, where the model holds something else by now.
    """
    entry = next((entry for entry in model.metadata_props if entry.key == KEY), None)
    if entry is None:
        return None
    try:
        return _restored(model, entry.value, context, folder)
    except LayerportError as error:
        why = str(error)
    except Exception as error:  # the metadata may be anything
        why = f"its description of the layers is damaged ({type(error).__name__}: {error})"
    context.note("notice", f"read as operators, not as the layers it was written from: {why}")
    return None


class DiffersError(LayerportError):
    """The graph is not the one that the layers give."""


def _restored(model: onnx.ModelProto, text: str, context: ReadContext, folder: Path) -> Network:
    data = json.loads(text)
    network = _CLASSES[data["class_name"]].from_config(data["config"], context.registry)
    lowered = lower(network, context.registry)
    expected = to_model(network, lowered, _opset(model))
    arrays = _weights(model, expected, lowered, context, folder)
    changed = _structure(model, expected, arrays, context, folder)
    if changed:
        raise DiffersError(changed)
    for name, full in expected.weights.items():
        layer, weight = lowered.weights[full]
        layer.place(weight, arrays[name])
    return network


def _opset(model: onnx.ModelProto) -> int | None:
    version = next((e.version for e in model.opset_import if e.domain in ("", "ai.onnx")), None)
    return version if version is not None and OLDEST <= version <= NEWEST else None


def _weights(
    model: onnx.ModelProto, expected: Model, lowered: Lowered, context: ReadContext, folder: Path
) -> dict[str, NDArray]:
    """The arrays for the network's weights, by the names of the initializers."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    missing = [name for name in expected.weights if name not in tensors]
    if missing:
        raise DiffersError(f"the weights {', '.join(missing)} are not in the file any more")
    read = TensorReader(context, folder)
    arrays = {name: read(tensors[name]) for name in expected.weights}
    parameters = {value.name: value for value in lowered.graph.parameters}
    for name, full in expected.weights.items():
        wanted = parameters[full]
        if arrays[name].shape != wanted.shape or arrays[name].dtype != wanted.dtype:
            raise DiffersError(f"the weight {name} is {arrays[name].dtype}{arrays[name].shape} now")
    return arrays


def _structure(
    model: onnx.ModelProto,
    expected: Model,
    arrays: Mapping[str, NDArray],
    context: ReadContext,
    folder: Path,
) -> str:
    """What differs between the graphs, or ""."""
    weights = set(expected.weights)
    quiet = ReadContext(context.path, context.registry, context.limits)
    found = translate(model, quiet, folder, weights=arrays, arrays=arrays)
    given = {**expected.constants, **arrays}
    wanted = translate(expected.proto, quiet, folder, weights=arrays, arrays=given)
    if _ports(found) != _ports(wanted):
        return "its inputs or outputs are others"
    ours = digest(wanted.graph, wanted.arrays, weights)
    theirs = digest(found.graph, found.arrays, weights)
    return "" if ours == theirs else "another tool has changed the graph"


def _ports(translation: Translation) -> tuple[list[str], list[str]]:
    graph = translation.graph
    return [value.name for value in graph.inputs], list(graph.output_names)
