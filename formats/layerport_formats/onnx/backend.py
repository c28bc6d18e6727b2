"""ONNX's standard backend interface: runs a model on given arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from layerport.errors import ShapeError, UnsupportedError
from layerport.format import ReadContext
from layerport.limits import Limits
from layerport.numpy_engine.reference import evaluate
from layerport.op import NDArray
from layerport.registry import Registry, default_registry
from onnx.backend.base import Backend, BackendRep, Device, DeviceType

from .facts import NeedsValueError
from .reading import Translation, translate

CACHED = 8
"""How many translations a model keeps, one for each combination of shapes (and of data that
shapes depend on) met."""


class Runner(BackendRep):
    """A model, ready to run."""

    def __init__(self, model: onnx.ModelProto, registry: Registry) -> None:
        self.model = model
        self.context = ReadContext(Path(model.graph.name or "model"), registry, Limits())
        given = {t.name for t in model.graph.initializer}
        given |= {t.values.name for t in model.graph.sparse_initializer}
        self.inputs = [value.name for value in model.graph.input if value.name not in given]
        self._bound: list[str] = []
        self._known: dict[Any, Translation] = {}

    def run(self, inputs: Any, **kwargs: Any) -> tuple[NDArray, ...]:
        feeds = self._feeds(inputs)
        translation = self._translation(feeds)
        wanted = {value.name for value in translation.graph.inputs}
        given = {name: array for name, array in feeds.items() if name in wanted}
        outputs, _ = evaluate(translation.graph, given, translation.arrays)
        return tuple(outputs)

    def _feeds(self, inputs: Any) -> dict[str, NDArray]:
        if isinstance(inputs, Mapping):
            arrays = dict(inputs)
        else:
            given = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
            arrays = dict(zip(self.inputs, given, strict=False))
        missing = [name for name in self.inputs if name not in arrays]
        if missing:
            raise ShapeError(f"arrays are missing for the inputs {', '.join(missing)}")
        odd = [name for name in self.inputs if not hasattr(arrays[name], "dtype")]
        if odd:
            raise UnsupportedError(f"the inputs {', '.join(odd)} are sequences or empty optionals")
        return {name: np.asarray(arrays[name]) for name in self.inputs}

    def _translation(self, feeds: Mapping[str, NDArray]) -> Translation:
        while True:
            bound = {name: feeds[name] for name in self._bound}
            key = (
                tuple((name, array.shape, array.dtype) for name, array in feeds.items()),
                tuple(array.tobytes() for array in bound.values()),
            )
            if key in self._known:
                return self._known[key]
            shapes = {name: array.shape for name, array in feeds.items()}
            try:
                made = translate(self.model, self.context, shapes=shapes, bound=bound)
            except NeedsValueError as error:
                self._bound += error.inputs
                continue
            if len(self._known) >= CACHED:
                self._known.pop(next(iter(self._known)))
            self._known[key] = made
            return made


class LayerportBackend(Backend):
    """Runs ONNX models with layerport."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> Runner:
        return Runner(model, kwargs.get("registry") or default_registry())

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return bool(Device(device).type == DeviceType.CPU)


prepare = LayerportBackend.prepare
run_model = LayerportBackend.run_model
run_node = LayerportBackend.run_node
supports_device = LayerportBackend.supports_device
