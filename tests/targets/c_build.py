"""Compiling many C files, on all cores."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def command(folder: Path, words: Sequence[str]) -> None:
    """Run a compiler in a folder; what it says becomes the failure."""
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]


def compile_all(
    folder: Path, compiler: str, flags: Sequence[str], sources: Sequence[str], program: str
) -> None:
    """Compile sources of a folder, several at a time, and link them."""

    def compile_one(source: str) -> str:
        target = f"{source.removesuffix('.c')}.o"
        command(folder, [compiler, *flags, "-c", source, "-o", target])
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, sources))
    command(folder, [compiler, *flags, *objects, "-o", program, "-lm"])
