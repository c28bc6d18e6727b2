"""Where a network can run: each takes a network and inputs, and gives outputs.

A file format is a runtime, too: write, read, run. What a runtime cannot do stands beside it, each
with its reason; a case that is not listed must pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport.conversion import convert
from layerport.files import layer_classes
from layerport.format import ToolMissing
from layerport.numpy_engine.reference import evaluate

from matrix import operators

Arrays = Sequence[np.ndarray]


@dataclass(frozen=True)
class Runtime:
    """One way to run a network.

    Attributes
    ----------
    run : (network, inputs, folder) -> outputs.
    unsupported : case name -> why this runtime cannot run it.
    tolerance : what it reaches at best, where that is less than what a case asks for.
    """

    name: str
    run: Callable[[lp.Network, Arrays, Path], Arrays]
    unsupported: Mapping[str, str] = field(default_factory=dict)
    tolerance: float = 0.0


def _given(inputs: Arrays) -> Any:
    return list(inputs) if len(inputs) > 1 else inputs[0]


def _as_list(outputs: Any) -> Arrays:
    return outputs if isinstance(outputs, list) else [outputs]


def predict(network: lp.Network, inputs: Arrays, folder: Path) -> Arrays:
    """The engine."""
    return _as_list(network.predict(_given(inputs)))


def predict_in_parts(network: lp.Network, inputs: Arrays, folder: Path) -> Arrays:
    """The engine, in batches that do not divide the number of samples."""
    return _as_list(network.predict(_given(inputs), batch_size=3))


def reference(network: lp.Network, inputs: Arrays, folder: Path) -> Arrays:
    """The plain evaluation of the graph as recorded."""
    feeds = network.feeds(_given(inputs))
    outputs, _ = evaluate(network.lower(), feeds, network.parameters)
    return outputs


def cycle(suffix: str, **options: Any) -> Callable[[lp.Network, Arrays, Path], Arrays]:
    """Write, read, run."""

    def run(network: lp.Network, inputs: Arrays, folder: Path) -> Arrays:
        path = folder / f"network{suffix}"
        before = {name: array.copy() for name, array in network.weights.items()}
        report = lp.save(network, path, **options)
        again = lp.load(path, layers=layer_classes(network))
        for name, array in network.weights.items():
            np.testing.assert_array_equal(array, before[name], "saving changed the network")
        if not report.losses:
            assert [type(layer) for layer in again.layers] == [type(x) for x in network.layers]
            assert [layer.name for layer in again.layers] == [x.name for x in network.layers]
            for name, array in again.weights.items():
                np.testing.assert_array_equal(array, network.weights[name])
                assert array.dtype == network.weights[name].dtype
        return _as_list(again.predict(_given(inputs)))

    return run


def onnxruntime(network: lp.Network, inputs: Arrays, folder: Path) -> Arrays:
    """Our ONNX in onnxruntime."""
    runtime = pytest.importorskip("onnxruntime")
    lp.save(network, folder / "network.onnx")
    session = runtime.InferenceSession(folder / "network.onnx", providers=["CPUExecutionProvider"])
    feeds = {port.name: array for port, array in zip(network.inputs, inputs, strict=True)}
    return session.run([port.name for port in network.outputs], feeds)


def exported(suffix: str, **options: Any) -> Callable[[lp.Network, Arrays, Path], Arrays]:
    """Write in a language, run there."""

    def run(network: lp.Network, inputs: Arrays, folder: Path) -> Arrays:
        path = folder / f"network{suffix}"
        report = lp.save(network, path, **options)
        fmt = lp.default_registry().formats[report.format]
        try:
            return fmt.run(path, list(inputs), network)
        except ToolMissing as missing:
            pytest.skip(str(missing))

    return run


def through_h5_and_onnx(network: lp.Network, inputs: Arrays, folder: Path) -> Arrays:
    """.h5 -> .onnx -> .h5, as a user on the command line does it."""
    lp.save(network, folder / "a.h5")
    layers = layer_classes(network)
    convert(folder / "a.h5", folder / "b.onnx", layers=layers, verify="none")
    convert(folder / "b.onnx", folder / "c.h5", layers=layers, verify="none")
    return _as_list(lp.load(folder / "c.h5", layers=layers).predict(_given(inputs)))


ONE_SIZE = dict.fromkeys(
    ("any size", "any size strided", "any length"), "printed code has one size of image"
)
NO_LAYERS = {case.name: "Keras has no layers for operators" for case in operators.CASES}
FLOAT32 = 1e-5
"""What is computed in float32 reaches this."""

RUNTIMES = (
    Runtime("predict", predict),
    Runtime("predict in parts", predict_in_parts),
    Runtime("reference", reference),
    Runtime("json v2", cycle(".json", version=2)),
    Runtime("json v2 numbers", cycle(".json", version=2, encoding="numbers")),
    Runtime("onnx", cycle(".onnx")),
    Runtime("hdf5", cycle(".h5"), unsupported=NO_LAYERS),
    Runtime("h5 onnx h5", through_h5_and_onnx, unsupported=NO_LAYERS),
    Runtime(
        "onnxruntime",
        onnxruntime,
        unsupported={"double precision images": "onnxruntime has no Conv of doubles"},
    ),
    Runtime("node", exported(".mjs", engine="js"), unsupported=ONE_SIZE, tolerance=FLOAT32),
    Runtime(
        "wasm in node",
        exported(".mjs", engine="wasm"),
        unsupported=ONE_SIZE,
        tolerance=FLOAT32,
    ),
    Runtime("wasm", exported(".wasm"), unsupported=ONE_SIZE, tolerance=FLOAT32),
    Runtime("c", exported(".c"), unsupported=ONE_SIZE, tolerance=FLOAT32),
)
