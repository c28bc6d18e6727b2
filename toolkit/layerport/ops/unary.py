"""Functions of one number."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.op import NDArray, apply
from layerport.ops import special
from layerport.ops.base import Elementwise

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.ir import Expr


@dataclasses.dataclass(frozen=True)
class Abs(Elementwise):
    ufunc: ClassVar[Any] = np.absolute

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy * np.sign(x),)


@dataclasses.dataclass(frozen=True)
class Exp(Elementwise):
    ufunc: ClassVar[Any] = np.exp
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy * y,)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        from layerport.simplify import exponential

        return exponential(build, x)


@dataclasses.dataclass(frozen=True)
class Log(Elementwise):
    ufunc: ClassVar[Any] = np.log
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy / x,)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        from layerport.simplify import logarithm

        return logarithm(build, x)


@dataclasses.dataclass(frozen=True)
class Sin(Elementwise):
    ufunc: ClassVar[Any] = np.sin
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy * np.cos(x),)


@dataclasses.dataclass(frozen=True)
class Cos(Elementwise):
    ufunc: ClassVar[Any] = np.cos
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (-dy * np.sin(x),)


@dataclasses.dataclass(frozen=True)
class Tan(Elementwise):
    ufunc: ClassVar[Any] = np.tan
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy * (1 + y * y),)


@dataclasses.dataclass(frozen=True)
class Asin(Elementwise):
    ufunc: ClassVar[Any] = np.arcsin
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy / np.sqrt(1 - x * x),)


@dataclasses.dataclass(frozen=True)
class Acos(Elementwise):
    ufunc: ClassVar[Any] = np.arccos
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (-dy / np.sqrt(1 - x * x),)


@dataclasses.dataclass(frozen=True)
class Atan(Elementwise):
    ufunc: ClassVar[Any] = np.arctan
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy / (1 + x * x),)


@dataclasses.dataclass(frozen=True)
class Sinh(Elementwise):
    ufunc: ClassVar[Any] = np.sinh
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy * apply(Cosh(), x),)


@dataclasses.dataclass(frozen=True)
class Cosh(Elementwise):
    ufunc: ClassVar[Any] = np.cosh
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy * apply(Sinh(), x),)


@dataclasses.dataclass(frozen=True)
class Tanh(Elementwise):
    ufunc: ClassVar[Any] = np.tanh
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy * (1 - y * y),)


@dataclasses.dataclass(frozen=True)
class Asinh(Elementwise):
    ufunc: ClassVar[Any] = np.arcsinh
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy / np.sqrt(x * x + 1),)


@dataclasses.dataclass(frozen=True)
class Acosh(Elementwise):
    ufunc: ClassVar[Any] = np.arccosh
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy / (np.sqrt(x - 1) * np.sqrt(x + 1)),)


@dataclasses.dataclass(frozen=True)
class Atanh(Elementwise):
    ufunc: ClassVar[Any] = np.arctanh
    real: ClassVar[bool] = True

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy / (1 - x * x),)


@dataclasses.dataclass(frozen=True)
class Erf(Elementwise):
    real: ClassVar[bool] = True

    def evaluate(self, x: NDArray) -> NDArray:
        return special.erf(x)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (dy * (2 / math.sqrt(math.pi) * np.exp(-(x * x))),)

    def scalar(self, x: Expr) -> Expr:
        from layerport.loops.functions import erf

        return erf(x)


@dataclasses.dataclass(frozen=True)
class _Step(Elementwise):
    """A function that is constant in pieces: no gradient flows."""

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (None,)


@dataclasses.dataclass(frozen=True)
class Sign(_Step):
    ufunc: ClassVar[Any] = np.sign


@dataclasses.dataclass(frozen=True)
class Floor(_Step):
    ufunc: ClassVar[Any] = np.floor
    real: ClassVar[bool] = True


@dataclasses.dataclass(frozen=True)
class Ceil(_Step):
    ufunc: ClassVar[Any] = np.ceil
    real: ClassVar[bool] = True


@dataclasses.dataclass(frozen=True)
class Round(_Step):
    """The nearest whole number, halves to even."""

    ufunc: ClassVar[Any] = np.rint
    real: ClassVar[bool] = True


def erf(x: Any) -> Any:
    """The error function."""
    return apply(Erf(), x)
