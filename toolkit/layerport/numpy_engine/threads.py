"""Several threads, each with plans of its own.

NumPy lets other threads run while it computes, so threads that call it side by side use several
cores. BLAS must then keep to the thread that calls it: its own threads would only get in the way.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from layerport.errors import LayerportError


@functools.cache
def _controller() -> Any:
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()


@contextlib.contextmanager
def blas_threads(count: int) -> Iterator[None]:
    """BLAS uses at most so many threads for a product; restored afterwards."""
    with _controller().limit(limits=count, user_api="blas"):
        yield


def thread_count(threads: int | None) -> int:
    """How many threads are meant: None stands for as many as this process has processors.

    Raises
    ------
    LayerportError : when it is no whole number above 0.
    """
    if threads is None:
        try:
            return len(os.sched_getaffinity(0))
        except AttributeError:  # where processes are not tied to processors
            return os.cpu_count() or 1
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise LayerportError(f"threads must be a whole number of at least 1, not {threads!r}")
    return threads


class Crew:
    """A fixed number of threads, the calling one among them.

    Parameters
    ----------
    size : how many.
    """

    def __init__(self, size: int) -> None:
        self.size = thread_count(size)
        self._pool = ThreadPoolExecutor(size - 1, "layerport") if size > 1 else None

    def run(self, jobs: Sequence[Callable[[], None]]) -> None:
        """Run at most `size` jobs at the same time, the first one in the calling thread.

        The first exception of a job is raised when all are done.
        """
        if self._pool is None or len(jobs) < 2:
            for job in jobs:
                job()
            return
        with blas_threads(1):
            others = [self._pool.submit(job) for job in jobs[1:]]
            try:
                jobs[0]()
            finally:
                # No job may go on working on the arrays when the caller has them back.
                problems = [other.exception() for other in others]
        for problem in problems:
            if problem is not None:
                raise problem
