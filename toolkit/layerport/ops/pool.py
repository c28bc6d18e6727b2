"""Pooling over windows, with its gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from layerport.dim import Shape, static_shape
from layerport.errors import ShapeError
from layerport.loops.functions import (
    equal,
    greater,
    less,
    logical_and,
    logical_or,
    lowest,
    maximum,
    not_equal,
    select,
)
from layerport.loops.index import dot
from layerport.loops.views import static_extents, strides_for
from layerport.op import OURS, NDArray, TensorType, apply
from layerport.ops.conv import ConvInputGrad, padded
from layerport.ops.elementwise import Mul
from layerport.ops.windows import AutoPad, Axis, Windowed, of_rank, taps

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.index import Index
    from layerport.loops.ir import Expr
    from layerport.loops.nest import NestBuilder
    from layerport.loops.sources import Source
    from layerport.numpy_engine.emit import Emitter


@dataclasses.dataclass(frozen=True)
class _Pool(Windowed):
    """What pooling operators have in common; `kernel_shape` must be given."""

    ceil_mode: int = 0

    @property
    def rounds_up(self) -> bool:
        return bool(self.ceil_mode)

    def pooled(self, x: Value) -> Shape:
        """The shape of the result."""
        if x.ndim != len(self.kernel_shape) + 2:
            raise ShapeError(f"{x.shape} is not batch, channels, and axes for {self.kernel_shape}")
        return x.shape[:2] + self.counts(x.shape[2:], self.kernel_shape)

    def unpadded(self, extents: Shape) -> tuple[Self, tuple[int, ...]]:
        """The operator without padding, and the pads that do the same."""
        axes = self.axes(static_shape(extents), self.kernel_shape)
        # Elements behind the last window do no harm.
        pads = (*(a.before for a in axes), *(max(a.lacking, 0) for a in axes))
        if not any(pads):
            return self, pads
        return dataclasses.replace(self, pads=(), ceil_mode=0), pads

    @property
    def absorbs(self) -> int:
        rank = len(self.kernel_shape)
        apart = of_rank(self.strides or (1,), rank, "strides") == self.kernel_shape
        return prod(self.kernel_shape) if apart and set(self.dilations) <= {1} else 0

    def simpler(self, build: Builder, extents: Shape, *inputs: Value) -> Sequence[Value] | None:
        """The operator with all attributes written out, where they are not yet."""
        full = self.explicit(extents, self.kernel_shape)
        return None if full == self else build.add(full, *inputs)


def lowest_number(dtype: np.dtype[Any]) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def fold_taps(
    emitter: Emitter, function: np.ufunc, axes: Sequence[Axis], x: NDArray, y: NDArray, start: Any
) -> None:
    """Fold a ufunc over the elements of each window; `start` is neutral."""
    found = list(taps(axes))
    whole = all(tap.of(y).shape == y.shape for tap in found)
    if not whole:
        emitter.fill(y, start)
    elif len(found) == 1:
        emitter.copy(y, found[0].read(x))
        return
    before = found.pop(0).read(x) if whole else None
    for tap in found:
        part = tap.of(y)
        emitter.ufunc(function, [part if before is None else before, tap.read(x)], part)
        before = None


@dataclasses.dataclass(frozen=True)
class MaxPool(_Pool):
    """The maximum of each window; padding never wins.

    With `indices` there is a second output: where in `x`, flattened, each maximum lies (int64),
    the spatial axes counted from the last (`storage_order` 0) or from the first (1).
    """

    storage_order: int = 0
    indices: bool = False

    def infer(self, x: Value) -> Sequence[TensorType]:
        shape = self.pooled(x)
        values = TensorType(shape, x.dtype)
        return [values, TensorType(shape, np.dtype(np.int64))] if self.indices else [values]

    def evaluate(self, x: NDArray) -> NDArray | tuple[NDArray, ...]:
        axes = self.axes(x.shape[2:], self.kernel_shape)
        y = np.full(x.shape[:2] + tuple(a.count for a in axes), lowest_number(x.dtype), x.dtype)
        if self.indices:
            return y, self._search(x, axes, y)
        for tap in taps(axes):
            part = tap.of(y)
            np.maximum(part, tap.read(x), out=part)
        return y

    def _search(self, x: NDArray, axes: Sequence[Axis], y: NDArray) -> NDArray:
        """Fill `y` with the maxima; returns where they are."""
        spatial = x.shape[2:]
        image = np.arange(prod(spatial)).reshape(spatial, order="F" if self.storage_order else "C")
        planes = np.arange(x.shape[0] * x.shape[1]).reshape(x.shape[:2] + (1,) * len(axes))
        found = np.full(y.shape, -1, np.int64)
        for tap in taps(axes):
            values, best, where = tap.read(x), tap.of(y), tap.of(found)
            better = (values > best) | (where < 0) | (np.isnan(values) & ~np.isnan(best))
            best[better] = values[better]
            where[better] = np.broadcast_to(tap.read(image), where.shape)[better]
        found += planes * image.size
        return found

    def gradient(self, dys: Any, ys: Any, x: Any) -> Sequence[Any]:
        dy, y = (dys[0], ys[0]) if self.indices else (dys, ys)
        fields = self.attributes
        del fields["indices"], fields["storage_order"]
        return (None,) if dy is None else (MaxPoolGrad(**fields)(dy, x, y),)

    def simplify(self, build: Builder, x: Value) -> Sequence[Value] | None:
        return self.simpler(build, x.shape[2:], x)

    def decompose(self, build: Builder, x: Value) -> Value | None:
        plain, pads = self.unpadded(x.shape[2:])
        if plain is self or self.indices:
            return None
        return build.one(plain, padded(build, x, pads, lowest_number(x.dtype)))

    def loops(self, nest: NestBuilder) -> None:
        (x,) = nest.operands
        if self.indices:
            self._search_loops(nest, x)
            return

        def element(n: Index, c: Index, *window: Index) -> Any:
            def tap(*k: Index) -> Expr:
                return x[n, c, *self.places(window, k)]

            return nest.largest(self.kernel_shape, tap, lowest(x.dtype))

        nest.each(element)

    def _search_loops(self, nest: NestBuilder, x: Source) -> None:
        """Value and place of the first maximum; taps outside repeat one that is inside."""
        y, places = nest.outputs
        spatial = static_extents(x.shape[2:])
        axes = self.axes(spatial, self.kernel_shape)
        tables = [nest.table(_inside(axis)) for axis in axes]
        first_to_last = tuple(reversed(range(len(axes)))) if self.storage_order else None
        steps = strides_for(spatial, first_to_last)
        with nest.sweep(y.shape) as (n, c, *window):
            best = nest.local(lowest(x.dtype))
            where = nest.local(-1, "i32")
            with nest.loops(self.kernel_shape) as tap:
                at = zip(tables, window, tap, strict=True)
                place = [nest.index(table[o, k]) for table, o, k in at]
                value = nest.let(x[n, c, *place])
                offset = nest.as_number(dot(place, steps))
                nan = logical_and(not_equal(value, value), equal(best, best))
                better = logical_or(logical_or(greater(value, best), nan), less(where, 0))
                where.set(select(better, offset, where))
                best.set(select(better, value, best))
            y[n, c, *window] = best
            (channels,) = static_extents(x.shape[1:2])
            plane = nest.as_number(dot((n, c), (channels, 1)) * prod(spatial))
            places[n, c, *window] = where.var + plane


def _inside(axis: Axis) -> NDArray:
    """The element of each tap (windows, kernel); outside the axis, one of the window's others."""
    starts = np.arange(axis.count)[:, np.newaxis] * axis.stride - axis.before
    places = starts + np.arange(axis.kernel) * axis.dilation
    inside = (places >= 0) & (places < axis.extent)
    rows = np.arange(axis.count)
    return np.where(inside, places, places[rows, inside.argmax(axis=1)][:, np.newaxis])


@dataclasses.dataclass(frozen=True)
class MaxPoolGrad(_Pool):
    """The gradient of MaxPool, from `dy`, `x` and `y`; the first maximum of a window gets it."""

    domain: ClassVar[str] = OURS

    def infer(self, dy: Value, x: Value, y: Value) -> Sequence[TensorType]:
        return [TensorType(x.shape, x.dtype)]

    def evaluate(self, dy: NDArray, x: NDArray, y: NDArray) -> NDArray:
        axes = self.axes(x.shape[2:], self.kernel_shape)
        dx = np.zeros_like(x)
        waiting = np.ones(y.shape, bool)
        for tap in taps(axes):
            part, left = tap.read(dx), tap.of(waiting)
            hit = left & (tap.read(x) == tap.of(y))
            part += tap.of(dy) * hit
            left &= ~hit
        return dx

    def simplify(self, build: Builder, dy: Value, x: Value, y: Value) -> Sequence[Value] | None:
        return self.simpler(build, x.shape[2:], dy, x, y)

    def decompose(self, build: Builder, dy: Value, x: Value, y: Value) -> Value | None:
        plain, pads = self.unpadded(x.shape[2:])
        if plain is self:
            return None
        around = build.one(plain, dy, padded(build, x, pads, lowest_number(x.dtype)), y)
        return padded(build, around, tuple(-pad for pad in pads))

    def loops(self, nest: NestBuilder) -> None:
        dy, x, y = nest.operands
        spatial = static_extents(x.shape[2:])
        steps = strides_for(spatial)
        dx = nest.temporary((*x.shape[:2], prod(spatial)))
        with nest.loops(dx.shape, parallel=True) as at:
            dx[at] = 0.0
        with nest.loops(x.shape[:2], parallel=True) as (n, c), nest.loops(y.shape[2:]) as window:
            found = nest.local(-1, "i32")
            with nest.loops(self.kernel_shape) as tap:
                place = self.places(window, tap)
                hit = logical_and(equal(x[n, c, *place], y[n, c, *window]), less(found, 0))
                found.set(select(hit, nest.as_number(dot(place, steps)), found))
            where = nest.gather_index(maximum(found, 0), prod(spatial))
            dx[n, c, where] = dx[n, c, where] + select(less(found, 0), 0.0, dy[n, c, *window])
        nest.each(lambda n, c, *place: dx[n, c, dot(place, steps)])


@dataclasses.dataclass(frozen=True)
class _Averaging(_Pool):
    """The divisors of average pooling and its gradient."""

    count_include_pad: int = 0

    def divisors(self, axes: Sequence[Axis], dtype: Any) -> NDArray:
        """How many elements each window averages over: (*windows)."""
        counts = [_covered(axis, bool(self.count_include_pad)) for axis in axes]
        return np.asarray(reduce(np.multiply.outer, counts), dtype)

    def _factors(self, emitter: Emitter, axes: Sequence[Axis], y: NDArray) -> NDArray:
        """What sums are multiplied with: a number, or one a window."""
        factors = 1 / self.divisors(axes, y.dtype)
        if (factors == factors.flat[0]).all():
            return emitter.constant(factors.flat[0], y.dtype)
        return emitter.shared(factors.astype(y.dtype, copy=False))


def _covered(axis: Axis, with_pads: bool) -> NDArray:
    """How many elements (and pads) of an axis each window covers."""
    starts = np.arange(axis.count)[:, np.newaxis] * axis.stride - axis.before
    places = starts + np.arange(axis.kernel) * axis.dilation
    low, high = (-axis.before, axis.extent + axis.after) if with_pads else (0, axis.extent)
    inside: NDArray = ((places >= low) & (places < high)).sum(axis=1)
    return np.maximum(inside, 1)  # a window of nothing but padding sums up to 0


@dataclasses.dataclass(frozen=True)
class AveragePool(_Averaging):
    """The mean of each window; padding counts as zeros if `count_include_pad`, else not at all."""

    def infer(self, x: Value) -> Sequence[TensorType]:
        return [TensorType(self.pooled(x), x.dtype)]

    def evaluate(self, x: NDArray) -> NDArray:
        axes = self.axes(x.shape[2:], self.kernel_shape)
        y = np.zeros(x.shape[:2] + tuple(axis.count for axis in axes), x.dtype)
        for tap in taps(axes):
            part = tap.of(y)
            part += tap.read(x)
        return y / self.divisors(axes, x.dtype)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (x,), (y,) = inputs, outputs
        axes = self.axes(x.shape[2:], self.kernel_shape)
        fold_taps(emitter, np.add, axes, x, y, 0)
        emitter.ufunc(np.multiply, [y, self._factors(emitter, axes, y)], y)

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        return (AveragePoolGrad(**self.attributes, extents=x.shape[2:])(dy),)

    def simplify(self, build: Builder, x: Value) -> Sequence[Value] | None:
        return self.simpler(build, x.shape[2:], x)

    def decompose(self, build: Builder, x: Value) -> Value | None:
        """Zeros around x, and a correction where a window covers fewer elements."""
        plain, pads = self.unpadded(x.shape[2:])
        if plain is self:
            return None
        axes = self.axes(static_shape(x.shape[2:]), self.kernel_shape)
        correction = prod(self.kernel_shape) / self.divisors(axes, x.dtype)
        mean = build.one(plain, padded(build, x, pads))
        return build.one(Mul(), mean, build.constant(correction, x.dtype))

    def loops(self, nest: NestBuilder) -> None:
        (x,) = nest.operands

        def element(n: Index, c: Index, *window: Index) -> Any:
            total = nest.sum(self.kernel_shape, lambda *k: x[n, c, *self.places(window, k)])
            return total * (1 / prod(self.kernel_shape))

        nest.each(element)


@dataclasses.dataclass(frozen=True)
class AveragePoolGrad(_Averaging):
    """The adjoint of AveragePool on images of spatial `extents`."""

    extents: Shape = ()
    domain: ClassVar[str] = OURS

    def infer(self, dy: Value) -> Sequence[TensorType]:
        return [TensorType(dy.shape[:2] + self.extents, dy.dtype)]

    def evaluate(self, dy: NDArray) -> NDArray:
        extents = static_shape(self.extents)
        axes = self.axes(extents, self.kernel_shape, dy.shape[2:])
        dx = np.zeros(dy.shape[:2] + extents, dy.dtype)
        shares = dy / self.divisors(axes, dy.dtype)
        for tap in taps(axes):
            part = tap.read(dx)
            part += tap.of(shares)
        return dx

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (dy,), (dx,) = inputs, outputs
        axes = self.axes(dx.shape[2:], self.kernel_shape, dy.shape[2:])
        shares = emitter.temp_like(dy)
        emitter.ufunc(np.multiply, [dy, self._factors(emitter, axes, dy)], shares)
        emitter.fill(dx, 0)
        for tap in taps(axes):
            emitter.ufunc(np.add, [tap.read(dx), tap.of(shares)], tap.read(dx))

    def gradient(self, ddx: Any, dx: Any, dy: Any) -> Sequence[Any]:
        fields = self.attributes
        del fields["extents"]
        return (AveragePool(**fields)(ddx),)

    def simplify(self, build: Builder, dy: Value) -> Sequence[Value] | None:
        return self.simpler(build, self.extents, dy)

    def decompose(self, build: Builder, dy: Value) -> Value | None:
        """The adjoint of a convolution with ones, channel by channel."""
        extents, channels = static_shape(self.extents), static_shape(dy.shape[1:2])
        axes = self.axes(extents, self.kernel_shape, static_shape(dy.shape[2:]))
        shares = build.constant(1 / self.divisors(axes, dy.dtype), dy.dtype)
        ones = build.constant(np.ones((*channels, 1, *self.kernel_shape)), dy.dtype)
        plain = ConvInputGrad(
            kernel_shape=self.kernel_shape,
            strides=tuple(axis.stride for axis in axes),
            pads=(*(axis.before for axis in axes), *(axis.after for axis in axes)),
            dilations=tuple(axis.dilation for axis in axes),
            group=channels[0],
            extents=extents,
        )
        return build.one(plain, build.one(Mul(), dy, shares), ones)


# Functions ------------------------------------------------------------------------------


def _fields(
    x: Any,
    kernel_shape: int | Sequence[int],
    strides: int | Sequence[int],
    pads: int | Sequence[int],
    dilations: int | Sequence[int],
) -> dict[str, Any]:
    rank = len(x.shape) - 2
    return {
        "kernel_shape": of_rank(kernel_shape, rank, "kernel_shape"),
        "strides": of_rank(strides, rank, "strides"),
        "pads": of_rank(pads, 2 * rank, "pads"),
        "dilations": of_rank(dilations, rank, "dilations"),
    }


def max_pool(
    x: Any,
    kernel_shape: int | Sequence[int],
    *,
    strides: int | Sequence[int] = 1,
    pads: int | Sequence[int] = 0,
    dilations: int | Sequence[int] = 1,
    auto_pad: AutoPad = "NOTSET",
    ceil_mode: bool = False,
) -> Any:
    """The maximum of each window.

    Parameters
    ----------
    x : (batch, channels, *spatial).
    kernel_shape, strides, dilations : one number for all spatial axes, or one each.
    pads : one number for all sides, or the widths before each axis, then those behind.
    auto_pad : "SAME_UPPER" gives ceil(extent / stride) windows, the odd pad behind;
        "SAME_LOWER" has it before.
    ceil_mode : whether a last window may hang over the end.

    Returns
    -------
    (batch, channels, *windows).
    """
    fields = _fields(x, kernel_shape, strides, pads, dilations)
    return apply(MaxPool(**fields, auto_pad=auto_pad, ceil_mode=int(ceil_mode)), x)


def average_pool(
    x: Any,
    kernel_shape: int | Sequence[int],
    *,
    strides: int | Sequence[int] = 1,
    pads: int | Sequence[int] = 0,
    dilations: int | Sequence[int] = 1,
    auto_pad: AutoPad = "NOTSET",
    ceil_mode: bool = False,
    count_include_pad: bool = False,
) -> Any:
    """The mean of each window. Parameters are those of `max_pool`, and

    Parameters
    ----------
    count_include_pad : whether padding counts, as zeros.
    """
    fields = _fields(x, kernel_shape, strides, pads, dilations)
    op = AveragePool(
        **fields,
        auto_pad=auto_pad,
        ceil_mode=int(ceil_mode),
        count_include_pad=int(count_include_pad),
    )
    return apply(op, x)
