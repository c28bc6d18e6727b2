"""Several threads, each with plans of its own.

NumPy lets other threads run while it computes, so threads that call it side by side use several
cores. BLAS must then keep to the thread that calls it: its own threads would only get in the way.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from layerport.errors import LayerportError


@functools.cache
def _controller() -> Any:
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()


@contextlib.contextmanager
def one_blas_thread_each() -> Iterator[None]:
    """BLAS works in the thread that calls it; restored afterwards."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


class Crew:
    """A fixed number of threads, the calling one among them.

    Parameters
    ----------
    size : how many.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise LayerportError(f"threads must be at least 1, not {size}")
        self.size = size
        self._pool = ThreadPoolExecutor(size - 1, "layerport") if size > 1 else None

    def run(self, jobs: Sequence[Callable[[], None]]) -> None:
        """Run at most `size` jobs at the same time, the first one in the calling thread.

        The first exception of a job is raised when all are done.
        """
        if self._pool is None or len(jobs) < 2:
            for job in jobs:
                job()
            return
        with one_blas_thread_each():
            others = [self._pool.submit(job) for job in jobs[1:]]
            try:
                jobs[0]()
            finally:
                # No job may go on working on the arrays when the caller has them back.
                problems = [other.exception() for other in others]
        for problem in problems:
            if problem is not None:
                raise problem
