"""How much a reader accepts from a file. Everything that reads goes by these numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds for reading files that nobody vouches for.

    Parameters
    ----------
    file_bytes : size of a model file, with the files it names.
    tensor_bytes : size of one tensor, as declared.
    total_bytes : size of all tensors together, as declared.
    layers : number of layers, or nodes of a graph.
    depth : nesting of networks, configs and JSON.
    ratio : declared bytes for each byte of the file (against bombs), beyond 16 MiB.
    name_length : characters of a name that is kept.
    """

    file_bytes: int = 16 << 30
    tensor_bytes: int = 8 << 30
    total_bytes: int = 16 << 30
    layers: int = 100_000
    depth: int = 64
    ratio: float = 1100.0
    name_length: int = 65_536
