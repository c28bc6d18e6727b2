"""Values as JavaScript literals."""

from __future__ import annotations

import json
import re
from typing import Any

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SPECIAL = re.compile(r"[^A-Za-z0-9_ .,:=+;/@|()\"\\-]")
"""What may mean something in markup, templates, comments or Markdown."""


def literal(value: Any) -> str:
    """A value as JavaScript: names from a model are data, in any context, inside HTML too."""
    return harmless(json.dumps(value, ensure_ascii=True))


def harmless(text: str) -> str:
    """The same JSON with strings in which nothing stands raw that means something elsewhere."""
    return _STRING.sub(lambda found: _SPECIAL.sub(_escaped, found[0]), text)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def quoted(text: str) -> str:
    """Text of our own as a literal that is short, and ends no script."""
    return json.dumps(text, ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e")
