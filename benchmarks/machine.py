"""What the measurements were made on: `python -m benchmarks.machine` prints it as JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np


def describe() -> dict[str, Any]:
    """Processor, cores, BLAS kernel and versions, for the process that asks."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": usable,
        "blas": _blas(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def _blas() -> str:
    """The kernels that NumPy's BLAS chose, which matters more than the processor's name."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown (install threadpoolctl)"
    np.ones((2, 2)) @ np.ones((2, 2))
    found = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
    return "; ".join(
        f"{lib['internal_api']} {lib['version']}, {lib.get('architecture', 'unknown')} kernels"
        for lib in found
    )


if __name__ == "__main__":
    json.dump(describe(), sys.stdout)
