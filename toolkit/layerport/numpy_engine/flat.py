"""Parameters laid behind one another in one vector, so that an optimizer's update is a few calls.

The arrays that layers keep are views of the vector, the weights of a training graph are slices of
one flat parameter, and the gradients are one Concat, which a plan computes in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layerport.dim import size_of, static_shape
from layerport.errors import ShapeError
from layerport.graph import Builder, Value
from layerport.op import NDArray
from layerport.ops.arrange import Concat
from layerport.ops.indexing import Slice
from layerport.ops.shape import Reshape


def flatten_parameters(arrays: Mapping[str, NDArray]) -> tuple[NDArray, dict[str, NDArray]]:
    """Copy arrays of one dtype behind one another.

    Returns
    -------
    flat, views
        The vector, and for each name the view of it that has the array's shape and values.

    Raises
    ------
    ShapeError : when there is no array, or their dtypes differ.
    """
    dtype = _common_dtype({name: array.dtype for name, array in arrays.items()})
    flat = np.empty(sum(array.size for array in arrays.values()), dtype)
    views: dict[str, NDArray] = {}
    start = 0
    for name, array in arrays.items():
        views[name] = flat[start : start + array.size].reshape(array.shape)
        views[name][...] = array
        start += array.size
    return flat, views


def flat_parameter(
    build: Builder, name: str, parameters: Sequence[Value]
) -> tuple[Value, dict[str, Value]]:
    """Declare one flat parameter; returns it, and by name the values that stand for the parts.

    The order is that of `flatten_parameters`. Pass the dict as `inputs` to `Builder.copy`, so that
    the graph reads the parts instead of parameters of its own.
    """
    dtype = _common_dtype({value.name: value.dtype for value in parameters})
    sizes = [int(size_of(static_shape(value.shape))) for value in parameters]
    flat = build.parameter(name, (sum(sizes),), dtype)
    parts: dict[str, Value] = {}
    start = 0
    for value, size in zip(parameters, sizes, strict=True):
        part = build.one(Slice((start,), (start + size,), (0,)), flat)
        parts[value.name] = build.one(Reshape(value.shape), part)
        start += size
    return flat, parts


def flat_gradient(build: Builder, gradients: Sequence[Value]) -> Value:
    """The gradients of the parts of a flat parameter, in their order, as one vector."""
    rows = [build.one(Reshape((size_of(value.shape),)), value) for value in gradients]
    return build.one(Concat(0), *rows)


def _common_dtype(dtypes: Mapping[str, np.dtype[Any]]) -> np.dtype[Any]:
    if len(set(dtypes.values())) != 1:
        listed = ", ".join(f"{name}: {dtype}" for name, dtype in dtypes.items()) or "none"
        raise ShapeError(f"only parameters of one dtype make a flat vector, not {listed}")
    return next(iter(dtypes.values()))
