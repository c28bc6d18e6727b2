"""layerport train."""

from __future__ import annotations

from pathlib import Path

import click

from layerport.cli.common import FILE, MODEL, layer_classes, layers_option, training_data


@click.command("train")
@click.argument("model", type=MODEL)
@click.argument("data", type=MODEL)
@click.option("-o", "--output", type=FILE, help="Where to save; MODEL itself by default.")
@click.option("--epochs", default=1, show_default=True)
@click.option("--batch-size", default=32, show_default=True)
@click.option("--optimizer", default="sgd", show_default=True)
@click.option("--lr", type=float, help="Learning rate; the optimizer's own by default.")
@click.option("--loss", help="By default what fits the output: crossentropy or squared error.")
@click.option("--validation-split", default=0.0, show_default=True)
@click.option("--seed", type=int, help="Makes the run repeatable.")
@click.option("--quiet", is_flag=True, help="No progress.")
@layers_option
def command(
    model: Path,
    data: Path,
    output: Path | None,
    epochs: int,
    batch_size: int,
    optimizer: str,
    lr: float | None,
    loss: str | None,
    validation_split: float,
    seed: int | None,
    quiet: bool,
    layers: tuple[str, ...],
) -> None:
    """Train MODEL on the arrays x and y (or x_train, y_train) of DATA, an .npz file."""
    from layerport.format import load, save
    from layerport.registry import default_registry

    network = load(model, layers=layer_classes(layers))
    x, y = training_data(data)
    chosen = default_registry().optimizer(
        optimizer, **({} if lr is None else {"learning_rate": lr})
    )
    network.compile(
        optimizer=chosen, loss=loss or network.natural_loss(y), metrics=network.natural_metrics(y)
    )
    history = network.fit(
        x, y, epochs=epochs, batch_size=batch_size, validation_split=validation_split, seed=seed,
        verbose=0 if quiet else 1,
    )  # fmt: skip
    report = save(network, output or model)
    last = {name: values[-1] for name, values in history.history.items() if values}
    click.echo("  ".join(f"{name} {value:.4g}" for name, value in last.items()))
    click.echo(str(report))
