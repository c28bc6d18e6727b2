"""layers.json: js-mind's own form for the networks that js-mind can hold, version 2 for others.

js-mind's form is described in docs/layers-json.md beside version 2, which has a JSON Schema there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from layerport.errors import UnsupportedError
from layerport.format import Format, ReadContext, WriteContext

from layerport_formats.layers_json.text import parse

if TYPE_CHECKING:
    from layerport.network import Network


class LayersJsonFormat(Format):
    """The format ``layers_json``."""

    name: ClassVar[str] = "layers_json"
    suffixes: ClassVar[tuple[str, ...]] = (".json",)
    description: ClassVar[str] = "layers.json: js-mind's networks, and version 2 for every layer"
    options: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "version": "1: js-mind's form; 2: version 2; auto (default): 1 where nothing is lost",
            "encoding": "of version 2's weights: base64 (default) or numbers",
            "state": "keep: js-mind's transient state too, which holds training data",
        }
    )

    def sniff(self, head: bytes, path: Path) -> bool:
        text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
        return text.startswith(b"[") or (text.startswith(b"{") and b'"layerport"' in text[:200])

    def read(self, path: Path, context: ReadContext) -> Network:
        from layerport_formats.layers_json import jsmind, version2

        data = parse(path.read_bytes(), context)
        if isinstance(data, list):
            return jsmind.read(data, context)
        if not isinstance(data, dict) or data.get("format") != "layerport":
            context.fail("it is JSON, but neither js-mind's list of layers nor a layerport network")
        return version2.read(data, context)

    def write(self, network: Network, context: WriteContext) -> None:
        from layerport_formats.layers_json import jsmind, version2

        version = _choice(context, "version", ("1", "2", "auto"), "auto")
        encoding = _choice(context, "encoding", ("base64", "numbers"), "base64")
        _choice(context, "state", ("keep", "drop"), "drop")
        if "encoding" in context.options and version == "auto":
            version = "2"  # js-mind's form has no other than its own
        plan = jsmind.plan(network) if version != "2" else None
        if plan is not None and version == "1" and plan.obstacles:
            raise UnsupportedError(
                f"{context.target}: js-mind cannot hold this network", plan.obstacles,
                hint="leave out --option version=1 to write version 2",
            )  # fmt: skip
        data: Any
        if plan is not None and not plan.obstacles and (version == "1" or not plan.losses):
            data = jsmind.write(plan, context)
        else:
            data = version2.write(network, encoding)
        context.path.write_text(
            json.dumps(data, allow_nan=False, separators=(",", ":")), encoding="utf-8"
        )


def _choice(context: WriteContext, name: str, known: Sequence[str], default: str) -> str:
    given = str(context.options.get(name, default))
    if given not in known:
        raise UnsupportedError(f"option {name}={given}: it is {' or '.join(known)}")
    return given
