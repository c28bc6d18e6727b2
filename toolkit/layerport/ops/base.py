"""What element-by-element operators share, and how their `simplify` rules read values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from layerport.dim import broadcast_shapes
from layerport.errors import ShapeError, UnsupportedError
from layerport.op import NDArray, Op, TensorType

if TYPE_CHECKING:
    from layerport.graph import Value
    from layerport.loops.ir import Expr
    from layerport.numpy_engine.emit import Emitter

Kind = TypeVar("Kind", bound=Op)


@dataclasses.dataclass(frozen=True)
class Elementwise(Op):
    """An operator that is one scalar function of its operands' elements."""

    elementwise: ClassVar[bool] = True

    ufunc: ClassVar[Any] = None
    """The NumPy ufunc that computes it, where there is one."""

    real: ClassVar[bool] = False
    """Whether it is defined for floats only."""

    def infer(self, *args: Any, **kwargs: Any) -> Sequence[TensorType]:
        present = [value for value in args if value is not None]
        dtype = self.dtype_of(*present)
        if self.real:
            check_real(*present)
        return [TensorType(broadcast_shapes(*[value.shape for value in present]), dtype)]

    def dtype_of(self, *inputs: Value) -> np.dtype[Any]:
        """The dtype of the result; raises `ShapeError` when the operands' dtypes do not fit."""
        return common_dtype(*inputs)

    def evaluate(self, *args: Any, **kwargs: Any) -> NDArray:
        return np.asarray(self.ufunc(*args))

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        if self.ufunc is not None and type(self).evaluate is Elementwise.evaluate:
            emitter.ufunc(self.ufunc, inputs, outputs[0])
        else:
            super().emit(emitter, inputs, outputs)

    def scalar(self, *args: Any, **kwargs: Any) -> Expr:
        """The function on loop expressions, one an operand."""
        from layerport.loops.functions import from_ufunc

        function = from_ufunc(self.ufunc)
        if function is None:
            raise UnsupportedError(f"{self.name} has no loop expression")
        return function(*args)


def common_dtype(*inputs: Value) -> np.dtype[Any]:
    """The one dtype of several values; raises `ShapeError` when they differ."""
    dtypes = [value.dtype for value in inputs]
    if any(dtype != dtypes[0] for dtype in dtypes):
        raise ShapeError(f"operands of {' and '.join(map(str, dtypes))}: cast them to one dtype")
    return dtypes[0]


def check_real(*inputs: Value) -> None:
    """Raise `ShapeError` for a value that holds no floats."""
    for value in inputs:
        if value.dtype.kind != "f":
            raise ShapeError(f"takes floats, not {value.dtype}; cast first")


def masked(array: Any, condition: Any) -> Any:
    """Elements where a condition holds, 0 elsewhere: as a product, which engines do fastest.

    Gradients are masked with it; an infinite one times 0 is NaN.
    """
    return array * condition.astype(array.dtype)


# Reading values -------------------------------------------------------------------------


def operator_of(value: Value, kind: type[Kind]) -> Kind | None:
    """The operator that made a value, if it is of this kind."""
    op = None if value.node is None else value.node.op
    return op if isinstance(op, kind) else None


def operands_of(value: Value, kind: type[Op]) -> tuple[Value, ...] | None:
    """The operands of the operator of this kind that made a value, or None."""
    node = value.made_by(kind)
    if node is None or any(operand is None for operand in node.inputs):
        return None
    return tuple(operand for operand in node.inputs if operand is not None)


def operand_of(value: Value, kind: type[Op]) -> Value | None:
    """The first operand of the operator of this kind that made a value, or None."""
    operands = operands_of(value, kind)
    return operands[0] if operands else None


def number_beside(value: Value, other: Value) -> float | int | bool | None:
    """The number of a constant that broadcasts to `other` without changing its shape, or None."""
    return value.scalar if value.ndim <= other.ndim else None


def absorb(neutral: float, x: Value, y: Value) -> Value | None:
    """The operand that is left when the other one is a neutral number."""
    for kept, other in ((x, y), (y, x)):
        if number_beside(other, kept) == neutral:
            return kept
    return None
