"""What the measured programs read: samples, expected outputs, and the model as ONNX and for
TensorFlow.js."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
from numpy.typing import NDArray

from benchmarks import networks as spec
from benchmarks.contenders.base import channels_first
from benchmarks.contenders.layerport_network import build
from benchmarks.data import samples_for

LARGEST_BATCH = 128
BIAS = 0.05
"""Spread of the biases, which would be zeros in a network that is not trained."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A network in a folder.

    Attributes
    ----------
    network : as layerport has it, channels last.
    channels_first : another one of the same kind, as ONNX has it.
    folder : holds samples.f32, model.json, weights.f32 and onnx/model.onnx, which is
        `channels_first`; beside each the outputs, expected.f32.
    """

    spec: spec.Network
    network: lp.Network
    channels_first: lp.Network
    folder: Path

    @property
    def onnx_folder(self) -> Path:
        """Where the ONNX file is, with its own samples.f32 and expected.f32."""
        return self.folder / "onnx"

    @property
    def features(self) -> int:
        """Numbers of one sample."""
        return int(np.prod(self.spec.shape))

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights as they are."""
        return sum(array.nbytes for array in self.network.parameters.values())


def write_model(network: spec.Network, folder: Path, data: Path | None) -> Model:
    """Write a network for all programs."""
    samples = samples_for(network, data)
    x = samples.x[:LARGEST_BATCH]
    made = _with_biases(build(network))
    first = _with_biases(build(network, channels_first=True))
    model = Model(network, made, first, folder)
    model.onnx_folder.mkdir(parents=True)
    lp.save(first, model.onnx_folder / "model.onnx")
    _write_floats(folder, x, made.predict(x))
    _write_floats(model.onnx_folder, channels_first(x), first.predict(channels_first(x)))
    weights = made.get_weights()
    (folder / "weights.f32").write_bytes(b"".join(array.tobytes() for array in weights))
    description = json.dumps(
        {
            "features": model.features,
            "classes": network.classes,
            "labels": samples.y[:LARGEST_BATCH].tolist(),
            "shape": network.shape,
            "onnxShape": channels_first(x).shape[1:],
            "layers": [_tfjs_layer(layer) for layer in network.layers],
            "weights": [array.shape for array in weights],
        }
    )
    for place in (folder, model.onnx_folder):
        (place / "model.json").write_text(description, encoding="utf-8")
    return model


def _with_biases(network: lp.Network) -> lp.Network:
    rng = np.random.default_rng(1)
    weights = [
        rng.normal(0, BIAS, array.shape).astype(array.dtype) if array.ndim == 1 else array
        for array in network.get_weights()
    ]
    network.set_weights(weights)
    return network


def _write_floats(folder: Path, x: NDArray[Any], y: NDArray[Any]) -> None:
    (folder / "samples.f32").write_bytes(np.ascontiguousarray(x, np.float32).tobytes())
    (folder / "expected.f32").write_bytes(np.ascontiguousarray(y, np.float32).tobytes())


def _tfjs_layer(layer: spec.Layer) -> dict[str, Any]:
    """The config of a layer of TensorFlow.js; the last one is turned into probabilities."""
    match layer:
        case spec.Dense(units, activation):
            # The only linear one is the last.
            return {"kind": "dense", "units": units,
                    "activation": "softmax" if activation == "linear" else activation}  # fmt: skip
        case spec.Conv(filters, size, activation):
            return {"kind": "conv2d", "filters": filters, "kernelSize": size,
                    "activation": activation}  # fmt: skip
        case spec.MaxPool(size, strides):
            return {"kind": "maxPooling2d", "poolSize": size, "strides": strides}
        case spec.Flatten():
            return {"kind": "flatten"}
        case _:
            raise ValueError(f"{layer} is not among the layers of the exported networks")
