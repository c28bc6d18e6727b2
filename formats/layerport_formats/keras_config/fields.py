"""From the config of one layer to the arguments of our class, by rules that know no class.

A key that is a field of the class is passed on; what its value is made of (a dtype policy, an
activation, an initializer, a layer) decides how it is converted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from layerport.errors import LayerportError
from layerport.layer import Layer, snake_case
from layerport.registry import Registry

from layerport_formats.keras_config.dialect import Dialect
from layerport_formats.keras_config.tables import (
    ACTIVATION_ALIASES,
    IRRELEVANT,
    NEUTRAL,
    TRAINING_SUFFIXES,
    rule_of,
)

HALVES = frozenset({"float16", "bfloat16", "mixed_float16", "mixed_bfloat16"})
COMPUTED = frozenset({"float32", "float64", "bool", "int8", "int16", "int32", "int64",
                      "uint8", "uint16", "uint32", "uint64"})  # fmt: skip
POLICIES = frozenset({"Policy", "DTypePolicy", "FloatDTypePolicy", "PolicyV1"})
LEFT_OUT = object()
"""A value that cannot be kept, and need not be: the field keeps its default."""


class ConfigError(ValueError):
    """A config that cannot become a layer; the text says why."""


@dataclasses.dataclass
class Findings:
    """What reading layer configs brought up beside the layers.

    Attributes
    ----------
    problems : why the model cannot be read, one line a layer.
    halves : layers that compute in half precision, with their dtype policy.
    dropped : arguments that matter while training only and that no layer of ours has.
    stateful : recurrent layers that go on from call to call.
    """

    problems: list[str] = dataclasses.field(default_factory=list)
    halves: dict[str, str] = dataclasses.field(default_factory=dict)
    dropped: list[str] = dataclasses.field(default_factory=list)
    stateful: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class FieldReader:
    """Makes the arguments of layers.

    Parameters
    ----------
    make : makes the layer of an object ``{"class_name", "config"}`` inside a config.
    """

    dialect: Dialect
    registry: Registry
    findings: Findings
    make: Callable[[Mapping[str, Any]], Layer]

    def arguments(self, cls: type[Layer], class_name: str, config: Mapping[str, Any],
                  name: str) -> dict[str, Any]:  # fmt: skip
        """The arguments of a class for a config.

        Raises
        ------
        ConfigError : naming an argument that is missing, wrong, or unknown and not harmless.
        """
        fields = {field.name: field for field in cls.config_fields()}
        given = self._renamed(class_name, config, fields)
        made = {key: self.value(key, given[key], name) for key in given if key in fields}
        made = {key: value for key, value in made.items() if value is not LEFT_OUT}
        if made.get("stateful"):
            self.findings.stateful.append(name)
        unknown = [
            f"{key}={_shown(value)}"
            for key, value in given.items()
            if key not in fields and not self._harmless(class_name, key, value, name)
        ]
        if unknown:
            raise ConfigError(f"layerport's {class_name} has no argument {', '.join(unknown)}")
        missing = [
            key
            for key, field in fields.items()
            if key not in made
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ]
        if missing:
            raise ConfigError(f"the config leaves out {', '.join(missing)}")
        return made

    def _renamed(self, class_name: str, config: Mapping[str, Any],
                 fields: Mapping[str, Any]) -> dict[str, Any]:  # fmt: skip
        rule = rule_of(class_name)
        ours = {theirs: field for field, theirs in rule.keras2_names.items() if field in fields}
        given = {
            ours[key] if key in ours and ours[key] not in config else key: value
            for key, value in config.items()
        }
        if self.dialect.early:
            given = {**{k: v for k, v in rule.early_defaults.items() if k in fields}, **given}
        return given

    def _harmless(self, class_name: str, key: str, value: Any, name: str) -> bool:
        """Whether an argument that our layer lacks may be left out."""
        rule = rule_of(class_name)
        if value is None or value is False or value in ([], {}, ""):
            return True
        if key in IRRELEVANT or key in rule.irrelevant or key.endswith("_initializer"):
            return True
        if key.endswith(TRAINING_SUFFIXES) or key == "stateful":
            self.findings.dropped.append(f"{key} of {name}")
            return True
        value = decoded(value)
        if value in rule.keras3_only.get(key, ()):
            return True
        return any(key in table and value == table[key] for table in (rule.neutral, NEUTRAL))

    # Values -----------------------------------------------------------------------------

    def value(self, key: str, value: Any, name: str) -> Any:
        """The value of an argument."""
        if key == "dtype":
            return self.dtype(value, name)
        if key == "activation" or key.endswith("_activation"):
            return self.activation(value)
        if key == "initializer" or key.endswith("_initializer"):
            return self._configured("initializers", value, key, name)
        if key == "regularizer" or key.endswith("_regularizer"):
            return self._configured("regularizers", value, key, name)
        value = decoded(value)
        if key == "axis" and isinstance(value, (list, tuple)) and len(value) == 1:
            return value[0]
        if isinstance(value, Mapping) and isinstance(value.get("class_name"), str):
            return self.make(value)
        return self._shortest(value)

    def _shortest(self, value: Any) -> Any:
        """Keras 2 writes 0.3 as 0.30000001192092896, its float32: take the shortest name of it."""
        if self.dialect.major == 2 and type(value) is float and abs(value) < 1e30:
            single = np.float32(value)
            if float(single) == value:
                return float(str(single))
        return value

    def dtype(self, value: Any, name: str) -> str:
        """The dtype of a dtype or dtype policy."""
        policy = value
        if isinstance(value, Mapping):
            config = value.get("config")
            policy = config.get("name") if isinstance(config, Mapping) else None
            if value.get("class_name") not in POLICIES:
                raise ConfigError(f"the dtype policy {value.get('class_name')} is not known")
        if policy is None or policy == "infer":
            return "float32"
        if isinstance(policy, str) and policy in HALVES:
            self.findings.halves[name] = str(policy)
            return "float32"
        if not isinstance(policy, str) or policy not in COMPUTED:
            raise ConfigError(f"the dtype {policy!r} is not one that layerport computes with")
        return str(policy)

    def activation(self, value: Any) -> Any:
        """An activation by name, or a layer that serves as one; None for none."""
        if isinstance(value, Mapping):
            class_name = str(value.get("class_name"))
            if class_name in self.registry.layers:
                return self.make(value)
            inner = value.get("config")
            if isinstance(inner, str):
                value = inner
            elif isinstance(inner, Mapping) and isinstance(inner.get("name"), str):
                value = inner["name"]
            else:
                value = snake_case(class_name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise ConfigError(f"the activation {_shown(value)} is no name")
        if value == "hard_sigmoid" and self.dialect.major == 2:
            value = "hard_sigmoid_keras2"
        usual = ACTIVATION_ALIASES.get(value, value)
        # Keras 2 has one name where Keras 3 has two.
        for name in (usual, value) if self.dialect.major == 2 else (value, usual):
            if name in self.registry.activations:
                return name
        raise ConfigError(
            f"the activation {value!r} is not known; a plugin can offer it (layerport_activations)"
        )

    def _configured(self, kind: str, value: Any, key: str, name: str) -> Any:
        """An initializer or regularizer. They do not matter for what a loaded model computes."""
        known = getattr(self.registry, kind)
        class_name: Any = value
        config: dict[str, Any] = {}
        if isinstance(value, Mapping):
            class_name = value.get("class_name")
            given = value.get("config")
            if isinstance(given, Mapping):
                config = {k: self._shortest(decoded(v)) for k, v in given.items() if v is not None}
        if class_name is None:
            return None
        names = (snake_case(str(class_name)), str(class_name))
        found = next((candidate for candidate in names if candidate in known), None)
        try:
            if found is not None:
                make = known[found]
                usual = next(candidate for candidate in known if known[candidate] is make)
                return _named_object(usual, make, config)
        except (TypeError, ValueError, LayerportError):
            pass
        self.findings.dropped.append(f"{key} ({class_name}) of {name}")
        return LEFT_OUT


def _named_object(name: str, make: Callable[..., Any], config: Mapping[str, Any]) -> Any:
    """An object by its name and the arguments that are not the defaults."""
    make(**config)  # refuses what it does not know
    usual = make().get_config() if hasattr(make, "get_config") else {}
    special = {key: value for key, value in config.items() if usual.get(key, _NO_VALUE) != value}
    return {"class_name": name, "config": special} if special else name


_NO_VALUE = object()


def decoded(value: Any) -> Any:
    """A value with Keras's JSON wrappers around tuples and arrays taken off."""
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    kind = value.get("class_name")
    if kind == "__tuple__":
        return [decoded(item) for item in value.get("items", ())]
    if kind in ("__numpy__", "__tensor__") and isinstance(value.get("config"), Mapping):
        return value["config"].get("value")
    if kind == "TensorShape":
        return value.get("items", [])
    if value.get("type") in ("ndarray", "numpy") and "value" in value:
        return value["value"]
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
