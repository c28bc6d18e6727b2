"""Makes every layer of a model config, and collects whatever stands in the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from layerport.connections import InputLayer
from layerport.errors import LayerportError, UnsupportedError
from layerport.format import ReadContext
from layerport.layer import Layer
from layerport.network import Network

from layerport_formats.keras_config.dialect import NETWORK_CLASSES, Dialect, layer_entries
from layerport_formats.keras_config.fields import ConfigError, FieldReader, Findings
from layerport_formats.keras_config.nodes import Node, NodeError, Ref, read_nodes, read_ports
from layerport_formats.keras_config.operators import is_operator, operator_layer
from layerport_formats.keras_config.tables import LAYER_ALIASES, rule_of

CODE_LAYERS = frozenset({"Lambda", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer"})
"""Layers whose configs hold program code, which is never run."""

NOT_KERAS = frozenset({"Network", "Operator"})
"""Layers of ours that no config of Keras names."""


@dataclasses.dataclass
class Entry:
    """One layer of a model.

    Attributes
    ----------
    layer : the layer, or what a nested network will be made of.
    nodes : its calls; a Sequential lists none.
    """

    name: str
    layer: Layer | Blueprint
    nodes: list[Node]


@dataclasses.dataclass
class Blueprint:
    """A network whose layers are made but not connected.

    Attributes
    ----------
    arguments : of the network.
    inputs, outputs, output_names : of a functional model.
    input_layer : of a Sequential that lists none.
    made : the network, once it is connected.
    """

    is_sequential: bool
    arguments: dict[str, Any]
    entries: list[Entry]
    inputs: list[Ref] = dataclasses.field(default_factory=list)
    outputs: list[Ref] = dataclasses.field(default_factory=list)
    output_names: Sequence[str] | None = None
    input_layer: InputLayer | None = None
    made: Network | None = None


class Parser:
    """Makes layers.

    Parameters
    ----------
    place : where in the file the config stands, for messages.
    """

    def __init__(self, dialect: Dialect, context: ReadContext, place: str) -> None:
        self._context = context
        self._place = place
        self._findings = Findings()
        self._fields = FieldReader(dialect, context.registry, self._findings, self._inner)
        self._shared: dict[Any, Layer | Blueprint] = {}

    def check_classes(self, config: Mapping[str, Any]) -> None:
        """Refuse a model with layers of unknown classes, naming all of them."""
        entries = list(layer_entries(config))
        if len(entries) > self._context.limits.layers:
            self._context.fail(f"it has {len(entries):,} layers, more than the limit", self._place)
        unknown = []
        for entry in entries:
            class_name, inner = entry.get("class_name"), entry.get("config")
            if isinstance(class_name, str) and not self._known(class_name):
                name = inner.get("name", "") if isinstance(inner, Mapping) else ""
                unknown.append(f"{class_name} {str(name)!r}{_why(class_name)}")
        if unknown:
            raise UnsupportedError(
                f"{self._context.path}, at {self._place}: layerport does not know these layers",
                dict.fromkeys(unknown),
                hint="pass their classes with layerport.load(path, layers=[...]), or install the "
                "plugin that offers them",
            )

    def _known(self, class_name: str) -> bool:
        return (
            class_name in NETWORK_CLASSES
            or class_name == "InputLayer"
            or self._class_of(class_name) is not None
            or is_operator(class_name)
        )

    def _class_of(self, class_name: str) -> type[Layer] | None:
        """The class that a config names, which may be registered in a package of its own."""
        bare = class_name.rpartition(">")[2]
        name = LAYER_ALIASES.get(bare, bare)
        return None if name in NOT_KERAS else self._context.registry.layers.get(name)

    def report(self) -> None:
        """Raise what was found, or note it."""
        found = self._findings
        if found.problems:
            raise UnsupportedError(
                f"{self._context.path}, at {self._place}: these layers cannot be made",
                dict.fromkeys(found.problems),
            )
        if found.halves:
            named = ", ".join(f"{name} ({policy})" for name, policy in found.halves.items())
            self._context.note(
                "approximated",
                "computes in float32, with the same weights, where the model computes in half "
                f"precision: {named}",
            )
        if found.stateful:
            self._context.note(
                "approximated",
                "starts every call from a state of zeros, where the model goes on from the state "
                f"that the call before left: {', '.join(found.stateful)}",
            )
        if found.dropped:
            named = ", ".join(dict.fromkeys(found.dropped))
            self._context.note("dropped", f"arguments that matter while training only: {named}")

    # Networks ---------------------------------------------------------------------------

    def network(
        self, config: Mapping[str, Any], prefix: str = "", depth: int = 0
    ) -> Blueprint | None:
        """The blueprint of a network; None where a problem is noted.

        Parameters
        ----------
        prefix : the names of the networks around it.
        """
        class_name, inner = str(config["class_name"]), config.get("config")
        if isinstance(inner, list):  # how Keras before 2.2.3 wrote a Sequential
            inner = {"layers": inner}
        if not isinstance(inner, Mapping) or not isinstance(inner.get("layers"), list):
            self._context.fail(f"the {class_name} lists no layers", self._at(prefix))
        if depth > self._context.limits.depth:
            self._context.fail("networks are nested too deeply", self._place)
        name = str(inner.get("name") or "")
        arguments: dict[str, Any] = {"name": name, "trainable": inner.get("trainable") is not False}
        if "dtype" in inner:
            arguments["dtype"] = self._fields.dtype(inner["dtype"], name)
        entries = [
            self._entry(entry, index, prefix, depth) for index, entry in enumerate(inner["layers"])
        ]
        known = [entry for entry in entries if entry is not None]
        if len(known) < len(entries):
            return None
        blueprint = Blueprint(class_name == "Sequential", arguments, known)
        if blueprint.is_sequential:
            blueprint.input_layer = self._first_input(config, inner, known, prefix)
            return blueprint
        try:
            blueprint.inputs, _ = read_ports(inner.get("input_layers"))
            blueprint.outputs, blueprint.output_names = read_ports(inner.get("output_layers"))
        except NodeError as error:
            self._context.fail(f"inputs or outputs: {error}", self._at(prefix))
        return blueprint

    def _at(self, prefix: str) -> str:
        return f"{self._place}, {prefix.removesuffix('/')}" if prefix else self._place

    def _first_input(self, config: Mapping[str, Any], inner: Mapping[str, Any],
                     entries: Sequence[Entry], prefix: str) -> InputLayer | None:  # fmt: skip
        """The input layer of a Sequential that says the shape elsewhere."""
        if not entries or isinstance(entries[0].layer, InputLayer):
            return None
        own, build = inner["layers"][0]["config"], config.get("build_config")
        shapes = [
            own.get("batch_input_shape") if isinstance(own, Mapping) else None,
            inner.get("build_input_shape"),
            build.get("input_shape") if isinstance(build, Mapping) else None,
        ]
        shape = next((shape for shape in shapes if isinstance(shape, list)), None)
        if shape is None:
            return None
        first = entries[0]
        dtype = rule_of(inner["layers"][0]["class_name"]).input_dtype
        if dtype is None:
            dtype = "float32" if isinstance(first.layer, Blueprint) else first.layer.dtype
        try:
            # Keras names it after the first layer.
            return input_layer(shape, dtype, f"{first.name or 'sequential'}_input")
        except ConfigError as error:
            self._context.fail(str(error), self._at(prefix))

    def _entry(self, entry: Any, index: int, prefix: str, depth: int) -> Entry | None:
        """One layer; None where a problem is noted."""
        config = entry.get("config") if isinstance(entry, Mapping) else None
        class_name = entry.get("class_name") if isinstance(entry, Mapping) else None
        if not isinstance(class_name, str) or not isinstance(config, (Mapping, list)):
            self._context.fail(f"layer {index} has no class_name and config", self._at(prefix))
        inner: Mapping[str, Any] = config if isinstance(config, Mapping) else {}
        name = str(entry.get("name") or inner.get("name") or "")
        if len(name) > self._context.limits.name_length:
            self._context.fail(f"the name of layer {index} is too long", self._at(prefix))
        try:
            nodes = read_nodes(entry.get("inbound_nodes", []))
            return self._shared_or_made(entry, class_name, inner, name, nodes, prefix, depth)
        except (ConfigError, NodeError) as error:
            self._findings.problems.append(f"{class_name} {prefix + name!r}: {error}")
            return None

    def _shared_or_made(self, entry: Mapping[str, Any], class_name: str, config: Mapping[str, Any],
                        name: str, nodes: list[Node], prefix: str,
                        depth: int) -> Entry | None:  # fmt: skip
        """A layer, or the one that stands elsewhere in the model under the same id."""
        number = entry.get("shared_object_id")
        key = (number, class_name, name)
        if number is not None and key in self._shared:
            return Entry(name, self._shared[key], nodes)
        layer: Layer | Blueprint | None
        if class_name in NETWORK_CLASSES:
            layer = self.network(entry, f"{prefix}{name}/", depth + 1)
        elif is_operator(class_name, self._context.registry, nodes):
            layer, nodes = operator_layer(class_name, config, name, nodes)
        else:
            layer = self._layer(class_name, config, name)
        if layer is None:
            return None
        if number is not None:
            self._shared[key] = layer
        return Entry(name, layer, nodes)

    # Layers -----------------------------------------------------------------------------

    def _layer(self, class_name: str, config: Mapping[str, Any], name: str) -> Layer:
        if class_name == "InputLayer":
            return self._input(config, name)
        cls = self._class_of(class_name)
        if cls is None:
            raise ConfigError(f"the class {class_name} is not known{_why(class_name)}")
        try:
            if _makes_itself(cls):
                dtype = self._fields.dtype(config.get("dtype"), name)
                return cls.from_config({**config, "dtype": dtype}, self._context.registry)
            arguments = self._fields.arguments(cls, cls.__name__, config, name)
            layer: Layer = cls(**{**arguments, "name": name})
        except (LayerportError, TypeError, ValueError) as error:
            raise ConfigError(str(error)) from error
        return layer

    def _input(self, config: Mapping[str, Any], name: str) -> Layer:
        shape = config.get("batch_input_shape", config.get("batch_shape"))
        if shape is None and isinstance(config.get("shape"), list):
            shape = [None, *config["shape"]]
        for option in ("sparse", "ragged", "optional"):
            if config.get(option):
                raise ConfigError(f"an input with {option}=true is not supported")
        return input_layer(shape, self._fields.dtype(config.get("dtype"), name), name)

    def _inner(self, value: Mapping[str, Any]) -> Layer:
        """A layer inside the config of another one."""
        from layerport_formats.keras_config.building import build

        class_name, config = str(value["class_name"]), value.get("config")
        if class_name in NETWORK_CLASSES:
            blueprint = self.network(value, depth=1)
            if blueprint is None:
                raise ConfigError("the network inside it cannot be made")
            return build(blueprint, self._context, self._place)
        if not isinstance(config, Mapping):
            raise ConfigError(f"the {class_name} inside it has no config")
        return self._layer(class_name, config, str(config.get("name") or ""))


def input_layer(shape: Any, dtype: str, name: str) -> InputLayer:
    """The input of a batch's shape (with the batch, None for what varies).

    Raises
    ------
    ConfigError : where it is no shape.
    """
    if not isinstance(shape, (list, tuple)) or not shape:
        raise ConfigError(f"{shape!r} is no shape of a batch")
    for extent in shape:
        if extent is not None and (type(extent) is not int or extent < 0):
            raise ConfigError(f"{extent!r} in the shape {shape!r} is no extent")
    return InputLayer(tuple(shape[1:]), shape[0], name=name, dtype=dtype)


def _makes_itself(cls: type[Layer]) -> bool:
    """Whether a class has a config of its own making."""
    return cls.from_config.__func__ is not Layer.from_config.__func__  # type: ignore[attr-defined]


def _why(class_name: str) -> str:
    return ", whose config is program code" if class_name in CODE_LAYERS else ""
