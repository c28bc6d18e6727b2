"""Compiling and running a written file, to verify it: inputs and outputs go through files."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from layerport.errors import LayerportError
from layerport.network import Network
from layerport.op import NDArray

SECONDS = 600
"""How long a compiler or a program may take."""


def run_in_folder(
    prepare: Callable[[Path], tuple[Sequence[Sequence[str]], Sequence[str]]],
    inputs: Sequence[NDArray],
    network: Network,
) -> list[NDArray]:
    """Build a program in a temporary folder and run it on arrays.

    Parameters
    ----------
    prepare : writes the sources into a folder; returns the commands that build it, and the one
        that runs it. The latter is given the paths of the inputs and outputs as arguments: files
        of little-endian 32-bit elements.

    Raises
    ------
    LayerportError : with what the tool said, when it fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        builds, command = prepare(folder)
        for build in builds:
            _call(build, folder)
        given = [folder / f"input{k}" for k in range(len(inputs))]
        made = [folder / f"output{k}" for k in range(len(network.outputs))]
        for path, array in zip(given, inputs, strict=True):
            path.write_bytes(_words(array))
        _call([*command, *map(str, (*given, *made))], folder)
        rows = next((len(x) for x, p in zip(inputs, network.inputs, strict=True)
                     if p.shape and p.shape[0] is None), 1)  # fmt: skip
        return [
            np.frombuffer(path.read_bytes(), _word(port.dtype))
            .astype(port.dtype)
            .reshape([rows if d is None else d for d in port.shape])
            for path, port in zip(made, network.outputs, strict=True)
        ]


def _word(dtype: str) -> str:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return "<f4"
    return "<u4" if kind == np.uint32 else "<i4"


def _words(array: NDArray) -> bytes:
    return np.ascontiguousarray(array, _word(array.dtype.name)).tobytes()


def _call(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(
        list(command), cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False,
        encoding="utf-8", errors="replace",
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise LayerportError(f"{command[0]} failed:\n{said[-4000:]}")
