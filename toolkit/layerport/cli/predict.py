"""layerport predict."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import numpy as np

from layerport.cli.common import (
    FILE,
    MODEL,
    blaming,
    layer_classes,
    layers_option,
    read_arrays,
    say,
)

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray


@click.command("predict")
@click.argument("model", type=MODEL)
@click.argument("input", type=MODEL)
@click.option("-o", "--output", type=FILE, help="Where to write (.npy, .npz, .csv, .json).")
@click.option("--scale", type=float, default=None,
              help="Factor for the pixels of a picture; 1/255 by default.")  # fmt: skip
@layers_option
def command(
    model: Path, input: Path, output: Path | None, scale: float | None, layers: tuple[str, ...]
) -> None:
    """Run MODEL on the samples in INPUT (.npy, .npz, .csv, .json or .png)."""
    from layerport.files import load

    if output is not None and output.suffix.lower() not in WRITERS:
        raise click.BadParameter(f"outputs are written as {', '.join(WRITERS)}, not {output}")
    network = load(model, layers=layer_classes(layers))
    x = read_input(input, network, 1 / 255 if scale is None else scale)
    with blaming(input):
        predicted = network.predict(x)
    outputs = predicted if isinstance(predicted, list) else [predicted]
    named = dict(zip([port.name for port in network.outputs], outputs, strict=True))
    if output is None:
        for line in _lines(named, network):
            say(line)
    else:
        write_output(output, named)


def read_input(path: Path, network: Network, scale: float) -> Any:
    """Samples from a file, reshaped to the network's input where that is unambiguous.

    Raises
    ------
    ModelFileError : naming what is wrong with the file.
    """
    from layerport.errors import ModelFileError

    suffix = path.suffix.lower()
    try:
        if suffix == ".npz":
            arrays = read_arrays(path)
            names = [port.name for port in network.inputs]
            if set(names) <= set(arrays):
                return {name: arrays[name] for name in names}
            return _shaped(next(iter(arrays.values())), network) if len(names) == 1 else arrays
        if suffix == ".npy":
            return _shaped(np.load(path, allow_pickle=False), network)
        if suffix == ".csv":
            return _shaped(_csv(path), network)
        if suffix == ".json":
            return _json(path, network)
        if suffix == ".png":
            return _picture(path, network, scale)
    except (OSError, ValueError, StopIteration) as error:
        if isinstance(error, (FileNotFoundError, PermissionError)):
            raise
        raise ModelFileError(path, f"it holds no samples ({error})") from error
    raise ModelFileError(
        path, f"inputs are read from .npy, .npz, .csv, .json and .png, not {suffix!r}"
    )


def _csv(path: Path) -> NDArray:
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    try:
        [float(cell) for cell in first.split(",")]
        head = 0
    except ValueError:
        head = 1
    return np.loadtxt(path, delimiter=",", skiprows=head, ndmin=2)


def _json(path: Path, network: Network) -> Any:
    data = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(data, dict):
        return {name: np.asarray(values) for name, values in data.items()}
    return _shaped(np.asarray(data), network)


def _picture(path: Path, network: Network, scale: float) -> NDArray:
    from layerport.errors import UnsupportedError

    try:
        from PIL import Image
    except ImportError as error:
        raise UnsupportedError(
            "reading .png needs Pillow", hint="pip install 'layerport[png]'"
        ) from error
    shape = [d for d in network.inputs[0].shape[1:] if d is not None]
    flat = len(shape) == 1
    side = round(shape[0] ** 0.5) if flat else 0
    channels = 1 if flat else (shape[-1] if shape[-1] in (1, 3, 4) else shape[0])
    height, width = (side, side) if flat else (shape[:2] if shape[-1] == channels else shape[1:3])
    with Image.open(path) as image:
        mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(channels, "RGB")
        pixels = np.asarray(image.convert(mode).resize((width, height)), np.float32) * scale
    pixels = pixels.reshape(height, width, channels)
    if not flat and shape[-1] != channels:
        pixels = pixels.transpose(2, 0, 1)
    return pixels.reshape(1, *shape)


def _shaped(array: NDArray, network: Network) -> NDArray:
    """Rows of numbers in the shape of a sample, and a single sample as a batch of one."""
    shape = network.inputs[0].shape[1:]
    if None in shape or array.shape[1:] == shape:
        return array
    size = int(np.prod([d for d in shape if d is not None]))
    if array.size and array.size % size == 0 and (array.ndim == 2 or array.shape == shape):
        return array.reshape(-1, *[d for d in shape if d is not None])
    return array


def _lines(named: dict[str, NDArray], network: Network) -> list[str]:
    lines = []
    for name, array in named.items():
        rows = array.reshape(len(array), -1)
        for row in rows:
            text = " ".join(f"{value:.6g}" for value in row)
            if network.labels is not None and row.size == len(network.labels):
                text = f"{network.labels[int(row.argmax())]}: {text}"
            lines.append(f"{name}: {text}" if len(named) > 1 else text)
    return lines


def write_output(path: Path, named: dict[str, NDArray]) -> None:
    """Write the outputs in the format of the suffix, whole or not at all."""
    suffix = path.suffix.lower()
    if suffix in (".npy", ".csv") and len(named) > 1:
        raise click.BadParameter(f"{len(named)} outputs need .npz or .json, not {suffix}")
    text = io.BytesIO()
    WRITERS[suffix](text, named)
    with tempfile.TemporaryDirectory(prefix=".layerport-", dir=path.parent) as folder:
        made = Path(folder) / path.name
        made.write_bytes(text.getvalue())
        made.replace(path)


def _write_npz(file: BinaryIO, named: dict[str, NDArray]) -> None:
    with zipfile.ZipFile(file, "w") as archive:  # np.savez takes no array called "file"
        for name, array in named.items():
            with archive.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, np.asarray(array))


def _write_json(file: BinaryIO, named: dict[str, NDArray]) -> None:
    lists = {name: array.tolist() for name, array in named.items()}
    only = next(iter(lists.values()))
    file.write(json.dumps(lists if len(lists) > 1 else only).encode())


def _write_npy(file: BinaryIO, named: dict[str, NDArray]) -> None:
    np.save(file, next(iter(named.values())))


def _write_csv(file: BinaryIO, named: dict[str, NDArray]) -> None:
    array = next(iter(named.values()))
    np.savetxt(file, array.reshape(len(array), -1), delimiter=",", fmt="%.9g")


WRITERS: Mapping[str, Callable[[BinaryIO, dict[str, NDArray]], None]] = MappingProxyType(
    {".npy": _write_npy, ".npz": _write_npz, ".csv": _write_csv, ".json": _write_json}
)
"""How outputs are written, by suffix."""
