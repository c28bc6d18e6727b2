"""Programs in C, compiled here: what layerport exports, and emx-onnx-cgen."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import layerport as lp

from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.targets.model import LARGEST_BATCH, Model
from benchmarks.targets.target import NotHere, Program, Target

HOST = Path(__file__).parent / "hosts" / "host.c"

LAYERPORT_ADAPTER = """\
#include "model.h"
void host_predict(const float *x, float *y, int n);
void host_predict(const float *x, float *y, int n) { model_predict(x, y, n); }
"""

EMX_ADAPTER = """\
void model_{one}(const float x[1]{shape}, float y[1][{classes}]);
void model_{many}(const float x[{many}]{shape}, float y[{many}][{classes}]);
void host_predict(const float *x, float *y, int n);
void host_predict(const float *x, float *y, int n)
{{
  if (n == 1) model_{one}((const void *)x, (void *)y);
  else if (n == {many}) model_{many}((const void *)x, (void *)y);
}}
"""


def exported(model: Model) -> Program:
    """The C that layerport writes, with -O2."""
    if "c" not in lp.default_registry().formats:
        raise NotHere("there is no format c yet")
    folder = model.folder / "c"
    folder.mkdir()
    lp.save(model.network, folder / "model.c")
    (folder / "adapter.c").write_text(LAYERPORT_ADAPTER, encoding="ascii")
    binary = compile_host(model, folder, ["model.c", "adapter.c"], ["-O2"])
    return Program([binary, str(model.folder)])


def emx(flags: Sequence[str], model: Model) -> Program:
    """The C that emx-onnx-cgen writes for fixed batches of 1 and of many."""
    tool = Path(sys.executable).with_name("emx-onnx-cgen")
    if not tool.exists():
        raise NotHere("emx-onnx-cgen is not installed")
    folder = model.folder / "-".join(["emx", *(flag.strip("-") for flag in flags)])
    folder.mkdir()
    for batch in (1, LARGEST_BATCH):
        subprocess.run(
            [tool, "compile", model.onnx_folder / "model.onnx", folder / f"model_{batch}.c",
             "--model-name", f"model_{batch}", "--input-dim", f"batch={batch}",
             "--large-weight-threshold", "0"],
            check=True, capture_output=True,
        )  # fmt: skip
    shape = model.spec.shape if len(model.spec.shape) == 1 else (1, 28, 28)
    text = EMX_ADAPTER.format(one=1, many=LARGEST_BATCH, classes=model.spec.classes,
                              shape="".join(f"[{extent}]" for extent in shape))  # fmt: skip
    (folder / "adapter.c").write_text(text, encoding="ascii")
    sources = ["model_1.c", f"model_{LARGEST_BATCH}.c", "adapter.c"]
    # Both sources define the weights.
    flags = ["-O3", *flags, "-Wl,--allow-multiple-definition"]
    binary = compile_host(model, folder, sources, flags)
    return Program([binary, str(model.onnx_folder)])


def compile_host(model: Model, folder: Path, sources: Sequence[str], flags: Sequence[str]) -> str:
    """Compile sources with the host; returns the program."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise NotHere("there is no C compiler")
    sizes = [f"-DFEATURES={model.features}", f"-DCLASSES={model.spec.classes}"]
    binary = folder / "program"
    command = [compiler, *flags, "-march=native", *sizes, "-o", binary, HOST, *sources, "-lm"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return str(binary)


def framework(contender: str, model: Model) -> Program:
    """A Python framework, in the process in which `infer` measures it."""
    entry = CONTENDERS[contender]
    if not entry.is_installed:
        raise NotHere(f"{entry.title} is not installed")
    build = {"do": "build", "contender": contender, "network": model.spec.name, "threads": 1,
             "data": None}  # fmt: skip
    return Program([sys.executable, "-m", "benchmarks.worker"], build=build)


TARGETS = {
    "c": Target("layerport, C", exported),
    "emx": Target("emx-onnx-cgen", functools.partial(emx, [])),
    "emx-fast": Target("emx-onnx-cgen, -ffast-math", functools.partial(emx, ["-ffast-math"])),
    "onnxruntime": Target("onnxruntime, Python", functools.partial(framework, "onnxruntime")),
    "numpy": Target("layerport, NumPy", functools.partial(framework, OURS)),
}

LEARNING = {
    "pytorch": Target("PyTorch", functools.partial(framework, "pytorch")),
    "layerport": Target("layerport, NumPy", functools.partial(framework, OURS)),
}
"""A step of training, on one thread."""
