"""The one place where HDF5 files are opened for reading.

A model file may come from anybody. `open_file` gives a `Place`, which hands out groups, texts and
arrays of this very file only: links and data that lead out of it, filters that need plug-ins, and
arrays that claim to be larger than the limits allow are refused before anything is read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import numpy as np
from layerport.format import ReadContext
from layerport.op import NDArray

if TYPE_CHECKING:
    import h5py

SMALL = 16 << 20
"""Bytes up to which an array is not suspected of being a bomb."""

FILTERS = frozenset({1, 2, 3, 32000})
"""HDF5 filters that are read: deflate, shuffle, Fletcher's checksum, LZF."""


@contextlib.contextmanager
def open_file(source: Path | BinaryIO, context: ReadContext) -> Iterator[Place]:
    """Open a file for reading; the Place is its root.

    Parameters
    ----------
    source : the file, or one inside an archive.

    Raises
    ------
    ModelFileError : where it is no HDF5 file that can be read.
    """
    import h5py

    try:
        handle = h5py.File(source, "r")
    except (FileNotFoundError, PermissionError):
        raise
    except (OSError, RuntimeError, ValueError) as error:
        context.fail(f"it is no HDF5 file, or a damaged one ({error})")
    with handle:
        yield Place(handle, "", Budget(context))


@contextlib.contextmanager
def _refusing_damage(context: ReadContext, place: str) -> Iterator[None]:
    """Name the place where HDF5 stumbles over the bytes of the file."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
        context.fail(f"it is damaged ({error})", place or "/")


@dataclasses.dataclass
class Budget:
    """What may still be read from one file."""

    context: ReadContext
    declared: int = 0

    def take(self, size: int, place: str) -> None:
        """Count bytes that something declares to have."""
        limits = self.context.limits
        self.declared += size
        if size > limits.tensor_bytes:
            self.context.fail(f"its shape asks for {size:,} bytes, more than the limit", place)
        if self.declared > limits.total_bytes:
            self.context.fail("the sizes of all arrays together exceed the limit", place)


class Place:
    """A group of a file.

    Attributes
    ----------
    path : of the group inside the file, "" for the root.
    """

    def __init__(self, group: h5py.Group, path: str, budget: Budget) -> None:
        self._group = group
        self._budget = budget
        self.path = path

    def fail(self, reason: str, inside: str = "", hint: str = "") -> NoReturn:
        """Refuse the file because of something in this group."""
        self._budget.context.fail(reason, self.join(inside) or "/", hint)

    def join(self, inside: str) -> str:
        """The path of something in this group."""
        return f"{self.path}/{inside}" if inside else self.path

    # Groups -----------------------------------------------------------------------------

    def children(self) -> list[str]:
        """The names of what is in this group."""
        with self._stumbling():
            count = len(self._group)
            if count > self._budget.context.limits.layers:
                self.fail(f"the group has {count:,} members, more than the limit")
            return [str(name) for name in self._group]

    def group(self, path: str) -> Place | None:
        """The group of this path, None where there is none."""
        import h5py

        found = self._find(path)
        return (
            Place(found, self.join(path), self._budget) if isinstance(found, h5py.Group) else None
        )

    def array(self, path: str) -> Array | None:
        """The array of this path, None where there is none."""
        import h5py

        found = self._find(path)
        if not isinstance(found, h5py.Dataset):
            return None
        return Array(found, self.join(path), self._budget)

    def _find(self, path: str) -> Any:
        import h5py

        found: Any = self._group
        for name in path.split("/"):
            if name in ("", ".", "..") or not isinstance(found, h5py.Group):
                return None
            with self._stumbling(path):
                link = found.get(name, getlink=True)
                if link is None:
                    return None
                if not isinstance(link, h5py.HardLink):
                    self.fail("it is a link to somewhere else, which is not followed", path)
                found = found[name]
        return found

    def _stumbling(self, inside: str = "") -> AbstractContextManager[None]:
        return _refusing_damage(self._budget.context, self.join(inside))

    # Attributes -------------------------------------------------------------------------

    def text(self, name: str) -> str | None:
        """A text attribute, None where there is none."""
        value = self._attribute(name)
        if value is None:
            return None
        if not isinstance(value, (str, bytes)):
            self.fail(f"the attribute {name} is no text")
        return self._decoded(value, name)

    def names(self, name: str) -> list[str] | None:
        """An attribute that lists names, None where there is none.

        Lists that are too long for one attribute stand in pieces, ``name0``, ``name1``...
        """
        whole = self._names(name)
        if whole is not None:
            return whole
        pieces: list[str] = []
        count = 0
        while (piece := self._names(f"{name}{count}")) is not None:
            pieces += piece
            count += 1
            if len(pieces) > self._budget.context.limits.layers:
                self.fail(f"the attribute {name} lists more names than the limit allows")
        return pieces if count else None

    def _names(self, name: str) -> list[str] | None:
        value = self._attribute(name)
        if value is None:
            return None
        if not isinstance(value, np.ndarray) or value.ndim != 1:
            self.fail(f"the attribute {name} is no list of names")
        # An empty list has the dtype float64.
        return [self._decoded(item, name) for item in value]

    def _attribute(self, name: str) -> Any:
        with self._stumbling():
            if name not in self._group.attrs:
                return None
            attribute = self._group.attrs.get_id(name)
            if attribute.shape is None:
                self.fail(f"the attribute {name} is empty")
            size = math.prod(attribute.shape) * attribute.dtype.itemsize
            if size > self._budget.context.limits.tensor_bytes:
                self.fail(f"the attribute {name} asks for {size:,} bytes, more than the limit")
            return self._group.attrs[name]

    def _decoded(self, value: Any, name: str) -> str:
        if isinstance(value, bytes):
            try:
                return value.decode("utf-8")
            except UnicodeDecodeError:
                self.fail(f"the attribute {name} is no UTF-8 text")
        if not isinstance(value, str):
            self.fail(f"the attribute {name} holds something that is no text")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:  # h5py's way of passing on bytes that are no UTF-8
            self.fail(f"the attribute {name} is no UTF-8 text")
        return str(value)


class Array:
    """A dataset that can be read.

    Attributes
    ----------
    path : inside the file.
    """

    def __init__(self, dataset: h5py.Dataset, path: str, budget: Budget) -> None:
        self._dataset = dataset
        self._context = budget.context
        self.path = path
        with _refusing_damage(self._context, path):
            self._check_storage()
            self._check_size(budget)

    @property
    def shape(self) -> tuple[int, ...]:
        """The extents."""
        return tuple(self._dataset.shape)

    @property
    def is_bfloat16(self) -> bool:
        """Whether it holds bfloat16 numbers, which HDF5 knows as two opaque bytes."""
        return bool(self._dataset.dtype == np.dtype("V2"))

    def read_into(self, out: NDArray) -> None:
        """Read it into a contiguous array of the same shape, converting numbers to its dtype."""
        if not out.size:
            return
        with _refusing_damage(self._context, self.path):
            if self.is_bfloat16:
                bits: NDArray = np.asarray(self._dataset[()]).view("<u2").astype(np.uint32) << 16
                out[...] = bits.view(np.float32)
            elif out.ndim:
                self._dataset.read_direct(out)
            else:
                out[...] = self._dataset[()]

    def _fail(self, reason: str) -> NoReturn:
        self._context.fail(reason, self.path)

    def _check_storage(self) -> None:
        """The numbers must be in this file, in a form that is read without plug-ins."""
        dataset = self._dataset
        if dataset.shape is None:
            self._fail("it is empty: it has no shape")
        if dataset.dtype.kind not in "fiu" and not self.is_bfloat16:
            self._fail(f"its dtype {dataset.dtype} is not one of numbers")
        if dataset.is_virtual:
            self._fail("it is a virtual dataset, whose numbers are in other files")
        plan = dataset.id.get_create_plist()
        if plan.get_external_count():
            self._fail("its numbers are in external files, which are not read")
        used = [plan.get_filter(index)[0] for index in range(plan.get_nfilters())]
        unknown = [str(code) for code in used if code not in FILTERS]
        if unknown:
            self._fail(f"it is packed with the filter {', '.join(unknown)}, which is not known")
        if len(set(used)) < len(used):
            self._fail("it is compressed several times over")

    def _check_size(self, budget: Budget) -> None:
        """The declared size must be plausible for what is stored."""
        dataset = self._dataset
        size = math.prod(self.shape) * dataset.dtype.itemsize
        budget.take(size, self.path)
        stored = dataset.id.get_storage_size()
        if size > SMALL and size > self._context.limits.ratio * stored:
            self._fail(f"its shape {self.shape} asks for {size:,} bytes, {stored:,} are stored")
        if dataset.chunks is not None:
            chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
            if chunk > SMALL and chunk > 2 * size:
                self._fail(f"a chunk of it unpacks to {chunk:,} bytes for an array of {size:,}")
