"""How many samples are computed at once."""

from __future__ import annotations

import math

from layerport.graph import Graph
from layerport.ops.recurrent import Recurrent

PART_BYTES = 8 << 20
"""How much memory the buffers for one part may take: they should stay in the cache."""

SHARED_BYTES = 1 << 20
"""How much memory the buffers for a part must take at least to be worth a thread of its own."""

STEPWISE, STEPWISE_BYTES = 128, 128 << 20
"""How many samples a part of a recurrence may have whatever the cache, and up to which memory."""

TRIAL = 16
"""Samples for which a first plan is made, to find out how much memory a sample needs."""


def largest_part(samples: int, sample_bytes: int, threads: int, cache: int) -> int:
    """How many samples a part may have.

    So few that the buffers of a part stay in the cache, and that every thread gets a part, unless
    that would be hardly any work.
    """
    share = max(math.ceil(samples / threads), SHARED_BYTES // sample_bytes)
    return max(1, min(cache // sample_bytes, share))


def cache_for(graph: Graph, sample_bytes: int, cache: int) -> int:
    """How much memory the buffers for a part of a graph may take.

    A recurrence reads little of what it keeps at each of its steps, but makes the calls of all
    steps for each part anew: it is better off with more samples than the cache has room for.
    """
    if not any(isinstance(node.op, Recurrent) for node in graph.nodes):
        return cache
    return max(cache, min(STEPWISE * sample_bytes, STEPWISE_BYTES))


def part_sizes(samples: int, most: int, threads: int = 1) -> list[int]:
    """How many samples each part has: at most `most`, as equal as possible.

    Where there are several parts, there is the same number for each thread.
    """
    fewest = math.ceil(samples / most)
    if fewest == 1:
        return [samples]
    fewest = min(math.ceil(fewest / threads) * threads, samples)
    even = [n for n in range(fewest, fewest + 3 * threads, threads) if samples % n == 0]
    count = even[0] if even else fewest
    size, rest = divmod(samples, count)
    return [size + 1] * rest + [size] * (count - rest)
