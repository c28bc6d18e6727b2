"""From a Network to a Keras model config."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from layerport.connections import Call, InputLayer, Outlet
from layerport.format import WriteContext
from layerport.layer import Layer, plain
from layerport.network import Network
from layerport.sequential import Sequential

from layerport_formats.keras_config.dialect import Dialect
from layerport_formats.keras_config.nodes import TENSOR, rebuilt
from layerport_formats.keras_config.order import keras_layers
from layerport_formats.keras_config.tables import (
    KERAS2_ACTIVATIONS,
    KERAS2_LAYERS,
    KERAS3_ACTIVATIONS,
    KERAS3_ONLY_LAYERS,
    KERAS_OBJECTS,
    rule_of,
)

KERAS_LAYERS = KERAS2_LAYERS | KERAS3_ONLY_LAYERS

OBJECT_MODULES = {"_initializer": "initializers", "_regularizer": "regularizers"}
"""End of the name of an argument -> the module of Keras that its objects come from."""


class ConfigWriter:
    """Writes configs in one dialect.

    Parameters
    ----------
    context : gets the notes on what a config cannot hold.
    """

    def __init__(self, dialect: Dialect, context: WriteContext) -> None:
        self._dialect = dialect
        self._context = context
        self._shared: dict[int, int] = {}
        self._custom: set[str] = set()

    def model(self, network: Network) -> dict[str, Any]:
        """The config of a whole model."""
        homes: dict[int, int] = {}
        for _, holder in _networks(network):
            for layer in holder.layers:
                homes[id(layer)] = homes.get(id(layer), 0) + 1
        several = [key for key, count in homes.items() if count > 1]
        self._shared = {key: number for number, key in enumerate(several)}
        config = self._entry(network)
        if self._custom:
            named = ", ".join(sorted(self._custom))
            self._context.note(
                "notice", f"Keras reads this file with {named} among its custom_objects only"
            )  # fmt: skip
        return config

    # Networks ---------------------------------------------------------------------------

    def _entry(self, layer: Layer) -> dict[str, Any]:
        """A layer as class name and config."""
        if isinstance(layer, Network):
            is_chain = isinstance(layer, Sequential)
            entry = self._sequential(layer) if is_chain else self._functional(layer)
        elif isinstance(layer, InputLayer):
            entry = {"class_name": "InputLayer", "config": self._input(layer)}
        else:
            entry = {"class_name": type(layer).__name__, "config": self._config(layer)}
        if id(layer) in self._shared:
            entry["shared_object_id"] = self._shared[id(layer)]
        return entry

    def _sequential(self, network: Network) -> dict[str, Any]:
        # A Sequential that took its shape from data has an input layer that it does not list.
        listed = [layer for layer in network.chain if isinstance(layer, InputLayer)]
        first = [network.calls[0].layer] if network.calls else listed
        layers = [*first, *keras_layers(network)]
        return {
            "class_name": "Sequential",
            "config": {**_own(network), "layers": [self._entry(layer) for layer in layers]},
        }

    def _functional(self, network: Network) -> dict[str, Any]:
        calls: dict[Layer, list[Call]] = {}
        for call in network.calls:
            calls.setdefault(call.layer, []).append(call)
        numbers = {
            call: number + self._first_number(layer)
            for layer, listed in calls.items()
            for number, call in enumerate(listed)
        }
        nodes = self._node2 if self._dialect.major == 2 else self._node3
        layers = [
            {
                **self._entry(layer),
                "name": layer.name,
                "inbound_nodes": [
                    nodes(call, numbers) for call in calls[layer] if call.args or call.kwargs
                ],
            }
            for layer in keras_layers(network)
        ]
        return {
            "class_name": "Functional",
            "config": {
                **_own(network),
                "layers": layers,
                "input_layers": [_port(outlet, numbers) for outlet in network.input_outlets],
                "output_layers": [_port(outlet, numbers) for outlet in network.output_outlets],
            },
        }

    def _first_number(self, layer: Layer) -> int:
        # Keras 2 counts the call that made a nested model.
        return int(self._dialect.major == 2 and isinstance(layer, Network))

    def _node2(self, call: Call, numbers: Mapping[Call, int]) -> list[Any]:
        """``[[layer, call, output, keyword arguments], ...]``."""

        def reference(leaf: Any) -> Any:
            return _port(leaf, numbers) if isinstance(leaf, Outlet) else plain(leaf, call.layer)

        args, kwargs = call.args, dict(call.kwargs)
        if len(args) > 1:  # all but the first go by name
            parameters = list(inspect.signature(type(call.layer).call).parameters)[1:]
            kwargs.update(zip(parameters[1:], args[1:], strict=False))
        first = args[0] if isinstance(args[0], (list, tuple)) else [args[0]]
        options = rebuilt(reference, kwargs)
        return [[*_port(outlet, numbers), options] for outlet in first]

    def _node3(self, call: Call, numbers: Mapping[Call, int]) -> dict[str, Any]:
        def reference(leaf: Any) -> Any:
            if not isinstance(leaf, Outlet):
                return plain(leaf, call.layer)
            shape = [extent if isinstance(extent, int) else None for extent in leaf.shape]
            return {
                "class_name": TENSOR,
                "config": {
                    "shape": shape, "dtype": leaf.dtype.name,
                    "keras_history": _port(leaf, numbers),
                },
            }  # fmt: skip

        return {
            "args": [rebuilt(reference, arg) for arg in call.args],
            "kwargs": rebuilt(reference, call.kwargs),
        }

    # Layers -----------------------------------------------------------------------------

    def _input(self, layer: InputLayer) -> dict[str, Any]:
        named = [extent for extent in layer.shape if isinstance(extent, str)]
        if named:
            self._context.note(
                "dropped", f"the names of the extents {', '.join(named)}", layer.name
            )
        shape = [extent if isinstance(extent, int) else None for extent in layer.shape]
        return {
            "name": layer.name,
            "dtype": layer.dtype,
            self._dialect.shape_key: [layer.batch_size, *shape],
        }

    def _config(self, layer: Layer) -> dict[str, Any]:
        kind = type(layer)
        if kind.__name__ not in KERAS_LAYERS:
            self._custom.add(kind.__name__)
        if kind.get_config is not Layer.get_config:
            return layer.get_config()
        rule = rule_of(kind.__name__)
        config: dict[str, Any] = {"name": layer.name}
        for field in kind.config_fields():
            value = getattr(layer, field.name)
            name = field.name
            if name in rule.keras3_lacks:
                continue
            if name in rule.numbers and isinstance(value, tuple) and len(value) == 1:
                (value,) = value
            if self._dialect.major == 2:
                if name in rule.keras3_only:  # `choose_dialect` has seen that it may be left out
                    continue
                name = rule.keras2_names.get(name, name)
            made = self._value(field.name, value, layer)
            if made is not _LEFT_OUT:
                config[name] = made
        return config

    def _value(self, key: str, value: Any, layer: Layer) -> Any:
        if key == "data_format" and value is None:
            return "channels_last"
        if key == "activation" or key.endswith("_activation"):
            return self._activation(value, layer)
        for suffix, module in OBJECT_MODULES.items():
            if key.endswith(suffix):
                return self._object(key, value, module, layer)
        if isinstance(value, Layer):
            return self._inner(value)
        return plain(value, layer)

    def _activation(self, value: Any, layer: Layer) -> Any:
        if value is None:
            return None
        if isinstance(value, Layer):
            return self._inner(value)
        name = value if isinstance(value, str) else layer.registry.name_of(value)
        if name not in KERAS2_ACTIVATIONS and name not in KERAS3_ACTIVATIONS:
            self._custom.add(str(name))
        return KERAS2_ACTIVATIONS.get(str(name), name) if self._dialect.major == 2 else name

    def _inner(self, layer: Layer) -> dict[str, Any]:
        """A layer inside the config of another one."""
        return _object(self._entry(layer), "layers")

    def _object(self, key: str, value: Any, module: str, layer: Layer) -> Any:
        """An initializer or regularizer."""
        registry = layer.registry
        find = registry.initializer if module == "initializers" else registry.regularizer
        made: Any = find(value)
        if made is None:
            return None
        class_name = type(made).__name__
        if class_name in KERAS_OBJECTS:
            return _object({"class_name": class_name, "config": made.get_config()}, module)
        if isinstance(value, str) and value != "js_mind":  # a plug-in's, known to Keras or not
            return value
        self._context.note("dropped", f"{key}, which Keras has no name for", layer.name)
        return _LEFT_OUT


_LEFT_OUT: Any = object()


def _object(entry: dict[str, Any], module: str) -> dict[str, Any]:
    """An object inside a config, as Keras finds its own."""
    if module == "layers" and entry["class_name"] not in KERAS_LAYERS:
        return entry
    return {"module": f"keras.{module}", **entry, "registered_name": None}


def _own(network: Network) -> dict[str, Any]:
    own: dict[str, Any] = {"name": network.name, "trainable": network.trainable}
    if network.dtype != "float32":
        own["dtype"] = network.dtype
    return own


def _port(outlet: Outlet, numbers: Mapping[Call, int]) -> list[Any]:
    return [outlet.layer.name, numbers[outlet.call], outlet.index]


def _networks(network: Network) -> list[tuple[str, Network]]:
    """All networks, each once."""
    found = {id(layer): (path, layer) for path, layer in network.walk()
             if isinstance(layer, Network)}  # fmt: skip
    return list(found.values())
