"""What an operator's `emit` writes with: NumPy calls on preallocated arrays.

A call is recorded, not made. Arrays are places in memory that is not there yet (see
`layerport.numpy_engine.storage`), so an `emit` may look at shapes, strides and dtypes and make
views, but must not read elements, constants excepted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from layerport.numpy_engine.arrays import (
    Order,
    flattened,
    memory_order,
    merged,
    natural_order,
    overlaps,
    same_place,
    view_as,
)
from layerport.numpy_engine.storage import Storages
from layerport.op import NDArray, Op

TILE = 4096
"""Elements that a repeated row may have: it should stay in the first-level cache."""

SHORT = 32
"""Elements of a row up to which it is worth transposing before reducing rows."""

MANY_ROWS = 64
"""Rows of a product from which on copying the other factor does not matter."""

FULL = 1 << 22
"""Elements up to which a number is written out as an array where that is faster."""


class Call(NamedTuple):
    """One recorded call, made for a node."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    keywords: dict[str, Any]
    step: int


class Emitter:
    """Records calls, and hands out memory that lives for one operator only.

    Arrays passed to `Op.emit` never share memory with one another, except that the output of an
    `elementwise` operator may be the very place of one of its operands.
    """

    def __init__(self, storages: Storages) -> None:
        self.calls: list[Call] = []
        self.step = 0
        self._storages = storages
        self._constants: dict[tuple[Any, ...], NDArray] = {}

    # Calls ------------------------------------------------------------------------------

    def call(self, function: Callable[..., Any], *args: Any, **keywords: Any) -> None:
        """Record a call. Pass the array that a ufunc writes as `out`."""
        self.calls.append(Call(function, args, keywords, self.step))

    def evaluate(
        self, op: Op, inputs: Sequence[NDArray | None], outputs: Sequence[NDArray]
    ) -> None:
        """Record a call of the plain kernel, which allocates, and copy what it returns."""
        self.call(_Evaluation(op, len(outputs)), *outputs, *inputs)

    def copy(self, target: NDArray, source: NDArray) -> None:
        """Copy with broadcasting and casting; nothing where both are the same place."""
        if same_place(target, source):
            return
        if overlaps(target, source):
            through = self.temp(source.shape, source.dtype)
            self._copy(through, source)
            source = through
        self._copy(target, source)

    def _copy(self, target: NDArray, source: NDArray) -> None:
        casting = {} if target.dtype == source.dtype else {"casting": "unsafe"}
        self.call(np.copyto, *merged([target, source]), **casting)

    def fill(self, target: NDArray, number: Any) -> None:
        """Write one number everywhere."""
        self._copy(target, self.constant(number, target.dtype))

    def ufunc(self, function: np.ufunc, inputs: Sequence[NDArray], output: NDArray) -> None:
        """Apply a ufunc with one output, with as few axes and as long inner loops as possible."""
        arrays = self._with_long_rows(merged([output, *inputs]))
        if function in _SLOW_WITH_NUMBERS:
            arrays = [self._written_out(array, arrays[0]) for array in arrays]
        self.call(function, *arrays[1:], out=arrays[0])

    def _with_long_rows(self, arrays: list[NDArray]) -> list[NDArray]:
        """Repeat a short row that is combined with very many rows, so that loops are longer."""
        output = arrays[0]
        if output.ndim != 2 or not output.flags.c_contiguous:
            return arrays
        rows, columns = output.shape
        short = [place for place, array in enumerate(arrays) if _is_row(array)]
        others = [array for array in arrays if array.ndim and not _is_row(array)]
        if len(short) != 1 or rows < 512 or columns > 64:
            return arrays
        if not all(array.flags.c_contiguous for array in others):
            return arrays
        limit = min(TILE // columns, 2 * math.isqrt(rows))
        times = max(k for k in range(1, limit + 1) if rows % k == 0)
        if times < 8:
            return arrays
        row = arrays[short[0]][0]
        shape = (rows // times, times * columns)
        wide = [array.reshape(shape) if array.ndim else array for array in arrays
                if not _is_row(array)]  # fmt: skip
        wide.insert(short[0], self._repeated(row, times))
        return wide

    def _repeated(self, row: NDArray, times: int) -> NDArray:
        if self.is_constant(row):
            return self.shared(np.tile(row, times))
        tile = self.temp((times, row.size), row.dtype)
        self.call(np.copyto, tile, row)
        return tile.reshape(-1)

    def _written_out(self, array: NDArray, output: NDArray) -> NDArray:
        if array.ndim or not output.ndim or output.size > FULL or not self.is_constant(array):
            return array
        if not output.flags.c_contiguous:
            return array
        return self.constant(array.item(), array.dtype, output.size).reshape(output.shape)

    # Memory -----------------------------------------------------------------------------

    def temp(self, shape: Sequence[int], dtype: Any, order: Order | None = None) -> NDArray:
        """Memory for the operator that is being emitted; what is in it is lost afterwards."""
        return self._storages.allocate(
            shape, np.dtype(dtype), natural_order(len(shape)) if order is None else order, self.step
        )

    def temp_like(self, array: NDArray, dtype: Any = None) -> NDArray:
        """`temp` of an array's shape, with its axes in the same order."""
        kind = array.dtype if dtype is None else dtype
        return self.temp(array.shape, kind, memory_order(array))

    def reshaped(self, array: NDArray, shape: Sequence[int]) -> NDArray | None:
        """A view of an array in another shape, or None where there is none."""
        return view_as(array, shape)

    def constant(self, number: Any, dtype: Any, size: int | None = None) -> NDArray:
        """A number as an array without axes, or of `size` equal elements."""
        key = (np.asarray(number, dtype).tobytes(), np.dtype(dtype), size)
        if key not in self._constants:
            made = np.zeros(() if size is None else size, dtype)
            if np.asarray(number, dtype).tobytes().strip(b"\0"):
                made[...] = number  # zeros stay untouched, and so cost no memory
            made.flags.writeable = False
            self._constants[key] = made
        return self._constants[key]

    def shared(self, array: NDArray) -> NDArray:
        """Mark an array, computed while the plan is made, as a constant."""
        array.flags.writeable = False
        return array

    def is_constant(self, array: NDArray) -> bool:
        """Whether the elements are known and never change."""
        return self._storages.of(array) is None

    # Matrices ---------------------------------------------------------------------------

    def matmul(self, a: NDArray, b: NDArray, out: NDArray) -> None:
        """``a @ b`` for arrays of two or more axes."""
        if b.ndim == 2 and a.ndim > 2:
            rows = view_as(a, (a.size // a.shape[-1], a.shape[-1]))
            result = view_as(out, (out.size // out.shape[-1], out.shape[-1]))
            if rows is not None and result is not None:
                a, out = rows, result
        if out.ndim == 2 and not out.flags.c_contiguous and out.flags.f_contiguous:
            a, b, out = b.T, a.T, out.T
        if b.ndim > 2 and b.strides[-1] != b.itemsize and a.shape[-2] >= MANY_ROWS:
            # Products of stacked matrices are slower with transposed ones by more than a copy.
            straight = self.temp(b.shape, b.dtype)
            self._copy(straight, b)
            b = straight
        # np.dot costs half as much per call, but copies other operands slowly.
        if out.ndim == 2 and out.flags.c_contiguous and a.flags.forc and b.flags.forc:
            self.call(np.dot, a, b, out)
        else:
            self.call(np.matmul, a, b, out=out)

    # Reductions -------------------------------------------------------------------------

    def sum(self, x: NDArray, axes: Sequence[int], out: NDArray, scale: float = 1.0) -> None:
        """`scale` times the sum over `axes` into `out`, which has the other axes, or all of them.

        A product with equal numbers is the fastest sum.
        """
        if out.ndim == x.ndim:
            out = _without(out, axes)
        matrix = _as_matrix(x, axes) if x.dtype.kind == "f" and x.dtype.itemsize > 2 else None
        target = flattened(out) if _same_order(x, axes, out) else None
        if matrix is not None and target is not None:
            rows, last = matrix
            numbers = self.constant(scale, x.dtype, rows.shape[1 if last else 0])
            self.call(np.dot, *((rows, numbers) if last else (numbers, rows)), target)
            return
        line = flattened(x)
        if line is not None and out.ndim == 0 and x.dtype.kind == "f" and x.size <= TILE:
            self.call(np.dot, line, self.constant(scale, x.dtype, x.size), out)
            return
        # Of many numbers, NumPy's pairwise summation is more exact.
        self.reduce(np.add, x, axes, out)
        if scale != 1:
            self.ufunc(np.multiply, [out, self.constant(scale, out.dtype)], out)

    def reduce(self, function: np.ufunc, x: NDArray, axes: Sequence[int], out: NDArray) -> None:
        """`function.reduce` over `axes` into `out`, which has the other axes, or all of them."""
        if out.ndim == x.ndim:
            out = _without(out, axes)
        named = tuple(sorted(axes))
        matrix = _as_matrix(x, axes)
        target = flattened(out) if _same_order(x, axes, out) else None
        if matrix is not None and target is not None:
            rows, last = matrix
            if last and rows.shape[1] <= SHORT < rows.shape[0]:
                # Many short loops would cost more than to transpose first.
                turned = self.temp(rows.shape[::-1], x.dtype)
                self._copy(turned, rows.T)
                self.call(function.reduce, turned, 0, None, target)
                return
            if not last:
                self.call(function.reduce, rows, 0, None, target)
                return
        self.call(function.reduce, x, named[0] if len(named) == 1 else named, None, out)

    # Softmax ----------------------------------------------------------------------------

    def softmax(self, x: NDArray, axis: int, out: NDArray) -> None:
        """``exp(x) / sum(exp(x))`` along an axis; `out` must not be the place of x."""
        total = self._powers(x, axis, out, out)
        self.ufunc(np.divide, [out, total], out)

    def log_softmax(self, x: NDArray, axis: int, out: NDArray) -> None:
        """``log(softmax(x))`` along an axis; `out` must not be the place of x."""
        total = self._powers(x, axis, out, self.temp_like(x))
        self.ufunc(np.log, [total], total)
        self.ufunc(np.subtract, [out, total], out)

    def cross_entropies(self, x: NDArray, axis: int, probabilities: NDArray) -> NDArray:
        """``-log(softmax(x))`` along an axis, in memory for this operator, and softmax(x)."""
        low = self.temp_like(x)
        total = self._powers(x, axis, low, probabilities)
        self.ufunc(np.divide, [probabilities, total], probabilities)
        self.ufunc(np.log, [total], total)
        self.ufunc(np.subtract, [total, low], low)
        return low

    def _powers(self, x: NDArray, axis: int, low: NDArray, powers: NDArray) -> NDArray:
        """x minus its maximum in `low`, the power of e in `powers`; returns their sums."""
        axis %= x.ndim
        shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
        one_a_row = self.temp(shape, x.dtype, memory_order(x))
        self.reduce(np.maximum, x, (axis,), one_a_row)
        self.ufunc(np.subtract, [x, one_a_row], low)
        self.ufunc(np.exp, [low], powers)
        self.sum(powers, (axis,), one_a_row)
        return one_a_row


_SLOW_WITH_NUMBERS = frozenset({np.maximum, np.minimum})
"""Ufuncs whose loops are vectorised for two arrays, but not for an array and a number."""


class _Evaluation:
    """An operator's plain kernel with its results copied to where they belong."""

    def __init__(self, op: Op, outputs: int) -> None:
        self._op = op
        self._outputs = outputs

    def __call__(self, *arrays: NDArray) -> None:
        made = self._op.evaluate(*arrays[self._outputs :])
        results = made if isinstance(made, tuple) else (made,)
        for target, result in zip(arrays, results, strict=False):
            np.copyto(target, result)


def _is_row(array: NDArray) -> bool:
    return array.ndim == 2 and array.strides[0] == 0 and array.strides[1] == array.itemsize


def _as_matrix(x: NDArray, axes: Sequence[int]) -> tuple[NDArray, bool] | None:
    """A dense array whose first or last axes in memory are reduced, as a matrix.

    Returns the matrix, and whether its last axis is the one that is reduced.
    """
    order = [axis for axis in memory_order(x) if x.shape[axis] != 1]
    reduced = [axis in axes for axis in order]
    ordered = x.transpose(memory_order(x))
    count = sum(reduced)
    if not ordered.flags.c_contiguous or not 0 < count < len(order):
        return None
    if all(reduced[:count]):
        return ordered.reshape(math.prod(x.shape[axis] for axis in order[:count]), -1), False
    if all(reduced[-count:]):
        return ordered.reshape(-1, math.prod(x.shape[axis] for axis in order[-count:])), True
    return None


def _without(array: NDArray, axes: Sequence[int]) -> NDArray:
    """The array without axes of extent 1."""
    # The ellipsis keeps an array without axes from becoming a number.
    return array[(*(0 if axis in axes else slice(None) for axis in range(array.ndim)), ...)]


def _same_order(x: NDArray, axes: Sequence[int], out: NDArray) -> bool:
    """Whether the axes that are kept lie in `out` in the order in which they lie in `x`."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    long = [axis for axis in memory_order(x) if axis in kept and x.shape[axis] != 1]
    wanted = [kept[axis] for axis in memory_order(out) if out.shape[axis] != 1]
    return long == wanted
