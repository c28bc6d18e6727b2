"""Values as JavaScript literals."""

from __future__ import annotations

import json
from typing import Any


def literal(value: Any) -> str:
    """A value as JavaScript: names from a model are data, in any context, inside HTML too."""
    escaped = json.dumps(value, ensure_ascii=True)
    return escaped.replace("<", "\\u003c").replace(">", "\\u003e")
