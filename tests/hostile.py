"""Names that break out of strings, comments, markup and paths wherever they are written raw."""

from __future__ import annotations

import re

EVIL_NAMES = [
    "*/ abort(); /*", "**/ @Evil /**", '"); abort(); ("', "'+alert(1)+'", "`${alert(1)}`",
    '"""\nimport os\n"""', "''' + quit() + '''", "line\nint injected;", "line\r\n#error injected",
    "tab\tand\vmore",
    "</script><script>alert(2)</script>", "</style ><hr>", "<svg onload=alert(3)>", "<!--", "-->",
    "]]>", "&lt;b&gt;", "{{script}}", "{% include x %}", "#{x}", "%n%s%d", "$(touch evil)",
    "; touch evil ;", "\\\n\\", 'ends in \\"', "\\u002a\\u002f", "\\x41\\101", "what??/", "??'<:",
    "\u2028\u2029\u0085", "\ufeffmark", "\u202eright to left", "\u200b", "nul\x00", "\x1b[2J\x07",
    "\U0001f9e8 ä ß 漢", "for", "fn", "func", "def", "class", "self", "None", "null", "NaN",
    "__proto__", "constructor", "toString", "model", "predict", "memory", "main", "x0", "y",
    "same name", "same_name", "same-name", "Same name", "7up", "-", " ", "../up", "/etc/passwd",
    "C:\\NUL", "AUX", "[x](javascript:alert`4`)", "| a | b", "\n# heading", "@import", "=1+1",
    "n" * 5000,
]  # fmt: skip
"""Each is a valid name to layerport, and must come out of every file as it went in."""


def is_harmless(name: str) -> bool:
    """Whether a name may stand anywhere as it is, were it not for keywords."""
    return re.fullmatch(r"[A-Za-z0-9_ .,:=+;/@|()\[\]-]*", name) is not None
