"""Measures the programs: time, size, and what a cold start costs."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import importlib.metadata
import json
import resource
import shutil
import statistics
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.measure import Effort, Row, in_turns, prepare
from benchmarks.networks import NETWORKS
from benchmarks.process import ContenderError, Worker, environment, pin
from benchmarks.targets import javascript, native
from benchmarks.targets.model import Model, write_model
from benchmarks.targets.target import NotHere, Program, Target

TARGETS: dict[str, Target] = javascript.TARGETS | native.TARGETS
"""What predicts, by the names of the command line, in the order of the tables."""

LEARNING: dict[str, Target] = javascript.LEARNING | native.LEARNING
"""What learns."""

MEASURED = ("m1", "m2")
COLD_STARTS = 9
WRONG = 1e-4
"""Differences of probabilities from which on a program is wrong."""


@dataclasses.dataclass
class Size:
    """What a program costs before it runs.

    Attributes
    ----------
    download, code, compressed : bytes of all files, of them without the weights, and of all of
        them by gzip.
    cold : milliseconds of the processor for a process that predicts once, over one that does
        nothing; None where it was not measured.
    """

    download: int
    code: int
    compressed: int
    cold: float | None = None


class Programs:
    """The programs of one network.

    Parameters
    ----------
    mode : "targets" measures predictions, "learning" training.
    network : its name.
    targets : which ones.
    folder : where they are built.

    Attributes
    ----------
    absent : why some are not there.
    """

    def __init__(
        self, mode: str, network: str, targets: Iterable[str], folder: Path, data: Path | None
    ) -> None:
        self.mode, self.network = mode, network
        self.model: Model = write_model(NETWORKS[network], folder / network, data)
        self.absent: dict[str, str] = {}
        self._programs: dict[str, Program] = {}
        known = TARGETS if mode == "targets" else LEARNING
        for name in targets:
            try:
                self._programs[name] = known[name].make(self.model)
            except NotHere as reason:
                self.absent[name] = str(reason)
            except subprocess.CalledProcessError as error:
                words = error.stderr.decode(errors="replace").strip().splitlines() or [str(error)]
                self.absent[name] = words[-1]
            except Exception as error:  # whatever it is, the other programs go on
                self.absent[name] = f"{type(error).__name__}: {error}".splitlines()[0]

    def rows(self, batches: Sequence[int], effort: Effort) -> Iterator[Row]:
        """Measure them in turns."""
        workers: dict[str, Worker] = {}
        try:
            for name, program in self._programs.items():
                worker = Worker(program.command, threads=1)
                try:
                    if program.build:
                        worker.ask(program.build)
                except ContenderError as reason:
                    self.absent[name] = str(reason)
                    worker.close()
                else:
                    workers[name] = worker
            for batch in batches:
                row = Row(self.mode, self.network, batch, 1, absent=dict(self.absent))
                work = "infer" if self.mode == "targets" else "train"
                request = {"mode": work, "batch": batch, "seconds": effort.seconds}
                in_turns(_correct(prepare(workers, row, **request), row), row, effort)
                yield row
        finally:
            for worker in workers.values():
                worker.close()

    def sizes(self) -> dict[str, Size]:
        """Bytes and cold starts of the programs that have them."""
        found = {name: _size(program) for name, program in self._programs.items()
                 if program.download}  # fmt: skip
        starts = {name: p.cold for name, p in self._programs.items() if p.cold and p.download}
        for name, cold in _cold_starts(starts).items():
            found[name].cold = cold
        return found


def versions() -> dict[str, str]:
    """The versions of what makes and runs the programs, as far as it is there."""
    found = {}
    for tool in ("node", "gcc"):
        if shutil.which(tool) is not None:
            done = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True)
            found[tool] = done.stdout.splitlines()[0].rpartition(" ")[2].lstrip("v")
    for package in javascript.NAMES:
        description = javascript.PACKAGES / "node_modules" / package / "package.json"
        if description.exists():
            found[package] = json.loads(description.read_text(encoding="utf-8"))["version"]
    for package in ("onnxruntime", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    if emx := native.emx_version():
        found["emx-onnx-cgen"] = emx
    return found


def _correct(workers: dict[str, Worker], row: Row) -> dict[str, Worker]:
    """Leave out the programs that compute something else."""
    for name in list(workers):
        if row.timings[name].difference > WRONG:
            row.absent[name] = f"its results differ by {row.timings[name].difference:.1e}"
            del row.timings[name], workers[name]
    return workers


def _size(program: Program) -> Size:
    contents = [path.read_bytes() for path in program.download]
    total = sum(map(len, contents))
    packed = sum(len(gzip.compress(content)) for content in contents)
    return Size(total, total - program.weight_bytes, packed)


def _cold_starts(commands: dict[str, list[str]]) -> dict[str, float]:
    """Milliseconds of the processor over a process that does nothing, in turns."""
    if not commands:
        return {}
    idle = javascript.idle()
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(COLD_STARTS):
        empty = _processor_time(idle)
        for name, command in commands.items():
            taken[name].append(1000 * (_processor_time(command) - empty))
    return {name: statistics.median(times) for name, times in taken.items()}


def _processor_time(command: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment(1), preexec_fn=lambda: pin(1), check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
