"""What plugins offer, collected once into an immutable table."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pluggy

from layerport import hookspecs
from layerport.errors import LayerportError, PluginError

if TYPE_CHECKING:
    from layerport.format import Format
    from layerport.layer import Layer
    from layerport.op import Op


def _no_entries() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Registry:
    """Everything known by name. Each attribute maps a name to what it stands for.

    Attributes
    ----------
    layers, ops, optimizers, losses, metrics, schedules, callbacks : classes.
    activations : functions of an array.
    initializers, regularizers : factories.
    formats : `Format` objects.
    commands : click commands.
    origins : (hook, name) -> the plugin that offers it.
    plugins : name of each plugin -> its distribution and version.
    """

    layers: Mapping[str, type[Layer]] = dataclasses.field(default_factory=_no_entries)
    ops: Mapping[str, type[Op]] = dataclasses.field(default_factory=_no_entries)
    activations: Mapping[str, Callable[[Any], Any]] = dataclasses.field(default_factory=_no_entries)
    optimizers: Mapping[str, type[Any]] = dataclasses.field(default_factory=_no_entries)
    losses: Mapping[str, type[Any]] = dataclasses.field(default_factory=_no_entries)
    metrics: Mapping[str, type[Any]] = dataclasses.field(default_factory=_no_entries)
    initializers: Mapping[str, Callable[..., Any]] = dataclasses.field(default_factory=_no_entries)
    regularizers: Mapping[str, Callable[..., Any]] = dataclasses.field(default_factory=_no_entries)
    schedules: Mapping[str, type[Any]] = dataclasses.field(default_factory=_no_entries)
    callbacks: Mapping[str, type[Any]] = dataclasses.field(default_factory=_no_entries)
    formats: Mapping[str, Format] = dataclasses.field(default_factory=_no_entries)
    commands: Mapping[str, Any] = dataclasses.field(default_factory=_no_entries)
    origins: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=_no_entries)
    plugins: Mapping[str, str] = dataclasses.field(default_factory=_no_entries)

    def with_layers(self, layers: Iterable[type[Layer]]) -> Registry:
        """The same registry with these layer classes in it, which win over others."""
        added = {layer.__name__: layer for layer in layers}
        return dataclasses.replace(self, layers=MappingProxyType({**self.layers, **added}))

    def activation(self, name: str) -> Callable[[Any], Any]:
        """The activation of this name."""
        return self.find("activations", name)  # type: ignore[no-any-return]

    def initializer(self, given: Any) -> Callable[..., Any]:
        """The initializer that a name, config, function or array stands for."""
        return self._made("initializers", given)

    def regularizer(self, given: Any) -> Callable[..., Any] | None:
        """The regularizer that a name, config or function stands for; None for None."""
        return None if given is None else self._made("regularizers", given)

    def _made(self, kind: str, given: Any) -> Callable[..., Any]:
        if isinstance(given, Mapping):
            factory = self.find(kind, str(given.get("class_name")))
            return factory(**(given.get("config") or {}))  # type: ignore[no-any-return]
        if isinstance(given, str):
            return self.find(kind, given)()  # type: ignore[no-any-return]
        if callable(given):
            return given  # type: ignore[no-any-return]
        return lambda *_: given

    def find(self, kind: str, name: str) -> Any:
        """The entry of this name.

        Raises
        ------
        LayerportError : naming the entries that there are, the closest first.
        """
        table: Mapping[str, Any] = getattr(self, kind)
        if name in table:
            return table[name]
        hint = self.hint(kind, name) or f"known: {', '.join(table)}"
        raise LayerportError(f"there is no {kind.removesuffix('s')} called {name!r}; {hint}")

    def hint(self, kind: str, name: str) -> str:
        """What may be meant by a name that is not known, as a question, or ""."""
        import difflib

        close = difflib.get_close_matches(name, list(getattr(self, kind)), n=3)
        return f"did you mean {' or '.join(close)}?" if close else ""

    def name_of(self, function: Any) -> str | None:
        """The name of an activation, initializer or regularizer, or None."""
        for table in (self.activations, self.initializers, self.regularizers):
            for name, known in table.items():
                if known is function:
                    return name
        return None


_HOOKS: Mapping[str, Callable[[Any], str]] = MappingProxyType(
    {
        "layers": lambda cls: cls.__name__,
        "ops": lambda cls: cls.__name__,
        "activations": str,
        "optimizers": lambda cls: cls.__name__,
        "losses": lambda cls: cls.name,
        "metrics": lambda cls: cls.name,
        "initializers": str,
        "regularizers": str,
        "schedules": lambda cls: cls.__name__,
        "callbacks": lambda cls: cls.__name__,
        "formats": lambda fmt: fmt.name,
        "commands": lambda command: command.name,
    }
)
"""What is collected, and how an entry is named; mappings name their entries themselves."""


def collect() -> Registry:
    """Load the installed plugins and collect what they offer.

    A plugin that cannot be loaded, or whose hook raises, is left out with a warning that names it.

    Raises
    ------
    PluginError : when two plugins offer the same name; the message names both.
    """
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    plugins: dict[str, str] = {}
    for entry in sorted(
        importlib.metadata.entry_points(group=hookspecs.GROUP), key=lambda e: e.name
    ):
        if entry.name in plugins:
            continue
        try:
            manager.register(entry.load(), name=entry.name)
        except Exception as error:
            _warn(entry.name, error)
            continue
        dist = entry.dist
        plugins[entry.name] = f"{dist.name} {dist.version}" if dist else "unknown"
    return gather(manager, plugins)


def gather(manager: pluggy.PluginManager, plugins: Mapping[str, str]) -> Registry:
    """The registry of what the plugins of a manager offer."""
    tables: dict[str, dict[str, Any]] = {kind: {} for kind in _HOOKS}
    origins: dict[tuple[str, str], str] = {}
    for kind, name_of in _HOOKS.items():
        hook = getattr(manager.hook, f"layerport_{kind}")
        for implementation in hook.get_hookimpls():
            origin = implementation.plugin_name
            try:
                offered = implementation.function()
                named = offered.items() if isinstance(offered, Mapping) else (
                    [(name_of(entry), entry) for entry in offered]
                )  # fmt: skip
            except Exception as error:
                _warn(origin, error)
                continue
            for name, entry in named:
                if name in tables[kind]:
                    other = origins[kind, name]
                    raise PluginError(
                        f"two plugins offer the {kind.removesuffix('s')} {name!r}: {other} and "
                        f"{origin}; uninstall one of them, or rename its entry"
                    )
                tables[kind][name] = entry
                origins[kind, name] = origin
    frozen: dict[str, Any] = {kind: MappingProxyType(table) for kind, table in tables.items()}
    return Registry(
        **frozen, origins=MappingProxyType(origins), plugins=MappingProxyType(dict(plugins))
    )


def _warn(plugin: str, error: Exception) -> None:
    warnings.warn(
        f"the layerport plugin {plugin!r} is left out: {type(error).__name__}: {error}",
        RuntimeWarning,
        stacklevel=3,
    )


@functools.lru_cache(maxsize=1)
def default_registry() -> Registry:
    """The registry of the installed plugins, collected at the first call."""
    return collect()
