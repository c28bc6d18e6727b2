"""layerport inspect."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layerport.cli.common import MODEL, console, json_option, layer_classes, layers_option, say
from layerport.printable import printable

if TYPE_CHECKING:
    from layerport.connections import Port
    from layerport.network import Network


@click.command("inspect")
@click.argument("model", type=MODEL)
@click.option("--from", "source_format", metavar="FORMAT", help="Instead of going by the content.")
@layers_option
@json_option
def command(model: Path, source_format: str | None, layers: tuple[str, ...], as_json: bool) -> None:
    """Show layers, shapes, inputs and outputs of MODEL."""
    from layerport.files import load

    network = load(model, source_format, layer_classes(layers))
    facts = describe(network, model)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    say(f"{model} ({facts['format']}, {facts['bytes']:,} bytes)")
    for what in ("inputs", "outputs"):
        say(f"{what}: {', '.join(_port(port) for port in getattr(network, what))}")
    if network.labels is not None:
        say(f"labels: {', '.join(printable(str(label)) for label in network.labels)}")
    console().print(network.summary())
    for note in facts["notes"]:
        say(note)


def describe(network: Network, path: Path) -> dict[str, Any]:
    """What is known of a model file, as JSON can hold it."""
    name, notes = network.origin or ("", ())
    return {
        "file": str(path),
        "format": name,
        "bytes": path.stat().st_size,
        "name": network.name,
        "dtype": network.dtype,
        "inputs": [asdict(port) for port in network.inputs],
        "outputs": [asdict(port) for port in network.outputs],
        "labels": network.labels,
        "parameters": network.count_params(),
        "layers": [asdict(row) for row in network.summary().rows],
        "notes": [str(note) for note in notes],
    }


def _port(port: Port) -> str:
    shape = ", ".join("n" if d is None else str(d) for d in port.shape)
    return f"{printable(port.name)} {port.dtype}[{shape}]"
