"""layerport verify."""

from __future__ import annotations

from pathlib import Path

import click

from layerport.cli import FAILED, PASSED
from layerport.cli.common import COUNT, MODEL, layer_classes, layers_option, say


@click.command("verify")
@click.argument("a", type=MODEL)
@click.argument("b", type=MODEL)
@click.option(
    "--samples", type=COUNT, default=8, show_default=True, help="Random samples to run on."
)
@click.option("--atol", default=1e-5, show_default=True,
              help="Allowed difference, as a share of the largest output.")  # fmt: skip
@layers_option
def command(a: Path, b: Path, samples: int, atol: float, layers: tuple[str, ...]) -> int:
    """Compare what the model files A and B compute on the same random samples."""
    from layerport.errors import ShapeError
    from layerport.files import load
    from layerport.verification import Verification, verify

    classes = layer_classes(layers)
    first, second = load(a, layers=classes), load(b, layers=classes)
    try:
        result = verify(first, second, samples, atol, atol)
    except ShapeError as error:
        result = Verification("run", False, detail=f"{a} and {b} differ: {error}")
    say(result)
    return PASSED if result.passed else FAILED
