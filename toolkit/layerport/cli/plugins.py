"""layerport plugins."""

from __future__ import annotations

from collections import Counter

import click

from layerport.cli.common import json_option, show_table


@click.command("plugins")
@json_option
def command(as_json: bool) -> None:
    """List the installed plugins and how much each offers."""
    from layerport.registry import default_registry

    registry = default_registry()
    rows = []
    for name, distribution in registry.plugins.items():
        counts = Counter(kind for (kind, _), origin in registry.origins.items() if origin == name)
        offers = [f"{count} {kind}" for kind, count in counts.items()]
        rows.append({"plugin": name, "distribution": distribution, "offers": offers})
    show_table(rows, as_json=as_json)
