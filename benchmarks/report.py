"""results.json, and RESULTS.md made of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, Timing

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
REPORT = HERE / "RESULTS.md"


class Results:
    """All rows measured so far, with the machine of each run.

    Attributes
    ----------
    machines : for each mode, what the last run was made on.
    rows : by what they are a measurement of.
    """

    def __init__(self) -> None:
        self.machines: dict[str, dict[str, Any]] = {}
        self.rows: dict[Any, Row] = {}
        self.sizes: dict[str, Any] = {}

    @classmethod
    def load(cls, path: Path = RESULTS) -> Results:
        """Results from a file; none where there is no file."""
        made = cls()
        if path.exists():
            raw = json.loads(path.read_text(encoding="utf-8"))
            made.machines, made.sizes = raw["machines"], raw["sizes"]
            made.add(_row(item) for item in raw["rows"])
        return made

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows, in place of older ones of the same situation."""
        self.rows |= {row.key: row for row in rows}

    def save(self, path: Path = RESULTS) -> None:
        """Write them, times with four digits."""
        rows = [_rounded(dataclasses.asdict(row)) for row in self.rows.values()]
        raw = {"machines": self.machines, "sizes": self.sizes, "rows": rows}
        path.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


def _row(raw: Mapping[str, Any]) -> Row:
    timings = {name: Timing(**timing) for name, timing in raw["timings"].items()}
    return Row(**{**raw, "timings": timings})


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
