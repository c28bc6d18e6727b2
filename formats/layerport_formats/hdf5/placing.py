"""Which array of a file becomes which weight: checked as a whole, then read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from layerport.op import NDArray

    from layerport_formats.hdf5.files import Array, Place
    from layerport_formats.keras_config.order import Slot


class Plan:
    """Pairs of weights and arrays.

    Parameters
    ----------
    root : where the arrays are, for messages.
    """

    def __init__(self, root: Place) -> None:
        self._root = root
        self._pairs: list[tuple[Slot, Array]] = []
        self._problems: list[str] = []

    def problem(self, text: str) -> None:
        """Note something that does not fit."""
        self._problems.append(text)

    def add(self, slot: Slot, array: Array | None) -> None:
        """Pair a weight with its array, if that has the right shape."""
        if array is None:
            return
        if array.shape != slot.weight.shape:
            self.problem(
                f"{array.path} has the shape {array.shape}, the weight {slot.full_name} has "
                f"{slot.weight.shape}"
            )
        self._pairs.append((slot, array))

    def check(self) -> None:
        """Refuse the file where something does not fit, naming everything."""
        if self._problems:
            self._root.fail("the weights do not fit: " + "; ".join(self._problems))

    def place(self) -> None:
        """Read every array into memory of its own, which becomes the weight."""
        for slot, array in self._pairs:
            slot.layer.place(slot.name, _read(slot, array))

    def copy(self) -> None:
        """Read all arrays, then change the weights where they are, all or none."""
        read = [(slot, _read(slot, array)) for slot, array in self._pairs]
        for slot, array in read:
            slot.layer.own_weights[slot.name][...] = array


def _read(slot: Slot, array: Array) -> NDArray:
    dtype = slot.layer.dtype if slot.weight.dtype is None else slot.weight.dtype
    out: NDArray = np.empty(slot.weight.shape, dtype)
    array.read_into(out)
    return out
