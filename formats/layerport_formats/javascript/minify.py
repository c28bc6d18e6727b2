"""Making our own JavaScript small: what is not used is left out, names and spaces are shortened.

This is no general minifier. It relies on how the sources beside this file are written: every
statement ends with a semicolon or a block, declarations at the top level start at the beginning of
a line, a regular expression stands behind an opening parenthesis, and one name means one thing.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
      (?P<space>\s+ | //[^\n]*)
    | (?P<text>"(?:[^"\\\n]|\\.)*" | (?<=\()/(?:[^/\\\n]|\\.)+/[a-z]*)
    | (?P<name>[A-Za-z_$][A-Za-z0-9_$]*)
    | (?P<number>\d[A-Za-z0-9_.]*)
    | (?P<sign>=>|===|!==|\?\?|\?\.|\.\.\.|\+\+|--|[-+*/<>]=|&&|\|\||<<|>>>|>>|\*\*
        |[-+*/%=<>!~&|^?:;,.(){}\[\]])
    | (?P<template>`)
    """,
    re.VERBOSE,
)

_WORDS = """
    async await break catch class const continue default delete do else export extends finally for
    function if import in instanceof let new null of return static super switch this throw true
    false try typeof undefined var void while yield
"""
_KEYWORDS = frozenset(_WORDS.split())


class Token(NamedTuple):
    """A piece of text; `kind` is one of the groups of `_TOKEN`, or "template" for part of one."""

    kind: str
    text: str


def tokens(source: str) -> Iterator[Token]:
    """The tokens of a source, without spaces and comments."""
    depths: list[int] = []  # of braces, for each template that is open
    place = 0
    while place < len(source):
        match = _TOKEN.match(source, place)
        if match is None or match.lastgroup is None:
            raise ValueError(f"no JavaScript of ours: {source[place : place + 40]!r}")
        kind, text = match.lastgroup, match.group()
        if text == "{" and depths:
            depths[-1] += 1
        elif text == "}" and depths and depths[-1] == 0:
            kind = "template"
            depths.pop()
        elif text == "}" and depths:
            depths[-1] -= 1
        place = match.end()
        if kind == "template":
            end, opens = _template_part(source, place)
            text, place = text + source[place:end], end
            if opens:
                depths.append(0)
        if kind != "space":
            yield Token(kind, text)


def _template_part(source: str, place: int) -> tuple[int, bool]:
    """Where the text of a template ends, and whether an expression follows."""
    while source[place] != "`":
        if source.startswith("${", place):
            return place + 2, True
        place += 2 if source[place] == "\\" else 1
    return place + 1, False


def selected(source: str, features: AbstractSet[str]) -> str:
    """The lines of a source for some features.

    Lines between ``//#if name`` (or ``//#if !name``) and ``//#end`` are for that feature (or for
    its absence) alone; there may be ``//#else``.
    """
    lines: list[str] = []
    taken = [True]
    for line in source.splitlines(keepends=True):
        word, _, name = line.strip().partition(" ")
        if word == "//#if":
            taken.append((name.removeprefix("!") in features) != name.startswith("!"))
        elif word == "//#else":
            taken[-1] = not taken[-1]
        elif word == "//#end":
            taken.pop()
        elif all(taken):
            lines.append(line)
    return "".join(lines)


_DECLARATION = re.compile(r"(?:export )?(?:const|let|function) (?:(\w+)|\{([^}]*)\})")


def reachable(source: str, roots: Iterable[str]) -> str:
    """The declarations at the top level that are needed for some names; nothing else is there."""
    parts = re.split(r"^(?=(?:export |const |let |function ))", source, flags=re.MULTILINE)
    declared = {name: part for part in parts for name in _declared(part)}
    needed: set[str] = set()
    waiting = list(roots)
    while waiting:
        part = declared.get(waiting.pop(), "")
        if part not in needed:
            needed.add(part)
            waiting += [token.text for token in tokens(part) if token.kind == "name"]
    return "".join(part for part in parts if part in needed)


def _declared(part: str) -> list[str]:
    """The names that a part of the top level declares."""
    match = _DECLARATION.match(part)
    if match is None:
        return []
    return [match[1]] if match[1] else re.findall(r"\w+", match[2])


_LONG_STRING = re.compile(r'"[A-Za-z0-9+/=]{10000,}"')
_TAKEN = re.compile(r'"\\0(\d+)"')
"""What is taken out while a source is worked on, and what stands in its place."""

PRIVATE = frozenset(["flat", "form", "given", "made", "rows", "shapes"])
"""Properties of objects that never leave the runtime."""


def minified(source: str, keep: AbstractSet[str]) -> str:
    """The same module with short names, and without spaces and comments.

    Parameters
    ----------
    keep : the names that it exports.
    """
    strings = _LONG_STRING.findall(source)
    numbers = itertools.count()
    source = _LONG_STRING.sub(lambda hit: f'"\\0{next(numbers)}"', source)
    found = list(_without_ceremony(list(tokens(source))))
    shorter = _short_names(found, keep)
    done: list[str] = []
    for token in found:
        text = shorter.get(token.text, token.text) if token.kind == "name" else token.text
        if text == "}" and done and done[-1] == ";":
            done.pop()
        if done and _would_merge(done[-1], text):
            done.append(" ")
        done.append(_TAKEN.sub(lambda hit: strings[int(hit[1])], text))
    return "".join(done)


_BLOCKS = frozenset(["if", "else", "for", "while", "try", "catch", "finally", "function", "export"])
"""What begins statements that end with a brace."""


def _without_ceremony(found: Sequence[Token]) -> Iterator[Token]:
    """``const`` as ``let``, neighbouring declarations as one, ``(x) =>`` as ``x =>``."""
    begins: list[str] = [""]  # how the statement begins, for each bracket that is open
    bare = {k for k in range(len(found) - 3) if _is_single_parameter(found[k : k + 4])}
    skipped = {k + distance for k in bare for distance in (0, 2)}
    for place, token in enumerate(found):
        text = "let" if token.text == "const" else token.text
        following = found[place + 1].text if place + 1 < len(found) else ""
        if text in (")", "]", "}"):
            begins.pop()
        begins[-1] = begins[-1] or text
        ends = text == ";" or (text == "}" and begins[-1] in _BLOCKS)
        if text == ";" and begins[-1] == "let" and following in ("const", "let"):
            skipped.add(place + 1)
            begins[-1], text = "let", ","
        elif ends:
            begins[-1] = ""
        if text in ("(", "[", "{"):
            begins.append("")
        if place not in skipped:
            yield Token(token.kind, text)


def _is_single_parameter(found: Sequence[Token]) -> bool:
    """Whether tokens are ``(x) =>``."""
    before, name, after, arrow = found
    return (before.text, after.text, arrow.text) == ("(", ")", "=>") and name.kind == "name"


def _would_merge(before: str, after: str) -> bool:
    end, start = before[-1], after[0]
    if (end.isalnum() or end in "_$") and (start.isalnum() or start in "_$"):
        return True
    return end in "+-" and start == end


def _short_names(found: Sequence[Token], keep: AbstractSet[str]) -> dict[str, str]:
    """New names for what is declared and is no property of an object."""
    names = [t.text for t in found if t.kind == "name"]
    own = _declarations(found) - (_properties(found) - PRIVATE) - _KEYWORDS - keep
    own = {name for name in own if len(name) > 1}
    taken = (set(names) - own) | keep | _KEYWORDS
    counts = Counter(name for name in names if name in own)
    fresh = (name for name in _identifiers() if name not in taken)
    return {name: next(fresh) for name, _ in counts.most_common()}


def _identifiers() -> Iterator[str]:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for length in itertools.count(1):
        for combination in itertools.product(letters, repeat=length):
            yield "".join(combination)


def _declarations(found: Sequence[Token]) -> set[str]:
    """Names behind const, let, function, catch, and parameters."""
    names: set[str] = set()
    for place, token in enumerate(found):
        following = found[place + 1] if place + 1 < len(found) else Token("", "")
        if token.text in ("const", "let", "function"):
            if following.kind == "name":
                names.add(following.text)
            elif following.text in "{[":
                names |= _names_inside(found, place + 1)
        if token.text == "function" or token.text == "catch":
            start = next(k for k in range(place, len(found)) if found[k].text == "(")
            names |= _names_inside(found, start)
        if token.text == "=>":
            before = found[place - 1]
            if before.kind == "name":
                names.add(before.text)
            else:
                names |= _names_inside(found, _opening(found, place - 1))
    return names | _more_declared(found)


def _more_declared(found: Sequence[Token]) -> set[str]:
    """The further names of ``let a = 0, b = 1;``."""
    names: set[str] = set()
    for place, token in enumerate(found):
        if token.text not in ("let", "const"):
            continue
        depth, k = 0, place + 1
        while k < len(found) and not (found[k].text == ";" and depth == 0):
            depth += (found[k].text in ("(", "[", "{")) - (found[k].text in (")", "]", "}"))
            if depth < 0:
                break
            if found[k].text == "," and depth == 0 and found[k + 1].kind == "name":
                names.add(found[k + 1].text)
            k += 1
    return names


def _opening(found: Sequence[Token], place: int) -> int:
    """The parenthesis that the one at `place` closes."""
    depth = 0
    while True:
        depth += (found[place].text == ")") - (found[place].text == "(")
        if depth == 0:
            return place
        place -= 1


def _names_inside(found: Sequence[Token], start: int) -> set[str]:
    """The names between a bracket and its end that are not used in a default value."""
    names: set[str] = set()
    depth, place = 0, start
    while True:
        token = found[place]
        depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        if depth == 0:
            return names
        if token.kind == "name" and found[place - 1].text in ("(", "[", "{", ",", ":", "..."):
            names.add(token.text)
        place += 1


def _properties(found: Sequence[Token]) -> set[str]:
    """Names that may be those of properties: behind a dot, before a colon, alone in braces."""
    names: set[str] = set()
    brackets: list[str] = []
    for place, token in enumerate(found):
        if token.kind == "template":
            if token.text.startswith("}"):
                brackets.pop()
            if token.text.endswith("${"):
                brackets.append("$")
        elif token.text in ("(", "[", "{"):
            brackets.append(token.text)
        elif token.text in (")", "]", "}"):
            brackets.pop()
        if token.kind != "name":
            continue
        before = found[place - 1].text if place else ""
        after = found[place + 1].text if place + 1 < len(found) else ""
        inside = bool(brackets) and brackets[-1] == "{"
        alone = inside and before in ("{", ",") and after in (",", "}")
        if before in (".", "?.") or alone or (inside and before in ("{", ",") and after == ":"):
            names.add(token.text)
    return names
