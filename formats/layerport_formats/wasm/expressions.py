"""Expressions of loop programs on WebAssembly's stack.

A vector has four lanes. A bool is an i32, 0 or 1, in memory and as a single value; four of them are
a mask with all bits of a lane set or none.
"""

from __future__ import annotations

import math
import struct
from abc import ABC, abstractmethod
from typing import Protocol

from layerport.loops.index import Index
from layerport.loops.ir import (
    OPERATIONS,
    Buffer,
    DType,
    Expr,
    Load,
    Number,
    Operation,
    Position,
    Var,
)

from layerport_formats.wasm import instructions as wasm
from layerport_formats.wasm.binary import signed, unsigned
from layerport_formats.wasm.code import Code, Slot
from layerport_formats.wasm.instructions import Type

LANES = 4


class Module(Protocol):
    """What a function needs to know about the module around it."""

    def base(self, buffer: Buffer) -> int:
        """The address of a buffer."""

    def function(self, name: str) -> int:
        """The number of a function of the program."""

    def helper(self, name: str, dtype: DType) -> int:
        """The number of a function of `HELPERS`."""


def type_of(dtype: DType, lanes: int) -> Type:
    """The type in which values are on the stack."""
    return "v128" if lanes > 1 else "f32" if dtype == "f32" else "i32"


class Expressions(ABC):
    """Pushes values. A subclass knows variables and addresses."""

    def __init__(self, code: Code, module: Module) -> None:
        self._code = code
        self._module = module

    @abstractmethod
    def _variable(self, expr: Var) -> None:
        """Push a local variable."""

    @abstractmethod
    def _index(self, index: Index) -> None:
        """Push an index."""

    @abstractmethod
    def _address(self, buffer: Buffer, index: Index) -> bytes:
        """Push the variable part of an address; returns the rest as a memory argument."""

    def _expr(self, expr: Expr) -> None:
        """Push a value."""
        if isinstance(expr, Number):
            self._constant(expr)
        elif isinstance(expr, Var):
            self._variable(expr)
        elif isinstance(expr, Position):
            self._index(expr.index)
        elif isinstance(expr, Load):
            self._load(expr)
        else:
            assert isinstance(expr, Operation)
            self._operation(expr)

    def _constant(self, expr: Number) -> None:
        if expr.dtype == "f32" and _is_zero(expr):
            self._code.zero("f32")
        elif expr.dtype == "f32":
            self._code.add(wasm.F32_CONST + _float_bytes(expr.value))
        else:
            self._number(int(expr.value))

    def _number(self, value: int) -> None:
        wrapped = (value + 2**31) % 2**32 - 2**31
        self._code.add(wasm.I32_CONST + signed(wrapped))

    def _load(self, expr: Load) -> None:
        place = self._address(expr.buffer, expr.index)
        self._code.add(wasm.LOADS[type_of(expr.dtype, expr.lanes)] + place)
        if expr.dtype == "bool" and expr.lanes > 1:
            self._code.add(wasm.VECTOR["neg", "i32"])  # of 1: all bits

    # Operations -----------------------------------------------------------------------------

    def _operation(self, expr: Operation) -> None:
        name, args = expr.name, expr.args
        if name == "splat":
            self._splat(args[0])
        elif name in ("hsum", "hmax", "hmin"):
            self._across(expr)
        elif name == "select":
            self._select(*args)
        elif name in ("max", "min") and expr.lanes > 1 and args[0].dtype == "f32":
            self._extreme(expr)
        elif name in ("shl", "shr") and expr.lanes > 1 and _is_splat(args[1]):
            self._shift(expr)
        elif name in ("max", "min") and expr.lanes == 1 and all(map(_is_short, args)):
            self._repeated_extreme(expr)
        else:
            for arg in args:
                self._expr(arg)
            if name == "cast":
                self._cast(args[0].dtype, expr.dtype, expr.lanes)
            elif name == "bits":
                self._bits(args[0].dtype, expr.dtype, expr.lanes)
            else:
                self._apply(name, args[0].dtype, expr.lanes)

    def _splat(self, value: Expr) -> None:
        if isinstance(value, Load) and value.dtype != "bool":
            place = self._address(value.buffer, value.index)
            self._code.add(wasm.LOAD_SPLAT + place)
            return
        if isinstance(value, Number) and _is_zero(value):
            self._code.zero("v128")
            return
        self._expr(value)
        self._code.add(wasm.LANES[value.dtype].splat)
        if value.dtype == "bool":
            self._code.add(wasm.VECTOR["neg", "i32"])

    def _select(self, condition: Expr, a: Expr, b: Expr) -> None:
        for value in (a, b, condition):
            self._expr(value)
        self._code.add(wasm.BITSELECT if condition.lanes > 1 else wasm.SELECT)

    def _extreme(self, expr: Operation) -> None:
        """The larger or smaller value of each lane, or NaN.

        The pseudo-instructions keep a NaN of their first operand only, but cost an eighth of the
        full ones. So: a number that is none comes last; otherwise both orders are combined, which
        gives a NaN if either operand is one, and else twice the same bits (but for zeros).
        """
        code = wasm.PSEUDO_MAX if expr.name == "max" else wasm.PSEUDO_MIN
        bound = _bound(expr.args)
        if bound is not None:
            (value,) = (arg for arg in expr.args if arg is not bound)
            self._expr(value)
            self._expr(bound)
            self._code.add(code)
            return
        for arg in expr.args:
            self._expr(arg)
        b, a = self._pop("v128"), self._pop("v128")
        for first, second in ((a, b), (b, a)):
            self._code.get(first)
            self._code.get(second)
            self._code.add(code)
        self._code.add(wasm.VECTOR["or", "bool"])
        for operand in (a, b):
            self._code.give_back(operand)

    def _repeated_extreme(self, expr: Operation) -> None:
        """The extreme of two integers that are shorter to push again than to keep."""
        for arg in (*expr.args, *expr.args):
            self._expr(arg)
        self._code.add(wasm.SCALAR["gt" if expr.name == "max" else "lt", expr.dtype] + wasm.SELECT)

    def _shift(self, expr: Operation) -> None:
        """All lanes by the same number of bits."""
        value, count = expr.args
        assert isinstance(count, Operation)
        self._expr(value)
        self._expr(count.args[0])
        self._code.add(wasm.VECTOR[expr.name, value.dtype])

    def _across(self, expr: Operation) -> None:
        """The sum or the extreme of the lanes."""
        dtype = expr.dtype
        self._expr(expr.args[0])
        vector = self._pop("v128")
        for lane in range(LANES):
            self._code.get(vector)
            self._code.add(wasm.LANES[dtype].extract + bytes([lane]))
            if lane:
                self._apply({"hsum": "add", "hmax": "max", "hmin": "min"}[expr.name], dtype, 1)
        self._code.give_back(vector)

    def _cast(self, before: DType, after: DType, lanes: int) -> None:
        """Convert what is on the stack."""
        if before == "bool":
            if lanes > 1:
                self._code.add(wasm.VECTOR["neg", "i32"])  # all bits become 1
            before = "u32"
        if before != after:
            single, vector = wasm.CASTS[before, after]
            self._code.add(vector if lanes > 1 else single)

    def _bits(self, before: DType, after: DType, lanes: int) -> None:
        if lanes > 1 or "f32" not in (before, after):
            return
        self._code.add(wasm.BITS_TO_FLOAT if after == "f32" else wasm.FLOAT_TO_BITS)

    def _apply(self, name: str, dtype: DType, lanes: int) -> None:
        """Do an operation on what is on the stack."""
        table = wasm.VECTOR if lanes > 1 else wasm.SCALAR
        if (name, dtype) in table:
            self._code.add(table[name, dtype])
        elif lanes > 1:
            self._lane_by_lane(name, dtype)
        elif name in ("div", "mod"):
            self._code.add(wasm.CALL + unsigned(self._module.helper(name, dtype)))
        elif name in ("max", "min"):
            self._integer_extreme(name, dtype)
        elif name == "neg":
            self._number(-1)
            self._code.add(wasm.SCALAR["mul", dtype])
        elif name == "abs":
            self._integer_size(dtype)
        else:
            raise KeyError(f"WebAssembly has no {name} of {dtype}")

    def _lane_by_lane(self, name: str, dtype: DType) -> None:
        """An operation that there is for single values only."""
        operands = [self._pop("v128") for _ in range(OPERATIONS[name])][::-1]
        lanes = wasm.LANES[dtype]
        for lane in range(LANES):
            for operand in operands:
                self._code.get(operand)
                self._code.add(lanes.extract + bytes([lane]))
            self._apply(name, dtype, 1)
            self._code.add(lanes.replace + bytes([lane]) if lane else lanes.splat)
        for operand in operands:
            self._code.give_back(operand)

    def _integer_extreme(self, name: str, dtype: DType) -> None:
        b, a = self._pop("i32"), self._pop("i32")
        for operand in (a, b, a, b):
            self._code.get(operand)
        self._code.add(wasm.SCALAR["gt" if name == "max" else "lt", dtype] + wasm.SELECT)
        for operand in (a, b):
            self._code.give_back(operand)

    def _integer_size(self, dtype: DType) -> None:
        """The absolute value: (x ^ sign) - sign, where sign is x >> 31."""
        if dtype == "u32":
            return
        x, sign = self._pop("i32"), self._code.take("i32")
        self._code.get(x)
        self._number(31)
        self._code.add(wasm.SCALAR["shr", "i32"])
        self._code.tee(sign)
        self._code.get(x)
        self._code.add(wasm.SCALAR["bit_xor", "i32"])
        self._code.get(sign)
        self._code.add(wasm.SCALAR["sub", "i32"])
        for operand in (x, sign):
            self._code.give_back(operand)

    def _pop(self, kind: Type) -> Slot:
        """Move the top of the stack into a new local."""
        slot = self._code.take(kind)
        self._code.set(slot)
        return slot


def _is_splat(expr: Expr) -> bool:
    return isinstance(expr, Operation) and expr.name == "splat"


def _is_short(expr: Expr) -> bool:
    """Whether an integer is a number or a variable."""
    if isinstance(expr, Position):
        return len(expr.index.terms) < 2 and not expr.index.constant
    return expr.dtype in ("i32", "u32") and isinstance(expr, (Number, Var))


def _is_zero(number: Number) -> bool:
    return number.value == 0 and math.copysign(1, number.value) > 0


def _bound(args: tuple[Expr, ...]) -> Expr | None:
    """The argument that is a number in every lane, and no NaN."""
    for arg in args:
        inside = arg.args[0] if isinstance(arg, Operation) and arg.name == "splat" else arg
        if isinstance(inside, Number) and inside.dtype == "f32" and not math.isnan(inside.value):
            return arg
    return None


def _float_bytes(value: float) -> bytes:
    """A float32; what is too large for one is infinite, as in NumPy."""
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", math.copysign(math.inf, value))
