"""What a plugin can offer. Offer a hook by defining a function of its name, decorated with
`layerport.hookimpl`, in the module that the entry point (group ``layerport``) names.

The built-in layers, formats... come through the same hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from layerport.format import Format
    from layerport.layer import Layer
    from layerport.op import Op

GROUP = "layerport"
"""The entry-point group of plugins."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def layerport_layers() -> Iterable[type[Layer]]:  # type: ignore[empty-body]
    """Layer classes; the class name is the name in files."""


@hookspec
def layerport_ops() -> Iterable[type[Op]]:  # type: ignore[empty-body]
    """Operator classes."""


@hookspec
def layerport_activations() -> Mapping[str, Callable[[Any], Any]]:  # type: ignore[empty-body]
    """Activations by name: functions of an array, in NumPy."""


@hookspec
def layerport_optimizers() -> Iterable[type[Any]]:  # type: ignore[empty-body]
    """Optimizer classes (`layerport.train.Optimizer`)."""


@hookspec
def layerport_losses() -> Iterable[type[Any]]:  # type: ignore[empty-body]
    """Loss classes (`layerport.train.Loss`)."""


@hookspec
def layerport_metrics() -> Iterable[type[Any]]:  # type: ignore[empty-body]
    """Metric classes (`layerport.train.Metric`)."""


@hookspec
def layerport_initializers() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Initializers by name: factories of functions of (shape, rng, dtype)."""


@hookspec
def layerport_regularizers() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Regularizers by name: factories of functions from a weight to a scalar, in NumPy."""


@hookspec
def layerport_schedules() -> Iterable[type[Any]]:  # type: ignore[empty-body]
    """Learning-rate schedules (`layerport.train.Schedule`)."""


@hookspec
def layerport_callbacks() -> Iterable[type[Any]]:  # type: ignore[empty-body]
    """Training callbacks (`layerport.train.Callback`)."""


@hookspec
def layerport_formats() -> Iterable[Format]:  # type: ignore[empty-body]
    """File formats and target languages. Their heavy imports belong inside read and write."""


@hookspec
def layerport_commands() -> Iterable[click.Command]:  # type: ignore[empty-body]
    """Commands for the command line."""
