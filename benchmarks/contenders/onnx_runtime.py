"""onnxruntime, on the ONNX file that layerport writes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import layerport as lp
import onnxruntime

from benchmarks import networks as spec
from benchmarks.contenders.base import Contender, channels_first
from benchmarks.contenders.layerport_network import build
from benchmarks.data import Samples


class OnnxRuntime(Contender):
    """Inference only."""

    packages = ("onnxruntime",)

    def __init__(self, network: spec.Network, threads: int, samples: Samples) -> None:
        super().__init__(network, threads, samples)
        made = build(network, channels_first=True)
        self._parameters = sum(array.size for array in made.parameters.values())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            lp.save(made, path)
            self._session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    @property
    def parameters(self) -> int:
        return self._parameters

    def batch_of(self, count: int) -> Any:
        return channels_first(self.samples.x[:count])

    def predict(self, x: Any) -> Any:
        return self._session.run(None, {self._input: x})
