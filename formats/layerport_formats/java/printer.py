"""Java from loops."""

from __future__ import annotations

import math
from collections.abc import Mapping

from layerport.loops.clike import ATOM
from layerport.loops.ir import DType, Expr, For, Function, Let, Operation
from layerport.loops.target import Target

from layerport_formats.scalar.printer import INTEGER_SIGNS, ScalarPrinter

_MATH = ("sqrt", "exp", "expm1", "log", "log1p", "tanh", "sin", "cos", "tan", "asin", "acos",
         "atan", "sinh", "cosh", "floor", "ceil", "rint", "pow")  # fmt: skip
TARGET = Target(lanes=1, rows=4, columns=4, lone_columns=8, native=frozenset({*_MATH, "trunc"}))

TYPES: Mapping[DType, str] = {"f32": "float", "i32": "int", "u32": "int", "bool": "boolean"}

HELPERS: Mapping[str, str] = {
    "larger": "float larger(float a, float b) { return a > b || a != a ? a : b; }",
    "smaller": "float smaller(float a, float b) { return a < b || a != a ? a : b; }",
    "trunc": "float trunc(float x) { return (float) (x < 0 ? Math.ceil(x) : Math.floor(x)); }",
    "divide": "int divide(int a, int b) { return b == 0 ? 0 : a / b; }",
    "rest": "int rest(int a, int b) { return b == 0 ? 0 : a % b; }",
    "divideUnsigned": "int divideUnsigned(int a, int b) "
    "{ return b == 0 ? 0 : Integer.divideUnsigned(a, b); }",
    "restUnsigned": "int restUnsigned(int a, int b) "
    "{ return b == 0 ? 0 : Integer.remainderUnsigned(a, b); }",
    "toUnsigned": "int toUnsigned(float x) "
    "{ return x >= 4294967296f ? -1 : x > 0 ? (int) (long) x : 0; }",
    "ofUnsigned": "float ofUnsigned(int x) { return (float) (x & 0xffffffffL); }",
}
"""What Java lacks, by name."""

_SIGNED = {"max": "Math.max", "min": "Math.min", "div": "divide", "mod": "rest"}
_UNSIGNED = {"div": "divideUnsigned", "mod": "restUnsigned"}
_COMPARE = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}


class Java(ScalarPrinter):
    """Prints methods; a uint32 is an int with the same bits."""

    def number(self, value: float | int | bool, dtype: DType) -> str:
        if dtype == "bool":
            return "true" if value else "false"
        if dtype != "f32":
            whole = int(value)
            return str(whole - (1 << 32) if whole >= 1 << 31 else whole)
        real = float(value)
        if math.isnan(real):
            return "Float.NaN"
        if math.isinf(real):
            return "Float.POSITIVE_INFINITY" if real > 0 else "Float.NEGATIVE_INFINITY"
        return f"{real!r}f"

    def let(self, statement: Let) -> str:
        return f"{TYPES[statement.value.dtype]} {statement.name} = {self.expr(statement.value)};"

    def head(self, loop: For) -> str:
        name = loop.variable
        start, stop = self.index(loop.start), self.index(loop.stop)
        return f"for (int {name} = {start}; {name} < {stop}; {name} += {loop.step}) {{"

    def function(self, function: Function) -> list[str]:
        parameters = ", ".join(f"int {name}" for name in function.parameters)
        head = f"private void {function.name}({parameters}) {{"
        return [*self.note(function), head, *self.body(function.body, 1), "}"]

    def zero_or_one(self, value: Expr) -> str:
        return f"{self.expr(value, 1)} ? 1 : 0"

    # Operations ---------------------------------------------------------------------------

    def real(self, expr: Operation) -> tuple[str, int]:
        name = expr.name
        if name in ("max", "min"):
            return self.call("larger" if name == "max" else "smaller", *expr.args)
        if name == "abs":
            return f"Math.abs({self.expr(expr.args[0])})", ATOM
        if name == "trunc":
            return self.call("trunc", *expr.args)
        if name in _MATH:
            return f"(float) Math.{name}({', '.join(map(self.expr, expr.args))})", 11
        return super().real(expr)

    def integer(self, expr: Operation, *, signed: bool) -> tuple[str, int]:
        name = expr.name
        args = expr.args
        if signed and name in _SIGNED:
            helper = _SIGNED[name]
            if helper.startswith("Math."):
                return f"{helper}({', '.join(map(self.expr, args))})", ATOM
            return self.call(helper, *args)
        if not signed and name in _UNSIGNED:
            return self.call(_UNSIGNED[name], *args)
        if not signed and (name in _COMPARE or name in ("max", "min")):
            first, second = map(self.expr, args)
            order = f"Integer.compareUnsigned({first}, {second})"
            if name in _COMPARE:
                return f"{order} {_COMPARE[name]} 0", 7
            return f"{order} {'>' if name == 'max' else '<'} 0 ? {first} : {second}", 0
        if name == "abs":
            return (f"Math.abs({self.expr(args[0])})", ATOM) if signed else self._expr(args[0])
        if name in INTEGER_SIGNS:
            sign = ">>>" if name == "shr" and not signed else INTEGER_SIGNS[name]
            return f"({self.expr(args[0], ATOM)} {sign} {self.expr(args[1], ATOM)})", ATOM
        return super().integer(expr, signed=signed)

    def cast(self, expr: Operation) -> tuple[str, int]:
        (value,) = expr.args
        if expr.dtype == "bool":
            return f"{self.expr(value, 7)} != 0", 6
        if value.dtype == "bool":
            return f"{self.expr(value, 1)} ? {self.number(1, expr.dtype)} : " \
                   f"{self.number(0, expr.dtype)}", 0  # fmt: skip
        if value.dtype == "f32" and expr.dtype == "i32":
            return f"(int) {self.expr(value, ATOM)}", 11  # truncates, saturates, NaN gives 0
        if value.dtype == "f32" and expr.dtype == "u32":
            return self.call("toUnsigned", value)
        if expr.dtype == "f32":
            if value.dtype == "u32":
                return self.call("ofUnsigned", value)
            return f"(float) {self.expr(value, ATOM)}", 11
        return self._expr(value)

    def bits(self, expr: Operation) -> tuple[str, int]:
        (value,) = expr.args
        if value.dtype == "f32":
            return f"Float.floatToRawIntBits({self.expr(value)})", ATOM
        if expr.dtype == "f32":
            return f"Float.intBitsToFloat({self.expr(value)})", ATOM
        return self._expr(value)

    def select(self, expr: Operation) -> tuple[str, int]:
        test, a, b = (self.expr(arg, 1) for arg in expr.args)
        return f"{test} ? {a} : {b}", 0

    def helpers(self) -> list[str]:
        """The definitions of the helpers that printed code calls."""
        return [f"private static {HELPERS[name]}" for name in HELPERS if name in self.needed]
