"""Windows over images as operators of the engine: their elements as rows, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.lib.stride_tricks import as_strided

from layerport.dim import static_shape
from layerport.op import OURS, NDArray, Op, TensorType
from layerport.ops.conv import padded
from layerport.ops.shape import Reshape, Transpose
from layerport.ops.windows import Axis

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.numpy_engine.emit import Emitter

FEW_CHANNELS = 4
"""Up to so many channels, the places of the kernel are outermost in memory, not the windows."""


@dataclasses.dataclass(frozen=True)
class Windows(Op):
    """The geometry of windows over (batch, channels, *spatial) that all lie inside."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    counts: tuple[int, ...]
    domain: ClassVar[str] = OURS

    @staticmethod
    def fields(axes: Sequence[Axis]) -> dict[str, tuple[int, ...]]:
        """The attributes for these windows."""
        return {
            "kernel": tuple(axis.kernel for axis in axes),
            "strides": tuple(axis.stride for axis in axes),
            "dilations": tuple(axis.dilation for axis in axes),
            "counts": tuple(axis.count for axis in axes),
        }

    def of(self, x: NDArray) -> NDArray:
        """What the windows read, as a view: (batch, *counts, *kernel, channels)."""
        spatial = x.strides[2:]
        across = tuple(s * step for s, step in zip(spatial, self.strides, strict=True))
        inside = tuple(s * step for s, step in zip(spatial, self.dilations, strict=True))
        return as_strided(
            x,
            (x.shape[0], *self.counts, *self.kernel, x.shape[1]),
            (x.strides[0], *across, *inside, x.strides[1]),
        )


@dataclasses.dataclass(frozen=True)
class Im2Col(Windows):
    """One row a window: the places of the kernel, and innermost the channels."""

    def infer(self, x: Value) -> Sequence[TensorType]:
        batch, channels = static_shape(x.shape[:2])
        shape = (batch * prod(self.counts), prod(self.kernel) * channels)
        return [TensorType(shape, x.dtype)]

    def evaluate(self, x: NDArray) -> NDArray:
        rows = x.shape[0] * prod(self.counts)
        return self.of(x).reshape(rows, prod(self.kernel) * x.shape[1]).copy()

    def memory_order(
        self, inputs: Sequence[NDArray | None], shape: tuple[int, ...]
    ) -> tuple[int, ...]:
        (x,) = inputs
        return (1, 0) if x is not None and x.shape[1] <= FEW_CHANNELS else (0, 1)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        windows = self.of(inputs[0])
        (rows,) = outputs
        split = 1 + len(self.counts)
        if rows.flags.c_contiguous:
            emitter.copy(rows.reshape(windows.shape), windows)
        else:
            order = (*range(split, windows.ndim), *range(split))
            turned = windows.transpose(order)
            emitter.copy(rows.T.reshape(turned.shape), turned)


@dataclasses.dataclass(frozen=True)
class Col2Im(Windows):
    """The adjoint of Im2Col, from (places of the kernel, rows, channels).

    Parameters
    ----------
    extents : the spatial extents of the result.
    """

    extents: tuple[int, ...]

    def infer(self, columns: Value) -> Sequence[TensorType]:
        _, rows, channels = static_shape(columns.shape)
        shape = (rows // prod(self.counts), channels, *self.extents)
        return [TensorType(shape, columns.dtype)]

    def memory_order(
        self, inputs: Sequence[NDArray | None], shape: tuple[int, ...]
    ) -> tuple[int, ...]:
        return (0, *range(2, len(shape)), 1)

    def evaluate(self, columns: NDArray) -> NDArray:
        rows, channels = columns.shape[1:]
        image = np.zeros((rows // prod(self.counts), channels, *self.extents), columns.dtype)
        for part, column in self._pairs(image, columns):
            part += column
        return image

    def _pairs(self, image: NDArray, columns: NDArray) -> list[tuple[NDArray, NDArray]]:
        """For each place of the kernel, where it is added to, and what."""
        windows = self.of(image)
        places = columns.reshape(*self.kernel, image.shape[0], *self.counts, image.shape[1])
        inside = (slice(None),) * (1 + len(self.counts))
        return [(windows[(*inside, *place)], places[place]) for place in np.ndindex(self.kernel)]

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        (columns,), (image,) = inputs, outputs
        pairs = self._pairs(image, columns)
        apart = self._are_apart()
        if not apart or len(pairs) * pairs[0][0].size < image.size:
            emitter.fill(image, 0)
        for part, column in pairs:
            if apart:
                emitter.copy(part, column)
            else:
                emitter.ufunc(np.add, [part, column], part)

    def _are_apart(self) -> bool:
        """Whether no element is read by two windows."""
        steps = zip(self.kernel, self.strides, self.dilations, strict=True)
        return all(k == 1 or (stride >= k and dilation == 1) for k, stride, dilation in steps)


# Building -------------------------------------------------------------------------------


def fitted(build: Builder, x: Value, axes: Sequence[Axis]) -> Value:
    """The images with zeros around them, so that all windows lie inside."""
    pads = (*(axis.before for axis in axes), *(max(axis.lacking, 0) for axis in axes))
    return padded(build, x, pads)


def padded_extents(axes: Sequence[Axis]) -> tuple[int, ...]:
    """The spatial extents of `fitted` images."""
    return tuple(axis.extent + axis.before + max(axis.lacking, 0) for axis in axes)


def as_rows(build: Builder, x: Value) -> Value:
    """(batch, channels, *spatial) as one row of channels an element."""
    inner = build.one(Transpose((0, *range(2, x.ndim), 1)), x)
    rows = prod(static_shape((x.shape[0], *x.shape[2:])))
    return build.one(Reshape((rows, x.shape[1])), inner)
