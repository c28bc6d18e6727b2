"""layerport demo."""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layerport.cli import FAILED, PASSED
from layerport.cli.common import json_option, say, show_table

if TYPE_CHECKING:
    from layerport.format import Format

MODEL = "digits.json"
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("demo")
@click.argument("folder", type=FOLDER, default="layerport-demo")
@json_option
def command(folder: Path, as_json: bool) -> int:
    """Convert the model that comes with layerport to every format, and verify each.

    The model reads handwritten digits: 784 pixels, 30 hidden neurons, 10 classes, in the form of
    js-mind. The files go into FOLDER (layerport-demo by default).
    """
    from layerport.registry import default_registry

    folder.mkdir(parents=True, exist_ok=True)
    source = folder / MODEL
    source.write_bytes(files("layerport").joinpath("data", MODEL).read_bytes())
    writers = [f for _, f in sorted(default_registry().formats.items()) if f.can_write]
    rows = [_converted(source, folder / _name(fmt), fmt) for fmt in writers]
    shown = rows if as_json else [{**row, "file": Path(row["file"]).name} for row in rows]
    show_table(shown, as_json=as_json, right=("bytes", "largest difference", "ms"))
    if not as_json:
        say(f"The files are in {folder}. Next: layerport inspect {rows[0]['file']}")
    return FAILED if any(row["check"].startswith("FAILED") for row in rows) else PASSED


def _name(fmt: Format) -> str:
    suffix = fmt.suffixes[0] if fmt.suffixes else f"-{fmt.name}"
    return "digits-v2.json" if suffix == ".json" else f"digits{suffix}"


def _converted(source: Path, target: Path, fmt: Format) -> dict[str, Any]:
    """Convert, and say how it went, as a row of the table."""
    from layerport.conversion import convert
    from layerport.verification import VerificationError

    options = {"version": 2} if fmt.name == "layers_json" else {}
    start = time.perf_counter()
    row = {"file": str(target), "format": fmt.name, "bytes": "", "largest difference": ""}
    try:
        report = convert(source, target, target_format=fmt.name, options=options)
    except VerificationError as error:
        row["check"] = f"FAILED: {error}"
    else:
        check = report.verification
        row["bytes"] = f"{sum(report.files.values()):,}"
        row["largest difference"] = f"{check.max_difference:.1e}" if check.passed else ""
        row["check"] = "verified" if check.passed else check.detail
    row["ms"] = f"{(time.perf_counter() - start) * 1000:.0f}"
    return row
