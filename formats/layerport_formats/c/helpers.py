"""Small C functions that printed code calls, each written once and emitted where it is needed.

Vectors are GNU vectors: ``vf16`` holds 16 floats, ``vi16`` 16 int32_t, ``vu16`` 16 uint32_t. A
vector of bools is a ``vi16`` whose lanes are 0 or -1, as comparisons give it. Whatever C leaves
open (overflow, division by zero, conversion of what does not fit) is decided here, so that printed
programs have no undefined behaviour.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

SCALAR: Mapping[str, str] = {
    # A NaN in x stays, as every comparison with it is false.
    "atleast": "float atleast(float x, float low) { return x < low ? low : x; }",
    "atmost": "float atmost(float x, float high) { return x > high ? high : x; }",
    "larger": "float larger(float a, float b) { return a > b || a != a ? a : b; }",
    "smaller": "float smaller(float a, float b) { return a < b || a != a ? a : b; }",
    "toint": """\
int32_t toint(float x)
{
  if (x >= 2147483648.0f) return INT32_MAX;
  if (x >= -2147483648.0f) return (int32_t)x;
  return x != x ? 0 : INT32_MIN;
}""",
    "touint": """\
uint32_t touint(float x)
{
  if (x >= 4294967296.0f) return UINT32_MAX;
  return x > 0.0f ? (uint32_t)x : 0;
}""",
    "floatbits": """\
uint32_t floatbits(float x)
{
  union { float number; uint32_t bits; } both;
  both.number = x;
  return both.bits;
}""",
    "bitsfloat": """\
float bitsfloat(uint32_t x)
{
  union { float number; uint32_t bits; } both;
  both.bits = x;
  return both.number;
}""",
    "half": """\
float half(uint16_t x)
{
  const uint32_t sign = (uint32_t)(x >> 15) << 31, exponent = x >> 10 & 31, rest = x & 1023;
  if (exponent == 0) return bitsfloat(sign | floatbits((float)rest * 0x1p-24f));
  return bitsfloat(sign | (exponent + 112) << 23 | rest << 13);
}""",
    "iadd": "int32_t iadd(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }",
    "isub": "int32_t isub(int32_t a, int32_t b) { return (int32_t)((uint32_t)a - (uint32_t)b); }",
    "imul": "int32_t imul(int32_t a, int32_t b) { return (int32_t)((uint32_t)a * (uint32_t)b); }",
    "ineg": "int32_t ineg(int32_t a) { return (int32_t)(0u - (uint32_t)a); }",
    "iabs": "int32_t iabs(int32_t a) { return a < 0 ? ineg(a) : a; }",
    "imax": "int32_t imax(int32_t a, int32_t b) { return a > b ? a : b; }",
    "imin": "int32_t imin(int32_t a, int32_t b) { return a < b ? a : b; }",
    "idiv": """\
int32_t idiv(int32_t a, int32_t b)
{
  if (b == 0) return 0;
  return b == -1 ? ineg(a) : a / b;
}""",
    "imod": "int32_t imod(int32_t a, int32_t b) { return b == 0 || b == -1 ? 0 : a % b; }",
    "ishl": "int32_t ishl(int32_t a, int32_t b) { return (int32_t)((uint32_t)a << (b & 31)); }",
    "ishr": "int32_t ishr(int32_t a, int32_t b) { return a >> (b & 31); }",
    "umax": "uint32_t umax(uint32_t a, uint32_t b) { return a > b ? a : b; }",
    "umin": "uint32_t umin(uint32_t a, uint32_t b) { return a < b ? a : b; }",
    "udiv": "uint32_t udiv(uint32_t a, uint32_t b) { return b == 0 ? 0 : a / b; }",
    "umod": "uint32_t umod(uint32_t a, uint32_t b) { return b == 0 ? 0 : a % b; }",
    "ushl": "uint32_t ushl(uint32_t a, uint32_t b) { return a << (b & 31); }",
    "ushr": "uint32_t ushr(uint32_t a, uint32_t b) { return a >> (b & 31); }",
}
"""Functions of single values: i... of int32_t (which wrap), u... of uint32_t; half: a float16."""

VECTOR: Mapping[str, str] = {
    "choose#": """\
vf# choose#(vi# test, vf# a, vf# b)
{
  return (vf#)ichoose#(test, (vi#)a, (vi#)b);
}""",
    "ichoose#": "vi# ichoose#(vi# test, vi# a, vi# b) { return (test & a) | (~test & b); }",
    "atleast#": "vf# atleast#(vf# x, vf# low) { return choose#(x < low, low, x); }",
    "atmost#": "vf# atmost#(vf# x, vf# high) { return choose#(x > high, high, x); }",
    "larger#": "vf# larger#(vf# a, vf# b) { return choose#((a > b) | (a != a), a, b); }",
    "smaller#": "vf# smaller#(vf# a, vf# b) { return choose#((a < b) | (a != a), a, b); }",
    "fabs#": "vf# fabs#(vf# x) { return (vf#)((vi#)x & INT32_MAX); }",
    # From 2^23 on every float is whole; below, conversion to an integer and back truncates.
    "trunc#": """\
vf# trunc#(vf# x)
{
  vi# fits = fabs#(x) < 8388608.0f;
  vf# whole = CONVERT(CONVERT((vf#)((vi#)x & fits), vi#), vf#);
  return choose#(fits, (vf#)((vi#)whole | ((vi#)x & INT32_MIN)), x);
}""",
    "floor#": """\
vf# floor#(vf# x)
{
  vf# whole = trunc#(x);
  return choose#(whole > x, whole - 1.0f, whole);
}""",
    "ceil#": "vf# ceil#(vf# x) { return -floor#(-x); }",
    # Adding 2^23 rounds to whole numbers, halves to even.
    "rint#": """\
vf# rint#(vf# x)
{
  vf# size = fabs#(x);
  vf# whole = (size + 8388608.0f) - 8388608.0f;
  return choose#(size < 8388608.0f, (vf#)((vi#)whole | ((vi#)x & INT32_MIN)), x);
}""",
    "toint#": """\
vi# toint#(vf# x)
{
  vi# high = x >= 2147483648.0f, low = x < -2147483648.0f;
  vi# fits = ~(high | low) & (x == x);
  return (CONVERT((vf#)((vi#)x & fits), vi#) & fits) | (high & INT32_MAX) | (low & INT32_MIN);
}""",
    "touint#": """\
vu# touint#(vf# x)
{
  vi# high = x >= 4294967296.0f, fits = (x > 0.0f) & ~high;
  return (CONVERT((vf#)((vi#)x & fits), vu#) & (vu#)fits) | (vu#)high;
}""",
}
"""The same for vectors; # stands for the number of lanes."""

FOLDS: Mapping[str, tuple[str, str, str]] = {
    "sum#": ("f", "x[0] + x[1]", "halves[0] + halves[1]"),
    "most#": ("f", "larger(x[0], x[1])", "larger%(halves[0], halves[1])"),
    "least#": ("f", "smaller(x[0], x[1])", "smaller%(halves[0], halves[1])"),
    "isum#": ("i", "iadd(x[0], x[1])", "(vi%)((vu%)halves[0] + (vu%)halves[1])"),
    "imost#": ("i", "imax(x[0], x[1])", "imaxeach%(halves[0], halves[1])"),
    "ileast#": ("i", "imin(x[0], x[1])", "imineach%(halves[0], halves[1])"),
    "usum#": ("u", "x[0] + x[1]", "halves[0] + halves[1]"),
    "umost#": ("u", "umax(x[0], x[1])", "umaxeach%(halves[0], halves[1])"),
    "uleast#": ("u", "umin(x[0], x[1])", "umineach%(halves[0], halves[1])"),
}
"""Over the lanes of one vector: the type, two lanes as one, and half of the lanes with the other
half; % stands for half the number of lanes."""

_TYPES = {"f": "float", "i": "int32_t", "u": "uint32_t"}


def vector_types(lanes: int) -> str:
    """The types of vectors of so many lanes: v... for values, m... for any place in memory."""
    size = f"vector_size({4 * lanes})"
    lines = []
    for letter, kind in _TYPES.items():
        lines.append(f"typedef {kind} v{letter}{lanes} __attribute__(({size}));")
        memory = f"__attribute__(({size}, aligned(4), may_alias))"
        lines.append(f"typedef {kind} m{letter}{lanes} {memory};")
    return "\n".join(lines)


def lanewise(scalar: str, kind: str, arguments: int) -> tuple[str, str]:
    """(name, text) of a vector function that calls one of single values for each lane."""
    letters = "abc"[:arguments]
    takes = ", ".join(f"v{kind}# {letter}" for letter in letters)
    gives = ", ".join(f"{letter}[i]" for letter in letters)
    name = f"{scalar}each#"
    text = (
        f"v{kind}# {name}({takes})\n{{\n"
        f"  for (int i = 0; i < #; ++i) a[i] = {scalar}({gives});\n  return a;\n}}"
    )
    return name, text


def _fold(name: str) -> str:
    kind, _, together = FOLDS[name]
    return (
        f"{_TYPES[kind]} {name}(v{kind}# x)\n{{\n"
        f"  const m{kind}% *halves = (const m{kind}% *)&x;\n"
        f"  return {name.replace('#', '%')}({together});\n}}"
    )


def _fold_of_two(name: str) -> str:
    kind, pair, _ = FOLDS[name]
    return f"{_TYPES[kind]} {name}(v{kind}# x) {{ return {pair}; }}"


def _splat(kind: str) -> str:
    # Taking away 0 changes nothing, not even -0 (adding it would).
    return f"v{kind}# {kind}splat#({_TYPES[kind]} x) {{ return x - (v{kind}#){{0}}; }}"


_TEMPLATES: Mapping[str, str] = {
    **VECTOR,
    **{name: _fold(name) for name in FOLDS},
    **{name.replace("#", "2"): _fold_of_two(name) for name in FOLDS},
    **dict(lanewise(f"{kind}{name}", kind, 2) for kind in "iu" for name in ("max", "min")),
    **{f"{kind}splat#": _splat(kind) for kind in _TYPES},
}


class Helpers:
    """The helpers that a piece of code needs, and their texts."""

    def __init__(self) -> None:
        self._scalar: set[str] = set()
        self._vector: set[tuple[str, int]] = set()
        self._templates = dict(_TEMPLATES)

    def scalar(self, name: str) -> str:
        """The name of a function of single values, which is needed from now on."""
        if name in SCALAR and name not in self._scalar:
            self._scalar.add(name)
            self._follow(SCALAR[name], 1)
        return name

    def vector(self, name: str, lanes: int) -> str:
        """The name of a function of vectors, which is needed from now on; without the #."""
        if (name, lanes) not in self._vector:
            self._vector.add((name, lanes))
            self._follow(self._text(name, lanes), lanes)
        return f"{name}{lanes}"

    def _text(self, name: str, lanes: int) -> str:
        return self._templates.get(f"{name}{lanes}") or self._templates[f"{name}#"]

    def lanewise(self, scalar: str, kind: str, arguments: int, lanes: int) -> str:
        """The same for a function that works lane by lane."""
        name, text = lanewise(scalar, kind, arguments)
        self._templates[name] = text
        return self.vector(name.removesuffix("#"), lanes)

    def _follow(self, text: str, lanes: int) -> None:
        """Need what a helper calls."""
        for word in _called(text):
            if word in SCALAR:
                self.scalar(word)
            elif word[-1] in "#%" and word.replace("%", "#") in self._templates:
                self.vector(word[:-1], lanes if word[-1] == "#" else lanes // 2)

    def add(self, other: Helpers) -> None:
        """Need what another piece of code needs."""
        self._scalar |= other._scalar

    def scalar_text(self) -> list[str]:
        """The functions of single values, callees first."""
        return _inline(_ordered(self._scalar, SCALAR))

    def vector_text(self) -> list[str]:
        """The functions of vectors, callees first."""
        done = []
        for lanes in sorted({lanes for _, lanes in self._vector}):
            texts = {f"{n}#": self._text(n, lanes) for n, count in self._vector if count == lanes}
            for text in _inline(_ordered(set(texts), texts)):
                done.append(text.replace("#", str(lanes)).replace("%", str(lanes // 2)))
        return done


def _called(text: str) -> list[str]:
    """The functions whose names stand in front of a parenthesis."""
    return sorted(set(re.findall(r"\w+[#%]?(?=\()", text)))


def _inline(texts: Iterable[str]) -> list[str]:
    return [f"INLINE {text}" for text in texts]


def _ordered(names: set[str], texts: Mapping[str, str]) -> list[str]:
    """The texts of functions, each behind those that it calls."""
    done: dict[str, str] = {}

    def visit(name: str) -> None:
        if name in done:
            return
        for word in _called(texts[name]):
            if word in names and word != name:
                visit(word)
        done[name] = texts[name]

    for name in sorted(names):
        visit(name)
    return list(done.values())
