"""The layers, optimizers, losses... that come with layerport, offered through its hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from layerport.hookspecs import hookimpl

if TYPE_CHECKING:
    from layerport.layer import Layer
    from layerport.op import Op


@hookimpl
def layerport_layers() -> Iterable[type[Layer]]:
    from layerport_plugins.layers import LAYERS

    return LAYERS


@hookimpl
def layerport_ops() -> Iterable[type[Op]]:
    from layerport.ops import BUILTIN_OPS

    return BUILTIN_OPS.values()


@hookimpl
def layerport_activations() -> Mapping[str, Callable[[Any], Any]]:
    from layerport_plugins.activations import ACTIVATIONS

    return ACTIVATIONS


@hookimpl
def layerport_initializers() -> Mapping[str, Callable[..., Any]]:
    from layerport_plugins.initializers import INITIALIZERS

    return INITIALIZERS


@hookimpl
def layerport_regularizers() -> Mapping[str, Callable[..., Any]]:
    from layerport_plugins.regularizers import REGULARIZERS

    return REGULARIZERS
