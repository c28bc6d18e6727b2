"""RESULTS.md: what was measured, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.goals import AGAINST, GOALS
from benchmarks.measure import Row
from benchmarks.networks import NETWORKS
from benchmarks.report import Results

HEADINGS = {
    "train": ("Training", "samples per second, forward + backward + SGD with momentum, `fit` as "
              "users call it: shuffled batches from arrays in memory"),
    "infer": ("Inference", "microseconds of a call"),
}  # fmt: skip

INTRODUCTION = """\
# Results

Made by `{commands}`. Each contender runs in a process of its own, pinned to its cores;
the processes take turns. Times are medians; a ratio is the median of the ratios of neighbouring
turns, so it may differ from the ratio of the medians. A ratio above 1 means that layerport is
faster. {disturbed}
"""
DISTURBED = "Rows with `~` were measured while other programs used the same cores."


def markdown(results: Results) -> str:
    """The whole page."""
    rows = list(results.rows.values())
    modes = [mode for mode in HEADINGS if any(row.mode == mode for row in rows)]
    commands = "`, `".join(f"python -m benchmarks {mode}" for mode in modes)
    disturbed = DISTURBED if any(row.disturbed for row in rows) else ""
    parts = [INTRODUCTION.format(commands=commands, disturbed=disturbed)]
    for mode in modes:
        title, unit = HEADINGS[mode]
        parts += [f"## {title}", f"{unit[0].upper()}{unit[1:]}.", _machine(results.machines[mode])]
        for threads in sorted({row.threads for row in rows if row.mode == mode}):
            chosen = [row for row in rows if (row.mode, row.threads) == (mode, threads)]
            parts += [f"### {threads} thread{'s' if threads > 1 else ''}", _table(mode, chosen)]
    parts.append(_networks())
    return "\n\n".join(part.strip() for part in parts) + "\n"


def line(row: Row) -> str:
    """A row for the terminal."""
    ours = row.timings.get(OURS)
    cells = [
        f"{CONTENDERS[name].title} {_amount(row, name)}" + _ratio(ours, timing, name)
        for name, timing in row.timings.items()
    ]
    goal = _goal(row)
    cells += [f"goal {goal}"] if goal else []
    cells += [f"{CONTENDERS[name].title}: {why}" for name, why in row.absent.items()]
    mark = "~" if row.disturbed else " "
    return f"{row.network:12}{row.batch:4} x{row.threads}{mark} " + " | ".join(cells)


def _machine(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; Python "
        f"{machine['python']}, NumPy {machine['numpy']}, {machine['blas']}; {versions}."
    )


def _table(mode: str, rows: Sequence[Row]) -> str:
    names = [name for name in CONTENDERS if any(name in row.timings for row in rows)]
    against = f"at least, against {CONTENDERS[AGAINST[mode]].title}"
    order = {name: place for place, name in enumerate(NETWORKS)}
    lines = [_cells(["network", "batch", *(CONTENDERS[name].title for name in names), against])]
    lines.append(_cells(["---", *["--:"] * (len(names) + 2)]))
    for row in sorted(rows, key=lambda row: (order[row.network], row.batch)):
        mark = " ~" if row.disturbed else ""
        cells = list(_measured(row, names))
        lines.append(_cells([f"{row.network}{mark}", str(row.batch), *cells, _goal(row)]))
    return "\n".join(lines)


def _measured(row: Row, names: Sequence[str]) -> Iterator[str]:
    ours = row.timings.get(OURS)
    for name in names:
        timing = row.timings.get(name)
        yield "" if timing is None else _amount(row, name) + _ratio(ours, timing, name)


def _amount(row: Row, name: str) -> str:
    seconds = row.timings[name].median
    if row.mode == "train":
        return f"{row.batch / seconds:,.0f}"
    return f"{seconds * 1e6:,.1f}" if seconds < 1e-4 else f"{seconds * 1e6:,.0f}"


def _ratio(ours: Any, timing: Any, name: str) -> str:
    return "" if ours is None or name == OURS else f" ({ours.ratio(timing):.2f}x)"


def _goal(row: Row) -> str:
    goal = GOALS.get(row.key)
    rival = AGAINST.get(row.mode, "")
    if goal is None or OURS not in row.timings or rival not in row.timings:
        return ""
    reached = row.timings[OURS].ratio(row.timings[rival]) >= goal
    return f"{goal:g}x {'reached' if reached else 'missed'}"


def _networks() -> str:
    listed = "\n".join(f"- `{net.name}`: {net.title}" for net in NETWORKS.values())
    return f"## Networks\n\n{listed}"


def _cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
