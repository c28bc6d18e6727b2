"""The symbolic tensor: plain NumPy code on it records operators.

`Tensor` implements NumPy's own protocols (`__array_ufunc__`, `__array_function__`, the operators
and indexing), so a layer is written in NumPy and runs, differentiates and exports. Which NumPy
functions are dispatched stands in `layerport.numpy_functions`.

Python scalars and float64 constants are weak: a float32 tensor stays float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np

from layerport import ops
from layerport.dim import Dim, Extent, Shape, is_extent, same_shape, size_of
from layerport.errors import CaptureError, ShapeError
from layerport.graph import Builder, Value
from layerport.op import Op

Array: TypeAlias = Any
"""What a layer's code sees: a Tensor while it is recorded, an ndarray otherwise."""

UNTIL_END = np.iinfo(np.int64).max
"""The `ends` of a slice that has no end, as in ONNX."""


class Tensor(np.lib.mixins.NDArrayOperatorsMixin):
    """A value of a graph under construction.

    Attributes
    ----------
    builder : where operators are recorded.
    value : the graph's value.
    """

    __slots__ = ("builder", "value")

    def __init__(self, builder: Builder, value: Value) -> None:
        self.builder = builder
        self.value = value

    # What an array has ------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """Extents; unknown ones are `Dim` objects that work in arithmetic and reshape."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy dtype."""
        return self.value.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.value.shape)

    @property
    def size(self) -> Extent:
        """The number of elements."""
        return size_of(self.value.shape)

    @property
    def T(self) -> Tensor:  # noqa: N802
        """The transpose."""
        return self.transpose()

    def __repr__(self) -> str:
        return f"Tensor({self.dtype}[{', '.join(map(str, self.shape))}])"

    # Recording --------------------------------------------------------------------------

    def record(self, op: Op, *inputs: Any) -> Any:
        """Record an operator; returns one Tensor, or a tuple where it has several outputs."""
        like = next(
            (t.dtype for t in (self, *inputs) if isinstance(t, Tensor) and t.dtype.kind == "f"),
            self.builder.float_dtype,
        )
        values = [None if x is None else self._as_value(x, like) for x in inputs]
        made = tuple(Tensor(self.builder, v) for v in self.builder.add(op, *values))
        return made[0] if len(made) == 1 else made

    def _as_value(self, thing: Any, like: np.dtype[Any]) -> Value:
        if isinstance(thing, Tensor):
            if thing.builder is not self.builder:
                raise CaptureError(
                    "tensors of two different recordings were mixed; a layer must not keep a "
                    "tensor between calls"
                )
            return thing.value
        if isinstance(thing, Dim):
            raise CaptureError(
                f"the dimension {thing} is not a number here; lp.ops.count(x, axis) gives its "
                "value as a tensor"
            )
        array = np.asarray(thing)
        if array.dtype == object:
            raise CaptureError(f"{thing!r} cannot be recorded: it is not an array of numbers")
        return self.builder.constant(array.astype(like) if array.dtype.kind == "f" else array)

    def constant(self, array: Any, dtype: Any = None) -> Tensor:
        """A constant in the same recording, of this tensor's dtype unless stated."""
        made = np.asarray(array, dtype=self.dtype if dtype is None else dtype)
        return Tensor(self.builder, self.builder.constant(made))

    # Methods of ndarray -----------------------------------------------------------------

    def astype(self, dtype: Any, copy: bool = True) -> Tensor:
        """Cast; the same tensor when the dtype is the same."""
        wanted = np.dtype(dtype)
        made: Tensor = self if wanted == self.dtype else self.record(ops.Cast(wanted.name), self)
        return made

    def reshape(self, *shape: Any, order: str = "C") -> Tensor:
        """As `ndarray.reshape`; extents may be symbolic and one may be -1."""
        if order != "C":
            raise CaptureError("only order='C' can be recorded; transpose before reshaping")
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        extents: list[Extent] = [d if isinstance(d, Dim) else int(d) for d in wanted]
        unknown = [axis for axis, d in enumerate(extents) if is_extent(d, -1)]
        if len(unknown) > 1:
            raise ShapeError("only one extent of a reshape can be -1")
        if unknown:
            known = size_of(d for axis, d in enumerate(extents) if axis != unknown[0])
            if isinstance(known, int) and known == 0:
                raise ShapeError(f"cannot reshape {self.shape} into {tuple(extents)}")
            extents[unknown[0]] = self.size // known
        made: Tensor = self.record(ops.Reshape(tuple(extents)), self)
        return made

    def transpose(self, *axes: Any) -> Tensor:
        """As `ndarray.transpose`."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        if not order:
            order = range(self.ndim)[::-1]
        perm = tuple(normal_axis(axis, self.ndim) for axis in order)
        if sorted(perm) != list(range(self.ndim)):
            raise ShapeError(f"{tuple(order)} is no permutation of the axes of {self.shape}")
        made: Tensor = self.record(ops.Transpose(perm), self)
        return made

    def flatten(self, order: str = "C") -> Tensor:
        """One axis."""
        return self.reshape(-1, order=order)

    ravel = flatten

    def squeeze(self, axis: Any = None) -> Tensor:
        """As `np.squeeze`; without `axis`, every extent known to be 1 goes."""
        if axis is None:
            axes = tuple(i for i, d in enumerate(self.shape) if is_extent(d, 1))
        else:
            axes = normal_axes(axis, self.ndim)
        made: Tensor = self.record(ops.Squeeze(axes), self) if axes else self
        return made

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """As `np.swapaxes`."""
        perm = list(range(self.ndim))
        a, b = normal_axis(axis1, self.ndim), normal_axis(axis2, self.ndim)
        perm[a], perm[b] = b, a
        return self.transpose(perm)

    def _reduce(self, op: Callable[..., Op], axis: Any, keepdims: bool) -> Tensor:
        axes = tuple(range(self.ndim)) if axis is None else normal_axes(axis, self.ndim)
        made: Tensor = self.record(op(axes=axes, keepdims=bool(keepdims)), self) if axes else self
        return made

    def _summable(self) -> Tensor:
        return self.astype(np.int64) if self.dtype == bool else self

    def _real(self) -> Tensor:
        return self if self.dtype.kind == "f" else self.astype(self.builder.float_dtype)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """As `np.sum`."""
        return self._summable()._reduce(ops.ReduceSum, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """As `np.mean`."""
        return self._real()._reduce(ops.ReduceMean, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """As `np.max`."""
        return self._reduce(ops.ReduceMax, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """As `np.min`."""
        return self._reduce(ops.ReduceMin, axis, keepdims)

    def prod(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """As `np.prod`."""
        return self._summable()._reduce(ops.ReduceProd, axis, keepdims)

    def var(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        """As `np.var`; `ddof` must be 0."""
        if ddof:
            raise CaptureError("np.var with ddof cannot be recorded; scale the result instead")
        x = self._real()
        deviation = x - x.mean(axis, keepdims=True)
        made: Tensor = (deviation * deviation).mean(axis, keepdims)
        return made

    def std(self, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        """As `np.std`; `ddof` must be 0."""
        made: Tensor = np.sqrt(self.var(axis, ddof, keepdims))  # type: ignore[assignment]
        return made

    def argmax(self, axis: int = -1, keepdims: bool = False) -> Tensor:
        """As `np.argmax` along one axis; ties go to the first."""
        op = ops.ArgMax(axis=normal_axis(axis, self.ndim), keepdims=bool(keepdims))
        made: Tensor = self.record(op, self)
        return made

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """As `np.clip`."""
        low, high = (None if bound is None else _same_dtype(self, bound) for bound in (min, max))
        if all(bound is None or bound.ndim == 0 for bound in (low, high)):
            made: Tensor = self.record(ops.Clip(), self, low, high)
            return made
        raised = self if low is None else np.maximum(self, low)
        return raised if high is None else np.minimum(raised, high)  # type: ignore[return-value]

    def dot(self, other: Any) -> Tensor:
        """As `np.dot` for up to two axes; otherwise `np.matmul`."""
        made: Tensor = np.matmul(self, other)
        return made

    def __getitem__(self, index: Any) -> Tensor:
        return _index(self, index if isinstance(index, tuple) else (index,))

    # NumPy's protocols ------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from layerport.numpy_functions import REDUCTIONS, UFUNCS

        if kwargs.pop("out", None) is not None:
            raise CaptureError(
                f"np.{ufunc.__name__} with out= (or an operator such as +=) changes an array in "
                "place and cannot be recorded; write x = x + y"
            )
        if method == "reduce" and ufunc.__name__ in REDUCTIONS:
            axis, keep = kwargs.get("axis", 0), kwargs.get("keepdims", False)
            return getattr(inputs[0], REDUCTIONS[ufunc.__name__])(axis, keepdims=keep)
        if method != "__call__" or kwargs:
            what = f".{method}" if method != "__call__" else f"(..., {', '.join(kwargs)}=)"
            raise CaptureError(f"np.{ufunc.__name__}{what} cannot be recorded")
        if ufunc.__name__ not in UFUNCS:
            raise CaptureError(
                f"np.{ufunc.__name__} cannot be recorded: no operator stands for it; "
                "compose it from others, or see lp.ops"
            )
        return UFUNCS[ufunc.__name__](*inputs)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        from layerport.numpy_functions import FUNCTIONS

        if function not in FUNCTIONS:
            raise CaptureError(
                f"np.{function.__name__} cannot be recorded: no operator stands for it; "
                "compose it from others, or see lp.ops"
            )
        return FUNCTIONS[function](*args, **kwargs)

    # What cannot be known while recording -----------------------------------------------

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        raise CaptureError(
            "the numbers of a tensor are not known while it is recorded, so np.asarray(x), "
            "float32(x) or a NumPy function that is not dispatched cannot work on it"
        )

    def __bool__(self) -> NoReturn:
        raise CaptureError(
            "whether a tensor is true is not known while it is recorded; instead of `if`, `and` "
            "or `or` use np.where, np.logical_and, np.logical_or"
        )

    def __len__(self) -> NoReturn:
        raise CaptureError("len(x) is not known while recording; use x.shape[0]")

    def __iter__(self) -> NoReturn:
        raise CaptureError("a tensor cannot be iterated over; use slices, np.split or np.unstack")

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise CaptureError("a tensor cannot be changed in part; use np.where or np.concatenate")

    def __float__(self) -> NoReturn:
        raise CaptureError("a tensor has no number while recording; use np.exp, not math.exp")

    __int__ = __index__ = __complex__ = __float__

    __hash__ = object.__hash__


def normal_axis(axis: Any, ndim: int) -> int:
    """An axis counted from the front.

    Raises
    ------
    ShapeError : when there is no such axis.
    """
    number = int(axis)
    if not -ndim <= number < ndim:
        raise ShapeError(f"there is no axis {number} in a tensor of {ndim} axes")
    return number % ndim


def normal_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Axes counted from the front, in order; raises `ShapeError` where one is named twice."""
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(sorted(normal_axis(a, ndim) for a in given))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"an axis is named twice: {axis}")
    return axes


def as_tensor(thing: Any, like: Tensor) -> Tensor:
    """A constant in the recording of `like`, weak in its dtype; a Tensor as it is."""
    if isinstance(thing, Tensor):
        return thing
    return Tensor(like.builder, like._as_value(thing, _float_of(like)))


def _float_of(tensor: Tensor) -> np.dtype[Any]:
    return tensor.dtype if tensor.dtype.kind == "f" else tensor.builder.float_dtype


def _same_dtype(like: Tensor, thing: Any) -> Tensor:
    return thing.astype(like.dtype) if isinstance(thing, Tensor) else like.constant(thing)


def first_tensor(*things: Any) -> Tensor:
    """The first Tensor among arguments."""
    return next(t for t in things if isinstance(t, Tensor))


def unify(*operands: Any, real: bool = False) -> list[Tensor]:
    """Bring the operands of an arithmetic operator to one dtype.

    Tensors decide; scalars and float constants are weak. `real` asks for a float result, as true
    division does.
    """
    tensors = [t for t in operands if isinstance(t, Tensor)]
    floats = [t.dtype for t in tensors if t.dtype.kind == "f"]
    if floats:
        dtype = np.result_type(*floats)
    elif real or any(_is_float(x) for x in operands):
        dtype = tensors[0].builder.float_dtype
    else:
        strong = [t.dtype for t in tensors]
        strong += [x.dtype for x in operands if isinstance(x, np.ndarray) and x.ndim]
        dtype = np.result_type(*strong)
        if dtype == bool and any(not isinstance(x, (bool, np.bool_, Tensor)) for x in operands):
            dtype = np.dtype(np.int64)
    return [x.astype(dtype) if isinstance(x, Tensor) else _constant(tensors[0], x, dtype)
            for x in operands]  # fmt: skip


def _is_float(x: Any) -> bool:
    return isinstance(x, float) or (isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind == "f")


def _constant(like: Tensor, x: Any, dtype: np.dtype[Any]) -> Tensor:
    if isinstance(x, Dim):
        raise CaptureError(
            f"the dimension {x} is not a number here; lp.ops.count(x, axis) gives its value as a "
            "tensor"
        )
    if isinstance(x, (list, tuple)) and any(isinstance(item, Tensor) for item in x):
        raise CaptureError("a list of tensors is no array; use np.stack or np.concatenate")
    return like.constant(x, dtype)


# Indexing -------------------------------------------------------------------------------


def _index(x: Tensor, index: tuple[Any, ...]) -> Tensor:
    """Basic indexing, and integer arrays on one axis."""
    for item in index:
        if isinstance(item, (Tensor, np.ndarray)) and item.dtype == bool:
            raise CaptureError(
                "indexing with booleans gives a shape that depends on the data; use np.where"
            )
    items = _spread_ellipsis(index, x.ndim)
    arrays = [i for i in items if isinstance(i, (Tensor, np.ndarray, list))]
    if len(arrays) > 1:
        raise CaptureError("only one index array at a time can be recorded; index in steps")
    cut, picks, dropped, layout = _read_index(items, x)
    if cut:
        axes, starts, ends, steps = zip(*cut, strict=True)
        x = x.record(ops.Slice(starts, ends, axes, steps), x)
    for axis, positions in picks:
        where = positions if isinstance(positions, Tensor) else np.asarray(positions, np.int64)
        x = x.record(ops.Gather(axis), x, where)
    return _relayout(x, dropped, layout, picks)


def _spread_ellipsis(index: tuple[Any, ...], ndim: int) -> list[Any]:
    used = sum(item is not None and item is not Ellipsis for item in index)
    if used > ndim:
        raise ShapeError(f"{used} indices for a tensor of {ndim} axes")
    items: list[Any] = []
    seen = False
    for item in index:
        if item is Ellipsis:
            if seen:
                raise ShapeError("an index can hold only one ellipsis")
            seen = True
            items += [slice(None)] * (ndim - used)
        else:
            items.append(item)
    return items if seen else items + [slice(None)] * (ndim - used)


def _read_index(
    items: Sequence[Any], x: Tensor
) -> tuple[list[tuple[int, int, int, int]], list[tuple[int, Any]], list[int], list[str]]:
    """Slices (axis, start, end, step), picked axes, dropped axes, and the result's layout."""
    cut: list[tuple[int, int, int, int]] = []
    picks: list[tuple[int, Any]] = []
    dropped: list[int] = []
    layout: list[str] = []
    axis = 0
    for item in items:
        if item is None:
            layout.append("new")
            continue
        if isinstance(item, slice):
            if item != slice(None):
                cut.append((axis, *_slice_bounds(item)))
            layout.append("keep")
        elif isinstance(item, (Tensor, np.ndarray, list)):
            picks.append((axis, item))
            layout.append("pick")
        else:
            at = int(item)
            extent = x.shape[axis]
            if isinstance(extent, int) and not -extent <= at < extent:
                raise ShapeError(f"index {at} is out of range for axis {axis} of {x.shape}")
            cut.append((axis, at, UNTIL_END if at == -1 else at + 1, 1))
            dropped.append(axis)
            layout.append("drop")
        axis += 1
    return cut, picks, dropped, layout


def _slice_bounds(item: slice) -> tuple[int, int, int]:
    for bound in (item.start, item.stop, item.step):
        if isinstance(bound, (Tensor, Dim)):
            raise CaptureError("the bounds of a slice must be numbers while recording")
    step = 1 if item.step is None else int(item.step)
    start = (0 if step > 0 else UNTIL_END) if item.start is None else int(item.start)
    if item.stop is not None:
        return start, int(item.stop), step
    return start, UNTIL_END if step > 0 else -UNTIL_END, step


def _relayout(
    x: Tensor, dropped: list[int], layout: list[str], picks: list[tuple[int, Any]]
) -> Tensor:
    """Take out dropped axes and put in new ones."""
    rank = np.ndim(picks[0][1]) if picks and not isinstance(picks[0][1], Tensor) else 1
    if picks and isinstance(picks[0][1], Tensor):
        rank = picks[0][1].ndim
    shape: list[Extent] = []
    axis = 0
    for what in layout:
        if what == "new":
            shape.append(1)
        elif what == "drop":
            axis += 1
        elif what == "pick":
            shape += x.shape[axis : axis + rank]
            axis += rank
        else:
            shape.append(x.shape[axis])
            axis += 1
    wanted = tuple(shape)
    return x if not dropped and same_shape(wanted, x.shape) else x.reshape(wanted)
