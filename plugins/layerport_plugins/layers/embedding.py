"""Embedding and Masking: where sequences and their masks come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from layerport.layer import Array, Initializer, InputShape, Layer, Regularizer, Weight, built

from layerport_plugins.layers.arguments import check_count, check_number, refuse


class Embedding(Layer):
    """A row of a table for each integer.

    Parameters
    ----------
    input_dim : how many rows there are: inputs are 0 to input_dim - 1.
    output_dim : extent of a row.
    embeddings_initializer : see `Weight`.
    embeddings_regularizer : a penalty on the table.
    mask_zero : whether 0 stands for no element: layers behind skip it.

    Shapes
    ------
    (batch, ...) -> (batch, ..., output_dim); embeddings (input_dim, output_dim).
    """

    input_dim: int
    output_dim: int
    embeddings_initializer: Initializer = "uniform"
    embeddings_regularizer: Regularizer = None
    mask_zero: bool = False

    embeddings: Array = built()

    def validate(self) -> None:
        check_count(self, "input_dim")
        check_count(self, "output_dim")
        if not isinstance(self.mask_zero, bool):
            refuse(self, "mask_zero", "True or False")

    def build(self, input_shape: InputShape) -> Mapping[str, Weight]:
        shape = (self.input_dim, self.output_dim)
        table = Weight(shape, self.embeddings_initializer, regularizer=self.embeddings_regularizer)
        return {"embeddings": table}

    def call(self, x: Array) -> Array:
        places = x if x.dtype.kind in "iu" else x.astype(np.int32)
        y = np.take(self.embeddings, places, axis=0)
        return self.masked(y, places != 0) if self.mask_zero else y


class Masking(Layer):
    """Zeros at steps whose features all have one value; layers behind skip these steps.

    Parameters
    ----------
    mask_value : that value.
    """

    mask_value: float = 0.0

    def validate(self) -> None:
        check_number(self, "mask_value")

    def build(self, input_shape: InputShape) -> dict[str, Any]:
        return {}

    def call(self, x: Array) -> Array:
        mask = np.sum(x != self.mask_value, axis=-1) > 0
        return self.masked(x * mask[..., None].astype(x.dtype), mask)
