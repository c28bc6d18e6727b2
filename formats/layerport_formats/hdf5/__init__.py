"""HDF5: Keras's legacy .h5 files, read and written, and its files of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from layerport.format import Format, ReadContext, WriteContext

if TYPE_CHECKING:
    from layerport.network import Network

SIGNATURE = b"\x89HDF\r\n\x1a\n"


class Hdf5Format(Format):
    """The format ``hdf5``."""

    name: ClassVar[str] = "hdf5"
    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".hdf5")
    description: ClassVar[str] = "Keras HDF5: models of Keras 2 and 3, and weights"
    options: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "config": "keras2, which Keras 2 and 3 read; keras3; auto (default): keras2 unless the "
            "network needs Keras 3",
        }
    )

    def sniff(self, head: bytes, path: Path) -> bool:
        return head.startswith(SIGNATURE)

    def read(self, path: Path, context: ReadContext) -> Network:
        from layerport_formats.hdf5 import reading

        return reading.read(path, context)

    def read_weights(self, path: Path, network: Network, context: ReadContext) -> None:
        from layerport_formats.hdf5 import reading

        reading.read_weights(path, network, context)

    def write(self, network: Network, context: WriteContext) -> None:
        from layerport_formats.hdf5 import writing

        writing.write(network, context)
