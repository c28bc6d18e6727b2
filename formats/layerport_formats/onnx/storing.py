"""Putting arrays into a model, or beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from layerport.op import NDArray
from onnx import TensorProto, numpy_helper

from .fields import dtype_code

LARGEST = (1 << 31) - (1 << 20)
"""Bytes of arrays that a file can hold by itself: protobuf ends at 2 GiB."""

SMALL = 1024
"""Arrays of fewer bytes stay in the model, where every tool finds the numbers that shapes need."""

ALIGNMENT = 4096
"""Where arrays begin in a file of external data, so that runtimes can map them into memory."""


def embed(model: onnx.ModelProto, arrays: Mapping[str, NDArray]) -> None:
    """Put arrays into the model as initializers."""
    for name, array in arrays.items():
        model.graph.initializer.append(_tensor(name, array))


def _tensor(name: str, array: NDArray) -> TensorProto:
    # Zero strides and foreign byte orders are not for files.
    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)


def store_beside(model: onnx.ModelProto, arrays: Mapping[str, NDArray], path: Path) -> None:
    """Write arrays to a file of external data that the model refers to by its name."""
    with path.open("wb") as file:
        for name, array in arrays.items():
            if array.nbytes < SMALL:
                model.graph.initializer.append(_tensor(name, array))
                continue
            offset = -(-file.tell() // ALIGNMENT) * ALIGNMENT
            file.seek(offset)
            little = array.dtype.newbyteorder("<")
            file.write(np.ascontiguousarray(array.astype(little, copy=False)).data)
            tensor = TensorProto(
                name=name,
                dims=array.shape,
                data_type=dtype_code(array.dtype),
                data_location=TensorProto.EXTERNAL,
            )
            place = {"location": path.name, "offset": str(offset), "length": str(array.nbytes)}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=value)
            model.graph.initializer.append(tensor)
