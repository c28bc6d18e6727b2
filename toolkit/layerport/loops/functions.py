"""The functions of loop expressions, for the `scalar` and `loops` rules of operators.

They take expressions and Python numbers, and are named after NumPy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from layerport.loops.index import Index
from layerport.loops.ir import (
    FLOAT_FUNCTIONS,
    DType,
    Expr,
    Number,
    Operand,
    Operation,
    as_expr,
    binary,
    paired,
)

__all__ = [
    "absolute",
    "bits",
    "cast",
    "ceil",
    "cos",
    "equal",
    "erf",
    "exp",
    "expm1",
    "floor",
    "from_ufunc",
    "greater",
    "greater_equal",
    "highest",
    "less",
    "less_equal",
    "log",
    "log1p",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lowest",
    "maximum",
    "minimum",
    "not_equal",
    "number",
    "power",
    "remainder",
    "rint",
    "select",
    "sigmoid",
    "sign",
    "sin",
    "sqrt",
    "tanh",
    "trunc",
]


def number(value: float | int | bool, dtype: DType = "f32") -> Expr:
    """A constant of the given type."""
    return as_expr(value, dtype)


def lowest(dtype: DType) -> Expr:
    """A number that no other of the type is below."""
    return number({"f32": -math.inf, "i32": -(2**31), "u32": 0, "bool": False}[dtype], dtype)


def highest(dtype: DType) -> Expr:
    """A number that no other of the type is above."""
    return number({"f32": math.inf, "i32": 2**31 - 1, "u32": 2**32 - 1, "bool": True}[dtype], dtype)


def _unary(name: str, x: Operand) -> Expr:
    value = as_expr(x)
    if name in FLOAT_FUNCTIONS and value.dtype != "f32":
        raise TypeError(f"{name} takes floats, not {value.dtype}; cast first")
    return Operation(name, (value,), value.dtype, value.lanes)


def _compare(name: str, a: Operand, b: Operand) -> Expr:
    return binary(name, a, b)


def maximum(a: Operand, b: Operand) -> Expr:
    """The larger value; NaN where either is NaN."""
    return binary("or" if as_expr(a).dtype == "bool" else "max", a, b)


def minimum(a: Operand, b: Operand) -> Expr:
    """The smaller value; NaN where either is NaN."""
    return binary("and" if as_expr(a).dtype == "bool" else "min", a, b)


def absolute(x: Operand) -> Expr:
    """The absolute value."""
    return _unary("abs", x)


def sqrt(x: Operand) -> Expr:
    """The square root."""
    return _unary("sqrt", x)


def exp(x: Operand) -> Expr:
    """e to the power of x."""
    return _unary("exp", x)


def expm1(x: Operand) -> Expr:
    """exp(x) - 1, accurate near 0."""
    return _unary("expm1", x)


def log(x: Operand) -> Expr:
    """The natural logarithm."""
    return _unary("log", x)


def log1p(x: Operand) -> Expr:
    """log(1 + x), accurate near 0."""
    return _unary("log1p", x)


def tanh(x: Operand) -> Expr:
    """The hyperbolic tangent."""
    return _unary("tanh", x)


def sigmoid(x: Operand) -> Expr:
    """1 / (1 + exp(-x))."""
    return _unary("sigmoid", x)


def erf(x: Operand) -> Expr:
    """The error function."""
    return _unary("erf", x)


def sin(x: Operand) -> Expr:
    """The sine."""
    return _unary("sin", x)


def cos(x: Operand) -> Expr:
    """The cosine."""
    return _unary("cos", x)


def floor(x: Operand) -> Expr:
    """The largest whole number that is not above x."""
    return _unary("floor", x)


def ceil(x: Operand) -> Expr:
    """The smallest whole number that is not below x."""
    return _unary("ceil", x)


def rint(x: Operand) -> Expr:
    """The nearest whole number, halves to even."""
    return _unary("rint", x)


def trunc(x: Operand) -> Expr:
    """x without its fraction."""
    return _unary("trunc", x)


def power(x: Operand, y: Operand) -> Expr:
    """x to the power of y; small constant powers become products and roots."""
    base, exponent = as_expr(x), as_expr(y, as_expr(x).dtype)
    if isinstance(exponent, Number) and base.dtype == "f32":
        simple: Mapping[float, Callable[[], Expr]] = {
            0.5: lambda: sqrt(base),
            1: lambda: base,
            2: lambda: base * base,
            3: lambda: base * base * base,
            -0.5: lambda: 1.0 / sqrt(base),
            -1: lambda: 1.0 / base,
        }
        if exponent.value in simple:
            return simple[exponent.value]()
    return binary("pow", base, exponent)


def remainder(x: Operand, y: Operand, *, truncated: bool = False) -> Expr:
    """x modulo y with the sign of y, as NumPy's; `truncated` gives it the sign of x, as C's."""
    rest = binary("mod", x, y)
    if truncated or rest.dtype == "u32":
        return rest
    divisor = as_expr(y, rest.dtype)
    zero = number(0, rest.dtype)
    other_sign = logical_xor(less(rest, zero), less(divisor, zero))
    return select(logical_and(not_equal(rest, zero), other_sign), rest + divisor, rest)


def sign(x: Operand) -> Expr:
    """-1, 0 or 1; NaN stays NaN."""
    value = as_expr(x)
    zero, one = number(0, value.dtype), number(1, value.dtype)
    below = value if value.dtype == "u32" else select(less(value, zero), -one, value)
    return select(greater(value, zero), one, below)


def less(a: Operand, b: Operand) -> Expr:
    """a < b."""
    return _compare("lt", a, b)


def less_equal(a: Operand, b: Operand) -> Expr:
    """a <= b."""
    return _compare("le", a, b)


def greater(a: Operand, b: Operand) -> Expr:
    """a > b."""
    return _compare("gt", a, b)


def greater_equal(a: Operand, b: Operand) -> Expr:
    """a >= b."""
    return _compare("ge", a, b)


def equal(a: Operand, b: Operand) -> Expr:
    """a == b."""
    return _compare("eq", a, b)


def not_equal(a: Operand, b: Operand) -> Expr:
    """a != b: true for NaN."""
    return _compare("ne", a, b)


def logical_and(a: Operand, b: Operand) -> Expr:
    """Whether both are true."""
    return binary("and", as_expr(a, "bool"), as_expr(b, "bool"))


def logical_or(a: Operand, b: Operand) -> Expr:
    """Whether one of them is true."""
    return binary("or", as_expr(a, "bool"), as_expr(b, "bool"))


def logical_xor(a: Operand, b: Operand) -> Expr:
    """Whether exactly one of them is true."""
    return binary("xor", as_expr(a, "bool"), as_expr(b, "bool"))


def logical_not(a: Operand) -> Expr:
    """Whether it is false."""
    return Operation("not", (as_expr(a, "bool"),), "bool", as_expr(a, "bool").lanes)


def select(condition: Operand, a: Operand, b: Operand) -> Expr:
    """a where the condition holds, b elsewhere."""
    test = as_expr(condition, "bool")
    if test.dtype != "bool":
        raise TypeError(f"the condition is {test.dtype}, not bool; cast it")
    left, right = paired(a, b)
    lanes = max(test.lanes, left.lanes, right.lanes)
    return Operation("select", (test, left, right), left.dtype, lanes)


def cast(x: Operand | Index, dtype: DType) -> Expr:
    """The value in another type. Floats are truncated, and bool means "not zero"."""
    value = as_expr(x)
    if value.dtype == dtype:
        return value
    if isinstance(value, Number):
        return _cast_number(value, dtype)
    if dtype == "bool":
        return not_equal(value, number(0, value.dtype))
    return Operation("cast", (value,), dtype, value.lanes)


def _cast_number(value: Number, dtype: DType) -> Expr:
    if value.dtype != "f32" or np.isfinite(value.value):
        return number(int(value.value) if dtype in ("i32", "u32") else value.value, dtype)
    return Operation("cast", (value,), dtype, 1)


def bits(x: Operand, dtype: DType) -> Expr:
    """The same 32 bits read as another type."""
    value = as_expr(x)
    return value if value.dtype == dtype else Operation("bits", (value,), dtype, value.lanes)


def bit_and(a: Operand, b: Operand) -> Expr:
    """The bits set in both."""
    return binary("bit_and", a, b)


def bit_or(a: Operand, b: Operand) -> Expr:
    """The bits set in one of them."""
    return binary("bit_or", a, b)


def bit_xor(a: Operand, b: Operand) -> Expr:
    """The bits set in exactly one of them."""
    return binary("bit_xor", a, b)


def left_shift(a: Operand, count: Operand) -> Expr:
    """The bits moved up; count is below 32."""
    return binary("shl", a, count)


def right_shift(a: Operand, count: Operand) -> Expr:
    """The bits moved down; zeros come in for u32, the sign for i32."""
    return binary("shr", a, count)


_UFUNCS: Mapping[Any, Callable[..., Expr]] = {
    np.add: lambda a, b: maximum(a, b) if as_expr(a).dtype == "bool" else binary("add", a, b),
    np.subtract: lambda a, b: binary("sub", a, b),
    np.multiply: lambda a, b: minimum(a, b) if as_expr(a).dtype == "bool" else binary("mul", a, b),
    np.divide: lambda a, b: binary("div", a, b),
    np.negative: lambda x: -as_expr(x),
    np.reciprocal: lambda x: 1.0 / as_expr(x),
    np.maximum: maximum,
    np.minimum: minimum,
    np.power: power,
    np.remainder: remainder,
    np.fmod: lambda a, b: remainder(a, b, truncated=True),
    np.absolute: absolute,
    np.sign: sign,
    np.less: less,
    np.less_equal: less_equal,
    np.greater: greater,
    np.greater_equal: greater_equal,
    np.equal: equal,
    np.not_equal: not_equal,
    np.logical_and: logical_and,
    np.logical_or: logical_or,
    np.logical_xor: logical_xor,
    np.logical_not: logical_not,
    np.bitwise_and: bit_and,
    np.bitwise_or: bit_or,
    np.bitwise_xor: bit_xor,
    np.isnan: lambda x: not_equal(x, x),
    np.arcsin: lambda x: _unary("asin", x),
    np.arccos: lambda x: _unary("acos", x),
    np.arctan: lambda x: _unary("atan", x),
    np.arcsinh: lambda x: _unary("asinh", x),
    np.arccosh: lambda x: _unary("acosh", x),
    np.arctanh: lambda x: _unary("atanh", x),
    **{
        getattr(np, name): (lambda x, name=name: _unary(name, x))
        for name in FLOAT_FUNCTIONS
        if hasattr(np, name)
    },
}


def from_ufunc(ufunc: Any) -> Callable[..., Expr] | None:
    """The function on loop expressions that computes what a NumPy ufunc does, or None."""
    return _UFUNCS.get(ufunc)
