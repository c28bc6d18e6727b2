"""layerport verify."""

from __future__ import annotations

from pathlib import Path

import click

from layerport.cli import FAILED, PASSED
from layerport.cli.common import MODEL, layer_classes, layers_option


@click.command("verify")
@click.argument("a", type=MODEL)
@click.argument("b", type=MODEL)
@click.option("--samples", default=8, show_default=True, help="Random samples to run on.")
@click.option("--atol", default=1e-5, show_default=True,
              help="Allowed difference, as a share of the largest output.")  # fmt: skip
@layers_option
def command(a: Path, b: Path, samples: int, atol: float, layers: tuple[str, ...]) -> int:
    """Compare what the model files A and B compute on the same random samples."""
    from layerport.format import load
    from layerport.verification import verify

    classes = layer_classes(layers)
    result = verify(load(a, layers=classes), load(b, layers=classes), samples, atol, atol)
    click.echo(str(result))
    return PASSED if result.passed else FAILED
