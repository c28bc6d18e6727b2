"""Processes that are measured: one a contender, asked in turns, a line of JSON each way."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
SLOWING_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_VERBOSE")
"""Would make OpenBLAS take other kernels than it finds best."""

SETTLE = 0.02
"""Seconds between two blocks, in which spinning threads of the last one fall asleep."""


class ContenderError(Exception):
    """A contender cannot do what it was asked; the message says why."""


def environment(threads: int) -> dict[str, str]:
    """The environment in which a contender uses at most so many threads."""
    kept = {name: value for name, value in os.environ.items() if name not in SLOWING_VARIABLES}
    limits = dict.fromkeys(THREAD_VARIABLES, str(threads))
    # XLA takes all cores for its own threads; pinning the process limits it.
    return {**kept, **limits, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": os.pathsep.join([str(ROOT), kept.get("PYTHONPATH", "")])}  # fmt: skip


def cores(threads: int) -> list[int]:
    """The cores to run on: the last ones, as the first serves interrupts."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))[-threads:]


def pin(threads: int) -> None:
    """Keep this process on its cores, where the system can."""
    if cores(threads):
        os.sched_setaffinity(0, cores(threads))


class Worker:
    """A process that answers requests.

    Parameters
    ----------
    command : what to run; it reads a request, and writes an answer, as a line of JSON each.
    threads : how many it may use.
    """

    def __init__(self, command: Sequence[str], threads: int) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            env=environment(threads), preexec_fn=lambda: pin(threads), cwd=ROOT,
        )  # fmt: skip

    def ask(self, request: dict[str, Any], limit: float = 300.0) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Raises
        ------
        ContenderError : with the reason that the process gives, or what it wrote when it died.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            answer = self._answer(time.monotonic() + limit)
        except BrokenPipeError as error:
            raise ContenderError(self._last_words()) from error
        if "failed" in answer:
            raise ContenderError(answer["failed"])
        time.sleep(SETTLE)
        return answer

    def _answer(self, deadline: float) -> dict[str, Any]:
        """The next line of JSON; other lines are what frameworks print."""
        assert self._process.stdout is not None
        while True:
            ready, _, _ = select.select([self._process.stdout], [], [], deadline - time.monotonic())
            if not ready:
                raise ContenderError("no answer in time")
            line = self._process.stdout.readline()
            if not line:
                raise ContenderError(self._last_words())
            with contextlib.suppress(ValueError):
                answer = json.loads(line)
                if isinstance(answer, dict):
                    return answer

    def _last_words(self) -> str:
        self._process.wait(10)
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        errors = [line for line in lines if "Error" in line] or lines
        return errors[-1] if errors else f"it ended with code {self._process.returncode}"

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()
