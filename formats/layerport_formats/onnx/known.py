"""Values that are known before a network runs: numbers, and extents that are still symbolic.

ONNX files compute shapes with operators (Shape, Gather, Concat, Mul...). Here such a computation
is carried out while the file is read, on arrays whose elements are numbers or `Dim` objects.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from layerport.dim import Dim, Extent, Shape
from layerport.errors import LayerportError
from layerport.graph import Value
from layerport.op import NDArray, Op
from layerport.operator import is_trainable

KNOWN_SIZE = 4096
"""Arrays with more elements than this are not computed with while reading."""


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """A value that is known.

    Attributes
    ----------
    array : of `dtype`, or of Python objects where some elements are symbolic.
    dtype : what the value is in the file.
    """

    array: NDArray
    dtype: np.dtype[Any]

    @staticmethod
    def of(array: NDArray) -> Known | None:
        """An array of numbers as a known value, if it is small enough."""
        small = array.size <= KNOWN_SIZE and array.dtype != object
        return Known(array, array.dtype) if small else None

    @staticmethod
    def of_extents(extents: Sequence[Extent]) -> Known:
        """A shape as the int64 vector that Shape gives."""
        return _settled(np.array([*extents, None], object)[:-1], np.dtype(np.int64))

    @property
    def is_symbolic(self) -> bool:
        """Whether an element is a `Dim`."""
        return self.array.dtype == object

    @property
    def folds(self) -> bool:
        """Whether it can stand in the graph as a constant in place of what computed it.

        Weights keep what is computed from them visible, so that they stay what they are.
        """
        return not self.is_symbolic and not is_trainable(self.array)

    @property
    def items(self) -> list[Any]:
        """The elements, flattened, as Python numbers and Dims."""
        flat: list[Any] = self.array.reshape(-1).tolist()
        return flat

    @property
    def plain(self) -> Any:
        """A number or Dim for a value without axes, else a tuple of the elements."""
        return tuple(self.items) if self.array.ndim else self.items[0]


def _settled(array: NDArray, dtype: np.dtype[Any]) -> Known:
    """Objects back to numbers where nothing symbolic is left."""
    if array.dtype == object and not any(isinstance(x, Dim) for x in array.reshape(-1)):
        return Known(array.astype(dtype), dtype)
    return Known(array, array.dtype if array.dtype != object else dtype)


def evaluate(name: str, op: Op, inputs: Sequence[Known | None]) -> list[Known] | None:
    """What an operator makes of known operands, or None where that cannot be said.

    Parameters
    ----------
    name : ONNX's name of the operator.
    op : the operator.
    inputs : its operands, those that are fields left out; None for an absent one.
    """
    given = [x for x in inputs if x is not None]
    try:
        if not any(x.is_symbolic for x in given):
            return _evaluate_numbers(op, inputs)
        return _evaluate_symbols(name, op, given)
    except (LayerportError, ArithmeticError, ValueError, TypeError, IndexError):
        # Whatever is wrong is said where the operator is put into the graph.
        return None


def _evaluate_numbers(op: Op, inputs: Sequence[Known | None]) -> list[Known] | None:
    values = [
        None if x is None else Value(x.array.shape, x.dtype, constant=x.array) for x in inputs
    ]
    if any(least_size(made.shape) > KNOWN_SIZE for made in op.infer(*values)):
        return None
    with np.errstate(all="ignore"):
        made = op.evaluate(*[None if x is None else x.array for x in inputs])
    arrays = made if isinstance(made, tuple) else (made,)
    known = [Known.of(array) for array in arrays]
    return None if any(k is None for k in known) else [k for k in known if k is not None]


LAYOUT = frozenset(
    {"Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze",
     "Tile", "Transpose", "Unsqueeze"}
)  # fmt: skip
"""Operators whose kernel moves elements without looking at them, whatever they are."""


def _evaluate_symbols(name: str, op: Op, inputs: Sequence[Known]) -> list[Known] | None:
    if name in LAYOUT:
        made = op.evaluate(*[x.array for x in inputs])
        arrays = made if isinstance(made, tuple) else (made,)
        return [_settled(array, inputs[0].dtype) for array in arrays]
    if name in REDUCTIONS:
        return [_reduced(REDUCTIONS[name], op, inputs[0])]
    if name == "Cast":
        return [_cast(inputs[0], np.dtype(op.attributes["to"]))]
    if name not in RULES:
        return None
    rule, kind = RULES[name]
    dtype = np.dtype(bool) if kind == "bool" else inputs[-1].dtype
    operands = np.broadcast_arrays(*[x.array for x in inputs])
    result = np.empty(operands[0].shape, object)
    real = inputs[0].dtype.kind == "f"
    for index in np.ndindex(result.shape):
        elements = [_item(array[index]) for array in operands]
        made = rule(*elements, real) if kind == "typed" else rule(*elements)
        if made is None:
            return None
        result[index] = made
    return [_settled(result, dtype)]


def _item(x: Any) -> Any:
    return x.item() if isinstance(x, np.generic) else x


def _reduced(rule: Callable[[Any, Any], Any], op: Op, x: Known) -> Known:
    axes = op.attributes["axes"]
    axes = tuple(range(x.array.ndim)) if axes is None else axes
    result = x.array
    for axis in sorted((axis % x.array.ndim for axis in axes), reverse=True):
        parts = list(np.moveaxis(result, axis, 0))
        total = np.asarray(parts[0], object)
        for part in parts[1:]:
            total = np.asarray(rule(total, part), object)
        result = np.expand_dims(total, axis) if op.attributes["keepdims"] else total
    return _settled(result, x.dtype)


def _cast(x: Known, dtype: np.dtype[Any]) -> Known:
    if dtype.kind not in "iuf":
        raise ValueError("a symbolic extent is no truth value")
    return Known(x.array, dtype)


# Rules for single elements --------------------------------------------------------------

Element: TypeAlias = Any


def _whole(x: Element) -> Element:
    """A float that is a whole number as an int: Dims multiply with integers only."""
    return int(x) if isinstance(x, float) and x.is_integer() else x


def _product(a: Element, b: Element) -> Element | None:
    a, b = _whole(a), _whole(b)
    return None if isinstance(a, float) or isinstance(b, float) else a * b


def _quotient(a: Element, b: Element, real: bool) -> Element | None:
    """ONNX's Div: exact on floats, rounding towards 0 on integers."""
    a, b = _whole(a), _whole(b)
    if isinstance(a, float) or isinstance(b, float):
        return None
    quotient = a // b
    if real:
        return quotient if _equal(quotient * b, a) else None
    low, _ = bounds(a)
    return quotient if low is not None and low >= 0 else None


def _remainder(a: Element, b: Element) -> Element | None:
    return a % b if isinstance(b, Dim) or b > 0 else None


def _equal(a: Element, b: Element) -> bool | None:
    difference = a - b
    if not isinstance(difference, Dim):
        return bool(difference == 0)
    low, high = bounds(difference)
    return False if (low is not None and low > 0) or (high is not None and high < 0) else None


def _less(a: Element, b: Element) -> bool | None:
    low, high = bounds(b - a)
    if low is not None and low > 0:
        return True
    return False if high is not None and high <= 0 else None


def _less_or_equal(a: Element, b: Element) -> bool | None:
    greater = _less(b, a)
    return None if greater is None else not greater


def _smaller(a: Element, b: Element) -> Element | None:
    less = _less_or_equal(a, b)
    return None if less is None else (a if less else b)


def _larger(a: Element, b: Element) -> Element | None:
    less = _less_or_equal(a, b)
    return None if less is None else (b if less else a)


def _where(condition: Element, a: Element, b: Element) -> Element | None:
    if isinstance(condition, Dim):
        return None
    return a if condition else b


def bounds(extent: Extent) -> tuple[int | None, int | None]:
    """The least and the greatest value of an extent, None where there is none.

    Named extents are at least 1.
    """
    if not isinstance(extent, Dim):
        return extent, extent
    low: int | None = 0
    high: int | None = 0
    for factor, atoms in extent.terms():
        least = 1
        for atom in atoms:
            bound = 1 if isinstance(atom, str) else _quotient_bound(atom)
            least = least * bound if bound is not None and bound >= 0 else -1
            if least < 0:
                return None, None
        low = None if low is None or (atoms and factor < 0) else low + factor * least
        high = None if high is None or (atoms and factor > 0) else high + factor * least
    return low, high


def least_size(shape: Shape) -> int:
    """The least number of elements of a shape; extents without a bound count as 1."""
    size = 1
    for extent in shape:
        size *= extent if not isinstance(extent, Dim) else max(bounds(extent)[0] or 1, 1)
    return size


def _quotient_bound(atom: tuple[Dim, int]) -> int | None:
    low, _ = bounds(atom[0])
    return None if low is None else math.floor(low / atom[1])


RULES: Mapping[str, tuple[Callable[..., Any], str]] = {
    "Add": (operator.add, ""),
    "Sub": (operator.sub, ""),
    "Mul": (_product, ""),
    "Div": (_quotient, "typed"),
    "Mod": (_remainder, ""),
    "Neg": (operator.neg, ""),
    "Min": (_smaller, ""),
    "Max": (_larger, ""),
    "Floor": (_whole, ""),
    "Ceil": (_whole, ""),
    "Round": (_whole, ""),
    "Abs": (lambda x: _larger(x, -x), ""),
    "Equal": (_equal, "bool"),
    "Less": (_less, "bool"),
    "LessOrEqual": (_less_or_equal, "bool"),
    "Greater": (lambda a, b: _less(b, a), "bool"),
    "GreaterOrEqual": (lambda a, b: _less_or_equal(b, a), "bool"),
    "Where": (_where, ""),
}
"""ONNX's name -> (rule for elements, kind of result)."""

REDUCTIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "ReduceProd": operator.mul,
    "ReduceSum": operator.add,
}
