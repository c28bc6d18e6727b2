"""JavaScript from loops."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from layerport.loops.clike import ATOM, CLike, comment_text
from layerport.loops.ir import (
    FLOAT_FUNCTIONS,
    DType,
    Expr,
    For,
    Function,
    Let,
    Load,
    Number,
    Operation,
    Store,
    Var,
)
from layerport.loops.target import Target

NATIVE = frozenset(FLOAT_FUNCTIONS) - {"erf", "rint"} | {"pow"}
TARGET = Target(lanes=1, rows=4, columns=4, lone_columns=6, native=NATIVE)

HELPERS: Mapping[str, str] = {
    "toInt": "const toInt = (x) => (x >= 2147483647 ? 2147483647 : x <= -2147483648 ? -2147483648 "
    ": x | 0);",
    "toUint": "const toUint = (x) => (x >= 4294967295 ? 4294967295 : x > 0 ? x >>> 0 : 0);",
    "floatBits": "const bitsOf = new Uint32Array(1), floatOf = new Float32Array(bitsOf.buffer);\n"
    "const floatBits = (x) => ((floatOf[0] = x), bitsOf[0]);\n"
    "const bitsFloat = (x) => ((bitsOf[0] = x), floatOf[0]);",
}
"""Functions that some programs need, by the first name they define."""


class JavaScript(CLike):
    """Prints functions over typed arrays; floats are computed in float64 and stored in float32."""

    infix: ClassVar[Mapping[str, tuple[str, int]]] = {
        **CLike.infix,
        "eq": ("===", 6),
        "ne": ("!==", 6),
        "xor": ("!==", 6),
    }
    calls: ClassVar[Mapping[str, str]] = {
        **{name: f"Math.{name}" for name in [*NATIVE, "abs", "max", "min"]},
    }

    def __init__(self) -> None:
        self.needed: set[str] = set()
        """The helpers that the printed functions use."""

    def number(self, value: float | int | bool, dtype: DType) -> str:
        if dtype == "f32":
            number = float(value)
            if math.isnan(number):
                return "NaN"
            if math.isinf(number):
                return "Infinity" if number > 0 else "-Infinity"
            return repr(number).removesuffix(".0")
        return super().number(value, dtype)

    def load(self, expr: Load) -> tuple[str, int]:
        text, binds = super().load(expr)
        return (f"{text} !== 0", 6) if expr.dtype == "bool" else (text, binds)

    def store(self, statement: Store) -> str:
        if statement.buffer.dtype == "bool":
            place = f"{statement.buffer.name}[{self.index(statement.index)}]"
            return f"{place} = {self.expr(statement.value, 1)} ? 1 : 0;"
        return super().store(statement)

    def let(self, statement: Let) -> str:
        return f"let {statement.name} = {self.expr(statement.value)};"

    def head(self, loop: For) -> str:
        name = loop.variable
        step = f"{name}++" if loop.step == 1 else f"{name} += {loop.step}"
        start, stop = self.index(loop.start), self.index(loop.stop)
        return f"for (let {name} = {start}; {name} < {stop}; {step}) {{"

    def function(self, function: Function) -> list[str]:
        note = [f"// {comment_text(function.note)}"] if function.note else []
        head = f"function {function.name}({', '.join(function.parameters)}) {{"
        return [*note, head, *self.body(function.body, 1), "}"]

    # Operations -----------------------------------------------------------------------------

    def operation(self, expr: Operation) -> tuple[str, int]:
        if expr.name == "cast":
            return self._cast(expr.args[0], expr.dtype)
        if expr.name == "bits":
            return self._bits(expr.args[0], expr.dtype)
        if expr.name == "sigmoid":
            return f"1 / (1 + Math.exp(-{self.expr(expr.args[0], 12)}))", 10
        if expr.name in ("max", "min"):
            return self._extreme(expr)
        if expr.dtype in ("i32", "u32"):
            return self._integer(expr)
        return super().operation(expr)

    def _extreme(self, expr: Operation) -> tuple[str, int]:
        """A comparison where one side is a number, so that the other side's NaN survives."""
        for value, bound in (expr.args, expr.args[::-1]):
            if isinstance(bound, Number) and isinstance(value, Var):
                sign = "<" if expr.name == "max" else ">"
                limit = self.expr(bound)
                return f"{value.name} {sign} {limit} ? {limit} : {value.name}", 0
        return super().operation(expr)

    def _integer(self, expr: Operation) -> tuple[str, int]:
        """Arithmetic that wraps at 32 bits."""
        name, unsigned = expr.name, expr.dtype == "u32"
        signs = {"bit_and": "&", "bit_or": "|", "bit_xor": "^", "shl": "<<"}
        signs["shr"] = ">>>" if unsigned else ">>"
        if name in ("select", "abs", *self.calls):
            return super().operation(expr)
        if name == "mul":
            left, right = (self.expr(arg) for arg in expr.args)
            text, binds = f"Math.imul({left}, {right})", ATOM
        elif name in signs:
            left, right = (self.expr(arg, ATOM) for arg in expr.args)
            text, binds = f"{left} {signs[name]} {right}", 4
        else:
            text, binds = super().operation(expr)
            text, binds = f"{text} | 0", 3
        if unsigned:
            return f"({text}) >>> 0", 4
        return text, binds

    def _cast(self, value: Expr, dtype: DType) -> tuple[str, int]:
        if value.dtype == "bool":
            return f"{self.expr(value, 1)} ? 1 : 0", 0
        if dtype == "f32":
            return self._expr(value)
        if value.dtype == "f32":
            helper = "toInt" if dtype == "i32" else "toUint"
            self.needed.add(helper)
            return f"{helper}({self.expr(value)})", ATOM
        return f"{self.expr(value, ATOM)} {'|' if dtype == 'i32' else '>>>'} 0", 3

    def _bits(self, value: Expr, dtype: DType) -> tuple[str, int]:
        if "f32" not in (value.dtype, dtype):
            return self._cast(value, dtype)
        self.needed.add("floatBits")
        if dtype == "f32":
            return f"bitsFloat({self.expr(value)})", ATOM
        text = f"floatBits({self.expr(value)})"
        return (f"{text} | 0", 3) if dtype == "i32" else (text, ATOM)
