"""The loop level's language: loops over flat buffers, affine indices, scalar and vector arithmetic.

A `Program` is a list of functions that read inputs and weights and write outputs. It knows nothing
of operators, layers or target languages; a printer needs nothing else. Everything is immutable;
passes build new statements.

Names of variables, buffers and functions come from counters (`Names`), so nothing that a model
file says ever becomes an identifier.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from layerport.loops.index import Index, Size

DType: TypeAlias = Literal["f32", "i32", "u32", "bool"]
"""Element types. In memory each takes four bytes; a bool is stored as 0 or 1."""

Kind: TypeAlias = Literal["input", "output", "weight", "state", "temporary"]

NUMPY_TYPES: Mapping[DType, type[np.generic]] = {
    "f32": np.float32,
    "i32": np.int32,
    "u32": np.uint32,
    "bool": np.bool_,
}

STORED_TYPES: Mapping[DType, type[np.generic]] = {**NUMPY_TYPES, "bool": np.int32}
"""How elements lie in memory."""


class Names:
    """Fresh identifiers: a letter and a counter."""

    def __init__(self) -> None:
        self._counters: dict[str, itertools.count[int]] = {}

    def fresh(self, prefix: str) -> str:
        """A name that was not given out before."""
        return f"{prefix}{next(self._counters.setdefault(prefix, itertools.count()))}"


@dataclass(frozen=True, eq=False)
class Buffer:
    """A flat run of elements.

    Attributes
    ----------
    name : an identifier from a counter.
    size : how many elements there is room for, at the largest batch.
    kind : where it lives and who fills it. A "state" is a parameter that the program updates.
    data : the elements of a weight, in the order in which they lie in memory.
    source : the name of the graph's input, output or parameter, or "" (data, never printed raw).
    shape, strides : how the elements of a weight or state lie, for those who fill or save them.
    block : where the weight is packed (see `pack`), the columns of a block; shape and strides are
        those before.
    """

    name: str
    size: int
    dtype: DType = "f32"
    kind: Kind = "temporary"
    data: npt.NDArray[Any] | None = field(default=None, repr=False)
    source: str = ""
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    block: int = 0


# Expressions ----------------------------------------------------------------------------------


class Arithmetic:
    """Python's operators on loop values."""

    __array_ufunc__ = None  # a NumPy scalar on the left leaves the operator to us

    def __add__(self, other: Operand) -> Expr:
        return binary("add", self, other)

    def __radd__(self, other: Operand) -> Expr:
        return binary("add", other, self)

    def __sub__(self, other: Operand) -> Expr:
        return binary("sub", self, other)

    def __rsub__(self, other: Operand) -> Expr:
        return binary("sub", other, self)

    def __mul__(self, other: Operand) -> Expr:
        return binary("mul", self, other)

    def __rmul__(self, other: Operand) -> Expr:
        return binary("mul", other, self)

    def __truediv__(self, other: Operand) -> Expr:
        return binary("div", self, other)

    def __rtruediv__(self, other: Operand) -> Expr:
        return binary("div", other, self)

    def __neg__(self) -> Expr:
        value = as_expr(self)
        return Operation("neg", (value,), value.dtype, value.lanes)


@dataclass(frozen=True)
class Expr(Arithmetic):
    """A value of `lanes` elements of type `dtype`."""

    @property
    def dtype(self) -> DType:
        """The element type."""
        raise TypeError(f"{type(self).__name__} has no dtype")

    @property
    def lanes(self) -> int:
        """The number of elements."""
        return 1


Operand: TypeAlias = "Arithmetic | float | int | bool"
"""What arithmetic takes: an expression, a `Local`, or a Python number."""


@dataclass(frozen=True)
class Number(Expr):
    """A constant."""

    value: float | int | bool
    type: DType = "f32"

    @property
    def dtype(self) -> DType:
        return self.type


@dataclass(frozen=True)
class Var(Expr):
    """A local variable."""

    name: str
    type: DType = "f32"
    width: int = 1

    @property
    def dtype(self) -> DType:
        return self.type

    @property
    def lanes(self) -> int:
        return self.width


@dataclass(frozen=True)
class Position(Expr):
    """An index as a value."""

    index: Index

    @property
    def dtype(self) -> DType:
        return "i32"


@dataclass(frozen=True)
class Load(Expr):
    """`lanes` neighbouring elements of a buffer."""

    buffer: Buffer
    index: Index
    width: int = 1

    @property
    def dtype(self) -> DType:
        return self.buffer.dtype

    @property
    def lanes(self) -> int:
        return self.width


@dataclass(frozen=True)
class Operation(Expr):
    """An operation of `OPERATIONS` on its arguments, lane by lane."""

    name: str
    args: tuple[Expr, ...]
    type: DType
    width: int = 1

    @property
    def dtype(self) -> DType:
        return self.type

    @property
    def lanes(self) -> int:
        return self.width


class Local(Arithmetic):
    """A variable that changes, while a nest is written: `total += x` records an assignment."""

    def __init__(self, var: Var, record: Callable[[Statement], None]) -> None:
        self.var = var
        self._record = record

    def set(self, value: Operand) -> None:
        """Give it another value."""
        new = as_expr(value, self.var.type)
        if new.dtype != self.var.type:
            raise TypeError(f"a local of type {self.var.type} cannot become {new.dtype}; cast it")
        self._record(Set(self.var.name, new))

    def __iadd__(self, value: Operand) -> Local:  # type: ignore[override]
        self.set(self.var + value)
        return self

    def __imul__(self, value: Operand) -> Local:  # type: ignore[override]
        self.set(self.var * value)
        return self


FLOAT_FUNCTIONS = (
    *("sqrt", "exp", "expm1", "log", "log1p", "sigmoid", "tanh", "erf"),
    *("sin", "cos", "tan", "asin", "acos", "atan"),
    *("sinh", "cosh", "asinh", "acosh", "atanh"),
    *("floor", "ceil", "rint", "trunc"),
)
"""Functions of one float. `rint` rounds halves to even."""

OPERATIONS: Mapping[str, int] = {
    # arithmetic on numbers of one type; integers wrap; div and mod truncate, as in C
    **dict.fromkeys(["add", "sub", "mul", "div", "mod", "max", "min"], 2),
    # max and min give NaN where either side is NaN, as numpy.maximum does
    **dict.fromkeys(["neg", "abs"], 1),
    "pow": 2,
    **dict.fromkeys(FLOAT_FUNCTIONS, 1),
    # comparisons give bool; != is true for NaN, the others are false
    **dict.fromkeys(["lt", "le", "gt", "ge", "eq", "ne"], 2),
    # logic on bools
    **dict.fromkeys(["and", "or", "xor"], 2),
    "not": 1,
    # bits of integers; shr fills with zeros for u32, with the sign for i32
    **dict.fromkeys(["bit_and", "bit_or", "bit_xor", "shl", "shr"], 2),
    # select(condition, a, b): both sides are computed
    "select": 3,
    # cast: float to integer truncates, saturates, and makes 0 of NaN; bits: the same 32 bits
    **dict.fromkeys(["cast", "bits"], 1),
    # vectors: one value in every lane; the sum, largest, smallest of the lanes
    **dict.fromkeys(["splat", "hsum", "hmax", "hmin"], 1),
}
"""Every operation, and how many arguments it takes."""

NEUTRAL: Mapping[str, int] = {"add": 0, "sub": 0, "mul": 1, "div": 1}
"""What leaves the other side as it is."""

COMPARISONS = frozenset(["lt", "le", "gt", "ge", "eq", "ne"])


def as_expr(thing: Operand | Index, like: DType = "f32") -> Expr:
    """A Python number, an index or a `Local` as an expression."""
    if isinstance(thing, Expr):
        return thing
    if isinstance(thing, Local):
        return thing.var
    if isinstance(thing, Arithmetic):
        raise TypeError(f"{thing!r} is no value")
    if isinstance(thing, Index):
        return Position(thing)
    if like == "f32":
        return Number(float(thing), "f32")
    if like == "bool":
        return Number(bool(thing), "bool")
    if thing != int(thing):
        raise TypeError(f"the number {thing} does not fit beside an integer; cast first")
    return Number(int(thing), like)


def paired(a: Operand, b: Operand) -> tuple[Expr, Expr]:
    like = common_type(a, b)
    left, right = as_expr(a, like), as_expr(b, like)
    if left.dtype != right.dtype:
        raise TypeError(f"{left.dtype} and {right.dtype} do not mix; cast one of them")
    return left, right


def common_type(*values: Operand) -> DType:
    """The type of the first value that has one: what numbers beside it become."""
    return next((as_expr(v).dtype for v in values if isinstance(v, Arithmetic)), "f32")


def binary(name: str, a: Operand, b: Operand) -> Expr:
    """An operation on two values of one type."""
    left, right = paired(a, b)
    for value, other in ((left, right), (right, left)):
        # x * 1, x + 0, x - 0, x / 1; -0 + 0 may become 0
        neutral = NEUTRAL.get(name) if other is right or name in ("add", "mul") else None
        if isinstance(other, Number) and other.value == neutral and neutral is not None:
            return value
    dtype: DType = "bool" if name in COMPARISONS else left.dtype
    return Operation(name, (left, right), dtype, max(left.lanes, right.lanes))


# Statements -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Let:
    """Declare a local variable; its type is the expression's."""

    name: str
    value: Expr

    @property
    def var(self) -> Var:
        """The variable."""
        return Var(self.name, self.value.dtype, self.value.lanes)


@dataclass(frozen=True)
class Set:
    """Give a local variable another value."""

    name: str
    value: Expr


@dataclass(frozen=True)
class Store:
    """Write `value.lanes` neighbouring elements."""

    buffer: Buffer
    index: Index
    value: Expr


@dataclass(frozen=True)
class For:
    """A counted loop: `variable` from `start` below `stop` in steps of `step`.

    Attributes
    ----------
    parallel : its iterations do not depend on each other (the loops over an output's elements).
    """

    variable: str
    start: Index
    stop: Index
    body: tuple[Statement, ...]
    step: int = 1
    parallel: bool = False

    @property
    def extent(self) -> Size:
        """How many iterations of step 1 there are: a number where that is known."""
        size = self.stop - self.start
        return size.constant if size.is_constant else size


@dataclass(frozen=True)
class Call:
    """Call a function of the program; the arguments are integers."""

    function: str
    args: tuple[Index, ...] = ()


Statement: TypeAlias = "Let | Set | Store | For | Call"


@dataclass(frozen=True)
class Function:
    """Statements with integer parameters. `note` is a comment: data, to be escaped."""

    name: str
    parameters: tuple[str, ...]
    body: tuple[Statement, ...]
    note: str = ""


@dataclass(frozen=True)
class Port:
    """An input or output of a program.

    Attributes
    ----------
    name : the graph's name for it (data, never printed raw).
    buffer : where it lies, row-major at the largest batch.
    shape : extents; the batch is the only one that is not a number.
    strides : of the elements in the buffer. At a smaller batch there are gaps unless the batch is
        the first axis (`leads`).
    dtype : the graph's NumPy dtype.
    """

    name: str
    buffer: Buffer
    shape: tuple[Size, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def leads(self) -> bool:
        """Whether no axis but the first depends on the batch, so that elements lie compactly."""
        return not any(isinstance(extent, Index) for extent in self.shape[1:])

    def extents(self, symbol: str, batch: int) -> tuple[int, ...]:
        """The shape for a batch size."""
        values = {symbol: batch}
        return tuple(e.evaluate(values) if isinstance(e, Index) else e for e in self.shape)

    def view(self, memory: npt.NDArray[Any], symbol: str, batch: int) -> npt.NDArray[Any]:
        """The elements of a batch in an array that stands for the buffer."""
        strides = [stride * memory.itemsize for stride in self.strides]
        shape = self.extents(symbol, batch)
        return np.lib.stride_tricks.as_strided(memory, shape, strides)


@dataclass(frozen=True)
class Program:
    """What a printer gets.

    Attributes
    ----------
    functions : callees before callers; the last one is the entry. Each function takes the batch
        size when `symbol` is not empty.
    symbol : the name of the variable that holds the batch size, or "" where nothing depends on it.
    batch : the largest batch that the buffers have room for.
    splittable : whether samples do not influence each other, so that a long batch may be computed
        in blocks.
    offsets : where temporaries lie in the arena, in elements; they share room over time.
    arena : the size of the arena, in elements.
    """

    functions: tuple[Function, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    buffers: tuple[Buffer, ...]
    symbol: str
    batch: int
    splittable: bool
    offsets: Mapping[Buffer, int]
    arena: int

    ALIGNMENT: ClassVar[int] = 16
    """Every buffer starts at a multiple of this many elements (64 bytes)."""

    def of_kind(self, *kinds: Kind) -> list[Buffer]:
        """The buffers of these kinds."""
        return [buffer for buffer in self.buffers if buffer.kind in kinds]


Body: TypeAlias = "tuple[Statement, ...]"
