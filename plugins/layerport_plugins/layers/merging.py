"""Layers that make one tensor of several: each is called with a list."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, ClassVar

import numpy as np
from layerport.errors import ShapeError
from layerport.layer import Array, InputShape, Layer, declared_shape

from layerport_plugins.layers.arguments import named, refuse


class _Merge(Layer):
    """Base class: `least` says how many inputs there must be."""

    least: ClassVar[int] = 1
    most: ClassVar[float] = math.inf

    def build(self, input_shape: InputShape) -> dict[str, Any]:
        if not isinstance(input_shape, (list, tuple)) or not all(
            isinstance(shape, (list, tuple)) for shape in input_shape
        ):
            raise ShapeError(f"{named(self)} takes one list of inputs: layer([a, b])")
        count = len(input_shape)
        if not self.least <= count <= self.most:
            bound = "exactly" if self.least == self.most else "at least"
            raise ShapeError(
                f"{named(self)} takes a list of {bound} {self.least} inputs, not {count}"
            )
        return {}


class _Elementwise(_Merge):
    """Inputs of fewer axes get axes of extent 1 behind the batch; then NumPy broadcasts."""

    combine: ClassVar[Callable[[Any, Any], Any]]

    def call(self, inputs: Sequence[Array]) -> Array:
        rank = max(x.ndim for x in inputs)
        aligned = [
            x if x.ndim == rank else np.expand_dims(x, tuple(range(1, 1 + rank - x.ndim)))
            for x in inputs
        ]
        return self.masked(reduce(type(self).combine, aligned), self._mask(inputs))

    def _mask(self, inputs: Sequence[Array]) -> Array:
        """A step counts where it counts in any input; None where an input counts throughout."""
        masks = [self.mask_of(x) for x in inputs]
        return None if any(mask is None for mask in masks) else reduce(np.logical_or, masks)


class Add(_Elementwise):
    """The sum of the inputs."""

    combine: ClassVar[Callable[[Any, Any], Any]] = np.add


class Subtract(_Elementwise):
    """The first of two inputs minus the second."""

    least: ClassVar[int] = 2
    most: ClassVar[float] = 2
    combine: ClassVar[Callable[[Any, Any], Any]] = np.subtract


class Multiply(_Elementwise):
    """The product of the inputs, element by element."""

    combine: ClassVar[Callable[[Any, Any], Any]] = np.multiply


class Average(_Elementwise):
    """The mean of the inputs."""

    combine: ClassVar[Callable[[Any, Any], Any]] = np.add

    def call(self, inputs: Sequence[Array]) -> Array:
        total = super().call(inputs)
        return self.masked(total / float(len(inputs)), self.mask_of(total))


class Maximum(_Elementwise):
    """The largest of the inputs, element by element."""

    combine: ClassVar[Callable[[Any, Any], Any]] = np.maximum


class Minimum(_Elementwise):
    """The smallest of the inputs, element by element."""

    combine: ClassVar[Callable[[Any, Any], Any]] = np.minimum


class Concatenate(_Merge):
    """The inputs behind one another.

    Parameters
    ----------
    axis : along which, the batch counted as 0.
    """

    axis: int = -1

    def validate(self) -> None:
        if not isinstance(self.axis, int) or self.axis == 0:
            refuse(self, "axis", "an axis other than 0, the batch")

    def call(self, inputs: Sequence[Array]) -> Array:
        joined = np.concatenate(list(inputs), axis=self.axis)
        masks = [self.mask_of(x) for x in inputs]
        if all(mask is None for mask in masks):
            return joined
        if self.axis % joined.ndim == 1:
            full = [
                np.ones_like(x[(..., *[0] * (x.ndim - 2))], dtype=bool) if mask is None else mask
                for x, mask in zip(inputs, masks, strict=True)
            ]
            return self.masked(joined, np.concatenate(full, axis=1))
        # Side by side, a step counts where it counts in any input.
        whole = any(mask is None for mask in masks)
        return joined if whole else self.masked(joined, reduce(np.logical_or, masks))


class Dot(_Merge):
    """The product of two inputs, summed over one axis of each, sample by sample.

    Parameters
    ----------
    axes : the axis of both, or a pair; the batch is 0.
    normalize : scale both to the length 1 along these axes first, which gives cosines.
    """

    least: ClassVar[int] = 2
    most: ClassVar[float] = 2
    axes: int | tuple[int, int]
    normalize: bool = False

    def validate(self) -> None:
        pair = self.axes if isinstance(self.axes, tuple) else (self.axes, self.axes)
        if len(pair) != 2 or not all(isinstance(a, int) and a != 0 for a in pair):
            refuse(self, "axes", "an axis other than 0, the batch, or a pair of them")

    def call(self, inputs: Sequence[Array]) -> Array:
        pair = self.axes if isinstance(self.axes, tuple) else (self.axes, self.axes)
        x, y = inputs
        axes = []
        for tensor, axis in zip((x, y), pair, strict=True):
            if not -tensor.ndim < axis < tensor.ndim:
                raise ShapeError(
                    f"{named(self)}: {declared_shape(tensor.shape)} has no axis {axis}"
                )
            axes.append(axis % tensor.ndim)
        if self.normalize:
            x, y = (_unit(t, axis) for t, axis in zip((x, y), axes, strict=True))
        left, right, result = _subscripts(x.ndim, y.ndim, axes[0], axes[1])
        product = np.einsum(f"{left},{right}->{result}", x, y)
        return np.expand_dims(product, 1) if len(result) == 1 else product


def _unit(x: Array, axis: int) -> Array:
    length = np.sum(x * x, axis=axis, keepdims=True)
    return x / np.sqrt(np.maximum(length, 1e-12))


def _subscripts(rank_x: int, rank_y: int, axis_x: int, axis_y: int) -> tuple[str, str, str]:
    """Letters for einsum: a for the batch, z for what is summed over."""
    free = iter("bcdefghijklmnopqrstuvwxy")
    x = ["a", *(next(free) for _ in range(rank_x - 1))]
    y = ["a", *(next(free) for _ in range(rank_y - 1))]
    x[axis_x] = y[axis_y] = "z"
    result = [letter for letter in (*x, *y[1:]) if letter != "z"]
    return "".join(x), "".join(y), "".join(result)
