"""Blocks in turns: A B C, A B C ... and what came out of them."""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS
from benchmarks.process import ROOT, ContenderError, Worker, environment

ALIKE = 0.02
"""How far numbers of parameters may differ: some frameworks have a bias more."""


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long to measure.

    Parameters
    ----------
    rounds : how often every contender has its turn.
    seconds : how long a turn takes, about.
    """

    rounds: int = 7
    seconds: float = 0.4


QUICK = Effort(rounds=3, seconds=0.1)


@dataclasses.dataclass
class Timing:
    """What a contender took for a call (a training step, a prediction), block by block.

    Attributes
    ----------
    wall, cpu : seconds on the clock, and of processors together.
    parallel : whether several threads may be used. If not, the time of the processor counts,
        which other programs on the machine do not change much.
    note : what the contender chose to do.
    difference : of its results from what they should be, where that is known.
    """

    parallel: bool = False
    wall: list[float] = dataclasses.field(default_factory=list)
    cpu: list[float] = dataclasses.field(default_factory=list)
    note: str = ""
    difference: float = 0.0

    @property
    def seconds(self) -> list[float]:
        """Seconds of a call, block by block, on the clock that counts."""
        return self.wall if self.parallel else self.cpu

    @property
    def median(self) -> float:
        """Seconds of a call."""
        return statistics.median(self.seconds)

    def ratio(self, other: Timing) -> float:
        """How many times as long the other one takes, round by round."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return statistics.median(theirs / ours for ours, theirs in pairs)


@dataclasses.dataclass
class Row:
    """One situation, and how all contenders did in it.

    Attributes
    ----------
    mode : "train", "infer" or "targets".
    load : of the machine while it was measured, the contenders themselves included.
    absent : why contenders that are installed have no timing.
    """

    mode: str
    network: str
    batch: int
    threads: int
    timings: dict[str, Timing] = dataclasses.field(default_factory=dict)
    absent: dict[str, str] = dataclasses.field(default_factory=dict)
    load: float = 0.0
    data: str = ""

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What it is a measurement of."""
        return self.mode, self.network, self.threads, self.batch

    @property
    def disturbed(self) -> bool:
        """Whether one-thread contenders did not have their core to themselves."""
        shares = [
            cpu / wall
            for timing in self.timings.values()
            for wall, cpu in zip(timing.wall, timing.cpu, strict=True)
        ]
        return self.threads == 1 and bool(shares) and statistics.median(shares) < 0.9


def machine(threads: int = 1) -> dict[str, Any]:
    """The machine, as a contender sees it."""
    command = [sys.executable, "-m", "benchmarks.machine"]
    done = subprocess.run(
        command, env=environment(threads), cwd=ROOT, check=True, capture_output=True
    )
    described: dict[str, Any] = json.loads(done.stdout)
    return described


def in_turns(workers: Mapping[str, Worker], row: Row, effort: Effort) -> None:
    """Measure prepared workers into a row; one that fails is absent from then on."""
    timings = row.timings
    for _ in range(effort.rounds):
        for name in list(timings):
            try:
                block = workers[name].ask({"do": "block"})
            except ContenderError as error:
                row.absent[name] = str(error)
                del timings[name]
                continue
            timings[name].wall.append(block["wall"])
            timings[name].cpu.append(block["cpu"])
    row.load = os.getloadavg()[0]


def prepare(workers: Mapping[str, Worker], row: Row, **request: Any) -> dict[str, Worker]:
    """Let workers warm up; returns those that can do it, and notes why others cannot."""
    ready = {}
    for name, worker in workers.items():
        try:
            answer = worker.ask({"do": "prepare", **request})
        except ContenderError as error:
            row.absent[name] = str(error)
            continue
        row.timings[name] = Timing(
            row.threads > 1, note=answer.get("note", ""), difference=answer.get("difference", 0.0)
        )
        ready[name] = worker
    return ready


class Frameworks:
    """Measures Python frameworks in training or inference.

    Parameters
    ----------
    mode : "train" or "infer".
    contenders : names; those that are not installed are left out.
    data : a folder with MNIST, or None.

    Attributes
    ----------
    versions : of all packages that were measured.
    """

    def __init__(
        self, mode: str, contenders: Iterable[str], data: Path | None, effort: Effort
    ) -> None:
        self.mode = mode
        self.contenders = [
            name
            for name in contenders
            if mode in CONTENDERS[name].modes and CONTENDERS[name].is_installed
        ]
        self.data = data
        self.effort = effort
        self.versions: dict[str, str] = {}

    def rows(self, network: str, threads: int, batches: Sequence[int]) -> Iterator[Row]:
        """Measure a network with one number of threads."""
        workers: dict[str, Worker] = {}
        try:
            absent, source = self._start(workers, network, threads)
            for batch in batches:
                row = Row(self.mode, network, batch, threads, absent=dict(absent), data=source)
                request = {"mode": self.mode, "batch": batch, "seconds": self.effort.seconds}
                in_turns(prepare(workers, row, **request), row, self.effort)
                yield row
        finally:
            for worker in workers.values():
                worker.close()

    def _start(
        self, workers: dict[str, Worker], network: str, threads: int
    ) -> tuple[dict[str, str], str]:
        """Start a process for each contender that can build the network."""
        absent: dict[str, str] = {}
        sizes: dict[str, int] = {}
        source = ""
        for name in self.contenders:
            worker = Worker([sys.executable, "-m", "benchmarks.worker"], threads)
            request = {"do": "build", "contender": name, "network": network, "threads": threads,
                       "data": None if self.data is None else str(self.data)}  # fmt: skip
            try:
                answer = worker.ask(request)
            except ContenderError as error:
                if str(error):
                    absent[name] = str(error)
                worker.close()
                continue
            workers[name] = worker
            sizes[name] = answer["parameters"]
            self.versions |= answer["versions"]
            source = answer["data"]
        _check_alike(network, sizes)
        return absent, source


def _check_alike(network: str, sizes: Mapping[str, int]) -> None:
    """Contenders that built something else would be compared for nothing."""
    if sizes and max(sizes.values()) > min(sizes.values()) * (1 + ALIKE):
        listed = ", ".join(f"{name}: {size:,}" for name, size in sizes.items())
        raise SystemExit(f"{network}: the numbers of parameters differ ({listed})")
