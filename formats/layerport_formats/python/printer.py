"""Python from loops: plain loops over lists, which are quicker than NumPy one element at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from layerport.loops.clike import ATOM
from layerport.loops.ir import Call, DType, Expr, For, Function, Let, Operation, Statement
from layerport.loops.target import Target

from layerport_formats.scalar.printer import INTEGER_SIGNS, ScalarPrinter

_MATH = ("sqrt", "exp", "expm1", "log", "log1p", "tanh", "erf", "sin", "cos", "tan", "asin",
         "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "pow")  # fmt: skip
_PLAIN = ("erf", "tanh", "asinh", "atan")
"""Functions of `math` that raise for no float."""

_NATIVE = frozenset({*_MATH, "floor", "ceil", "rint", "trunc"})
TARGET = Target(rows=1, columns=8, lone_columns=8, native=_NATIVE, largest_batch=1)

HELPERS: Mapping[str, str] = {
    # Where `math` raises, NumPy's float64 gives what IEEE 754 says.
    "real": """\
def real(function, *x):
    with np.errstate(all="ignore"):
        return float(function(*map(np.float64, x)))""",
    "larger": "def larger(a, b):\n    return a if a > b or a != a else b",
    "smaller": "def smaller(a, b):\n    return a if a < b or a != a else b",
    "whole": """\
def whole(function, x):
    return float(function(x)) if -9e15 < x < 9e15 else x""",
    "divide": """\
def divide(a, b):
    return a / b if b else real(np.divide, a, b)""",
    "rest": """\
def rest(a, b):
    return math.fmod(a, b) if b and math.isfinite(a) else real(np.fmod, a, b)""",
    "signed": """\
def signed(x):
    return (x + 0x80000000 & 0xFFFFFFFF) - 0x80000000""",
    "to_integer": """\
def to_integer(x, low, high):
    return 0 if x != x else low if x <= low else high if x >= high else int(x)""",
    "quotient": """\
def quotient(a, b):
    return int(math.copysign(1, a) * math.copysign(1, b)) * (abs(a) // abs(b)) if b else 0""",
    "remainder": """\
def remainder(a, b):
    return int(math.fmod(a, b)) if b else 0""",
    "bits_of": """\
def bits_of(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]""",
    "float_of": """\
def float_of(x):
    return struct.unpack("<f", struct.pack("<I", x & 0xFFFFFFFF))[0]""",
}
"""What Python lacks, by name."""

_NUMPY = {
    "asin": "arcsin",
    "acos": "arccos",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "pow": "power",
}


class Python(ScalarPrinter):
    """Prints functions over module-level lists."""

    prefix: ClassVar[Mapping[str, str]] = {"neg": "-", "not": "not "}
    infix: ClassVar[Mapping[str, tuple[str, int]]] = {
        **ScalarPrinter.infix,
        "or": ("or", 1),
        "and": ("and", 2),
    }

    def number(self, value: float | int | bool, dtype: DType) -> str:
        if dtype == "bool":
            return "True" if value else "False"
        if dtype != "f32":
            return repr(int(value))
        real = float(value)
        if math.isnan(real):
            return "nan"
        if math.isinf(real):
            return "inf" if real > 0 else "-inf"
        return repr(real)

    def statement(self, statement: Statement, depth: int) -> list[str]:
        pad = self.indent * depth
        if isinstance(statement, For):
            stop = self.index(statement.stop)
            head = f"for {statement.variable} in range({self.index(statement.start)}, {stop}"
            step = "" if statement.step == 1 else f", {statement.step}"
            return [f"{pad}{head}{step}):", *self.body(statement.body, depth + 1)]
        if isinstance(statement, Call):
            arguments = ", ".join(map(self.index, statement.args))
            return [f"{pad}{statement.function}({arguments})"]
        return [line.removesuffix(";") for line in super().statement(statement, depth)]

    def let(self, statement: Let) -> str:
        return f"{statement.name} = {self.expr(statement.value)}"

    def function(self, function: Function) -> list[str]:
        head = f"def {function.name}({', '.join(function.parameters)}):"
        note = [line.replace("//", "#", 1) for line in self.note(function)]
        body = self.body(function.body, 1) or [f"{self.indent}pass"]
        return [*note, head, *body, ""]

    def zero_or_one(self, value: Expr) -> str:
        return f"int({self.expr(value)})"

    # Operations ---------------------------------------------------------------------------

    def real(self, expr: Operation) -> tuple[str, int]:
        name, args = expr.name, expr.args
        if name in ("max", "min"):
            return self.call("larger" if name == "max" else "smaller", *args)
        if name == "abs":
            return f"abs({self.expr(args[0])})", ATOM
        if name == "div":
            self.needed.add("real")
            return self.call("divide", *args)
        if name == "mod":
            self.needed.add("real")
            return self.call("rest", *args)
        if name in ("floor", "ceil", "rint", "trunc"):
            self.needed.add("whole")
            function = "round" if name == "rint" else f"math.{name}"
            return f"whole({function}, {self.expr(args[0])})", ATOM
        if name in _PLAIN:
            return f"math.{name}({self.expr(args[0])})", ATOM
        if name in _MATH:
            self.needed.add("real")
            given = ", ".join(map(self.expr, args))
            return f"real(np.{_NUMPY.get(name, name)}, {given})", ATOM
        return super().real(expr)

    def integer(self, expr: Operation, *, signed: bool) -> tuple[str, int]:
        name, args = expr.name, expr.args
        if name in ("lt", "le", "gt", "ge", "eq", "ne"):
            return super().integer(expr, signed=signed)
        if name in ("max", "min", "abs"):
            return f"{name}({', '.join(map(self.expr, args))})", ATOM
        if name in ("div", "mod"):
            return self.call("quotient" if name == "div" else "remainder", *args)
        if name in INTEGER_SIGNS:
            first, second = (self.expr(arg, ATOM) for arg in args)
            second = f"({second} & 31)" if name in ("shl", "shr") else second
            text = f"({first} {INTEGER_SIGNS[name]} {second})"
            if name != "shl":
                return text, ATOM
        else:
            text = f"({super().integer(expr, signed=signed)[0]})"
        if signed:
            self.needed.add("signed")
            return f"signed{text}", ATOM
        return f"({text} & 0xFFFFFFFF)", ATOM

    def cast(self, expr: Operation) -> tuple[str, int]:
        (value,) = expr.args
        text = self.expr(value)
        if expr.dtype == "bool":
            return f"{self.expr(value, 7)} != 0", 6
        if expr.dtype == "f32":
            return f"float({text})", ATOM
        if value.dtype == "f32":
            self.needed.add("to_integer")
            low, high = "-0x80000000", "0x7FFFFFFF"
            if expr.dtype == "u32":
                low, high = "0", "0xFFFFFFFF"
            return f"to_integer({text}, {low}, {high})", ATOM
        if value.dtype == "bool":
            return f"int({text})", ATOM
        if expr.dtype == "i32":
            return self.call("signed", value)
        return f"({text} & 0xFFFFFFFF)", ATOM

    def bits(self, expr: Operation) -> tuple[str, int]:
        (value,) = expr.args
        if value.dtype == "f32":
            text, binds = self.call("bits_of", value)
            if expr.dtype == "i32":
                self.needed.add("signed")
                return f"signed({text})", ATOM
            return text, binds
        if expr.dtype == "f32":
            return self.call("float_of", value)
        return self.cast(expr)

    def select(self, expr: Operation) -> tuple[str, int]:
        test, a, b = (self.expr(arg, 1) for arg in expr.args)
        return f"({a} if {test} else {b})", ATOM

    def helpers(self) -> list[str]:
        """The definitions of the helpers that printed code calls."""
        return [f"{HELPERS[name]}\n\n" for name in HELPERS if name in self.needed]
