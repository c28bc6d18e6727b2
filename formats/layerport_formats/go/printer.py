"""Go from loops."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from layerport.loops.clike import ATOM
from layerport.loops.ir import (
    FLOAT_FUNCTIONS,
    Call,
    DType,
    Expr,
    For,
    Function,
    Let,
    Operation,
    Statement,
)
from layerport.loops.target import Target

from layerport_formats.scalar.printer import INTEGER_SIGNS, ScalarPrinter

_NATIVE = {name: name.capitalize() for name in FLOAT_FUNCTIONS if name not in ("sigmoid", "rint")}
_NATIVE |= {"log1p": "Log1p", "rint": "RoundToEven", "pow": "Pow"}
TARGET = Target(lanes=1, rows=4, columns=4, lone_columns=8, native=frozenset(_NATIVE))

TYPES: Mapping[DType, str] = {"f32": "float32", "i32": "int32", "u32": "uint32", "bool": "bool"}

_WHOLE = "[T int32 | uint32](a, b T) T"


def _choice(head: str, test: str, yes: str = "a", no: str = "b") -> str:
    """A function that returns one of two values."""
    return f"func {head} {{\n\tif {test} {{\n\t\treturn {yes}\n\t}}\n\treturn {no}\n}}"


HELPERS: Mapping[str, str] = {
    "larger": _choice("larger(a, b float32) float32", "a > b || a != a"),
    "smaller": _choice("smaller(a, b float32) float32", "a < b || a != a"),
    "most": _choice(f"most{_WHOLE}", "a > b"),
    "least": _choice(f"least{_WHOLE}", "a < b"),
    "pick": _choice("pick[T any](test bool, a, b T) T", "test"),
    "divide": _choice(f"divide{_WHOLE}", "b == 0", "0", "a / b"),
    "rest": _choice(f"rest{_WHOLE}", "b == 0", "0", "a % b"),
    "magnitude": _choice("magnitude(a int32) int32", "a < 0", "-a", "a"),
    "number": _choice("number(b bool) int32", "b", "1", "0"),
    # What does not fit an integer saturates, and NaN gives 0; Go leaves both open.
    "toInt": """\
func toInt(x float32) int32 {
	switch {
	case x >= 2147483648:
		return math.MaxInt32
	case x >= -2147483648:
		return int32(x)
	case x != x:
		return 0
	}
	return math.MinInt32
}""",
    "toUint": """\
func toUint(x float32) uint32 {
	switch {
	case x >= 4294967296:
		return math.MaxUint32
	case x > 0:
		return uint32(x)
	}
	return 0
}""",
}
"""What Go lacks, by name."""


class Go(ScalarPrinter):
    """Prints methods of Model."""

    indent: ClassVar[str] = "\t"
    memory: ClassVar[str] = "m."

    def number(self, value: float | int | bool, dtype: DType) -> str:
        if dtype == "bool":
            return "true" if value else "false"
        if dtype != "f32":
            return f"{TYPES[dtype]}({int(value)})"
        real = float(value)
        if math.isnan(real):
            return "float32(math.NaN())"
        if math.isinf(real):
            return f"float32(math.Inf({'1' if real > 0 else '-1'}))"
        return f"float32({real!r})"

    def statement(self, statement: Statement, depth: int) -> list[str]:
        pad = self.indent * depth
        if isinstance(statement, Call):
            return [f"{pad}m.{statement.function}({', '.join(map(self.index, statement.args))})"]
        lines = super().statement(statement, depth)
        if isinstance(statement, Let):  # Go refuses locals that nothing reads
            lines.append(f"{pad}_ = {statement.name}")
        return [line.removesuffix(";") for line in lines]

    def let(self, statement: Let) -> str:
        return f"var {statement.name} {TYPES[statement.value.dtype]} = {self.expr(statement.value)}"

    def head(self, loop: For) -> str:
        name = loop.variable
        start, stop = self.index(loop.start), self.index(loop.stop)
        return f"for {name} := int32({start}); {name} < {stop}; {name} += {loop.step} {{"

    def function(self, function: Function) -> list[str]:
        parameters = ", ".join(f"{name} int32" for name in function.parameters)
        head = f"func (m *Model) {function.name}({parameters}) {{"
        return [*self.note(function), head, *self.body(function.body, 1), "}"]

    def zero_or_one(self, value: Expr) -> str:
        return self.call("number", value)[0]

    # Operations ---------------------------------------------------------------------------

    def real(self, expr: Operation) -> tuple[str, int]:
        name = expr.name
        if name in ("max", "min"):
            return self.call("larger" if name == "max" else "smaller", *expr.args)
        if name == "abs":
            return f"float32(math.Abs(float64({self.expr(expr.args[0])})))", ATOM
        if name == "mod":
            args = ", ".join(f"float64({self.expr(arg)})" for arg in expr.args)
            return f"float32(math.Mod({args}))", ATOM
        if name in _NATIVE:
            args = ", ".join(f"float64({self.expr(arg)})" for arg in expr.args)
            return f"float32(math.{_NATIVE[name]}({args}))", ATOM
        return super().real(expr)

    def integer(self, expr: Operation, *, signed: bool) -> tuple[str, int]:
        name = expr.name
        helpers = {"max": "most", "min": "least", "div": "divide", "mod": "rest"}
        if name in helpers:
            return self.call(helpers[name], *expr.args)
        if name == "abs":
            return self.call("magnitude", *expr.args) if signed else self._expr(expr.args[0])
        if name in ("shl", "shr"):
            first, second = (self.expr(arg, ATOM) for arg in expr.args)
            return f"({first} {INTEGER_SIGNS[name]} (uint32({second}) & 31))", ATOM
        if name in INTEGER_SIGNS:
            first, second = (self.expr(arg, ATOM) for arg in expr.args)
            return f"({first} {INTEGER_SIGNS[name]} {second})", ATOM
        return super().integer(expr, signed=signed)

    def cast(self, expr: Operation) -> tuple[str, int]:
        (value,) = expr.args
        if expr.dtype == "bool":
            return f"{self.expr(value, 7)} != 0", 6
        if value.dtype == "bool":
            return f"{TYPES[expr.dtype]}({self.call('number', value)[0]})", ATOM
        if value.dtype == "f32" and expr.dtype != "f32":
            return self.call("toInt" if expr.dtype == "i32" else "toUint", value)
        return f"{TYPES[expr.dtype]}({self.expr(value)})", ATOM

    def bits(self, expr: Operation) -> tuple[str, int]:
        (value,) = expr.args
        if value.dtype == "f32":
            text = f"math.Float32bits({self.expr(value)})"
            return (text if expr.dtype == "u32" else f"int32({text})"), ATOM
        if expr.dtype == "f32":
            return f"math.Float32frombits(uint32({self.expr(value)}))", ATOM
        return self.cast(expr)

    def select(self, expr: Operation) -> tuple[str, int]:
        return self.call("pick", *expr.args)

    def helpers(self) -> list[str]:
        """The definitions of the helpers that printed code calls."""
        return [HELPERS[name] for name in HELPERS if name in self.needed]
