"""Which NumPy ufuncs and functions work on a Tensor, and how each is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from layerport import ops
from layerport.dim import Dim, Extent, size_of
from layerport.errors import CaptureError, ShapeError
from layerport.op import Op
from layerport.ops.base import operand_of
from layerport.tensor import (
    Tensor,
    as_tensor,
    first_tensor,
    normal_axes,
    normal_axis,
    unify,
)

# Ufuncs ---------------------------------------------------------------------------------


def _arithmetic(op: Op, *, real: bool = False) -> Callable[..., Tensor]:
    def record(*operands: Any) -> Tensor:
        tensors = unify(*operands, real=real)
        made: Tensor = tensors[0].record(op, *tensors)
        return made

    return record


def _real(op: Op) -> Callable[..., Tensor]:
    return _arithmetic(op, real=True)


def _logical(op: Op) -> Callable[..., Tensor]:
    def record(*operands: Any) -> Tensor:
        like = first_tensor(*operands)
        truths = [
            (t if t.dtype == bool else t != 0) if isinstance(t, Tensor) else np.asarray(t, bool)
            for t in operands
        ]
        made: Tensor = like.record(op, *truths)
        return made

    return record


_not = _logical(ops.Not())
_equal = _arithmetic(ops.Equal())


def _bitwise(op: Op, name: str) -> Callable[..., Tensor]:
    logical = _logical(op)

    def record(*operands: Any) -> Tensor:
        if any(isinstance(t, Tensor) and t.dtype != bool for t in operands):
            raise CaptureError(f"np.{name} is recorded for booleans only")
        return logical(*operands)

    return record


def _matmul(a: Any, b: Any) -> Tensor:
    x, y = unify(a, b)
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError("matmul needs operands of at least one axis")
    if x.ndim == 1 and y.ndim == 1:
        product: Tensor = (x * y).sum()
        return product
    if x.ndim == 1:
        return _matmul(x.reshape(1, -1), y).squeeze(-2)
    if y.ndim == 1:
        return _matmul(x, y.reshape(-1, 1)).squeeze(-1)
    made: Tensor = x.record(ops.MatMul(), x, y)
    return made


def _floor_divide(a: Any, b: Any) -> Tensor:
    x, y = unify(a, b)
    if x.dtype.kind != "f":
        raise CaptureError("integer floor division cannot be recorded; divide floats instead")
    made: Tensor = np.floor(x / y)
    return made


def _logaddexp(a: Any, b: Any) -> Any:
    return np.maximum(a, b) + ops.softplus(-np.abs(a - b))


def _log1p(x: Any) -> Any:
    """Kahan's formula: log(1 + x) corrected by the rounding of 1 + x; log1p(exp(z)) is softplus."""
    exponent = operand_of(x.value, ops.Exp)
    if exponent is not None:
        return ops.softplus(Tensor(x.builder, exponent))
    y = 1 + x
    return np.where(y == 1, x, np.log(y) * (x / np.where(y == 1, 1, y - 1)))


def _expm1(x: Any) -> Any:
    """2 sinh(x/2) exp(x/2) by way of tanh: exact near 0."""
    half = np.tanh(x / 2)
    return np.where(np.abs(x) < 1, 2 * half / (1 - np.where(np.abs(x) < 1, half, 0)), np.exp(x) - 1)


UFUNCS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "add": _arithmetic(ops.Add()),
        "subtract": _arithmetic(ops.Sub()),
        "multiply": _arithmetic(ops.Mul()),
        "divide": _real(ops.Div()),
        "true_divide": _real(ops.Div()),
        "floor_divide": _floor_divide,
        "remainder": _arithmetic(ops.Mod()),
        "power": _arithmetic(ops.Pow()),
        "float_power": _real(ops.Pow()),
        "maximum": _arithmetic(ops.Max()),
        "minimum": _arithmetic(ops.Min()),
        "negative": _arithmetic(ops.Neg()),
        "positive": lambda x: x,
        "absolute": _arithmetic(ops.Abs()),
        "fabs": _real(ops.Abs()),
        "sign": _arithmetic(ops.Sign()),
        "floor": _real(ops.Floor()),
        "ceil": _real(ops.Ceil()),
        "rint": _real(ops.Round()),
        "trunc": lambda x: np.sign(x) * np.floor(np.abs(x)),
        "exp": _real(ops.Exp()),
        "log": _real(ops.Log()),
        "sqrt": _real(ops.Sqrt()),
        "reciprocal": _real(ops.Reciprocal()),
        "tanh": _real(ops.Tanh()),
        "sin": _real(ops.Sin()),
        "cos": _real(ops.Cos()),
        "square": lambda x: x * x,
        "exp2": lambda x: np.exp(x * float(np.log(2))),
        "log2": lambda x: np.log(x) * float(1 / np.log(2)),
        "log10": lambda x: np.log(x) * float(1 / np.log(10)),
        "log1p": _log1p,
        "expm1": _expm1,
        "sinh": lambda x: (np.exp(x) - np.exp(-x)) * 0.5,
        "cosh": lambda x: (np.exp(x) + np.exp(-x)) * 0.5,
        "tan": lambda x: np.sin(x) / np.cos(x),
        "logaddexp": _logaddexp,
        "matmul": _matmul,
        "greater": _arithmetic(ops.Greater()),
        "less": _arithmetic(ops.Less()),
        "greater_equal": _arithmetic(ops.GreaterOrEqual()),
        "less_equal": _arithmetic(ops.LessOrEqual()),
        "equal": _equal,
        "not_equal": lambda a, b: _not(_equal(a, b)),
        "logical_and": _logical(ops.And()),
        "logical_or": _logical(ops.Or()),
        "logical_not": _not,
        "bitwise_and": _bitwise(ops.And(), "bitwise_and"),
        "bitwise_or": _bitwise(ops.Or(), "bitwise_or"),
        "invert": _bitwise(ops.Not(), "invert"),
        "isnan": _real(ops.IsNaN()),
    }
)

REDUCTIONS: Mapping[str, str] = MappingProxyType(
    {"add": "sum", "maximum": "max", "minimum": "min", "multiply": "prod"}
)

# Functions ------------------------------------------------------------------------------


def _no_options(name: str, **options: Any) -> None:
    for option, value in options.items():
        if value is not None and value is not np._NoValue:
            raise CaptureError(f"np.{name}(..., {option}=) cannot be recorded")


def _reduction(name: str) -> Callable[..., Tensor]:
    def record(
        a: Tensor, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False
    ) -> Tensor:
        _no_options(name, out=out)
        x = a if dtype is None else a.astype(dtype)
        keep = keepdims is not np._NoValue and bool(keepdims)
        made: Tensor = getattr(x, name)(axis, keepdims=keep)
        return made

    return record


def _extreme(name: str) -> Callable[..., Tensor]:
    def record(a: Tensor, axis: Any = None, out: Any = None, keepdims: Any = False) -> Tensor:
        _no_options(name, out=out)
        keep = keepdims is not np._NoValue and bool(keepdims)
        made: Tensor = getattr(a, name)(axis, keepdims=keep)
        return made

    return record


def _spread(name: str) -> Callable[..., Tensor]:
    def record(
        a: Tensor,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: int = 0,
        keepdims: Any = False,
    ) -> Tensor:
        _no_options(name, out=out, dtype=dtype)
        keep = keepdims is not np._NoValue and bool(keepdims)
        made: Tensor = getattr(a, name)(axis, ddof, keep)
        return made

    return record


def _argmax(a: Tensor, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Tensor:
    _no_options("argmax", out=out)
    keep = keepdims is not np._NoValue and bool(keepdims)
    return a.reshape(-1).argmax(0, keep) if axis is None else a.argmax(axis, keep)


def _argmin(a: Tensor, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Tensor:
    return _argmax(-a, axis, out, keepdims=keepdims)


def _reshape(a: Tensor, shape: Any, order: str = "C", **options: Any) -> Tensor:
    _no_options("reshape", **options)
    return a.reshape(shape, order=order)


def _transpose(a: Tensor, axes: Any = None) -> Tensor:
    return a.transpose() if axes is None else a.transpose(axes)


def _expand_dims(a: Tensor, axis: Any) -> Tensor:
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    made: Tensor = a.record(ops.Unsqueeze(normal_axes(given, a.ndim + len(given))), a)
    return made


def _moveaxis(a: Tensor, source: Any, destination: Any) -> Tensor:
    src = [normal_axis(s, a.ndim) for s in np.atleast_1d(source)]
    dst = [normal_axis(d, a.ndim) for d in np.atleast_1d(destination)]
    order = [axis for axis in range(a.ndim) if axis not in src]
    for to, axis in sorted(zip(dst, src, strict=True)):
        order.insert(to, axis)
    return a.transpose(order)


def _concatenate(
    arrays: Sequence[Any], axis: int | None = 0, out: Any = None, **options: Any
) -> Tensor:
    _no_options("concatenate", out=out, **{k: v for k, v in options.items() if k != "casting"})
    tensors = unify(*[a if isinstance(a, Tensor) else np.asarray(a) for a in arrays])
    if axis is None:
        tensors, axis = [t.reshape(-1) for t in tensors], 0
    op = ops.Concat(normal_axis(axis, tensors[0].ndim))
    made: Tensor = tensors[0].record(op, *tensors)
    return made


def _stack(arrays: Sequence[Any], axis: int = 0, **options: Any) -> Tensor:
    tensors = unify(*[a if isinstance(a, Tensor) else np.asarray(a) for a in arrays])
    return _concatenate([_expand_dims(t, axis) for t in tensors], axis, **options)


def _split(a: Tensor, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    at = normal_axis(axis, a.ndim)
    extent = a.shape[at]
    if isinstance(indices_or_sections, int):
        if isinstance(extent, Dim) or extent % indices_or_sections:
            raise ShapeError(f"{extent} cannot be split into {indices_or_sections} equal parts")
        step = extent // indices_or_sections
        cuts = [step * i for i in range(1, indices_or_sections)]
    else:
        cuts = [int(i) for i in indices_or_sections]
    bounds: list[int | None] = [0, *cuts, None]
    before = (slice(None),) * at
    return [a[(*before, slice(low, high))] for low, high in pairwise(bounds)]


def _unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    at = normal_axis(axis, x.ndim)
    extent = x.shape[at]
    if isinstance(extent, Dim):
        raise CaptureError(f"np.unstack needs a known extent, and {extent} is symbolic")
    return tuple(x[(*(slice(None),) * at, i)] for i in range(extent))


def _where(condition: Any, x: Any = None, y: Any = None) -> Tensor:
    if x is None or y is None:
        raise CaptureError("np.where with one argument gives a shape that depends on the data")
    like = first_tensor(condition, x, y)
    if isinstance(condition, Tensor) and condition.dtype != bool:
        condition = condition != 0
    if isinstance(x, Tensor) or isinstance(y, Tensor):
        a, b = unify(x, y)
    else:
        kind = np.result_type(np.asarray(x), np.asarray(y))
        dtype = like.builder.float_dtype if kind.kind == "f" else kind
        a, b = like.constant(x, dtype), like.constant(y, dtype)
    made: Tensor = like.record(ops.Where(), condition, a, b)
    return made


def _clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **bounds: Any) -> Tensor:
    _no_options("clip", out=out)
    low = bounds.pop("min", a_min)
    high = bounds.pop("max", a_max)
    _no_options("clip", **bounds)
    low, high = (None if b is np._NoValue else b for b in (low, high))
    return as_tensor(a, first_tensor(a, low, high)).clip(low, high)


def _broadcast_to(array: Tensor, shape: Any, subok: bool = False) -> Tensor:
    wanted = shape if isinstance(shape, (tuple, list)) else (shape,)
    made: Tensor = array.record(ops.Expand(tuple(wanted)), array)
    return made


def _filled_like(fill: float) -> Callable[..., Tensor]:
    def record(a: Tensor, dtype: Any = None, order: str = "K", subok: bool = True,
               shape: Any = None, **options: Any) -> Tensor:  # fmt: skip
        value = a.constant(fill, dtype)
        return _broadcast_to(value, a.shape if shape is None else shape)

    return record


def _full_like(a: Tensor, fill_value: Any, dtype: Any = None, order: str = "K",
               subok: bool = True, shape: Any = None, **options: Any) -> Tensor:  # fmt: skip
    if isinstance(fill_value, Tensor):
        value = fill_value.astype(a.dtype if dtype is None else dtype)
    else:
        value = a.constant(fill_value, dtype)
    return _broadcast_to(value, a.shape if shape is None else shape)


def _take(
    a: Tensor, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise"
) -> Tensor:
    _no_options("take", out=out)
    if axis is None:
        a, axis = as_tensor(a, first_tensor(a, indices)).reshape(-1), 0
    like = first_tensor(a, indices)
    x = as_tensor(a, like)
    where = indices if isinstance(indices, Tensor) else np.asarray(indices, np.int64)
    made: Tensor = like.record(ops.Gather(normal_axis(axis, x.ndim)), x, where)
    return made


PAD_MODES: Mapping[str, Literal["constant", "reflect", "edge", "wrap"]] = MappingProxyType(
    {"constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "wrap"}
)


def _pad(array: Tensor, pad_width: Any, mode: str = "constant", **options: Any) -> Tensor:
    value = options.pop("constant_values", 0)
    _no_options("pad", **options)
    if mode not in PAD_MODES:
        raise CaptureError(f"np.pad(mode={mode!r}) cannot be recorded")
    widths = np.broadcast_to(np.asarray(pad_width), (array.ndim, 2))
    pads = tuple(int(p) for p in (*widths[:, 0], *widths[:, 1]))
    fill = array.constant(value) if mode == "constant" and np.any(value) else None
    made: Tensor = array.record(ops.Pad(pads, mode=PAD_MODES[mode]), array, fill)
    return made


def _tile(A: Tensor, reps: Any) -> Tensor:
    repeats = [int(r) for r in np.atleast_1d(reps)]
    x = A.reshape((1,) * (len(repeats) - A.ndim) + A.shape)
    repeats = [1] * (x.ndim - len(repeats)) + repeats
    made: Tensor = x.record(ops.Tile(tuple(repeats)), x)
    return made


def _repeat(a: Tensor, repeats: Any, axis: int | None = None) -> Tensor:
    if not isinstance(repeats, int):
        raise CaptureError("np.repeat is recorded for a single number of repeats")
    x, at = (a.reshape(-1), 0) if axis is None else (a, normal_axis(axis, a.ndim))
    spread: list[Extent] = [*x.shape[: at + 1], repeats, *x.shape[at + 1 :]]
    wide = _broadcast_to(_expand_dims(x, at + 1), tuple(spread))
    return wide.reshape([*x.shape[:at], x.shape[at] * repeats, *x.shape[at + 1 :]])


def _flip(m: Tensor, axis: Any = None) -> Tensor:
    axes = tuple(range(m.ndim)) if axis is None else normal_axes(axis, m.ndim)
    return m[tuple(slice(None, None, -1) if a in axes else slice(None) for a in range(m.ndim))]


def _squeeze(a: Tensor, axis: Any = None) -> Tensor:
    return a.squeeze(axis)


def _einsum(subscripts: str, *operands: Any, **options: Any) -> Tensor:
    """Up to two operands: transposes, reshapes and one MatMul."""
    _no_options("einsum", **{k: v for k, v in options.items() if k != "optimize"})
    terms, arrow, result = subscripts.replace(" ", "").partition("->")
    letters = terms.split(",")
    bad = "." in subscripts or not arrow or any(len(set(t)) != len(t) for t in letters)
    if bad or len(operands) > 2 or len(letters) != len(operands):
        raise CaptureError(
            f"einsum {subscripts!r} cannot be recorded: only one or two operands, an explicit "
            "result, no ellipsis and no letter twice in a term"
        )
    tensors = unify(*operands)
    for term, tensor in zip(letters, tensors, strict=True):
        if len(term) != tensor.ndim:
            raise ShapeError(f"einsum {subscripts!r}: {term} does not fit {tensor.shape}")
    if len(tensors) == 1:
        x, a = _sum_missing(tensors[0], letters[0], result)
        return x.transpose([a.index(c) for c in result])
    return _einsum_pair(tensors[0], letters[0], tensors[1], letters[1], result)


def _sum_missing(x: Tensor, letters: str, kept: str) -> tuple[Tensor, str]:
    gone = tuple(i for i, c in enumerate(letters) if c not in kept)
    return (x.sum(gone) if gone else x), "".join(c for c in letters if c in kept)


def _einsum_pair(x: Tensor, a: str, y: Tensor, b: str, result: str) -> Tensor:
    x, a = _sum_missing(x, a, b + result)
    y, b = _sum_missing(y, b, a + result)
    extents = {**dict(zip(b, y.shape, strict=True)), **dict(zip(a, x.shape, strict=True))}
    batch = [c for c in a if c in b and c in result]
    inner = [c for c in a if c in b and c not in result]
    rows = [c for c in a if c not in b]
    columns = [c for c in b if c not in a]

    def total(letters: list[str]) -> Extent:
        return size_of(extents[c] for c in letters)

    shape = [extents[c] for c in batch]
    left = x.transpose([a.index(c) for c in batch + rows + inner])
    left = left.reshape([*shape, total(rows), total(inner)])
    right = y.transpose([b.index(c) for c in batch + inner + columns])
    right = right.reshape([*shape, total(inner), total(columns)])
    order = batch + rows + columns
    product = _matmul(left, right).reshape([extents[c] for c in order])
    return product.transpose([order.index(c) for c in result])


def _shape(a: Tensor) -> tuple[Extent, ...]:
    return a.shape


def _atleast_1d(a: Tensor) -> Tensor:
    return a if a.ndim else a.reshape(1)


def _round(a: Tensor, decimals: int = 0, out: Any = None) -> Any:
    _no_options("round", out=out)
    return np.rint(a) if decimals == 0 else np.rint(a * 10.0**decimals) / 10.0**decimals


FUNCTIONS: Mapping[Callable[..., Any], Callable[..., Any]] = MappingProxyType(
    {
        np.sum: _reduction("sum"),
        np.mean: _reduction("mean"),
        np.prod: _reduction("prod"),
        np.max: _extreme("max"),
        np.amax: _extreme("max"),
        np.min: _extreme("min"),
        np.amin: _extreme("min"),
        np.var: _spread("var"),
        np.std: _spread("std"),
        np.argmax: _argmax,
        np.argmin: _argmin,
        np.reshape: _reshape,
        np.ravel: lambda a, order="C": a.flatten(order),
        np.transpose: _transpose,
        np.matrix_transpose: lambda x: x.swapaxes(-1, -2),
        np.permute_dims: _transpose,
        np.swapaxes: lambda a, axis1, axis2: a.swapaxes(axis1, axis2),
        np.moveaxis: _moveaxis,
        np.expand_dims: _expand_dims,
        np.squeeze: _squeeze,
        np.concatenate: _concatenate,
        np.concat: _concatenate,
        np.stack: _stack,
        np.split: _split,
        np.unstack: _unstack,
        np.where: _where,
        np.clip: _clip,
        np.broadcast_to: _broadcast_to,
        np.zeros_like: _filled_like(0),
        np.ones_like: _filled_like(1),
        np.full_like: _full_like,
        np.take: _take,
        np.pad: _pad,
        np.tile: _tile,
        np.repeat: _repeat,
        np.flip: _flip,
        np.dot: _matmul,
        np.einsum: _einsum,
        np.outer: lambda a, b: _einsum("i,j->ij", a, b),
        np.shape: _shape,
        np.ndim: lambda a: a.ndim,
        np.size: lambda a, axis=None: a.size if axis is None else a.shape[axis],
        np.atleast_1d: _atleast_1d,
        np.round: _round,
        np.around: _round,
        np.astype: lambda x, dtype, **_: x.astype(dtype),
    }
)
