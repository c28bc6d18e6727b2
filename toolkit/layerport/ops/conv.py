"""Convolution, transposed convolution, and the two gradients of convolution.

Layout is ONNX's: batch, channels, spatial axes; weights are output channels, input channels of a
group, kernel axes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from layerport.dim import Dim, Extent, Shape, is_extent, is_static, same_extent, static_shape
from layerport.errors import ShapeError, UnsupportedError
from layerport.loops.views import static_extents
from layerport.op import OURS, NDArray, TensorType, apply
from layerport.ops.arrange import Pad
from layerport.ops.base import common_dtype
from layerport.ops.conv_kernels import correlate, correlate_windows, scatter
from layerport.ops.indexing import Slice, SliceGrad
from layerport.ops.shape import Reshape, Transpose
from layerport.ops.windows import AutoPad, Axis, Windowed, halves, of_rank, reaches

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.index import Index
    from layerport.loops.nest import NestBuilder


def _check_operands(x: Value, w: Value, b: Value | None, channels: Extent) -> None:
    """What convolution and its transpose ask of ranks, dtypes and the bias."""
    if x.ndim < 3 or w.ndim != x.ndim:
        raise ShapeError(
            f"{x.shape} and weights {w.shape} need batch, channels and the same spatial axes"
        )
    common_dtype(x, w, *([] if b is None else [b]))
    if b is not None and not (b.ndim == 1 and same_extent(b.shape[0], channels)):
        raise ShapeError(f"the bias {b.shape} does not fit {channels} output channels")


def _check_kernel(op: Windowed, kernel: Shape) -> tuple[int, ...]:
    if op.kernel_shape and op.kernel_shape != static_shape(kernel):
        raise ShapeError(f"kernel_shape is {op.kernel_shape}, the weights have {kernel}")
    return static_shape(kernel)


def _with_bias(y: NDArray, b: NDArray | None) -> NDArray:
    if b is not None:
        y += b.reshape(-1, *(1,) * (y.ndim - 2))
    return y


def _bias_gradient(dy: Any) -> Any:
    return dy.sum(axis=(0, *range(2, len(dy.shape))))


@dataclasses.dataclass(frozen=True)
class _Convolving(Windowed):
    """What convolution and its gradients have in common."""

    group: int = 1

    def like(self, kernel: Shape) -> dict[str, Any]:
        """The attributes for the other operators of the same convolution."""
        fields = dataclasses.fields(_Convolving)
        made = {field.name: getattr(self, field.name) for field in fields}
        return {**made, "kernel_shape": static_shape(kernel)}

    def simpler(
        self, build: Builder, extents: Shape, kernel: Shape, *inputs: Value | None
    ) -> Value | None:
        """The operator with all attributes written out, where they are not yet."""
        full = self.explicit(extents, static_shape(kernel))
        return None if full == self else build.one(full, *inputs)


@dataclasses.dataclass(frozen=True)
class Conv(_Convolving):
    """Convolution of `x` with `w`, plus `b` for each output channel."""

    def infer(self, x: Value, w: Value, b: Value | None = None) -> Sequence[TensorType]:
        _check_operands(x, w, b, w.shape[0])
        outputs, inputs = w.shape[:2]
        if not same_extent(x.shape[1], inputs * self.group):
            raise ShapeError(
                f"{x.shape} has {x.shape[1]} channels, the weights {w.shape} "
                f"in {self.group} groups take {inputs * self.group}"
            )
        if not is_extent(outputs % self.group, 0):
            raise ShapeError(f"{outputs} output channels do not make {self.group} groups")
        counts = self.counts(x.shape[2:], _check_kernel(self, w.shape[2:]))
        return [TensorType((x.shape[0], outputs, *counts), x.dtype)]

    def evaluate(self, x: NDArray, w: NDArray, b: NDArray | None = None) -> NDArray:
        axes = self.axes(x.shape[2:], w.shape[2:])
        return _with_bias(correlate(x, w, axes, self.group), b)

    def channel_axis(self, position: int, rank: int) -> int | None:
        return 0 if position == 1 else None

    def gradient(self, dy: Any, y: Any, x: Any, w: Any, b: Any = None) -> Sequence[Any]:
        fields = self.like(w.shape[2:])
        dx = ConvInputGrad(**fields, extents=x.shape[2:])(dy, w)
        dw = ConvWeightGrad(**fields)(x, dy)
        return (dx, dw) if b is None else (dx, dw, _bias_gradient(dy))

    def simplify(self, build: Builder, x: Value, w: Value, b: Value | None = None) -> Value | None:
        return self.simpler(build, x.shape[2:], w.shape[2:], x, w, *([] if b is None else [b]))

    def decompose(self, build: Builder, x: Value, w: Value, b: Value | None = None) -> Value | None:
        if not any(self.pads):
            return None
        plain = dataclasses.replace(self, pads=())
        return build.one(plain, padded(build, x, self.pads), w, *([] if b is None else [b]))

    def loops(self, nest: NestBuilder) -> None:
        x, w = nest.operands[:2]
        b = nest.optional(2)
        outputs, inputs = static_extents(w.shape[:2])
        filters = outputs // self.group

        def element(n: Index, g: Index, m: Index, *window: Index) -> Any:
            output = g * filters + m
            total = nest.local(b[output] if b else 0.0)
            with nest.loops(w.shape[1:]) as (c, *tap):
                place = self.places(window, tap)
                total += x[n, g * inputs + c, *place] * w[output, c, *tap]
            return total

        nest.each(element, split={1: self.group})


@dataclasses.dataclass(frozen=True)
class ConvWeightGrad(_Convolving):
    """The gradient of a convolution in its weights, from `x` and `dy`."""

    domain: ClassVar[str] = OURS

    def infer(self, x: Value, dy: Value) -> Sequence[TensorType]:
        return [TensorType((dy.shape[1], x.shape[1] // self.group, *self.kernel_shape), x.dtype)]

    def evaluate(self, x: NDArray, dy: NDArray) -> NDArray:
        axes = self.axes(x.shape[2:], self.kernel_shape, dy.shape[2:])
        return correlate_windows(x, dy, axes, self.group)

    def gradient(self, ddw: Any, dw: Any, x: Any, dy: Any) -> Sequence[Any]:
        fields = self.like(self.kernel_shape)
        dx = ConvInputGrad(**fields, extents=x.shape[2:])(dy, ddw)
        return dx, _cropped(Conv(**fields)(x, ddw), dy.shape)

    def simplify(self, build: Builder, x: Value, dy: Value) -> Value | None:
        return self.simpler(build, x.shape[2:], self.kernel_shape, x, dy)

    def decompose(self, build: Builder, x: Value, dy: Value) -> Value | None:
        """Pad x so that the windows of dy just fit."""
        axes = self.axes(static_shape(x.shape[2:]), self.kernel_shape, static_shape(dy.shape[2:]))
        pads = (*(axis.before for axis in axes), *(axis.lacking for axis in axes))
        if not any(pads):
            return None
        return build.one(dataclasses.replace(self, pads=()), padded(build, x, pads), dy)

    def loops(self, nest: NestBuilder) -> None:
        x, dy = nest.operands
        channels, outputs = static_extents((x.shape[1], dy.shape[1]))
        inputs, filters = channels // self.group, outputs // self.group

        def element(g: Index, m: Index, c: Index, *tap: Index) -> Any:
            total = nest.local(0.0)
            with nest.loops((x.shape[0], *dy.shape[2:])) as (n, *window):
                place = self.places(window, tap)
                total += x[n, g * inputs + c, *place] * dy[n, g * filters + m, *window]
            return total

        nest.each(element, split={0: self.group})


@dataclasses.dataclass(frozen=True)
class ConvInputGrad(_Convolving):
    """The gradient of a convolution in its input of spatial `extents`, from `dy` and `w`.

    It is a transposed convolution with its result's extents stated.
    """

    extents: Shape = ()
    domain: ClassVar[str] = OURS

    def infer(self, dy: Value, w: Value) -> Sequence[TensorType]:
        return [TensorType((dy.shape[0], w.shape[1] * self.group, *self.extents), dy.dtype)]

    def evaluate(self, dy: NDArray, w: NDArray) -> NDArray:
        axes = self.axes(static_shape(self.extents), w.shape[2:], dy.shape[2:])
        return scatter(dy, w, axes, self.group)

    def gradient(self, ddx: Any, dx: Any, dy: Any, w: Any) -> Sequence[Any]:
        fields = self.like(w.shape[2:])
        return _cropped(Conv(**fields)(ddx, w), dy.shape), ConvWeightGrad(**fields)(ddx, dy)

    def simplify(self, build: Builder, dy: Value, w: Value) -> Value | None:
        return self.simpler(build, self.extents, w.shape[2:], dy, w)

    def decompose(self, build: Builder, dy: Value, w: Value) -> Value | None:
        return transposed_as_convolution(build, self, dy, w, static_shape(self.extents))


def _cropped(x: Any, shape: Shape) -> Any:
    """The leading part of the spatial axes: windows that the other operand has no place for."""
    axes = tuple(a for a in range(2, len(shape)) if not same_extent(x.shape[a], shape[a]))
    if not axes:
        return x
    return Slice((0,) * len(axes), tuple(shape[axis] for axis in axes), axes)(x)


@dataclasses.dataclass(frozen=True)
class ConvTranspose(_Convolving):
    """Transposed convolution; weights are input channels, output channels of a group, kernel.

    Its result has the extents ``stride * (extent - 1) + reach - pads + output_padding``, or
    `output_shape` (spatial axes only), or ``stride * extent`` with `auto_pad` SAME; the last two
    decide the pads.
    """

    output_padding: tuple[int, ...] = ()
    output_shape: Shape = ()

    def infer(self, x: Value, w: Value, b: Value | None = None) -> Sequence[TensorType]:
        channels = w.shape[1] * self.group
        _check_operands(x, w, b, channels)
        if not same_extent(x.shape[1], w.shape[0]):
            raise ShapeError(f"{x.shape} does not fit weights for {w.shape[0]} channels")
        extents = self.results(x.shape[2:], _check_kernel(self, w.shape[2:]))
        return [TensorType((x.shape[0], channels, *extents), x.dtype)]

    def results(self, extents: Shape, kernel: Sequence[int]) -> Shape:
        """The spatial extents of the result."""
        full = self._filled(kernel)
        rank = len(kernel)
        if self.output_shape:
            if len(self.output_shape) != rank:
                raise ShapeError(f"output_shape {self.output_shape} is not of {rank} spatial axes")
            return self.output_shape
        if self.auto_pad.startswith("SAME"):
            return tuple(e * stride for e, stride in zip(extents, full.strides, strict=True))
        pads = full.pads
        whole = full._unpadded(extents)
        found = tuple(whole[a] - pads[a] - pads[a + rank] for a in range(rank))
        if any(not isinstance(extent, Dim) and extent < 1 for extent in found):
            raise ShapeError(f"the pads {pads} leave nothing of {whole} elements")
        return found

    def _filled(self, kernel: Sequence[int]) -> ConvTranspose:
        rank = len(kernel)
        return dataclasses.replace(
            self,
            kernel_shape=tuple(kernel),
            strides=of_rank(self.strides or (1,), rank, "strides"),
            dilations=of_rank(self.dilations or (1,), rank, "dilations"),
            pads=of_rank(self.pads or (0,), 2 * rank, "pads"),
            output_padding=of_rank(self.output_padding or (0,), rank, "output_padding"),
        )

    def _unpadded(self, extents: Shape) -> Shape:
        """The spatial extents of the result without pads."""
        spans = reaches(self.kernel_shape, self.dilations)
        return tuple(
            stride * (extent - 1) + reach + extra
            for extent, stride, reach, extra in zip(
                extents, self.strides, spans, self.output_padding, strict=True
            )
        )

    def explicit(self, extents: Shape, kernel: Sequence[int]) -> ConvTranspose:
        """With attributes written out for an operand of these spatial extents.

        Neither `auto_pad` nor `output_shape` is left, unless pads depend on a symbolic extent.
        """
        full = self._filled(kernel)
        if self.auto_pad == "NOTSET" and not self.output_shape:
            return full
        wanted = self.results(extents, kernel)
        if self.auto_pad == "VALID" and not self.output_shape:
            return dataclasses.replace(full, auto_pad="NOTSET", pads=(0,) * 2 * len(kernel))
        whole = full._unpadded(extents)
        totals = tuple(w - extent for w, extent in zip(whole, wanted, strict=True))
        if not is_static(totals):
            return full
        # Where more is wanted than there is, the rest at the end is output padding.
        excess = static_shape(totals)
        order = "SAME_UPPER" if self.auto_pad == "SAME_UPPER" else "SAME_LOWER"
        return dataclasses.replace(
            full,
            auto_pad="NOTSET",
            output_shape=(),
            pads=halves([max(total, 0) for total in excess], order),
            output_padding=tuple(
                extra - min(total, 0)
                for extra, total in zip(full.output_padding, excess, strict=True)
            ),
        )

    def result_axes(self, extents: Sequence[int], kernel: Sequence[int]) -> tuple[Axis, ...]:
        """The windows on the result: one for each element of the operand."""
        full = self.explicit(tuple(extents), kernel)
        rank = len(kernel)
        return tuple(
            map(
                Axis,
                static_shape(full.results(tuple(extents), kernel)),
                kernel,
                full.strides,
                full.dilations,
                full.pads[:rank],
                full.pads[rank:],
                extents,
            )
        )

    def channel_axis(self, position: int, rank: int) -> int | None:
        return 1 if position == 1 else None

    def evaluate(self, x: NDArray, w: NDArray, b: NDArray | None = None) -> NDArray:
        axes = self.result_axes(x.shape[2:], w.shape[2:])
        return _with_bias(scatter(x, w, axes, self.group), b)

    def gradient(self, dy: Any, y: Any, x: Any, w: Any, b: Any = None) -> Sequence[Any]:
        full = self.explicit(x.shape[2:], static_shape(w.shape[2:]))
        if full.output_shape or full.auto_pad != "NOTSET":
            raise UnsupportedError(
                f"the pads of {self} depend on the extents {x.shape[2:]}",
                hint="state the spatial extents of the input, or give pads",
            )
        fields = full.like(w.shape[2:])
        dx = _cropped(Conv(**fields)(dy, w), x.shape)
        dw = ConvWeightGrad(**fields)(dy, x)
        return (dx, dw) if b is None else (dx, dw, _bias_gradient(dy))

    def simplify(self, build: Builder, x: Value, w: Value, b: Value | None = None) -> Value | None:
        return self.simpler(build, x.shape[2:], w.shape[2:], x, w, *([] if b is None else [b]))

    def decompose(self, build: Builder, x: Value, w: Value, b: Value | None = None) -> Value | None:
        extents = static_shape(self.results(x.shape[2:], static_shape(w.shape[2:])))
        return transposed_as_convolution(build, self, x, w, extents, b)


# As simpler operators -------------------------------------------------------------------


def padded(build: Builder, x: Value, pads: Sequence[int], fill: Any = 0) -> Value:
    """`x` with its spatial axes surrounded by a number; negative widths crop."""
    rank = x.ndim - 2
    widths = (0, 0, *pads[:rank], 0, 0, *pads[rank:])
    return build.one(Pad(widths), x, build.constant(fill, x.dtype))


def transposed_as_convolution(
    build: Builder,
    op: _Convolving,
    x: Value,
    w: Value,
    extents: Sequence[int],
    b: Value | None = None,
) -> Value:
    """A transposed convolution with a result of these extents, as a plain one.

    Zeros go between the elements of x where the stride is above 1, and around it; the kernel is
    turned around, and its input and output channels trade places.
    """
    kernel, before = static_shape(w.shape[2:]), op.pads[: len(extents)]
    spans = reaches(kernel, op.dilations)
    spread = _spread_apart(build, x, op.strides)
    first = [reach - 1 - pad for reach, pad in zip(spans, before, strict=True)]
    inner = static_shape(spread.shape[2:])
    last = [e + r - 1 - f - i for e, r, f, i in zip(extents, spans, first, inner, strict=True)]
    plain = Conv(dilations=op.dilations, group=op.group)
    weights = _turned(build, w, op.group)
    around = padded(build, spread, (*first, *last))
    return build.one(plain, around, weights, *([] if b is None else [b]))


def _spread_apart(build: Builder, x: Value, strides: Sequence[int]) -> Value:
    """`x` with its elements `strides` apart along the spatial axes, zeros between them."""
    if all(stride == 1 for stride in strides):
        return x
    rank = len(strides)
    ends = tuple((e - 1) * s + 1 for e, s in zip(x.shape[2:], strides, strict=True))
    axes = tuple(range(2, 2 + rank))
    shape = (*x.shape[:2], *ends)
    return build.one(SliceGrad((0,) * rank, ends, axes, tuple(strides), shape), x)


def _turned(build: Builder, w: Value, group: int) -> Value:
    """Weights of a transposed convolution as those of a plain one."""
    inputs, outputs, *kernel = static_shape(w.shape)
    rank = len(kernel)
    grouped = build.one(Reshape((group, inputs // group, outputs, *kernel)), w)
    swapped = build.one(Transpose((0, 2, 1, *range(3, 3 + rank))), grouped)
    whole = build.one(Reshape((group * outputs, inputs // group, *kernel)), swapped)
    starts, axes = tuple(k - 1 for k in kernel), tuple(range(2, 2 + rank))
    return build.one(Slice(starts, (-(2**31),) * rank, axes, (-1,) * rank), whole)


# Functions ------------------------------------------------------------------------------


def conv(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    strides: int | Sequence[int] = 1,
    pads: int | Sequence[int] = 0,
    dilations: int | Sequence[int] = 1,
    group: int = 1,
    auto_pad: AutoPad = "NOTSET",
) -> Any:
    """Convolution in one, two, three or more spatial dimensions.

    Parameters
    ----------
    x : (batch, channels, *spatial).
    w : (filters, channels / group, *kernel).
    b : (filters,), or None.
    strides, dilations : one number for all spatial axes, or one each.
    pads : one number for all sides, or the widths before each axis, then those behind.
    group : in how many groups the channels are handled apart from one another.
    auto_pad : "SAME_UPPER" gives ceil(extent / stride) windows, the odd zero behind;
        "SAME_LOWER" has it before.

    Returns
    -------
    (batch, filters, *windows).
    """
    rank = len(x.shape) - 2
    op = Conv(
        strides=of_rank(strides, rank, "strides"),
        pads=of_rank(pads, 2 * rank, "pads"),
        dilations=of_rank(dilations, rank, "dilations"),
        group=group,
        auto_pad=auto_pad,
    )
    return apply(op, x, w, b) if b is not None else apply(op, x, w)


def conv_transpose(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    strides: int | Sequence[int] = 1,
    pads: int | Sequence[int] = 0,
    dilations: int | Sequence[int] = 1,
    group: int = 1,
    auto_pad: AutoPad = "NOTSET",
    output_padding: int | Sequence[int] = 0,
    output_shape: Sequence[Extent] = (),
) -> Any:
    """Transposed convolution: the adjoint of `conv`.

    Parameters
    ----------
    x : (batch, channels, *spatial).
    w : (channels, filters / group, *kernel).
    b : (filters,), or None.
    output_padding : elements added behind each spatial axis of the result.
    output_shape : the spatial extents of the result; the pads follow from them.

    The rest is as for `conv`, and pads are taken away from the result.

    Returns
    -------
    (batch, filters, *spatial).
    """
    rank = len(x.shape) - 2
    op = ConvTranspose(
        strides=of_rank(strides, rank, "strides"),
        pads=of_rank(pads, 2 * rank, "pads"),
        dilations=of_rank(dilations, rank, "dilations"),
        group=group,
        auto_pad=auto_pad,
        output_padding=of_rank(output_padding, rank, "output_padding"),
        output_shape=tuple(output_shape),
    )
    return apply(op, x, w, b) if b is not None else apply(op, x, w)
