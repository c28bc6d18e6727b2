"""layerport layers."""

from __future__ import annotations

import click

from layerport.cli.common import json_option, show_table


@click.command("layers")
@json_option
def command(as_json: bool) -> None:
    """List the layers with their arguments."""
    from layerport.registry import default_registry

    registry = default_registry()
    show_table(
        (
            {
                "layer": name,
                "arguments": [f.name for f in cls.config_fields() if not f.kw_only],
                "from": registry.origins.get(("layers", name), ""),
                "description": (cls.__doc__ or "").strip().partition("\n")[0],
            }
            for name, cls in sorted(registry.layers.items())
        ),
        as_json=as_json,
    )
