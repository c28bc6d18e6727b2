"""ONNX tensors as arrays: every way to store one, within the limits for untrusted files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from layerport.format import ReadContext
from layerport.op import NDArray
from onnx import TensorProto, helper, numpy_helper

PACKED = frozenset(
    getattr(TensorProto, name)
    for name in ("INT4", "UINT4", "FLOAT4E2M1", "INT2", "UINT2")
    if hasattr(TensorProto, name)
)
"""Element types of which several share a byte."""

KEYS = frozenset({"location", "offset", "length", "checksum", "basepath"})
"""What a tensor can say about its external data; onnxruntime adds entries "prepacked..."."""


class TensorReader:
    """Reads the tensors of one file.

    Parameters
    ----------
    context : refuses what is wrong, and knows the limits.
    folder : where external data lies; None for a model that comes from no file.
    """

    def __init__(self, context: ReadContext, folder: Path | None) -> None:
        self.context = context
        self.folder = folder
        self._total = 0
        self._external: dict[Path, int] = {}

    def __call__(self, tensor: TensorProto, place: str = "") -> NDArray:
        """The array of a tensor, a new one.

        Raises
        ------
        ModelFileError : when the tensor is not what it says.
        """
        where = f"tensor {tensor.name!r}" if tensor.name else place or "a tensor without a name"
        if tensor.HasField("segment"):
            self.context.fail("it is stored in segments, which ONNX never defined", where)
        dtype = self._dtype(tensor, where)
        shape = self._shape(tensor.dims, where)
        self._count(math.prod(shape) * max(dtype.itemsize, 1), where)
        if tensor.data_location == TensorProto.EXTERNAL:
            return self._read_external(tensor, dtype, shape, where)
        try:
            return np.array(numpy_helper.to_array(tensor)).reshape(shape)
        except Exception as error:
            self.context.fail(f"its data does not fit its shape {shape}: {error}", where)

    def sparse(self, tensor: onnx.SparseTensorProto, place: str = "") -> NDArray:
        """The dense array of a sparse tensor."""
        name = tensor.values.name
        where = f"sparse tensor {name!r}" if name else place
        values, indices = self(tensor.values, where), self(tensor.indices, where)
        shape = self._shape(tensor.dims, where)
        size = math.prod(shape)
        bytes_ = size * values.dtype.itemsize
        self._count(bytes_, where)
        limits = self.context.limits
        if bytes_ > (16 << 20) and bytes_ > limits.ratio * max(values.nbytes, 1):
            self.context.fail(f"the sparse shape {shape} is out of proportion to its data", where)
        if values.ndim != 1 or indices.ndim not in (1, 2) or len(indices) != len(values):
            self.context.fail("values and indices do not go together", where)
        flat = indices
        if indices.ndim == 2:
            inside = indices.shape[1] == len(shape) and bool(
                ((indices >= 0) & (indices < np.array(shape))).all()
            )
            flat = np.ravel_multi_index(tuple(indices.T), shape) if inside else np.array([-1])
        if flat.size and (flat.min() < 0 or flat.max() >= size):
            self.context.fail(f"an index lies outside of the shape {shape}", where)
        dense = np.zeros(size, values.dtype)
        dense[flat] = values
        return dense.reshape(shape)

    def _dtype(self, tensor: TensorProto, where: str) -> np.dtype[Any]:
        try:
            return helper.tensor_dtype_to_np_dtype(tensor.data_type)
        except KeyError:
            self.context.fail(f"the element type {tensor.data_type} does not exist", where)

    def _shape(self, dims: Any, where: str) -> tuple[int, ...]:
        shape = tuple(dims)
        if any(extent < 0 for extent in shape):
            self.context.fail(f"the shape {shape} has a negative extent", where)
        return shape

    def _count(self, size: int, where: str) -> None:
        limits = self.context.limits
        self._total += size
        if size > limits.tensor_bytes or self._total > limits.total_bytes:
            self.context.fail(f"it declares {size:,} bytes, more than the limits allow", where)

    # External data ----------------------------------------------------------------------

    def _read_external(
        self, tensor: TensorProto, dtype: np.dtype[Any], shape: tuple[int, ...], where: str
    ) -> NDArray:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        unknown = [k for k in entries if k not in KEYS and not k.startswith("prepacked")]
        if unknown:
            self.context.fail(f"external data has no entry {', '.join(map(repr, unknown))}", where)
        path = self._external_path(entries.get("location", ""), where)
        count = math.prod(shape)
        bits = 2 if tensor.data_type in _two_bit() else 4
        expected = -(-count * bits // 8) if tensor.data_type in PACKED else count * dtype.itemsize
        try:
            offset = int(entries.get("offset", 0))
            length = int(entries.get("length", expected))
        except ValueError:
            self.context.fail("offset or length of the external data is no number", where)
        if length != expected:
            self.context.fail(
                f"{shape} of {dtype} needs {expected} bytes, the external data has {length}", where
            )
        if offset < 0 or offset + length > self._external[path]:
            self.context.fail(f"its data lies beyond the end of {path.name}", where)
        if tensor.data_type not in PACKED:
            little = dtype.newbyteorder("<")
            array = np.fromfile(path, little, count, offset=offset)
            return array.astype(dtype, copy=False).reshape(shape)
        with path.open("rb") as file:
            file.seek(offset)
            whole = TensorProto(data_type=tensor.data_type, dims=shape, raw_data=file.read(length))
        return numpy_helper.to_array(whole)

    def _external_path(self, location: str, where: str) -> Path:
        """The file that holds external data; only regular files inside the model's folder do."""
        if self.folder is None:
            self.context.fail(
                "its data is in another file, and the model comes from none", where,
                "load the external data into the model first",
            )  # fmt: skip
        given = Path(location)
        bad = any(sign in location for sign in "\\\0")
        if not location or bad or given.is_absolute() or ".." in given.parts:
            self.context.fail(
                f"the location {location!r} of its data is no path inside the model's folder", where
            )
        folder = self.folder.resolve()
        path = (folder / given).resolve()
        if not path.is_relative_to(folder):
            self.context.fail(f"{location!r} leads out of the model's folder", where)
        if not path.is_file():
            self.context.fail(
                f"its data is missing: there is no file {location!r} beside the model", where,
                "copy it there, too",
            )  # fmt: skip
        if path not in self._external:
            status = path.stat()
            if status.st_nlink > 1:
                self.context.fail(
                    f"{location!r} is a hard link to a file that may lie elsewhere", where,
                    "copy the file",
                )  # fmt: skip
            self._external[path] = status.st_size
            if sum(self._external.values()) > self.context.limits.file_bytes:
                self.context.fail("the external data is larger than the limits allow", where)
        return path


def _two_bit() -> set[int]:
    return {getattr(TensorProto, name) for name in ("INT2", "UINT2") if hasattr(TensorProto, name)}
