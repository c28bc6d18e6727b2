"""How a network's connections are written down: the config of `Network` and `Sequential`.

A functional network is ``{"layers": [{"class_name", "config"}...], "calls": [...], "inputs",
"outputs"}``. A call is ``{"layer": index, "args": [...], "kwargs": {...}}``; what comes out of
call c at place i stands as ``{"call": c, "output": i}``. A Sequential is its list of layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from layerport.errors import LayerportError
from layerport.layer import Layer, flat, map_leaves, plain
from layerport.registry import Registry

if TYPE_CHECKING:
    from layerport.network import Network

COMMON = frozenset({"name", "trainable", "dtype", "labels", "layers", "output_names"})
CONNECTIONS = frozenset({"calls", "inputs", "outputs"})
"""The keys of a network's config: of any network, and of those that are no chains."""


def layer_config(layer: Layer) -> dict[str, Any]:
    """A layer as class name and config."""
    return {"class_name": type(layer).__name__, "config": layer.get_config()}


def to_config(network: Network) -> dict[str, Any]:
    """The structural part of a network's config."""
    from layerport.connections import Outlet
    from layerport.sequential import Sequential

    extra = {"labels": list(network.labels)} if network.labels is not None else {}
    if isinstance(network, Sequential):
        chain = list(network.chain)
        if network.calls and chain and chain[0] is not network.calls[0].layer:
            chain.insert(0, network.calls[0].layer)
        return {"layers": [layer_config(layer) for layer in chain], **extra}
    calls = {call: index for index, call in enumerate(network.calls)}
    layers = {layer: index for index, layer in enumerate(network.layers)}

    def reference(leaf: Any) -> Any:
        if isinstance(leaf, Outlet):
            return {"call": calls[leaf.call], "output": leaf.index}
        return plain(leaf, network)

    return {
        "layers": [layer_config(layer) for layer in layers],
        "calls": [
            {
                "layer": layers[call.layer],
                "args": [map_leaves(reference, arg) for arg in call.args],
                "kwargs": {key: map_leaves(reference, v) for key, v in call.kwargs.items()},
            }
            for call in network.calls
        ],
        "inputs": [reference(outlet) for outlet in network.input_outlets],
        "outputs": [reference(outlet) for outlet in network.output_outlets],
        **extra,
    }


def from_config(cls: type[Network], config: Mapping[str, Any], registry: Registry) -> Network:
    """A network made of the result of `Network.get_config`.

    Raises
    ------
    LayerportError : naming every layer class that is not known, and references that lead nowhere.
    """
    from layerport.sequential import Sequential

    chain = issubclass(cls, Sequential)
    unknown = sorted(set(config) - COMMON - (frozenset() if chain else CONNECTIONS))
    if unknown:
        raise LayerportError(f"{cls.__name__} has no argument {', '.join(map(repr, unknown))}")
    made = _made(_known(config, registry), registry)
    own = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
    if chain:
        network: Network = cls(made, **own)
    else:
        network = _connect(cls, config, made, own)
    if config.get("labels") is not None:
        network.labels = list(config["labels"])
    return network


def _known(config: Mapping[str, Any], registry: Registry) -> list[Mapping[str, Any]]:
    """The entries of the layers; every class in them, and in networks among them, is known."""
    unknown = sorted(_classes(config) - set(registry.layers))
    if unknown:
        hints = [hint for name in unknown if (hint := registry.hint("layers", name))]
        raise LayerportError(
            f"the layers {', '.join(unknown)} are not known; "
            + "".join(f"{hint} " for hint in hints)
            + "pass their classes with layers=, or install the plugin that offers them"
        )
    return list(config.get("layers", ()))


def _classes(config: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    entries = config.get("layers", ())
    if not isinstance(entries, (list, tuple)):
        raise LayerportError("the layers are no list")
    for index, entry in enumerate(entries):
        if not _is_layer(entry):
            raise LayerportError(f"layers[{index}] is no layer with just class_name and config")
        found.add(entry["class_name"])
        if entry["class_name"] in ("Sequential", "Network"):
            found |= _classes(entry["config"])
    return found


def _is_layer(entry: Any) -> bool:
    return (
        isinstance(entry, Mapping)
        and set(entry) == {"class_name", "config"}
        and isinstance(entry["class_name"], str)
        and isinstance(entry["config"], Mapping)
    )


def _made(entries: Sequence[Mapping[str, Any]], registry: Registry) -> list[Layer]:
    """The layers; all arguments that are wrong are named at once."""
    made: list[Layer] = []
    problems = []
    for entry in entries:
        try:
            made.append(registry.layers[entry["class_name"]].from_config(entry["config"], registry))
        except LayerportError as error:
            problems.append(f"layer {entry['config'].get('name', '')!r}: {error}")
    if problems:
        raise LayerportError("; ".join(problems))
    return made


def _connect(
    cls: type[Network], config: Mapping[str, Any], layers: list[Layer], own: dict[str, Any]
) -> Network:
    from layerport.connections import InputLayer, connect, input_outlet

    made: list[list[Any]] = []

    def resolve(thing: Any) -> Any:
        if isinstance(thing, Mapping) and set(thing) == {"call", "output"}:
            try:
                return made[thing["call"]][thing["output"]]
            except (IndexError, TypeError) as error:
                raise LayerportError(
                    f"{dict(thing)} refers to an output that is not there"
                ) from error
        if isinstance(thing, (list, tuple)):
            return [resolve(item) for item in thing]
        return thing

    for call in config.get("calls", ()):
        layer = layers[call["layer"]]
        if isinstance(layer, InputLayer):
            made.append([input_outlet(layer)])
            continue
        args = [resolve(arg) for arg in call["args"]]
        options = {key: resolve(value) for key, value in call["kwargs"].items()}
        made.append(list(flat(connect(layer, args, options))))
    names = config.get("output_names")
    return cls(
        [resolve(reference) for reference in config["inputs"]],
        [resolve(reference) for reference in config["outputs"]],
        None if names is None else tuple(names),
        **own,
    )
