"""Programs in C, compiled here: what layerport exports, and emx-onnx-cgen."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import layerport as lp

from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.targets import torch_file
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


def exported(flags: Sequence[str], model: Model) -> Program:
    """The C that layerport writes."""
    folder = _folder("c", flags, model)
    lp.save(model.network, folder / "model.c")
    (folder / "adapter.c").write_text(LAYERPORT_ADAPTER, encoding="ascii")
    binary = compile_host(model, folder, ["model.c", "adapter.c"], flags)
    return Program([binary, str(model.folder)], download=_linked(folder, flags),
                   weight_bytes=model.weight_bytes)  # fmt: skip


def emx(flags: Sequence[str], model: Model, *, exporter: str = "pytorch") -> Program:
    """The C that emx-onnx-cgen writes for fixed batches of 1 and of many.

    Parameters
    ----------
    exporter : who writes the ONNX file: "pytorch", as users of it would have one, or "layerport".
    """
    tool = emx_tool()
    folder = _folder(f"emx-{exporter}", flags, model)
    onnx = _onnx(exporter, model)
    for batch in (1, LARGEST_BATCH):
        subprocess.run(
            [tool, "compile", onnx, folder / f"model_{batch}.c", "--model-name", f"model_{batch}",
             "--input-dim", f"batch={batch}", "--large-weight-threshold", "0"],
            check=True, capture_output=True,
        )  # fmt: skip
    shape = model.spec.shape if len(model.spec.shape) == 1 else (1, 28, 28)
    text = EMX_ADAPTER.format(one=1, many=LARGEST_BATCH, classes=model.spec.classes,
                              shape="".join(f"[{extent}]" for extent in shape))  # fmt: skip
    (folder / "adapter.c").write_text(text, encoding="ascii")
    sources = ["model_1.c", f"model_{LARGEST_BATCH}.c", "adapter.c"]
    # Both sources define the weights.
    more = [*flags, "-Wl,--allow-multiple-definition"]
    binary = compile_host(model, folder, sources, more)
    return Program([binary, str(model.onnx_folder)])


def emx_tool() -> str:
    """The program emx-onnx-cgen: of EMX_ONNX_CGEN, beside Python, or on the path."""
    beside = Path(sys.executable).with_name("emx-onnx-cgen")
    found = os.environ.get("EMX_ONNX_CGEN") or shutil.which(beside) or shutil.which(beside.name)
    if found is None:
        raise NotHere(
            "emx-onnx-cgen is not installed (EMX_ONNX_CGEN may say where it is, in an environment "
            "of its own)"
        )
    return found


def emx_version() -> str:
    """Its version; nothing where it is not there."""
    try:
        command = [str(Path(emx_tool()).with_name("python")), "-c",
                   "import importlib.metadata as m; print(m.version('emx-onnx-cgen'))"]  # fmt: skip
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (NotHere, OSError, subprocess.CalledProcessError):
        return ""


def _onnx(exporter: str, model: Model) -> Path:
    if exporter == "layerport":
        return model.onnx_folder / "model.onnx"
    path = model.onnx_folder / "pytorch.onnx"
    if not path.exists():
        if importlib.util.find_spec("torch") is None:
            raise NotHere("PyTorch, which writes the ONNX file, is not installed")
        torch_file.export(model.spec, model.channels_first, path)
    return path


def _folder(name: str, flags: Sequence[str], model: Model) -> Path:
    folder = model.folder / "-".join([name, *(flag.strip("-") for flag in flags)])
    folder.mkdir()
    return folder


def _linked(folder: Path, flags: Sequence[str]) -> list[Path]:
    """An object file with what `model_predict` needs, so without the self-test; none if that
    fails."""
    whole, part = folder / "model.o", folder / "predict.o"
    sections = ["-ffunction-sections", "-fdata-sections"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        for command in (
            [compiler(), *flags, "-march=native", *sections, "-c", "model.c", "-o", str(whole)],
            ["ld", "-r", "--gc-sections", "-e", "model_predict", "-s", str(whole), "-o", str(part)],
        ):
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return [part]
    return []


def compiler() -> str:
    """The C compiler: of CC, or gcc."""
    found = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if found is None:
        raise NotHere("there is no C compiler")
    return found


def compile_host(model: Model, folder: Path, sources: Sequence[str], flags: Sequence[str]) -> str:
    """Compile sources with the host; returns the program."""
    sizes = [f"-DFEATURES={model.features}", f"-DCLASSES={model.spec.classes}"]
    binary = folder / "program"
    command = [compiler(), *flags, "-march=native", *sizes, "-o", binary, HOST, *sources, "-lm"]
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


_FAST = ["-O3", "-ffast-math"]

TARGETS = {
    "c": Target("layerport, C -O2", functools.partial(exported, ["-O2"])),
    "c-o3": Target("layerport, C -O3", functools.partial(exported, ["-O3"])),
    "emx": Target("emx-onnx-cgen -O3", functools.partial(emx, ["-O3"])),
    "emx-fast": Target("emx-onnx-cgen -O3 -ffast-math", functools.partial(emx, _FAST)),
    "emx-ours": Target(
        "emx-onnx-cgen -O3, on layerport's ONNX",
        functools.partial(emx, ["-O3"], exporter="layerport"),
    ),
    "onnxruntime": Target("onnxruntime, Python", functools.partial(framework, "onnxruntime")),
    "numpy": Target("layerport, NumPy", functools.partial(framework, OURS)),
}
"""All with -march=native; emx-onnx-cgen gets what PyTorch exports, unless its title says more."""

LEARNING = {
    "pytorch": Target("PyTorch", functools.partial(framework, "pytorch")),
    "layerport": Target("layerport, NumPy", functools.partial(framework, OURS)),
}
"""A step of training, on one thread."""
