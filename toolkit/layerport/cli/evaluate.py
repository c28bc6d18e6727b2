"""layerport evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import click

from layerport.cli.common import COUNT, MODEL, blaming, json_option, layer_classes, layers_option
from layerport.cli.learning import natural_loss, natural_metrics, training_data


@click.command("evaluate")
@click.argument("model", type=MODEL)
@click.argument("data", type=MODEL)
@click.option("--batch-size", type=COUNT, default=256, show_default=True)
@click.option("--loss", help="By default what fits the output: crossentropy or squared error.")
@layers_option
@json_option
def command(
    model: Path,
    data: Path,
    batch_size: int,
    loss: str | None,
    layers: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure MODEL on the arrays x_test and y_test (or x, y) of DATA, an .npz file."""
    from layerport.files import load

    network = load(model, layers=layer_classes(layers))
    x, y = training_data(data, test=True)
    with blaming(data):
        result = network.evaluate(
            x, y, batch_size=batch_size, loss=loss or natural_loss(network, y),
            metrics=natural_metrics(network),
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(result))
    else:
        click.echo("  ".join(f"{name} {value:.6g}" for name, value in result.items()))
