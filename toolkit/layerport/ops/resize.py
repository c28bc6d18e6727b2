"""Resizing by interpolation, and its adjoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np

from layerport.dim import Dim, Extent, Shape, same_shape, static_shape
from layerport.errors import ShapeError
from layerport.loops.functions import cast, greater, select
from layerport.loops.index import Index
from layerport.loops.ir import as_expr
from layerport.op import OURS, NDArray, Op, TensorType, apply
from layerport.ops.arrange import product_along
from layerport.ops.axes import normalize_axes

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.index import Size
    from layerport.loops.ir import Expr
    from layerport.loops.nest import NestBuilder
    from layerport.loops.sources import At, Source
    from layerport.numpy_engine.emit import Emitter

ResizeMode: TypeAlias = Literal["nearest", "linear", "cubic"]
CoordinateMode: TypeAlias = Literal[
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
]
NearestMode: TypeAlias = Literal["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


class AxisTable(NamedTuple):
    """How the elements of a resized axis come from those before.

    Element i is the sum over t of ``weights[i, t] * x[sources[i, t]]``, or the extrapolation
    value where `outside[i]`.
    """

    axis: int
    extent: int
    sources: NDArray
    weights: NDArray
    outside: NDArray

    @property
    def is_identity(self) -> bool:
        """Whether every element stays as it is."""
        if len(self.sources) != self.extent or self.outside.any():
            return False
        own = self.sources == np.arange(self.extent)[:, np.newaxis]
        return bool((np.where(own, self.weights, 0).sum(axis=1) == 1).all())

    def matrix(self, dtype: Any) -> NDArray:
        """The same as a matrix (elements after, elements before); zero rows outside."""
        made = np.zeros((len(self.sources), self.extent), dtype)
        rows = np.arange(len(self.sources))
        for source, weight in zip(self.sources.T, self.weights.T, strict=True):
            np.add.at(made, (rows, source), np.where(self.outside, 0, weight))
        return made

    @property
    def repeats(self) -> int | None:
        """How many times each element is repeated, if that is all that happens; else None."""
        times = len(self.sources) // self.extent
        plain = np.arange(len(self.sources)) // max(times, 1)
        simple = self.weights.shape[1] == 1 and times * self.extent == len(self.sources)
        simple = simple and not self.outside.any() and np.array_equal(self.sources[:, 0], plain)
        return times if simple else None


@dataclasses.dataclass(frozen=True)
class _Resizing(Op):
    """The fields of Resize and its gradient: ONNX's, operands included."""

    scales: tuple[float, ...] = ()
    sizes: Shape = ()
    roi: tuple[float, ...] = ()
    axes: tuple[int, ...] | None = None
    mode: ResizeMode = "nearest"
    coordinate_transformation_mode: CoordinateMode = "half_pixel"
    nearest_mode: NearestMode = "round_prefer_floor"
    cubic_coeff_a: float = -0.75
    exclude_outside: int = 0
    extrapolation_value: float = 0.0
    antialias: int = 0
    keep_aspect_ratio_policy: Literal["stretch", "not_larger", "not_smaller"] = "stretch"

    def resized_axes(self, rank: int) -> tuple[int, ...]:
        """The axes that scales and sizes are for."""
        axes = tuple(range(rank)) if self.axes is None else normalize_axes(self.axes, rank)
        if len(self.scales or self.sizes) != len(axes):
            raise ShapeError(f"{len(axes)} axes need as many scales or sizes")
        return axes

    def target(self, shape: Shape) -> Shape:
        """The shape after resizing."""
        axes = self.resized_axes(len(shape))
        found = list(shape)
        for place, axis in enumerate(axes):
            if self.scales:
                found[axis] = _scaled(shape[axis], self.scales[place])
            elif self.keep_aspect_ratio_policy == "stretch":
                found[axis] = self.sizes[place]
        if self.sizes and self.keep_aspect_ratio_policy != "stretch":
            extents = static_shape(tuple(shape[axis] for axis in axes))
            scale = self._common_scale(extents)
            for axis, extent in zip(axes, extents, strict=True):
                found[axis] = int(np.floor(scale * extent + 0.5))
        return tuple(found)

    def _common_scale(self, extents: Sequence[int]) -> float:
        ratios = [
            size / extent for size, extent in zip(static_shape(self.sizes), extents, strict=True)
        ]
        return min(ratios) if self.keep_aspect_ratio_policy == "not_larger" else max(ratios)

    def tables(self, shape: Sequence[int]) -> list[AxisTable]:
        """The axes that change, for an operand of this static shape."""
        target = static_shape(self.target(tuple(shape)))
        axes = self.resized_axes(len(shape))
        kept_ratio = self.sizes and self.keep_aspect_ratio_policy != "stretch"
        common = self._common_scale([shape[axis] for axis in axes]) if kept_ratio else None
        found = []
        for place, axis in enumerate(axes):
            scale = self.scales[place] if self.scales else target[axis] / shape[axis]
            table = self._table(place, axis, shape[axis], target[axis], common or scale)
            plain = np.array_equal(table.sources[:, 0], np.arange(shape[axis]))
            ones = table.weights.shape[1] == 1 or np.array_equal(
                table.weights[:, 0], table.weights.sum(axis=1)
            )
            if not (plain and ones) or table.outside.any():
                found.append(table)
        return found

    def static_tables(self, shape: Sequence[Size | Extent]) -> list[AxisTable]:
        """The axes that change; one whose extent is not known does not."""
        sizes = tuple(1 if isinstance(size, Dim) else size for size in self.sizes)
        fixed = dataclasses.replace(self, sizes=sizes)
        return fixed.tables([e if isinstance(e, int) else 1 for e in shape])

    def _table(self, place: int, axis: int, extent: int, size: int, scale: float) -> AxisTable:
        places = self._coordinates(place, extent, size, scale)
        outside = np.zeros(size, bool)
        if self.coordinate_transformation_mode == "tf_crop_and_resize":
            outside = (places < 0) | (places > extent - 1)
        if self.mode == "nearest":
            sources = np.clip(_ROUND[self.nearest_mode](places), 0, extent - 1)
            return AxisTable(
                axis, extent, sources.astype(np.int64)[:, None], np.ones((size, 1)), outside
            )
        base = np.floor(places)
        offsets, weights = self._weights(places - base, scale)
        sources = base[:, None].astype(np.int64) + offsets
        if self.exclude_outside:
            weights = np.where((sources < 0) | (sources >= extent), 0, weights)
            weights = weights / weights.sum(axis=1, keepdims=True)
        return AxisTable(axis, extent, np.clip(sources, 0, extent - 1), weights, outside)

    def _weights(self, ratio: NDArray, scale: float) -> tuple[NDArray, NDArray]:
        """Offsets (taps,) from the element before, and weights (elements, taps)."""
        kernel: Callable[[NDArray], NDArray]
        if self.mode == "linear":
            reach, kernel = 1, lambda x: np.maximum(1 - np.abs(x), 0)
        else:
            reach, kernel = 2, self._cubic
        # Where the image shrinks, an antialiasing filter is as much wider.
        shrink = min(scale, 1.0) if self.antialias else 1.0
        first = int(np.floor(-reach / shrink)) + 1
        offsets = np.arange(first, 2 - first)
        weights = kernel((offsets - ratio[:, None]) * shrink)
        return offsets, weights / weights.sum(axis=1, keepdims=True)

    def _cubic(self, x: NDArray) -> NDArray:
        """Keys's convolution kernel ("Cubic convolution interpolation", 1981)."""
        a, x = self.cubic_coeff_a, np.abs(x)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0))

    def _coordinates(self, place: int, extent: int, size: int, scale: float) -> NDArray:
        """Where the elements of the resized axis lie on the axis before."""
        x = np.arange(size, dtype=np.float64)
        match self.coordinate_transformation_mode:
            case "asymmetric":
                return x / scale
            case "align_corners":
                # ONNX's own cases count with the extent before it is rounded down.
                return x * (extent - 1) / (extent * scale - 1) if size > 1 else x * 0
            case "pytorch_half_pixel" if size == 1:
                return x * 0
            case "half_pixel_symmetric":
                centre = extent / 2 * (1 - size / (extent * scale))
                return centre + (x + 0.5) / scale - 0.5
            case "tf_crop_and_resize":
                start, end = self.roi[place], self.roi[place + len(self.roi) // 2]
                if size == 1:
                    return x + 0.5 * (start + end) * (extent - 1)
                return start * (extent - 1) + x * (end - start) * (extent - 1) / (size - 1)
        return (x + 0.5) / scale - 0.5

    def repeats(self) -> tuple[int, ...] | None:
        """How often each element is repeated along each resized axis, if it is as simple."""
        whole = bool(self.scales) and all(
            scale >= 1 and scale == int(scale) for scale in self.scales
        )
        rounding = (self.coordinate_transformation_mode, self.nearest_mode)
        plain = rounding == ("asymmetric", "floor") or (
            rounding[0] == "half_pixel" and rounding[1].startswith("round")
        )
        if self.mode != "nearest" or not whole or not plain:
            return None
        return tuple(int(scale) for scale in self.scales)


_ROUND: Mapping[str, Callable[[NDArray], NDArray]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _scaled(extent: Extent, scale: float) -> Extent:
    if isinstance(extent, Dim):
        # The fraction that was meant, where a float32 stands for one such as 1/3.
        ratio = Fraction(scale).limit_denominator(1024)
        return extent * ratio.numerator // ratio.denominator
    return int(np.floor(np.float32(extent) * np.float32(scale)))


@dataclasses.dataclass(frozen=True)
class Resize(_Resizing):
    """Resize by `scales`, or to `sizes`, one for each of `axes`."""

    static: ClassVar[Mapping[int, str]] = {1: "roi", 2: "scales", 3: "sizes"}

    def infer(self, x: Value) -> Sequence[TensorType]:
        return [TensorType(self.target(x.shape), x.dtype)]

    def evaluate(self, x: NDArray) -> NDArray:
        dtype, tables = x.dtype, self.tables(x.shape)
        if self.mode != "nearest" and dtype.kind != "f":
            x = x.astype(np.float32)
        for table in tables:
            x = _interpolated(x, table)
        for table in tables:
            if table.outside.any():
                x[(slice(None),) * table.axis + (table.outside,)] = self.extrapolation_value
        return x.astype(dtype) if tables else x.copy()

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (x,), (y,) = inputs, outputs
        times = {table.axis: table.repeats for table in self.static_tables(x.shape)}
        if None in times.values():
            super().emit(emitter, inputs, outputs)
            return
        # One axis for the elements, and one along which they are repeated.
        pairs = [(extent, times.get(axis) or 1) for axis, extent in enumerate(x.shape)]
        apart = emitter.reshaped(y, [extent for pair in pairs for extent in pair])
        if apart is None:
            super().emit(emitter, inputs, outputs)
        else:
            emitter.copy(apart, np.expand_dims(x, tuple(range(1, 2 * x.ndim, 2))))

    def gradient(self, dy: Any, y: Any, x: Any) -> Sequence[Any]:
        repeats = self.repeats()
        if repeats is None:
            return (ResizeGrad(**self.attributes, shape=x.shape)(dy),)
        apart: list[Extent] = list(x.shape)
        axes = self.resized_axes(len(x.shape))
        for axis, times in sorted(zip(axes, repeats, strict=True), reverse=True):
            apart.insert(axis + 1, times)
        ordered = sorted(axes)
        summed = tuple(axis + place + 1 for place, axis in enumerate(ordered))
        return (dy.reshape(tuple(apart)).sum(axis=summed),)

    def simplify(self, build: Builder, x: Value) -> Value | None:
        plain = self.coordinate_transformation_mode != "tf_crop_and_resize"
        unscaled = plain and all(scale == 1 for scale in self.scales)
        return x if unscaled and same_shape(self.target(x.shape), x.shape) else None

    def loops(self, nest: NestBuilder) -> None:
        x, y = nest.operands[0], nest.outputs[0]
        tables = {table.axis: table for table in self.static_tables(x.shape)}
        repeated = {axis for axis, table in tables.items() if table.repeats is not None}
        taps = {axis: _Taps(nest, tables[axis]) for axis in tables if axis not in repeated}

        def element(*at: Index) -> Any:
            places = list(at)  # a repeated axis comes as the pair (place, which repeat)
            for axis in sorted(repeated):
                del places[axis + 1]

            def term(*k: Index) -> Expr:
                return _tapped(x, places, dict(zip(taps, k, strict=True)), taps)

            value: Any = nest.sum([tap.count for tap in taps.values()], term) if taps else term()
            for axis, tap in taps.items():
                if tap.outside is not None:
                    outside = greater(tap.outside[places[axis]], 0)
                    value = select(outside, self.extrapolation_value, value)
            return cast(value, y.dtype)

        nest.each(element, split={axis: tables[axis].extent for axis in sorted(repeated)})


class _Taps:
    """The elements before that an axis of the result is made of, in loops."""

    def __init__(self, nest: NestBuilder, table: AxisTable) -> None:
        self.count = table.sources.shape[1]
        self.sources = nest.table(table.sources)
        self.weights = nest.table(table.weights.astype(np.float32))
        marks = table.outside.astype(np.float32)
        self.outside = nest.table(marks) if marks.any() else None


def _tapped(
    x: Source, places: Sequence[Index], k: Mapping[int, Index], taps: Mapping[int, _Taps]
) -> Expr:
    """One term of an interpolation along several axes."""
    index: list[At] = list(places)
    weight: Expr = as_expr(1.0)
    for axis, tap in taps.items():
        index[axis] = tap.sources[places[axis], k[axis]]
        weight = weight * tap.weights[places[axis], k[axis]]
    return cast(x[tuple(index)], "f32") * weight


def _interpolated(x: NDArray, table: AxisTable) -> NDArray:
    if table.weights.shape[1] == 1:
        return np.take(x, table.sources[:, 0], axis=table.axis)
    tail = (1,) * (x.ndim - 1 - table.axis)
    weights = table.weights.astype(x.dtype)
    y = None
    for source, weight in zip(table.sources.T, weights.T, strict=True):
        part = np.take(x, source, axis=table.axis) * weight.reshape(-1, *tail)
        y = part if y is None else y + part
    return np.asarray(y)


@dataclasses.dataclass(frozen=True)
class ResizeGrad(_Resizing):
    """The adjoint of Resize on a tensor of `shape`."""

    shape: Shape = ()
    domain: ClassVar[str] = OURS

    def infer(self, dy: Value) -> Sequence[TensorType]:
        return [TensorType(self.shape, dy.dtype)]

    def evaluate(self, dy: NDArray) -> NDArray:
        dx = dy
        for table in self.tables(static_shape(self.shape)):
            summed = np.tensordot(dx, table.matrix(dy.dtype), axes=(table.axis, 0))
            dx = np.moveaxis(summed, -1, table.axis)
        return np.array(dx)

    def gradient(self, ddx: Any, dx: Any, dy: Any) -> Sequence[Any]:
        fields = self.attributes
        del fields["shape"]
        # What is extrapolated does not depend on x.
        return (Resize(**{**fields, "extrapolation_value": 0.0})(ddx),)

    def decompose(self, build: Builder, dy: Value) -> Value | None:
        dx = dy
        for table in self.static_tables(self.shape):
            dx = product_along(build, dx, table.axis, table.matrix(dy.dtype))
        return dx


def resize(
    x: Any,
    *,
    scales: Sequence[float] = (),
    sizes: Sequence[Extent] = (),
    axes: Sequence[int] | None = None,
    mode: ResizeMode = "nearest",
    coordinate_transformation_mode: CoordinateMode = "half_pixel",
    nearest_mode: NearestMode = "round_prefer_floor",
    antialias: bool = False,
) -> Any:
    """Resize by interpolation.

    Parameters
    ----------
    x : a Tensor or array.
    scales, sizes : one of them: a factor, or the extent wanted, for each of `axes`.
    axes : those that are resized; None for all.
    mode : "nearest", "linear" (also bilinear...) or "cubic".
    coordinate_transformation_mode, nearest_mode, antialias : as for ONNX's Resize.
    """
    if bool(scales) == bool(sizes):
        raise ShapeError("resize needs either scales or sizes")
    op = Resize(
        scales=tuple(scales),
        sizes=tuple(sizes),
        axes=None if axes is None else tuple(axes),
        mode=mode,
        coordinate_transformation_mode=coordinate_transformation_mode,
        nearest_mode=nearest_mode,
        antialias=int(antialias),
    )
    return apply(op, x)
