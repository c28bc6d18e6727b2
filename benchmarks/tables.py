"""RESULTS.md: what was measured, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.goals import Goal, goals_of
from benchmarks.measure import Row
from benchmarks.networks import NETWORKS
from benchmarks.report import Results

HEADINGS = {
    "train": (
        "Training",
        "Samples per second: forward, backward and SGD with momentum, by `fit` as users call it, "
        "on shuffled batches of arrays in memory.",
    ),
    "infer": ("Inference", "Microseconds of a call."),
    "targets": (
        "Exported programs",
        "Microseconds of a call on one thread, for one sample and for 128. `code` is what has to "
        "be downloaded beside the weights; `cold start` the time of the processor for a process "
        "that predicts once, over one that does nothing.",
    ),
    "learning": (
        "Exported programs that learn",
        "Samples per second on one thread, SGD. js-mind manages 900 on M1; 117,000, 130 times as "
        "many, is the goal for WebAssembly.",
    ),
}

INTRODUCTION = """\
# Results

Made by {commands}. Each contender runs in a process of its own, pinned to its cores; the processes
take turns. Times are medians; a ratio is the median of the ratios of neighbouring turns, and above
1 where layerport is faster. One thread is measured by the time of its processor, which other
programs hardly change, two by the clock. {disturbed}
"""
DISTURBED = "`~` marks rows that were measured while other programs used the same cores."


def line(row: Row, titles: Mapping[str, str]) -> str:
    """A row for the terminal."""
    cells = [f"{titles[name]} {_amount(row, name)}{_ratio(row, name)}" for name in row.timings]
    cells += [text for goal in _goals(row) if (text := _outcome(row, goal, titles))]
    cells += [f"{titles[name]}: {why}" for name, why in row.absent.items()]
    mark = "~" if row.disturbed else " "
    return f"{row.network:12}{row.batch:4} x{row.threads}{mark} " + " | ".join(cells)


def markdown(results: Results, titles: Mapping[str, str]) -> str:
    """The whole page."""
    rows = list(results.rows.values())
    modes = [mode for mode in HEADINGS if any(row.mode == mode for row in rows)]
    commands = ", ".join(f"`python -m benchmarks {mode}`" for mode in modes)
    disturbed = DISTURBED if any(row.disturbed for row in rows) else ""
    parts = [INTRODUCTION.format(commands=commands, disturbed=disturbed)]
    for mode in modes:
        heading, unit = HEADINGS[mode]
        parts += [f"## {heading}", unit, _machine(results.machines.get(mode, {}))]
        chosen = sorted((row for row in rows if row.mode == mode), key=_place)
        if mode in ("train", "infer"):
            tables = _frameworks(chosen, titles)
        else:
            tables = _programs(chosen, results.sizes if mode == "targets" else {}, titles)
        parts += [*tables, _absent_list(chosen, titles), _goal_list(chosen, titles)]
    parts.append(_networks())
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _place(row: Row) -> tuple[int, int, int]:
    return row.threads, list(NETWORKS).index(row.network), row.batch


def _machine(machine: Mapping[str, Any]) -> str:
    if not machine:
        return ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; Python "
        f"{machine['python']}, NumPy {machine['numpy']}, {machine['blas']}; {versions}."
    )


# Frameworks -----------------------------------------------------------------------------


def _frameworks(rows: Sequence[Row], titles: Mapping[str, str]) -> Iterator[str]:
    for threads in sorted({row.threads for row in rows}):
        yield f"### {threads} thread{'s' if threads > 1 else ''}"
        chosen = [row for row in rows if row.threads == threads]
        names = [name for name in CONTENDERS if any(name in row.timings for row in chosen)]
        head = ["network", "batch", *(titles[name] for name in names)]
        yield _table(head, [[*_label(row), *_measured(row, names)] for row in chosen])


def _label(row: Row) -> list[str]:
    return [f"{row.network}{' ~' if row.disturbed else ''}", str(row.batch)]


def _measured(row: Row, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        yield _amount(row, name) + _ratio(row, name) if name in row.timings else ""


def _amount(row: Row, name: str) -> str:
    seconds = row.timings[name].median
    if row.mode in ("train", "learning"):
        return f"{row.batch / seconds:,.0f}"
    return f"{seconds * 1e6:,.1f}" if seconds < 1e-4 else f"{seconds * 1e6:,.0f}"


def _ratio(row: Row, name: str) -> str:
    if row.mode == "targets" or name == OURS or OURS not in row.timings:
        return ""
    return f" ({row.timings[OURS].ratio(row.timings[name]):.2f}x)"


# Programs -------------------------------------------------------------------------------


def _programs(
    rows: Sequence[Row], sizes: Mapping[str, Any], titles: Mapping[str, str]
) -> Iterator[str]:
    for network in dict.fromkeys(row.network for row in rows):
        chosen = [row for row in rows if row.network == network]
        names = [name for name in titles if any(name in row.timings for row in chosen)]
        head = [network, *(f"batch {row.batch}" for row in chosen)]
        head += ["code", "cold start"] if sizes else []
        lines = []
        for name in names:
            times = [_amount(row, name) if name in row.timings else "" for row in chosen]
            costs = _costs(sizes.get(network, {}).get(name)) if sizes else []
            lines.append([titles[name], *times, *costs])
        yield _table(head, lines)


def _costs(size: Mapping[str, Any] | None) -> list[str]:
    if size is None:
        return ["", ""]
    cold = "" if size["cold"] is None else f"{size['cold']:.0f} ms"
    return [f"{size['code'] / 1000:,.1f} KB", cold]


def _absent_list(rows: Iterable[Row], titles: Mapping[str, str]) -> str:
    """What was not measured, and why."""
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        for name, why in row.absent.items():
            reasons.setdefault((titles[name], why), {})[row.network] = None
    if not reasons:
        return ""
    lines = [f"- {title} ({', '.join(found)}): {why}" for (title, why), found in reasons.items()]
    return "Not measured:\n\n" + "\n".join(lines)


# Goals ----------------------------------------------------------------------------------


def _goals(row: Row) -> list[Goal]:
    return goals_of(*row.key)


def _outcome(row: Row, goal: Goal, titles: Mapping[str, str]) -> str:
    """Whether a goal was reached; nothing where one of the two was not measured."""
    ours, rival = row.timings.get(goal.ours), row.timings.get(goal.rival)
    if ours is None or rival is None:
        return ""
    ratio = ours.ratio(rival)
    word = "reached" if ratio >= goal.least else "missed"
    return f"{titles[goal.rival]} {ratio:.2f}x, at least {goal.least:g}x: {word}"


def _goal_list(rows: Iterable[Row], titles: Mapping[str, str]) -> str:
    lines = []
    for row in rows:
        for goal in _goals(row):
            outcome = _outcome(row, goal, titles)
            if outcome:
                ours = titles[goal.ours]
                lines.append([*_label(row), str(row.threads), ours, *_split(outcome)])
    if not lines:
        return ""
    head = ["network", "batch", "threads", "", "against", "at least", ""]
    return "### Goals\n\n" + _table(head, lines)


def _split(outcome: str) -> list[str]:
    measured, _, rest = outcome.partition(", at least ")
    return [measured, *rest.split(": ")]


def _networks() -> str:
    listed = "\n".join(f"- `{net.name}`: {net.title}" for net in NETWORKS.values())
    return f"## Networks\n\n{listed}"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
