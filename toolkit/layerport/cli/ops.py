"""layerport ops."""

from __future__ import annotations

import dataclasses

import click

from layerport.cli.common import json_option, show_table


@click.command("ops")
@json_option
def command(as_json: bool) -> None:
    """List the tensor operators with their attributes."""
    from layerport.op import Op
    from layerport.registry import default_registry

    registry = default_registry()
    show_table(
        (
            {
                "operator": name,
                "domain": cls.domain or "ai.onnx",
                "attributes": [field.name for field in dataclasses.fields(cls)],
                "gradient": cls.gradient is not Op.gradient,
                "from": registry.origins.get(("ops", name), ""),
            }
            for name, cls in sorted(registry.ops.items())
        ),
        as_json=as_json,
    )
