"""Arrays that stay on disk until a part of them is read."""

from __future__ import annotations

from typing import Any


def is_lazy(thing: Any) -> bool:
    """Whether something is an array on disk that slicing reads: h5py, zarr..."""
    return hasattr(thing, "chunks") and hasattr(thing, "shape") and hasattr(thing, "dtype")
