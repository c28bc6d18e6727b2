"""Masked steps: sequences with the steps that count moved to the front, and back."""

from __future__ import annotations

import dataclasses

import numpy as np
from layerport import ops
from layerport.layer import Array


@dataclasses.dataclass(frozen=True)
class Compaction:
    """How the steps of a batch move so that those that count come first, in their order.

    ONNX's recurrent operators know sequences that end early, and no other masks. A recurrence
    skips masked steps, so it computes the same on what is left.

    Attributes
    ----------
    mask : (batch, steps), which steps count.
    counts : (batch, steps), how many count up to each one.
    lengths : (batch,), how many count.
    """

    mask: Array
    counts: Array
    lengths: Array

    @staticmethod
    def of(mask: Array) -> Compaction:
        """For a mask of bools (batch, steps)."""
        ones = mask.astype(np.int32)
        return Compaction(mask, ops.cumsum(ones, 1), np.sum(ones, axis=1))

    def apply(self, x: Array) -> Array:
        """(batch, steps, features) with the steps that count first."""
        others = ops.cumsum(1 - self.mask.astype(np.int32), 1)
        behind = self.lengths[:, None] + others
        places = np.where(self.mask, self.counts, behind) - 1
        return ops.ScatterElements(1)(x, _spread(places, x), x)

    def undo(self, y: Array, start: Array | None, backwards: bool) -> Array:
        """Results in their places; a masked step has that of the last step that counts.

        Parameters
        ----------
        start : what a masked step has where no other came before; None for zeros.
        backwards : whether the steps were taken from the last to the first.
        """
        last = self.counts - (self.mask.astype(np.int32) if backwards else 1)
        # Where none came before, this is a place behind the sequence: results are 0 there.
        found = ops.GatherElements(1)(y, _spread(last, y))
        if start is None:
            return found
        none = (last == self.lengths[:, None]) if backwards else (last < 0)
        return np.where(none[:, :, None], start[:, None, :], found)


def _spread(places: Array, x: Array) -> Array:
    return np.broadcast_to(places[:, :, None], x.shape)
