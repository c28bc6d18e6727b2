"""layerport train."""

from __future__ import annotations

from pathlib import Path

import click

from layerport.cli.common import COUNT, FILE, MODEL, blaming, layer_classes, layers_option, say
from layerport.cli.learning import natural_loss, natural_metrics, training_data

SHARE = click.FloatRange(min=0, max=1, max_open=True)


@click.command("train")
@click.argument("model", type=MODEL)
@click.argument("data", type=MODEL)
@click.option("-o", "--output", type=FILE, help="Where to save; MODEL itself by default.")
@click.option("--epochs", type=COUNT, default=1, show_default=True)
@click.option("--batch-size", type=COUNT, default=32, show_default=True)
@click.option("--optimizer", default="sgd", show_default=True)
@click.option("--lr", type=float, help="Learning rate; the optimizer's own by default.")
@click.option("--loss", help="By default what fits the output: crossentropy or squared error.")
@click.option("--validation-split", type=SHARE, default=0.0, show_default=True)
@click.option("--seed", type=int, help="Makes the run repeatable.")
@click.option("--threads", type=COUNT, help="That share a batch; as many as processors by default.")
@click.option("--profile", is_flag=True, help="Print where the time of a step goes.")
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
    threads: int | None,
    profile: bool,
    quiet: bool,
    layers: tuple[str, ...],
) -> None:
    """Train MODEL on the arrays x and y (or x_train, y_train) of DATA, an .npz file."""
    from layerport.files import check_target, load, save

    target = output or model
    check_target(target)
    network = load(model, layers=layer_classes(layers))
    x, y = training_data(data)
    network.compile(
        {"class_name": optimizer, "config": {} if lr is None else {"learning_rate": lr}},
        loss or natural_loss(network, y),
        natural_metrics(network),
    )
    with blaming(data):
        history = network.fit(
            x, y, epochs=epochs, batch_size=batch_size, validation_split=validation_split,
            seed=seed, threads=threads, verbose=0 if quiet else 1,
        )  # fmt: skip
    if profile:
        say(network.profile(x, y, batch_size=batch_size, threads=threads))
    report = save(network, target)
    last = {name: values[-1] for name, values in history.history.items() if values}
    click.echo("  ".join(f"{name} {value:.4g}" for name, value in last.items()))
    say(report)
