"""Programs in Node: what layerport exports, onnxruntime-web and TensorFlow.js."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

import layerport as lp

from benchmarks.targets.model import Model
from benchmarks.targets.target import NotHere, Program, Target

HOSTS = Path(__file__).parent / "hosts"
PACKAGES = Path.home() / ".cache" / "layerport" / "npm"
NAMES = (
    "onnxruntime-web",
    "@tensorflow/tfjs-core",
    "@tensorflow/tfjs-layers",
    "@tensorflow/tfjs-backend-cpu",
    "@tensorflow/tfjs-backend-wasm",
)
"""The packages to compare with."""


def node() -> str:
    """The Node program."""
    found = shutil.which("node")
    if found is None:
        raise NotHere("Node is not installed")
    return found


def _program(adapter: str, folder: Path, features: int, *rest: str, **files: Any) -> Program:
    host = [node(), str(HOSTS / "host.mjs"), adapter, str(folder), *rest]
    cold = [node(), str(HOSTS / "cold.mjs"), adapter, str(folder), str(features), *rest]
    return Program(host, cold=cold, **files)


def idle() -> list[str]:
    """The command of a process that does nothing."""
    return [node(), str(HOSTS / "cold.mjs")]


def exported(engine: str, model: Model) -> Program:
    """A module that layerport writes."""
    path = _module(engine, model)
    # Weights stand in the module as base64.
    return _program("layerport", model.folder, model.features, path.name, download=[path],
                    weight_bytes=-(-model.weight_bytes // 3) * 4)  # fmt: skip


def learning(engine: str, model: Model) -> Program:
    """A module that layerport writes, with training."""
    path = _module(engine, model, train="sgd")
    return _program("learning", model.folder, model.features, path.name)


def _module(engine: str, model: Model, **options: str) -> Path:
    known = lp.default_registry().formats["javascript"].options
    if "engine" in known:
        options["engine"] = engine
    elif engine != "js":
        raise NotHere(f"JavaScript has no option engine={engine} yet")
    missing = [name for name in options if name not in known]
    if missing:
        raise NotHere(f"JavaScript has no option {', '.join(missing)} yet")
    path = model.folder / f"{engine}{'-learning' * ('train' in options)}.mjs"
    lp.save(model.network, path, **options)
    return path


def _package(name: str) -> Path:
    path = PACKAGES / "node_modules" / name
    if not path.is_dir():
        raise NotHere(f"it is not there: npm install --prefix {PACKAGES} {' '.join(NAMES)}")
    return path


def onnxruntime_web(model: Model) -> Program:
    """onnxruntime-web."""
    dist = _package("onnxruntime-web") / "dist"
    names = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
    onnx = model.onnx_folder / "model.onnx"
    return _program("onnxruntime_web", model.onnx_folder, model.features, str(PACKAGES),
                    download=[*(dist / name for name in names), onnx],
                    weight_bytes=onnx.stat().st_size)  # fmt: skip


def tensorflow(backend: str, model: Model) -> Program:
    """TensorFlow.js with a backend."""
    engine = _package(f"@tensorflow/tfjs-backend-{backend}") / "dist"
    files = [
        _package("@tensorflow/tfjs-core") / "dist" / "tf-core.min.js",
        _package("@tensorflow/tfjs-layers") / "dist" / "tf-layers.min.js",
        engine / f"tf-backend-{backend}.min.js",
        *engine.glob("tfjs-backend-wasm-simd.wasm"),
        model.folder / "weights.f32",
    ]
    return _program("tfjs", model.folder, model.features, str(PACKAGES), backend, download=files,
                    weight_bytes=model.weight_bytes)  # fmt: skip


TARGETS = {
    "wasm": Target("layerport, WebAssembly", functools.partial(exported, "wasm")),
    "js": Target("layerport, JavaScript", functools.partial(exported, "js")),
    "ort-web": Target("onnxruntime-web", onnxruntime_web),
    "tfjs-wasm": Target("TensorFlow.js, wasm", functools.partial(tensorflow, "wasm")),
    "tfjs-cpu": Target("TensorFlow.js, cpu", functools.partial(tensorflow, "cpu")),
}

LEARNING = {
    "wasm-learning": Target("layerport, WebAssembly", functools.partial(learning, "wasm")),
    "js-learning": Target("layerport, JavaScript", functools.partial(learning, "js")),
}
"""A step of training, on one thread."""
