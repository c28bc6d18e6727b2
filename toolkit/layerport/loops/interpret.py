"""A slow, direct interpreter of programs: the reference for schedules and printers.

It computes in float32 as a target without wider floats does, and finds out what a printed program
could not: reads of elements that were never written, and accesses out of bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from layerport.errors import LayerportError
from layerport.loops.ir import (
    NUMPY_TYPES,
    STORED_TYPES,
    Buffer,
    Call,
    DType,
    Expr,
    For,
    Let,
    Load,
    Number,
    Operation,
    Position,
    Program,
    Set,
    Statement,
    Store,
    Var,
)
from layerport.op import NDArray


class ProgramError(LayerportError):
    """A loop program that is wrong: out of bounds, or reading what nobody wrote."""


def run(
    program: Program, inputs: Sequence[NDArray], states: Mapping[str, NDArray] | None = None
) -> list[NDArray]:
    """Run a program on one batch.

    Parameters
    ----------
    inputs : arrays in the order of `Program.inputs`.
    states : arrays for parameters, by the name of the parameter; updated in place.

    Raises
    ------
    ProgramError : when the program is wrong.
    """
    sizes = {
        port.shape[axis]: array.shape[axis]
        for port, array in zip(program.inputs, inputs, strict=True)
        for axis in range(array.ndim)
    }
    batch = next((n for size, n in sizes.items() if not isinstance(size, int)), program.batch)
    if batch > program.batch:
        raise ProgramError(f"the program takes {program.batch} samples at most, not {batch}")
    machine = _Machine(program, batch)
    for port, array in zip(program.inputs, inputs, strict=True):
        port.view(machine.memory[port.buffer], program.symbol, batch)[...] = array
        port.view(machine.written[port.buffer], program.symbol, batch)[...] = True
    for buffer in program.of_kind("weight", "state"):
        if buffer.data is not None:
            machine.write(buffer, buffer.data)
        else:
            machine.write(buffer, _arranged((states or {})[buffer.source], buffer))
    machine.call(program.functions[-1].name, (batch,) if program.symbol else ())
    for buffer in program.of_kind("state"):
        if states is not None and buffer.source in states:
            flat = machine.memory[buffer][: buffer.size]
            states[buffer.source][...] = np.lib.stride_tricks.as_strided(
                flat, buffer.shape, [s * flat.itemsize for s in buffer.strides]
            )
    results = []
    for port in program.outputs:
        if not port.view(machine.written[port.buffer], program.symbol, batch).all():
            raise ProgramError(f"{port.buffer.name}: part of an output was never written")
        found = port.view(machine.memory[port.buffer], program.symbol, batch)
        results.append(found.astype(port.dtype))
    return results


def _arranged(array: NDArray, buffer: Buffer) -> NDArray:
    """A parameter in the order in which its buffer has it."""
    order = sorted(range(array.ndim), key=lambda axis: -buffer.strides[axis])
    return array.transpose(order).reshape(-1)


class _Machine:
    def __init__(self, program: Program, batch: int) -> None:
        self.memory: dict[Buffer, NDArray] = {}
        self.written: dict[Buffer, NDArray] = {}
        self._functions = {function.name: function for function in program.functions}
        arena = np.zeros(program.arena, np.int32)
        self._arena_owner = np.zeros(program.arena, np.int64)
        self._place: dict[Buffer, slice] = {}
        self._identity: dict[Buffer, int] = {}
        for number, buffer in enumerate(program.buffers, 1):
            dtype = STORED_TYPES[buffer.dtype]
            self._identity[buffer] = number
            if buffer in program.offsets:
                start = program.offsets[buffer]
                self._place[buffer] = slice(start, start + buffer.size)
                self.memory[buffer] = arena[self._place[buffer]].view(dtype)
            else:
                self.memory[buffer] = np.zeros(buffer.size, dtype)
                self.written[buffer] = np.zeros(buffer.size, bool)

    def write(self, buffer: Buffer, array: NDArray) -> None:
        """Fill the start of a buffer from outside."""
        flat = np.ascontiguousarray(array).reshape(-1)
        self.memory[buffer][: flat.size] = flat
        self.written[buffer][: flat.size] = True

    def call(self, name: str, args: Sequence[int]) -> None:
        """Run a function."""
        function = self._functions[name]
        env: dict[str, Any] = dict(zip(function.parameters, args, strict=True))
        with np.errstate(all="ignore"):
            self._body(function.body, env)

    def _body(self, body: Sequence[Statement], env: dict[str, Any]) -> None:
        for statement in body:
            if isinstance(statement, (Let, Set)):
                if isinstance(statement, Set) and statement.name not in env:
                    raise ProgramError(f"{statement.name} is assigned before it is declared")
                env[statement.name] = self._value(statement.value, env)
            elif isinstance(statement, Store):
                self._store(statement, env)
            elif isinstance(statement, For):
                start, stop = statement.start.evaluate(env), statement.stop.evaluate(env)
                for i in range(start, stop, statement.step):
                    env[statement.variable] = i
                    self._body(statement.body, env)
            elif isinstance(statement, Call):
                self.call(statement.function, [arg.evaluate(env) for arg in statement.args])

    def _range(self, buffer: Buffer, start: int, lanes: int) -> slice:
        if start < 0 or start + lanes > buffer.size:
            raise ProgramError(
                f"{buffer.name} has {buffer.size} elements; element {start + lanes - 1} is touched"
            )
        return slice(start, start + lanes)

    def _store(self, statement: Store, env: dict[str, Any]) -> None:
        buffer = statement.buffer
        value = self._value(statement.value, env)
        place = self._range(buffer, int(statement.index.evaluate(env)), statement.value.lanes)
        self.memory[buffer][place] = value
        if buffer in self._place:
            base = self._place[buffer].start
            owner = self._arena_owner[base + place.start : base + place.stop]
            owner[:] = self._identity[buffer]
        else:
            self.written[buffer][place] = True

    def _value(self, expr: Expr, env: dict[str, Any]) -> Any:
        return evaluate(expr, env, lambda load: self._load(load, env))

    def _load(self, expr: Load, env: dict[str, Any]) -> Any:
        buffer = expr.buffer
        place = self._range(buffer, int(expr.index.evaluate(env)), expr.lanes)
        if buffer in self._place:
            base = self._place[buffer].start
            owner = self._arena_owner[base + place.start : base + place.stop]
            known = bool((owner == self._identity[buffer]).all())
        else:
            known = bool(self.written[buffer][place].all())
        if not known:
            raise ProgramError(f"{buffer.name}[{place.start}] is read before it is written")
        found = self.memory[buffer][place]
        if buffer.dtype == "bool":
            found = found != 0
        return found.copy() if expr.lanes > 1 else found[0]


def evaluate(
    expr: Expr, env: Mapping[str, Any], load: Callable[[Load], Any] | None = None
) -> Any:  # fmt: skip
    """The value of an expression for these values of the variables: NumPy scalars or arrays."""
    if isinstance(expr, Number):
        return NUMPY_TYPES[expr.dtype](expr.value)
    if isinstance(expr, Var):
        return env[expr.name]
    if isinstance(expr, Position):
        return np.int32(expr.index.evaluate(env))
    if isinstance(expr, Load):
        if load is None:
            raise ProgramError(f"{expr.buffer.name} has no memory here")
        return load(expr)
    assert isinstance(expr, Operation)
    return operate(expr, [evaluate(arg, env, load) for arg in expr.args])


def operate(expr: Operation, args: Sequence[Any]) -> Any:
    """One operation on NumPy scalars or arrays."""
    if expr.name in ("cast", "bits"):
        return (_cast if expr.name == "cast" else _bits)(args[0], expr.dtype)
    if expr.name == "splat":
        return np.broadcast_to(args[0], expr.lanes)
    if expr.name in ("div", "mod") and expr.dtype != "f32":
        return _integer_division(expr.name, args[0], args[1])
    result = _KERNELS[expr.name](*args)
    return np.asarray(result).astype(NUMPY_TYPES[expr.dtype])[()]


def _integer_division(name: str, a: Any, b: Any) -> Any:
    dtype = np.asarray(a).dtype
    wide, by = np.asarray(a, np.int64), np.asarray(b, np.int64)
    quotient = np.where(by == 0, 0, np.trunc(wide / np.where(by == 0, 1, by)))
    result = quotient if name == "div" else wide - quotient * by
    return result.astype(np.int64).astype(dtype)[()]


def _cast(value: Any, dtype: DType) -> Any:
    array = np.asarray(value)
    if dtype in ("i32", "u32") and array.dtype.kind == "f":
        limits = np.iinfo(NUMPY_TYPES[dtype])  # type: ignore[type-var]
        whole = np.clip(np.nan_to_num(np.trunc(array.astype(np.float64)), nan=0.0), limits.min,
                        limits.max)  # fmt: skip
        return whole.astype(np.int64).astype(NUMPY_TYPES[dtype])[()]
    return array.astype(NUMPY_TYPES[dtype])[()]


def _bits(value: Any, dtype: DType) -> Any:
    return np.asarray(value).view(NUMPY_TYPES[dtype])[()]


def _erf(x: Any) -> Any:
    return np.vectorize(math.erf, otypes=[np.float64])(np.asarray(x, np.float64))


def _wide(function: Callable[..., Any]) -> Callable[..., Any]:
    """Math functions are taken to be right to the last bit: computed in float64, rounded once."""
    return lambda *args: function(*[np.asarray(a, np.float64) for a in args])


_ARC = ("asin", "acos", "atan", "asinh", "acosh", "atanh")
_MATH = {
    **{n: n for n in ("exp", "expm1", "log", "log1p", "tanh", "sin", "cos", "tan", "sinh", "cosh")},
    **{name: f"arc{name[1:]}" for name in _ARC},
}
"""NumPy's names of math functions."""

_KERNELS: Mapping[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "mod": np.fmod,
    "max": np.maximum,
    "min": np.minimum,
    "neg": np.negative,
    "abs": np.absolute,
    "pow": _wide(np.power),
    "erf": _erf,
    "sigmoid": _wide(lambda x: 1 / (1 + np.exp(-x))),
    **{name: _wide(getattr(np, numpy_name)) for name, numpy_name in _MATH.items()},
    **{name: getattr(np, name) for name in ("sqrt", "floor", "ceil", "rint", "trunc")},
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
    "not": np.logical_not,
    "bit_and": np.bitwise_and,
    "bit_or": np.bitwise_or,
    "bit_xor": np.bitwise_xor,
    "shl": np.left_shift,
    "shr": np.right_shift,
    "select": np.where,
    "hsum": np.sum,
    "hmax": np.max,
    "hmin": np.min,
}
