"""C99 from loops, with GNU vectors where the program has vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from layerport.loops.clike import ATOM, CLike, comment_text
from layerport.loops.ir import (
    COMPARISONS,
    FLOAT_FUNCTIONS,
    Buffer,
    DType,
    Expr,
    For,
    Function,
    Let,
    Load,
    Number,
    Operation,
    Store,
)
from layerport.loops.walk import expressions

from layerport_formats.c.helpers import Helpers
from layerport_formats.c.signature import Signature
from layerport_formats.c.unused import without_unused

TYPES: Mapping[DType, str] = {"f32": "float", "i32": "int32_t", "u32": "uint32_t", "bool": "int"}
"""Of local variables."""

KINDS: Mapping[DType, str] = {"f32": "f", "i32": "i", "u32": "u", "bool": "i"}
"""The letter of a vector type."""

UNARY = 11
"""How strongly a cast or a sign binds."""


def c_float(value: float) -> str:
    """A float32 constant: the shortest decimal number that stands for it."""
    number = np.float32(value)
    if np.isnan(number):
        return "NAN"
    if np.isinf(number):
        return "INFINITY" if number > 0 else "-INFINITY"
    return f"{number!s}f"


class C(CLike):
    """Prints the functions of a program.

    Parameters
    ----------
    constants : what weights are called.

    Attributes
    ----------
    helpers : what the functions call.
    widths : the lanes of vectors that they use.
    """

    infix: ClassVar[Mapping[str, tuple[str, int]]] = {
        **CLike.infix,
        "xor": ("!=", 6),
        "bit_and": ("&", 5),
        "bit_or": ("|", 3),
        "bit_xor": ("^", 4),
    }

    def __init__(self, constants: Mapping[Buffer, str]) -> None:
        self.helpers = Helpers()
        self.widths: set[int] = set()
        self._constants = constants

    def buffer(self, buffer: Buffer) -> str:
        return self._constants.get(buffer, buffer.name)

    # Numbers and memory ---------------------------------------------------------------------

    def number(self, value: float | int | bool, dtype: DType) -> str:
        if dtype == "f32":
            return c_float(float(value))
        if dtype == "u32":
            return f"{int(value)}u"
        if dtype == "i32" and value == -(2**31):
            return "INT32_MIN"
        return str(int(value))

    def load(self, expr: Load) -> tuple[str, int]:
        text, binds = super().load(expr)
        if expr.lanes > 1:
            text, binds = f"*(const m{KINDS[expr.dtype]}{expr.lanes} *)&{text}", UNARY
            return (f"{text} != 0", 6) if expr.dtype == "bool" else (text, binds)
        return text, binds

    def store(self, statement: Store) -> str:
        value = statement.value
        place = f"{self.buffer(statement.buffer)}[{self.index(statement.index)}]"
        text = self.expr(value)
        if value.lanes > 1:
            place = f"*(m{KINDS[value.dtype]}{value.lanes} *)&{place}"
            if value.dtype == "bool":
                text = f"-{self.expr(value, 12)}"
        return f"{place} = {text};"

    def let(self, statement: Let) -> str:
        value = statement.value
        kind = TYPES[value.dtype] if value.lanes == 1 else f"v{KINDS[value.dtype]}{value.lanes}"
        return f"{kind} {statement.name} = {self.expr(value)};"

    # Statements -----------------------------------------------------------------------------

    def head(self, loop: For) -> str:
        name = loop.variable
        step = f"++{name}" if loop.step == 1 else f"{name} += {loop.step}"
        start, stop = self.index(loop.start), self.index(loop.stop)
        return f"for (int {name} = {start}; {name} < {stop}; {step}) {{"

    def function(self, function: Function) -> Sequence[str]:
        note = [f"/* {comment_text(function.note)} */"] if function.note else []
        kept = without_unused(function)
        self.widths.update(e.lanes for e in expressions(kept.body) if e.lanes > 1)
        head = Signature.of(kept).declaration()
        return [*note, head, "{", *self.body(kept.body, 1), "}"]

    # Operations -----------------------------------------------------------------------------

    def operation(self, expr: Operation) -> tuple[str, int]:
        special = getattr(self, f"_{expr.name}", None)
        if special is not None:
            text, binds = special(expr, *expr.args)
            return text, binds
        if expr.name in COMPARISONS:
            return self._infix(*self.infix[expr.name], expr.args, around=8)
        if expr.dtype == "f32":
            return self._float(expr)
        if expr.dtype == "bool":
            return self._logic(expr)
        return self._integer(expr)

    def _infix(
        self, sign: str, binds: int, args: Sequence[Expr], around: int
    ) -> tuple[str, int]:  # fmt: skip
        left, right = (self.expr(arg, around) for arg in args)
        return f"{left} {sign} {right}", binds

    def _call(self, name: str, args: Sequence[Expr]) -> tuple[str, int]:
        return f"{name}({', '.join(self.expr(arg) for arg in args)})", ATOM

    def _helper(self, name: str, expr: Operation) -> tuple[str, int]:
        """A call of a helper that is there for single values and for vectors."""
        lanes = expr.args[0].lanes
        found = self.helpers.scalar(name) if lanes == 1 else self.helpers.vector(name, lanes)
        return self._call(found, expr.args)

    def _each(self, name: str, expr: Operation) -> tuple[str, int]:
        """A call of a function of single values, lane by lane in vectors."""
        found = self.helpers.scalar(name)
        if expr.lanes > 1:
            count = len(expr.args)
            found = self.helpers.lanewise(name, KINDS[expr.dtype], count, expr.lanes)
        return self._call(found, expr.args)

    def _float(self, expr: Operation) -> tuple[str, int]:
        name = expr.name
        if name in ("add", "sub", "mul", "div", "neg"):
            return super().operation(expr)
        if name in ("max", "min"):
            return self._extreme(expr)
        if expr.lanes > 1 and name in ("floor", "ceil", "trunc", "rint", "abs"):
            return self._helper("fabs" if name == "abs" else name, expr)
        assert name in (*FLOAT_FUNCTIONS, "abs", "pow", "mod")
        return self._each({"abs": "fabsf", "mod": "fmodf"}.get(name, f"{name}f"), expr)

    def _extreme(self, expr: Operation) -> tuple[str, int]:
        """The larger or smaller value: cheaper where one side is a number, as that is not NaN."""
        bounded, free = {"max": ("atleast", "larger"), "min": ("atmost", "smaller")}[expr.name]
        for value, bound in (expr.args, expr.args[::-1]):
            if _is_number(bound):
                return self._helper(bounded, _with(expr, value, bound))
        return self._helper(free, expr)

    def _logic(self, expr: Operation) -> tuple[str, int]:
        if expr.lanes == 1:
            if expr.name == "not":
                return super().operation(expr)
            return self._infix(*self.infix[expr.name], expr.args, around=8)
        if expr.name == "not":
            return f"~{self.expr(expr.args[0], 12)}", UNARY
        sign = {"and": "&", "or": "|", "xor": "^"}[expr.name]
        return self._infix(sign, 3, expr.args, around=12)

    def _integer(self, expr: Operation) -> tuple[str, int]:
        name, kind = expr.name, KINDS[expr.dtype]
        if name in ("bit_and", "bit_or", "bit_xor"):
            return self._infix(*self.infix[name], expr.args, around=12)
        if name in ("add", "sub", "mul", "neg") and kind == "u":
            return super().operation(expr)
        if name in ("add", "sub", "mul") and expr.lanes > 1:
            return self._wrapping(self.infix[name][0], expr)
        if name in ("shl", "shr") and expr.lanes > 1 and _is_number(expr.args[1]):
            if name == "shr":
                return self._infix(">>", 3, expr.args, around=12)
            return self._wrapping("<<", expr)
        return self._each(f"{kind}{name}", expr)

    def _wrapping(self, sign: str, expr: Operation) -> tuple[str, int]:
        """Arithmetic of signed vectors, as unsigned so that it may overflow."""
        left, right = (f"(vu{expr.lanes}){self.expr(arg, 12)}" for arg in expr.args)
        text = f"{left} {sign} {right}"
        return (text, 3) if expr.dtype == "u32" else (f"(vi{expr.lanes})({text})", UNARY)

    # Operations that are printed their own way ------------------------------------------------

    def _sigmoid(self, expr: Operation, x: Expr) -> tuple[str, int]:
        inner = Operation("exp", (Operation("neg", (x,), "f32", x.lanes),), "f32", x.lanes)
        return f"1.0f / (1.0f + {self.expr(inner, 12)})", 10

    def _select(self, expr: Operation, test: Expr, a: Expr, b: Expr) -> tuple[str, int]:
        if expr.lanes == 1:
            return super().operation(expr)
        if expr.dtype == "f32":
            return self._call(self.helpers.vector("choose", expr.lanes), expr.args)
        name = self.helpers.vector("ichoose", expr.lanes)
        if expr.dtype != "u32":
            return self._call(name, expr.args)
        left, right = (f"(vi{expr.lanes}){self.expr(side, 12)}" for side in (a, b))
        return f"(vu{expr.lanes}){name}({self.expr(test)}, {left}, {right})", UNARY

    def _splat(self, expr: Operation, value: Expr) -> tuple[str, int]:
        kind = KINDS[expr.dtype]
        text = self.expr(value)
        if expr.dtype == "bool":
            text = f"-{self.expr(value, 12)}"
        return f"{self.helpers.vector(f'{kind}splat', expr.lanes)}({text})", ATOM

    def _hsum(self, expr: Operation, value: Expr) -> tuple[str, int]:
        return self._fold("sum", value)

    def _hmax(self, expr: Operation, value: Expr) -> tuple[str, int]:
        return self._fold("most", value)

    def _hmin(self, expr: Operation, value: Expr) -> tuple[str, int]:
        return self._fold("least", value)

    def _fold(self, name: str, value: Expr) -> tuple[str, int]:
        kind = KINDS[value.dtype].removeprefix("f")
        self.widths.update(value.lanes >> half for half in range(value.lanes.bit_length() - 1))
        return self._call(self.helpers.vector(f"{kind}{name}", value.lanes), [value])

    def _bits(self, expr: Operation, value: Expr) -> tuple[str, int]:
        if value.lanes > 1:
            return self._converted(expr.dtype, value)
        if value.dtype == "f32":
            text, binds = self._call(self.helpers.scalar("floatbits"), [value])
            return (f"(int32_t){text}", UNARY) if expr.dtype == "i32" else (text, binds)
        if expr.dtype == "f32":
            return self._call(self.helpers.scalar("bitsfloat"), [value])
        return self._converted(expr.dtype, value)

    def _converted(self, dtype: DType, value: Expr) -> tuple[str, int]:
        """C's conversion: of single values by value, of vectors by bits."""
        kind = TYPES[dtype] if value.lanes == 1 else f"v{KINDS[dtype]}{value.lanes}"
        return f"({kind}){self.expr(value, 12)}", UNARY

    def _cast(self, expr: Operation, value: Expr) -> tuple[str, int]:
        before, after, lanes = value.dtype, expr.dtype, value.lanes
        if before == after:
            return self._expr(value)
        if after == "bool":
            return f"{self.expr(value, 8)} != 0", 6
        if before == "f32":
            return self._helper("toint" if after == "i32" else "touint", expr)
        if lanes == 1 or {before, after} == {"i32", "u32"}:
            return self._converted(after, value)
        if before == "bool":
            one = self.number(1, after)
            if after == "f32":
                mask = Operation("splat", (Number(1.0),), "f32", lanes)
                return f"(vf{lanes})({self.expr(value, 12)} & (vi{lanes}){self.expr(mask)})", UNARY
            text = self.expr(value, 12) if after == "i32" else f"(vu{lanes}){self.expr(value, 12)}"
            return f"{text} & {one}", 5
        return f"CONVERT({self.expr(value)}, vf{lanes})", ATOM


def _is_number(expr: Expr) -> bool:
    """Whether a value is a number, in every lane, and none that is not a number."""
    if isinstance(expr, Operation) and expr.name == "splat":
        return _is_number(expr.args[0])
    return isinstance(expr, Number) and not (expr.dtype == "f32" and math.isnan(expr.value))


def _with(expr: Operation, *args: Expr) -> Operation:
    return Operation(expr.name, args, expr.dtype, expr.lanes)
