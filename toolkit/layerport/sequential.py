"""A chain of layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layerport.connections import InputLayer, Outlet, connect, input_outlet, name_layers
from layerport.errors import LayerportError
from layerport.layer import Layer
from layerport.network import Network


class Sequential(Network):
    """A chain of layers, the first an Input or not.

    Parameters
    ----------
    layers : in order. Without an Input at the start, the shape comes from the first data.
    name : of the network.
    """

    chain: Any = dataclasses.field(default=(), repr=False)

    def __init__(self, layers: Sequence[Layer | Outlet] = (), *, name: str = "",
                 trainable: bool = True, dtype: str = "float32") -> None:  # fmt: skip
        self.name, self.trainable, self.dtype = name, trainable, dtype
        self.inputs_given = self.outputs_given = ()
        self.output_names = None
        self.labels = self.origin = None
        self.chain = [_as_layer(layer) for layer in layers]
        self.__post_init__()
        self._connect()

    @property
    def layers(self) -> list[Layer]:
        """The layers without the input layer, as Keras has it."""
        return [layer for layer in self.chain if not isinstance(layer, InputLayer)]

    def add(self, layer: Layer | Outlet) -> None:
        """Append a layer."""
        self.chain = [*self.chain, _as_layer(layer)]
        self._connect()

    def pop(self) -> Layer:
        """Take the last layer away and return it."""
        if not self.chain:
            raise LayerportError("there is no layer to take away")
        last: Layer = self.chain[-1]
        self.chain = self.chain[:-1]
        self._connect()
        return last

    def _connect(self, input_layer: InputLayer | None = None) -> None:
        name_layers(self.chain)
        chain = self.chain
        if chain and isinstance(chain[0], InputLayer):
            input_layer, chain = chain[0], chain[1:]
        if input_layer is None or not chain:
            self._calls = []
            return
        start = input_outlet(input_layer)
        outlet: Any = start
        for layer in chain:
            outlet = connect(layer, (outlet,), {})
            if not isinstance(outlet, Outlet):
                raise LayerportError(f"{layer} has several outputs; use the functional form")
        self._set([start], [outlet])

    def _shape_from(self, x: Any) -> None:
        if not self._calls:
            array = np.asarray(next(iter(x.values())) if isinstance(x, Mapping) else x)
            kind = array.dtype.name if array.dtype.kind in "iu" else self.dtype
            self._connect(InputLayer(array.shape[1:], name="input", dtype=kind))

    def ensure_built(self, input_shape: Any) -> None:
        if not self._calls:
            self._connect(InputLayer(tuple(input_shape[1:]), name="input", dtype=self.dtype))

    @classmethod
    def config_fields(cls) -> list[dataclasses.Field[Any]]:
        return [field for field in super().config_fields() if field.name != "chain"]


def _as_layer(thing: Layer | Outlet) -> Layer:
    if isinstance(thing, Outlet) and isinstance(thing.layer, InputLayer):
        return thing.layer
    if isinstance(thing, Layer):
        return thing
    raise LayerportError(f"{thing!r} is no layer")
