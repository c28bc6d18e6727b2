"""Inputs for self-tests that need no room: whoever tests draws the same numbers again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from layerport.op import NDArray

MULTIPLIER, INCREMENT = np.uint32(1664525), np.uint32(1013904223)
"""Of the linear congruential generator modulo 2^32 (Numerical Recipes)."""


def drawn(
    ports: Sequence[tuple[str, Sequence[int | None], str]], samples: int, seed: int
) -> list[NDArray]:
    """Inputs as `selftest.js` draws them: floats from -1 to 1, whole numbers 0 and 1.

    Parameters
    ----------
    ports : name, shape with None for the batch, dtype.
    """
    shapes = [[samples if extent is None else extent for extent in shape] for _, shape, _ in ports]
    sizes = [int(np.prod(shape)) for shape in shapes]
    states = np.split(_states(seed, sum(sizes)), np.cumsum(sizes)[:-1])
    made = []
    for (_, _, dtype), shape, state in zip(ports, shapes, states, strict=True):
        is_float = np.dtype(dtype).kind == "f"
        numbers = state.view(np.int32) / 2**31 if is_float else state >> np.uint32(31)
        made.append(numbers.astype(dtype).reshape(shape))
    return made


def _states(seed: int, count: int) -> NDArray:
    """The states behind a seed: a^i seed + c (1 + a + ... + a^(i-1)), modulo 2^32."""
    powers = np.cumprod(np.full(count, MULTIPLIER), dtype=np.uint32)
    sums = np.cumsum(np.concatenate([[np.uint32(1)], powers[:-1]]), dtype=np.uint32)
    return powers * np.uint32(seed) + sums[:count] * INCREMENT
