"""NumPy calls that are made again and again on the same arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from layerport.op import NDArray


class Tape:
    """Calls with their arguments, in order. A call of the tape makes all of them.

    A recurrence makes thousands of small calls a run; replaying them costs about what generated
    code costs, and nothing has to be generated when sequences get longer.
    """

    def __init__(self) -> None:
        self._calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._numbers: dict[tuple[float, np.dtype[Any]], NDArray] = {}

    def add(self, function: Callable[..., Any], *args: Any) -> None:
        """Append a call. The result of a ufunc goes to its last argument."""
        self._calls.append((function, args))

    def number(self, value: float, like: NDArray) -> NDArray:
        """A number as an array of no axes, which a ufunc takes faster than a Python number."""
        key = (value, like.dtype)
        if key not in self._numbers:
            self._numbers[key] = np.asarray(value, like.dtype)
        return self._numbers[key]

    def __call__(self) -> None:
        for function, args in self._calls:
            function(*args)
