"""layerport: train a neural network in any language, run it in any other.

Everything is imported when it is first used, so that the command line starts at once; the layer
classes (`layerport.Dense`...) are looked up among the plugins.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import Any

__version__ = "0.1.0"

_HOMES = MappingProxyType(
    {
        "connections": ("Input", "InputLayer"),
        "conversion": ("convert",),
        "dim": ("Dim",),
        "errors": (
            "CaptureError",
            "DataError",
            "DivergenceError",
            "LayerportError",
            "ModelFileError",
            "PluginError",
            "ShapeError",
            "TrainingError",
            "UnsupportedError",
        ),
        "files": ("load", "save"),
        "format": ("Format", "LossError", "Note", "Report"),
        "hookspecs": ("hookimpl",),
        "layer": ("Array", "InputShape", "Layer", "Weight", "built"),
        "limits": ("Limits",),
        "network": ("Network",),
        "op": ("Op",),
        "operator": ("Operator",),
        "registry": ("Registry", "default_registry"),
        "samples": ("sample_inputs",),
        "sequential": ("Sequential",),
        "tensor": ("Tensor",),
        "train.callback": ("Callback", "History"),
        "train.loss": ("Loss",),
        "train.metric": ("Metric",),
        "train.optimizer": ("Optimizer", "Slots"),
        "train.schedule": ("Schedule",),
        "verification": ("Verification", "verify"),
    }
)
_MODULE_OF = MappingProxyType({name: home for home, names in _HOMES.items() for name in names})
_MODULES = frozenset({"errors", "ops", "testing"})
_KINDS = ("layers", "optimizers", "losses", "metrics", "schedules", "callbacks")

__all__ = [*sorted(_MODULE_OF), "errors", "ops", "testing"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"layerport.{name}")
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"layerport.{_MODULE_OF[name]}"), name)
    if name[:1].isupper():  # a class; anything else may be a submodule not imported yet
        from layerport.registry import default_registry

        registry = default_registry()
        for kind in _KINDS:
            for cls in getattr(registry, kind).values():
                if cls.__name__ == name:
                    return cls
    raise AttributeError(f"module 'layerport' has no attribute {name!r}")


def __dir__() -> list[str]:
    from layerport.registry import default_registry

    registry = default_registry()
    offered = {cls.__name__ for kind in _KINDS for cls in getattr(registry, kind).values()}
    return sorted(offered | set(__all__))
