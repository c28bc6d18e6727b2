"""The layers, optimizers, losses... that come with layerport, offered through its hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from layerport.hookspecs import hookimpl

if TYPE_CHECKING:
    from layerport.layer import Layer
    from layerport.op import Op
    from layerport.train import Callback, Loss, Metric, Optimizer, Schedule


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


@hookimpl
def layerport_optimizers() -> Iterable[type[Optimizer]]:
    from layerport_plugins.optimizers import OPTIMIZERS

    return OPTIMIZERS


@hookimpl
def layerport_losses() -> Iterable[type[Loss]]:
    from layerport_plugins.losses import LOSSES

    return LOSSES


@hookimpl
def layerport_metrics() -> Iterable[type[Metric]]:
    from layerport_plugins.metrics import METRICS

    return METRICS


@hookimpl
def layerport_schedules() -> Iterable[type[Schedule]]:
    from layerport_plugins.schedules import SCHEDULES

    return SCHEDULES


@hookimpl
def layerport_callbacks() -> Iterable[type[Callback]]:
    from layerport_plugins.callbacks import CALLBACKS

    return CALLBACKS
