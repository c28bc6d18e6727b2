"""Rust from loops."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from layerport.loops.clike import ATOM
from layerport.loops.index import Index
from layerport.loops.ir import Call, DType, Expr, For, Function, Let, Operation, Statement
from layerport.loops.target import Target

from layerport_formats.scalar.printer import INTEGER_SIGNS, ScalarPrinter

TARGET = Target(lanes=1, rows=4, columns=4, lone_columns=8, native=frozenset(), largest_batch=4)

TYPES: Mapping[DType, str] = {"f32": "f32", "i32": "i32", "u32": "u32", "bool": "bool"}

HELPERS: Mapping[str, str] = {
    "larger": "fn larger(a: f32, b: f32) -> f32 { if a > b || a != a { a } else { b } }",
    "smaller": "fn smaller(a: f32, b: f32) -> f32 { if a < b || a != a { a } else { b } }",
    "magnitude": "fn magnitude(x: f32) -> f32 { f32::from_bits(x.to_bits() & 0x7fff_ffff) }",
    # From 2^23 on every float is whole.
    "trunc": """\
fn trunc(x: f32) -> f32 {
    if !(magnitude(x) < 8388608.0) { return x; }
    f32::from_bits((x as i32 as f32).to_bits() | (x.to_bits() & 0x8000_0000))
}""",
    "floor": "fn floor(x: f32) -> f32 { let t = trunc(x); if t > x { t - 1.0 } else { t } }",
    "ceil": "fn ceil(x: f32) -> f32 { -floor(-x) }",
    # Adding 2^23 rounds to whole numbers, halves to even.
    "rint": """\
fn rint(x: f32) -> f32 {
    let size = magnitude(x);
    if !(size < 8388608.0) { return x; }
    let whole = (size + 8388608.0) - 8388608.0;
    f32::from_bits(whole.to_bits() | (x.to_bits() & 0x8000_0000))
}""",
    # Newton's method in f64 from a guess that halves the exponent.
    "sqrt": """\
fn sqrt(x: f32) -> f32 {
    if !(x > 0.0) || x == f32::INFINITY { return if x < 0.0 { f32::NAN } else { x }; }
    let a = x as f64;
    let mut y = f64::from_bits((a.to_bits() >> 1) + (0x3ff0_0000_0000_0000 >> 1));
    for _ in 0..5 { y = 0.5 * (y + a / y); }
    y as f32
}""",
    "idiv": "fn idiv(a: i32, b: i32) -> i32 { if b == 0 { 0 } else { a.wrapping_div(b) } }",
    "imod": "fn imod(a: i32, b: i32) -> i32 { if b == 0 { 0 } else { a.wrapping_rem(b) } }",
    "udiv": "fn udiv(a: u32, b: u32) -> u32 { if b == 0 { 0 } else { a / b } }",
    "umod": "fn umod(a: u32, b: u32) -> u32 { if b == 0 { 0 } else { a % b } }",
}
"""What `core` lacks, by name."""

NEEDS: Mapping[str, tuple[str, ...]] = {
    "trunc": ("magnitude",),
    "floor": ("trunc", "magnitude"),
    "ceil": ("floor", "trunc", "magnitude"),
    "rint": ("magnitude",),
}
"""Helpers that helpers call."""

_REAL = {"max": "larger", "min": "smaller", "abs": "magnitude"}
_WRAPPING = {"add": "wrapping_add", "sub": "wrapping_sub", "mul": "wrapping_mul"}


class Rust(ScalarPrinter):
    """Prints functions over `m: &mut Model`."""

    memory: ClassVar[str] = "m."

    def number(self, value: float | int | bool, dtype: DType) -> str:
        if dtype == "bool":
            return "true" if value else "false"
        if dtype != "f32":
            return f"{int(value)}{dtype}"
        real = float(value)
        if math.isnan(real):
            return "f32::NAN"
        if math.isinf(real):
            return "f32::INFINITY" if real > 0 else "-f32::INFINITY"
        return f"{real!r}f32"

    def subscript(self, index: Index) -> str:
        text = self.index(index)
        return text if index.is_constant else f"({text}) as usize"

    def statement(self, statement: Statement, depth: int) -> list[str]:
        if isinstance(statement, Call):
            args = ", ".join(["m", *map(self.index, statement.args)])
            return [f"{self.indent * depth}{statement.function}({args});"]
        if isinstance(statement, For):
            pad, name = self.indent * depth, statement.variable
            return [
                f"{pad}let mut {name}: i32 = {self.index(statement.start)};",
                f"{pad}while {name} < {self.index(statement.stop)} {{",
                *self.body(statement.body, depth + 1),
                f"{pad}{self.indent}{name} += {statement.step};",
                f"{pad}}}",
            ]
        return super().statement(statement, depth)

    def let(self, statement: Let) -> str:
        kind = TYPES[statement.value.dtype]
        return f"let mut {statement.name}: {kind} = {self.expr(statement.value)};"

    def function(self, function: Function) -> list[str]:
        parameters = "".join(f", {name}: i32" for name in function.parameters)
        head = f"fn {function.name}(m: &mut Model{parameters}) {{"
        return [*self.note(function), head, *self.body(function.body, 1), "}"]

    def zero_or_one(self, value: Expr) -> str:
        return f"({self.expr(value)}) as i32"

    # Operations ---------------------------------------------------------------------------

    def real(self, expr: Operation) -> tuple[str, int]:
        if expr.name in _REAL:
            return self.call(_REAL[expr.name], *expr.args)
        if expr.name in HELPERS:
            return self.call(expr.name, *expr.args)
        return super().real(expr)

    def integer(self, expr: Operation, *, signed: bool) -> tuple[str, int]:
        name = expr.name
        if name in ("lt", "le", "gt", "ge", "eq", "ne"):
            return super().integer(expr, signed=signed)
        if name in ("div", "mod"):
            return self.call(f"{'i' if signed else 'u'}{name}", *expr.args)
        first = self.expr(expr.args[0], ATOM)
        if name in ("neg", "abs"):
            unchanged = name == "abs" and not signed
            return (first if unchanged else f"{first}.wrapping_{name}()"), ATOM
        second = self.expr(expr.args[1], ATOM)
        if name in ("shl", "shr"):
            return f"{first}.wrapping_{name}({second} as u32)", ATOM
        if name in INTEGER_SIGNS:
            return f"{first} {INTEGER_SIGNS[name]} {second}", 3
        return f"{first}.{_WRAPPING.get(name, name)}({second})", ATOM

    def cast(self, expr: Operation) -> tuple[str, int]:
        (value,) = expr.args
        if expr.dtype == "bool":
            zero = self.number(0, value.dtype)
            return f"{self.expr(value, 7)} != {zero}", 6
        if value.dtype == "bool":
            return f"{self.expr(value, ATOM)} as i32 as {TYPES[expr.dtype]}", 0
        return f"{self.expr(value, ATOM)} as {TYPES[expr.dtype]}", 0

    def bits(self, expr: Operation) -> tuple[str, int]:
        (value,) = expr.args
        if value.dtype == "f32":
            text = f"{self.expr(value, ATOM)}.to_bits()"
            return (text, ATOM) if expr.dtype == "u32" else (f"{text} as i32", 0)
        if expr.dtype == "f32":
            return f"f32::from_bits({self.expr(value, ATOM)} as u32)", ATOM
        return self.cast(expr)

    def select(self, expr: Operation) -> tuple[str, int]:
        test, a, b = map(self.expr, expr.args)
        return f"if {test} {{ {a} }} else {{ {b} }}", 0

    def helpers(self) -> list[str]:
        """The definitions of the helpers that printed code calls."""
        names = {*self.needed, *(inner for name in self.needed for inner in NEEDS.get(name, ()))}
        return [HELPERS[name] for name in HELPERS if name in names]
