"""Where the time of a plan goes: by operator and by layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from layerport.numpy_engine.emit import Call
from layerport.numpy_engine.plan import Plan
from layerport.op import NDArray

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
        lines = [
            f"{self.microseconds:,.0f} us a run, {self.product_share:.0%} of it matrix products",
            f"{'operator':<24} {'layer':<28} {'calls':>6} {'us':>10} {'share':>6}",
        ]
        lines += [
            f"{row.operator:<24} {row.layer:<28} {row.calls:>6} {row.microseconds:>10,.1f} "
            f"{row.share:>6.1%}"
            for row in self.rows
        ]
        return "\n".join(lines)


def profile(plan: Plan, feeds: Mapping[str, NDArray], *, runs: int = 20) -> Profile:
    """Run a plan several times with a clock.

    Parameters
    ----------
    plan : what to run; updates of parameters are made at each run.
    feeds : the inputs by name.
    runs : how often; each call counts with the median of its times.
    """
    plan.time(feeds)
    times = np.median([plan.time(feeds) for _ in range(runs)], axis=0) / 1000
    total = float(times.sum()) or 1.0
    groups: dict[tuple[str, str], list[float]] = {}
    for call, time in zip(plan.calls, times, strict=True):
        groups.setdefault(_owner(plan, call), []).append(float(time))
    rows = [Row(*key, len(own), sum(own), sum(own) / total) for key, own in groups.items()]
    products = sum(_in(plan.calls, times))
    return Profile(_sorted(rows), total, products / total)


def _in(calls: Sequence[Call], times: Iterable[float]) -> list[float]:
    pairs = zip(calls, times, strict=True)
    return [float(time) for call, time in pairs if call.function in _PRODUCTS]


def _owner(plan: Plan, call: Call) -> tuple[str, str]:
    """The operator and the layer that a call was recorded for."""
    nodes = plan.graph.nodes
    if not 0 <= call.step < len(nodes):
        return ("inputs" if call.step < 0 else "outputs"), ""
    node = nodes[call.step]
    return node.op.name, node.scope


def _sorted(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: -row.microseconds))
