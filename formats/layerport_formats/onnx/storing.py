"""Putting arrays into a file, or beside it, without a copy of them in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from layerport.op import NDArray
from onnx import TensorProto, numpy_helper

from .fields import dtype_code
from .tensors import PACKED

LARGEST = (1 << 31) - (1 << 20)
"""Bytes of arrays that a file can hold by itself: protobuf ends at 2 GiB."""

SMALL = 1024
"""Arrays of fewer bytes stay in the model, where every tool finds the numbers that shapes need."""

ALIGNMENT = 4096
"""Where arrays begin in a file of external data, so that runtimes can map them into memory."""

# Tags of protobuf: the number of a field, and 2 for what starts with its length.
_GRAPH = bytes([onnx.ModelProto.GRAPH_FIELD_NUMBER << 3 | 2])
_INITIALIZER = bytes([onnx.GraphProto.INITIALIZER_FIELD_NUMBER << 3 | 2])
_RAW_DATA = bytes([TensorProto.RAW_DATA_FIELD_NUMBER << 3 | 2])


def _varint(number: int) -> bytes:
    """A number in protobuf's encoding: seven bits a byte, the lowest first."""
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


def write_model(model: onnx.ModelProto, arrays: Mapping[str, NDArray], path: Path) -> None:
    """Write a model with these arrays as its initializers."""
    graph = model.graph.SerializeToString()
    entries = [(_head(name, array), array) for name, array in arrays.items()]
    rest = onnx.ModelProto()
    rest.CopyFrom(model)
    rest.ClearField("graph")
    size = len(graph) + sum(len(head) + _size(array) for head, array in entries)
    with path.open("wb") as file:
        file.write(rest.SerializeToString() + _GRAPH + _varint(size) + graph)
        for head, array in entries:
            file.write(head)
            _write(array, file)


def _head(name: str, array: NDArray) -> bytes:
    """All of an initializer that comes before its data."""
    code = dtype_code(array.dtype)
    tensor = TensorProto(name=name, dims=array.shape, data_type=code).SerializeToString()
    size = _size(array)
    data = _RAW_DATA + _varint(size)
    return b"".join([_INITIALIZER, _varint(len(tensor) + len(data) + size), tensor, data])


def _is_packed(array: NDArray) -> bool:
    return dtype_code(array.dtype) in PACKED


def _size(array: NDArray) -> int:
    """How many bytes an array takes in a file."""
    return len(numpy_helper.from_array(array).raw_data) if _is_packed(array) else array.nbytes


def _write(array: NDArray, file: BinaryIO) -> None:
    if _is_packed(array):
        file.write(numpy_helper.from_array(array).raw_data)
    elif array.size:
        little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
        file.write(little.reshape(-1).view(np.uint8).data)


def store_beside(model: onnx.ModelProto, arrays: Mapping[str, NDArray], path: Path) -> set[str]:
    """Write large arrays to a file of external data; the model refers to them by its name.

    Returns the names of those arrays.
    """
    stored = {name: array for name, array in arrays.items() if array.nbytes >= SMALL}
    with path.open("wb") as file:
        for name, array in stored.items():
            offset = -(-file.tell() // ALIGNMENT) * ALIGNMENT
            file.seek(offset)
            _write(array, file)
            tensor = model.graph.initializer.add(
                name=name, dims=array.shape, data_type=dtype_code(array.dtype)
            )
            tensor.data_location = TensorProto.EXTERNAL
            size = file.tell() - offset
            place = {"location": path.name, "offset": str(offset), "length": str(size)}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=value)
    return set(stored)
