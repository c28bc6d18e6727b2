"""The adjoint of broadcasting."""

from __future__ import annotations

from typing import Any

from layerport.dim import Shape, is_extent, same_shape


def unbroadcast(array: Any, shape: Shape) -> Any:
    """Sum a Tensor or array over the axes along which `shape` was broadcast to its shape."""
    if same_shape(tuple(array.shape), shape):
        return array
    extra = len(array.shape) - len(shape)
    if extra:
        array = array.sum(axis=tuple(range(extra)))
    stretched = tuple(
        axis
        for axis, (was, now) in enumerate(zip(shape, array.shape, strict=True))
        if is_extent(was, 1) and not is_extent(now, 1)
    )
    return array.sum(axis=stretched, keepdims=True) if stretched else array
