"""Arithmetic, comparison and selection: element by element, with NumPy's broadcasting."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.dim import broadcast_shapes
from layerport.op import NDArray, Op, TensorType

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.ir import Expr


@dataclasses.dataclass(frozen=True)
class Elementwise(Op):
    """An operator that is one scalar function of its operands' elements."""

    elementwise: ClassVar[bool] = True
    ufunc: ClassVar[Any] = None
    """The NumPy ufunc that computes it, where there is one."""

    def infer(self, *inputs: Value) -> Sequence[TensorType]:
        return [TensorType(broadcast_shapes(*[v.shape for v in inputs]), self.dtype_of(*inputs))]

    def dtype_of(self, *inputs: Value) -> np.dtype[Any]:
        """The dtype of the result."""
        return inputs[0].dtype

    def evaluate(self, *inputs: NDArray) -> NDArray:
        return np.asarray(self.ufunc(*inputs))

    def scalar(self, *args: Any) -> Expr:
        """The function on loop expressions, one an operand."""
        raise NotImplementedError(self.name)


def is_scalar(value: Value, number: float) -> bool:
    """Whether a value is a constant without axes that equals `number`."""
    return value.ndim == 0 and value.scalar is not None and value.scalar == number


def absorb(neutral: float, x: Value, y: Value) -> Value | None:
    """The operand that is left when the other one is a neutral scalar."""
    for kept, other in ((x, y), (y, x)):
        if is_scalar(other, neutral):
            return kept
    return None


@dataclasses.dataclass(frozen=True)
class Add(Elementwise):
    ufunc: ClassVar[Any] = np.add

    def gradient(self, dz: Any, z: Any, x: Any, y: Any) -> Sequence[Any]:
        return dz, dz

    def simplify(self, build: Builder, x: Value, y: Value) -> Value | None:
        return absorb(0, x, y)

    def scalar(self, x: Expr, y: Expr) -> Expr:
        return x + y


@dataclasses.dataclass(frozen=True)
class Mul(Elementwise):
    ufunc: ClassVar[Any] = np.multiply

    def gradient(self, dz: Any, z: Any, x: Any, y: Any) -> Sequence[Any]:
        return dz * y, dz * x

    def simplify(self, build: Builder, x: Value, y: Value) -> Value | None:
        return absorb(1, x, y)

    def scalar(self, x: Expr, y: Expr) -> Expr:
        return x * y
