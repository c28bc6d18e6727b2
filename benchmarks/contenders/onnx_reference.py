"""The reference evaluator of the onnx package."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import layerport as lp
from onnx.reference import ReferenceEvaluator

from benchmarks import networks as spec
from benchmarks.contenders.base import Contender, channels_first
from benchmarks.contenders.layerport_network import build
from benchmarks.data import Samples


class OnnxReference(Contender):
    """Inference only."""

    packages = ("onnx",)

    def __init__(self, network: spec.Network, threads: int, samples: Samples) -> None:
        super().__init__(network, threads, samples)
        made = build(network, channels_first=True)
        self._parameters = sum(array.size for array in made.parameters.values())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            lp.save(made, path)
            self._evaluator = ReferenceEvaluator(str(path))
        self._input = self._evaluator.input_names[0]

    @property
    def parameters(self) -> int:
        return self._parameters

    def batch_of(self, count: int) -> Any:
        return channels_first(self.samples.x[:count])

    def predict(self, x: Any) -> Any:
        return self._evaluator.run(None, {self._input: x})
