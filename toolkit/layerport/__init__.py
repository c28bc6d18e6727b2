"""layerport: train a neural network in any language, run it in any other.

The layer classes (`layerport.Dense`...) come from plugins and are looked up when they are used.
"""

from __future__ import annotations

from typing import Any

from layerport import errors, ops
from layerport.dim import Dim
from layerport.errors import (
    CaptureError,
    LayerportError,
    ModelFileError,
    PluginError,
    ShapeError,
    TrainingError,
    UnsupportedError,
)
from layerport.format import Format, LossError, Note, Report, load, save
from layerport.hookspecs import hookimpl
from layerport.layer import Array, Layer, Weight, built
from layerport.limits import Limits
from layerport.network import Input, InputLayer, Network, Sequential
from layerport.op import Op
from layerport.operator import Operator
from layerport.registry import Registry, default_registry
from layerport.tensor import Tensor

__version__ = "0.1.0"

__all__ = [
    "Array",
    "CaptureError",
    "Dim",
    "Format",
    "Input",
    "InputLayer",
    "Layer",
    "LayerportError",
    "Limits",
    "LossError",
    "ModelFileError",
    "Network",
    "Note",
    "Op",
    "Operator",
    "PluginError",
    "Registry",
    "Report",
    "Sequential",
    "ShapeError",
    "Tensor",
    "TrainingError",
    "UnsupportedError",
    "Weight",
    "built",
    "default_registry",
    "errors",
    "hookimpl",
    "load",
    "ops",
    "save",
]

_KINDS = ("layers", "optimizers", "losses", "schedules", "callbacks")


def __getattr__(name: str) -> Any:
    """Classes that plugins offer."""
    if not name.startswith("_"):
        registry = default_registry()
        for kind in _KINDS:
            for cls in getattr(registry, kind).values():
                if getattr(cls, "__name__", "") == name:
                    return cls
    raise AttributeError(f"module 'layerport' has no attribute {name!r}")


def __dir__() -> list[str]:
    registry = default_registry()
    offered = {cls.__name__ for kind in _KINDS for cls in getattr(registry, kind).values()}
    return sorted(offered | set(__all__))
