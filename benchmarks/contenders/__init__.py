"""The frameworks that are measured, a module each."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from types import MappingProxyType

from benchmarks.contenders.base import Contender


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is known of a contender before its framework is imported.

    Attributes
    ----------
    title : its name, for people.
    home : module and class that run it.
    needs : the modules that must be installed.
    modes : what it is measured in.
    """

    title: str
    home: str
    needs: tuple[str, ...]
    modes: tuple[str, ...] = ("train", "infer")

    @property
    def is_installed(self) -> bool:
        """Whether it can run here."""
        return all(importlib.util.find_spec(module) is not None for module in self.needs)

    def load(self) -> type[Contender]:
        """The class that runs it; imports the framework."""
        module, _, cls = self.home.partition(":")
        found: type[Contender] = getattr(importlib.import_module(f"{__name__}.{module}"), cls)
        return found


OURS = "layerport"
"""The contender that the others are compared with."""

CONTENDERS = MappingProxyType(
    {
        OURS: Entry("layerport", "layerport_numpy:Layerport", ("layerport",)),
        "pytorch": Entry("PyTorch", "pytorch:PyTorch", ("torch",)),
        "onnxruntime": Entry(
            "onnxruntime", "onnx_runtime:OnnxRuntime", ("onnxruntime",), ("infer",)
        ),
        "keras": Entry("Keras on JAX", "keras_jax:KerasOnJax", ("keras", "jax")),
        "scikit-learn": Entry("scikit-learn", "scikit_learn:ScikitLearn", ("sklearn",)),
        "onnx": Entry("onnx.reference", "onnx_reference:OnnxReference", ("onnx",), ("infer",)),
    }
)
"""By the names of the command line, in the order of the tables."""
