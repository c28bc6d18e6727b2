"""The process in which a contender runs: `python -m benchmarks.worker` (see `process`).

Requests: {"do": "build", ...}, then for each batch size {"do": "prepare", ...} and as many
{"do": "block"} as wanted.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.base import Contender, Unable
from benchmarks.data import samples_for
from benchmarks.networks import NETWORKS

WARM_UP = 0.2
"""Seconds, and at least two calls, before anything is timed."""


class Bench:
    """A contender and what it is doing."""

    def __init__(self) -> None:
        self._contender: Contender | None = None
        self._calls = 1
        self._run: Callable[[int], None] = lambda calls: None

    def build(self, contender: str, network: str, threads: int, data: str | None) -> dict[str, Any]:
        """Build a network; says how large it is, and what built it."""
        spec = NETWORKS[network]
        samples = samples_for(spec, Path(data) if data else None)
        cls = CONTENDERS[contender].load()
        self._contender = cls(spec, threads, samples)
        versions = {name: importlib.metadata.version(name) for name in cls.packages}
        parameters = self._contender.parameters
        return {"parameters": parameters, "versions": versions, "data": samples.source}

    def prepare(self, mode: str, batch: int, seconds: float) -> dict[str, Any]:
        """Warm up, and find out how many calls fill a block."""
        assert self._contender is not None
        self._contender.prepare(batch)
        self._run = self._training(batch) if mode == "train" else self._inference(batch)
        self._calls = 1
        start = time.perf_counter()
        self._run(2)
        while (passed := time.perf_counter() - start) < WARM_UP:
            self._run(self._calls)
            self._calls = min(2 * self._calls, 1 << 12)
        # Compilation is part of the first calls: only what comes after it says how long one takes.
        start = time.perf_counter()
        self._run(self._calls)
        passed = max(time.perf_counter() - start, 1e-9)
        self._calls = max(1, round(self._calls * seconds / passed))
        self._run(self._calls)
        return {"calls": self._calls, "note": self._contender.note}

    def _training(self, batch: int) -> Callable[[int], None]:
        contender = self._contender
        assert contender is not None
        pool = len(contender.samples.x) // batch

        def run(steps: int) -> None:
            epochs, left = divmod(steps, pool)
            if epochs:
                contender.train(pool * batch, batch, epochs)
            if left:
                contender.train(left * batch, batch, 1)

        return run

    def _inference(self, batch: int) -> Callable[[int], None]:
        contender = self._contender
        assert contender is not None
        x = contender.batch_of(batch)
        predict = contender.predict

        def run(calls: int) -> None:
            for _ in range(calls):
                predict(x)

        return run

    def block(self) -> dict[str, Any]:
        """One block: seconds of a call, on the clock and of all processors together."""
        wall, cpu = time.perf_counter(), time.process_time()
        self._run(self._calls)
        return {
            "wall": (time.perf_counter() - wall) / self._calls,
            "cpu": (time.process_time() - cpu) / self._calls,
        }


def main() -> None:
    """Answer requests until there are no more."""
    bench = Bench()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(bench, request.pop("do"))(**request)
        except Unable:
            answer = {"failed": ""}
        except Exception as error:  # whatever it is, the other contenders go on
            answer = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
