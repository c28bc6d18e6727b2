"""Where the time of a plan goes: by operator and by layer."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from layerport.numpy_engine.emit import Call
from layerport.op import NDArray

if TYPE_CHECKING:
    from layerport.numpy_engine.plan import Plan

_PRODUCTS = frozenset({np.dot, np.matmul})
"""The calls that are matrix products."""


@dataclasses.dataclass(frozen=True)
class Row:
    """The time of some calls.

    Attributes
    ----------
    operator, layer : what they belong to.
    calls : their number in one run.
    microseconds : their time in one run, in the median of several.
    share : of the whole run.
    """

    operator: str
    layer: str
    calls: int
    microseconds: float
    share: float


@dataclasses.dataclass(frozen=True)
class Profile:
    """The time of a run, the slowest first. Printing it shows a table.

    Attributes
    ----------
    rows : by operator and layer.
    microseconds : of all calls in one run.
    product_share : how much of that matrix products take.
    """

    rows: tuple[Row, ...]
    microseconds: float
    product_share: float

    def by_layer(self) -> tuple[Row, ...]:
        """Rows with the operators of a layer taken together."""
        return self._together(lambda row: ("", row.layer))

    def by_operator(self) -> tuple[Row, ...]:
        """Rows with the layers of an operator taken together."""
        return self._together(lambda row: (row.operator, ""))

    def _together(self, key: Callable[[Row], tuple[str, str]]) -> tuple[Row, ...]:
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            groups.setdefault(key(row), []).append(row)
        return _sorted(
            Row(
                *names,
                sum(row.calls for row in rows),
                sum(row.microseconds for row in rows),
                sum(row.share for row in rows),
            )
            for names, rows in groups.items()
        )

    def __str__(self) -> str:
        first, second = (
            max(len(name) for name in (title, *names))
            for title, names in (
                ("operator", (row.operator for row in self.rows)),
                ("layer", (row.layer for row in self.rows)),
            )
        )
        lines = [
            f"{self.microseconds:,.0f} us a run, {self.product_share:.0%} of it matrix products",
            f"{'operator':<{first}}  {'layer':<{second}}  {'calls':>6} {'us':>10} {'share':>6}",
        ]
        lines += [
            f"{row.operator:<{first}}  {row.layer:<{second}}  {row.calls:>6} "
            f"{row.microseconds:>10,.1f} {row.share:>6.1%}"
            for row in self.rows
        ]
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True, eq=False)
class Work:
    """A plan that belongs to a run, what it is fed, and how often the run repeats it."""

    plan: Plan
    feeds: Mapping[str, NDArray]
    times: int = 1


def profile(works: Sequence[Work], *, runs: int = 20) -> Profile:
    """Run plans several times with a clock.

    Parameters
    ----------
    works : what a run consists of; updates of parameters are made each time.
    runs : how often; each call counts with the median of its times.
    """
    calls: Counter[tuple[str, str]] = Counter()
    times: defaultdict[tuple[str, str], float] = defaultdict(float)
    products = 0.0
    for work in works:
        plan = work.plan
        plan.time(work.feeds)
        medians = np.median([plan.time(work.feeds) for _ in range(runs)], axis=0)
        for call, nanoseconds in zip(plan.calls, medians.tolist(), strict=True):
            owner, time = _owner(plan, call), nanoseconds / 1000 * work.times
            calls[owner] += work.times
            times[owner] += time
            products += time if call.function in _PRODUCTS else 0
    total = sum(times.values()) or 1.0
    rows = [Row(*owner, calls[owner], time, time / total) for owner, time in times.items()]
    return Profile(_sorted(rows), total, products / total)


def _owner(plan: Plan, call: Call) -> tuple[str, str]:
    """The operator and the layer that a call was recorded for."""
    nodes = plan.graph.nodes
    if not 0 <= call.step < len(nodes):
        return ("inputs" if call.step < 0 else "outputs"), ""
    node = nodes[call.step]
    return node.op.name, node.scope


def _sorted(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: -row.microseconds))
