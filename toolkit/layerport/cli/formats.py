"""layerport formats."""

from __future__ import annotations

import click

from layerport.cli.common import json_option, show_table


@click.command("formats")
@json_option
def command(as_json: bool) -> None:
    """List the formats and target languages."""
    from layerport.registry import default_registry

    registry = default_registry()
    show_table(
        (
            {
                "name": name,
                "suffixes": list(fmt.suffixes),
                "read": fmt.can_read,
                "write": fmt.can_write,
                "options": list(fmt.options),
                "description": fmt.description,
            }
            for name, fmt in sorted(registry.formats.items())
        ),
        as_json=as_json,
    )
