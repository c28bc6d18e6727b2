"""JSON text from nobody knows where: strict, and bounded in depth."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from layerport.format import ReadContext

DIGITS = 400
"""Longest number accepted: float64 needs 17 digits, JavaScript writes at most a few more."""

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def parse(raw: bytes, context: ReadContext) -> Any:
    """The value of a JSON document.

    Refused: text that is not UTF-8, NaN and Infinity, numbers too large for a float64, duplicate
    keys, lone surrogates, nesting beyond the limit, anything after the document.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        context.fail(f"it is not UTF-8 text (byte {error.start})")
    _check_depth(raw, context)

    def refuse_constant(token: str) -> NoReturn:
        context.fail(f"it holds {token}, which is no JSON; weights must be finite numbers")

    def number(token: str) -> float:
        value = float(token) if len(token) <= DIGITS else float("inf")
        if value in (float("inf"), float("-inf")):
            context.fail(f"the number {token[:20]}... is not finite as a float64")
        return value

    def integer(token: str) -> int:
        number(token)
        return int(token)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            context.fail(f"the key {twice!r} is a duplicate")
        return made

    try:
        return json.loads(
            text, parse_constant=refuse_constant, parse_float=number, parse_int=integer,
            object_pairs_hook=unique,
        )  # fmt: skip
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        context.fail(f"it is no JSON: {error.msg}", place)


def _check_depth(raw: bytes, context: ReadContext) -> None:
    """Count brackets outside strings, before a recursive parser sees the text."""
    depth = deepest = 0
    for match in re.finditer(rb"[\[\]{}]", _STRINGS.sub(b"", raw)):
        depth += 1 if match.group() in b"[{" else -1
        deepest = max(deepest, depth)
        if deepest > context.limits.depth:
            context.fail(f"it is nested more than {context.limits.depth} deep")
