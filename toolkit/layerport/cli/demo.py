"""layerport demo."""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from layerport.cli import FAILED, PASSED
from layerport.cli.common import show_table

MODEL = "digits.json"
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("demo")
@click.argument(
    "folder", type=click.Path(file_okay=False, path_type=Path), default="layerport-demo"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(folder: Path, as_json: bool) -> int:
    """Convert the model that comes with layerport to every format, and verify each.

    The model reads handwritten digits: 784 pixels, 30 hidden neurons, 10 classes, in the form of
    js-mind. The files go into FOLDER (layerport-demo by default).
    """
    from layerport.conversion import convert
    from layerport.registry import default_registry

    folder.mkdir(parents=True, exist_ok=True)
    source = folder / MODEL
    source.write_bytes(files("layerport").joinpath("data", MODEL).read_bytes())
    rows = []
    failed = False
    for name, fmt in sorted(default_registry().formats.items()):
        if not fmt.can_write:
            continue
        target = folder / f"digits{'-' if fmt.suffixes[0] == '.json' else ''}{_tail(fmt)}"
        start = time.perf_counter()
        report = convert(source, target, target_format=name, options=_options(name))
        seconds = time.perf_counter() - start
        check = report.verification
        failed = failed or check.passed is False
        rows.append(_row(target, name, report, check, seconds))
    show_table(rows, as_json=as_json, right=("bytes", "largest difference", "ms"))
    if not as_json:
        click.echo(f"The files are in {folder}. Next: layerport inspect {rows[0]['file']}")
    return FAILED if failed else PASSED


def _tail(fmt: Any) -> str:
    return "v2.json" if fmt.suffixes[0] == ".json" else str(fmt.suffixes[0])


def _options(name: str) -> dict[str, Any]:
    return {"version": 2} if name == "layers_json" else {}


def _row(target: Path, name: str, report: Any, check: Any, seconds: float) -> dict[str, Any]:
    difference = "" if check.max_difference is None else f"{check.max_difference:.1e}"
    verdict = "verified" if check.passed else check.detail if check.passed is None else "FAILED"
    return {
        "file": str(target),
        "format": name,
        "bytes": f"{sum(report.files.values()):,}",
        "largest difference": difference,
        "check": verdict,
        "ms": f"{seconds * 1000:.0f}",
    }
