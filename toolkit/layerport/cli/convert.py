"""layerport convert."""

from __future__ import annotations

from pathlib import Path

import click

from layerport.cli.common import COUNT, MODEL, PATH, layer_classes, layers_option, options_of, say


@click.command("convert")
@click.argument("source", type=MODEL)
@click.argument("target", type=PATH)
@click.option("--from", "source_format", metavar="FORMAT", help="Instead of going by the content.")
@click.option("--to", "target_format", metavar="FORMAT", help="Instead of going by the suffix.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE",
              help="An option of the target format; may be repeated.")  # fmt: skip
@click.option("--opset", type=int, help="The ONNX operator set to write; same as --option opset=N.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]),
              help="Convert the weights.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Fail where the target cannot hold everything.")
@click.option(
    "--verify",
    type=click.Choice(["run", "weights"]),
    default=None,
    help="How to check the result; by default run, for large models weights.",
)
@click.option("--no-verify", "no_verify", is_flag=True, help="Do not check the result.")
@click.option("--samples", type=COUNT, default=8, show_default=True, help="Samples to run on.")
@layers_option
def command(
    source: Path,
    target: Path,
    source_format: str | None,
    target_format: str | None,
    options: tuple[str, ...],
    opset: int | None,
    dtype: str | None,
    strict: bool,
    verify: str | None,
    no_verify: bool,
    samples: int,
    layers: tuple[str, ...],
) -> None:
    """Read the model SOURCE, write it as TARGET, and check that both compute the same.

    What TARGET cannot hold is reported. `layerport formats` lists the formats.
    """
    from layerport.conversion import convert

    if verify and no_verify:
        raise click.UsageError("--verify and --no-verify exclude one another")
    given = options_of(options)
    if opset is not None:
        given["opset"] = opset
    report = convert(
        source,
        target,
        source_format,
        target_format,
        layers=layer_classes(layers),
        dtype=dtype,
        strict=strict,
        verify="none" if no_verify else verify,  # type: ignore[arg-type]
        samples=samples,
        options=given,
    )
    say(report)
