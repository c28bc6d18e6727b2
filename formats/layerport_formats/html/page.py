"""The page put together from its template, the model's module and the facts about it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerport_formats.javascript.literals import literal

SCRIPTS = ("text", "image", "vector", "sequence", "results", "learning", "page")
"""The parts of the page's script, in the order in which they stand."""

_START = '<script type="module">\n'
_BREAK = "\n// The page. A scope of its own: the names of the module above do not matter.\n{\n"
_ENDS_SCRIPT = re.compile(r"<(?:/script|script|!--)", re.IGNORECASE)


def compose(facts: Mapping[str, Any], module: str) -> str:
    """The text of the page.

    Only scripts and styles whose hashes stand in the page's own content security policy are run,
    and nothing is loaded, so neither a name of the model nor its module can reach out.
    """
    code = "\n".join(_here(f"{name}.js") for name in SCRIPTS)
    script = f"{module.rstrip()}{_BREAK}{code}}}\n"
    if _ENDS_SCRIPT.search(script):
        raise AssertionError("the printed module holds the end of a script")
    style = _here("page.css")
    size = len(script) + len(style)
    parts = {
        "policy": _policy(f"\n{script}", f"\n{style}"),
        "style": style,
        "facts": literal({**facts, "bytes": size}),
        "script": script,
    }
    # In one pass: what is put in is not looked through again.
    return re.sub(r"\{\{(\w+)\}\}\n?", lambda hit: parts[hit[1]], _here("page.html"))


def module_of(page: str) -> str:
    """The model's module, as it stands in a page."""
    _, _, rest = page.partition(_START)
    return rest.partition(_BREAK)[0]


def _policy(script: str, style: str) -> str:
    return (
        f"default-src 'none'; script-src {_hash(script)} 'wasm-unsafe-eval'; "
        f"style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _here(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
