"""What optimizers, losses, metrics, schedules and callbacks have in common: a config and a name."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar, cast, dataclass_transform

from layerport.errors import LayerportError
from layerport.layer import snake_case
from layerport.registry import Registry


@dataclass_transform(field_specifiers=(dataclasses.field,))
class Component:
    """A class whose annotated fields are its config, in the order in which they can be given.

    Attributes
    ----------
    name : what the component is called by in `compile` and in files.
    aliases : further names.
    """

    name: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(eq=False)(cls)
        if "name" not in cls.__dict__:
            cls.name = snake_case(cls.__name__)

    def __post_init__(self) -> None:
        self.validate()

    @property
    def label(self) -> str:
        """What the component is called where its results are shown."""
        return self.name

    def validate(self) -> None:
        """Check the config; raise `LayerportError` naming the argument that is wrong."""

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal component, as JSON can hold them."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {field.name: _plain(getattr(self, field.name)) for field in fields if field.init}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """A component made of the result of `get_config`.

        Raises
        ------
        LayerportError : naming every argument that there is not.
        """
        known = {field.name for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
        unknown = sorted(set(config) - known)
        if unknown:
            raise LayerportError(
                f"{cls.__name__} has no argument {', '.join(unknown)}; "
                f"it has {', '.join(sorted(known)) or 'none'}"
            )
        return cls(**config)


def _plain(value: Any) -> Any:
    if isinstance(value, Component):
        return {"class_name": type(value).__name__, "config": value.get_config()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


Kind = TypeVar("Kind", bound=Component)


def find(kind: str, name: str, registry: Registry) -> type[Component] | None:
    """The class of the registry's table `kind` that answers to a name, or None.

    Classes answer to their name, their class name and their aliases, in any case.
    """
    table: Mapping[str, type[Component]] = getattr(registry, kind)
    for cls in table.values():
        if name.lower() in _names_of(cls):
            return cls
    return None


def _names_of(cls: type[Component]) -> set[str]:
    return {word.lower() for word in (cls.name, cls.__name__, *cls.aliases)}


def resolve(kind: str, given: Any, base: type[Kind], registry: Registry) -> Kind:
    """The component that a name, a config (`class_name`, `config`), a class or an instance means.

    Raises
    ------
    LayerportError : naming the components that there are, the closest first.
    """
    word = kind.removesuffix("es") if kind == "losses" else kind.removesuffix("s")
    if isinstance(given, base):
        return given
    if isinstance(given, type) and issubclass(given, base):
        return given()
    if isinstance(given, Mapping) and "class_name" in given:
        cls = _found(kind, word, str(given["class_name"]), registry)
        return cast(Kind, cls.from_config(_revived(given.get("config") or {}, registry)))
    if isinstance(given, str):
        return cast(Kind, _found(kind, word, given, registry)())
    raise LayerportError(f"{given!r} is no {word}: give a name or a {base.__name__}")


def _found(kind: str, word: str, name: str, registry: Registry) -> type[Component]:
    cls = find(kind, name, registry)
    if cls is not None:
        return cls
    table: Mapping[str, type[Component]] = getattr(registry, kind)
    known = sorted({option for entry in table.values() for option in _names_of(entry)})
    close = difflib.get_close_matches(name.lower(), known, n=3)
    names = ", ".join(sorted(entry.name for entry in table.values()))
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {names or 'none'}"
    raise LayerportError(f"there is no {word} called {name!r}; {hint}")


def _revived(config: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """Configs of schedules inside a config become schedules."""
    made = dict(config)
    for key, value in config.items():
        if isinstance(value, Mapping) and "class_name" in value:
            made[key] = _found(
                "schedules", "schedule", str(value["class_name"]), registry
            ).from_config(value.get("config") or {})
        elif isinstance(value, list):
            made[key] = tuple(value)
    return made
