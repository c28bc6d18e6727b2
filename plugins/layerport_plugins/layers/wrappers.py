"""Layers around other layers: Bidirectional and TimeDistributed."""

from __future__ import annotations

from typing import Any

import numpy as np
from layerport.dim import size_of
from layerport.errors import LayerportError, ShapeError
from layerport.layer import Array, InputShape, Layer

from layerport_plugins.layers.arguments import check_choice, named, refuse
from layerport_plugins.layers.recurrence import Recurrence

MERGE_MODES = ("concat", "sum", "ave", "mul", None)


class Bidirectional(Layer):
    """A recurrent layer on the steps in both directions.

    Parameters
    ----------
    layer : a recurrent layer. Two copies of it are made, with weights of their own.
    merge_mode : what becomes of the two results: "concat", "sum", "ave", "mul", or None for a list
        of both.
    backward_layer : the layer for the other direction, where it is not a copy of `layer`.
    """

    layer: Layer
    merge_mode: str | None = "concat"
    backward_layer: Layer | None = None

    def validate(self) -> None:
        if not isinstance(self.layer, Recurrence):
            refuse(self, "layer", "a recurrent layer")
        if self.backward_layer is not None and not isinstance(self.backward_layer, Recurrence):
            refuse(self, "backward_layer", "a recurrent layer")
        check_choice(self, "merge_mode", MERGE_MODES)
        other: Layer | None = self.backward_layer
        if other is None:
            turned = not self.layer.go_backwards
            other = _copied(self.layer, "backward", go_backwards=turned)
        self.layer, self.backward_layer = _copied(self.layer, "forward"), other
        self._check_pair(self.layer, other)
        for layer in (self.layer, other):
            layer.zero_output_for_mask = layer.return_sequences

    def _check_pair(self, one: Layer, other: Layer) -> None:
        if one.go_backwards == other.go_backwards:
            raise LayerportError(
                f"{named(self)}: one of the two layers must go backwards, not both or neither"
            )
        for argument in ("return_sequences", "return_state"):
            if getattr(one, argument) != getattr(other, argument):
                raise LayerportError(f"{named(self)}: {argument} of the two layers differs")

    def call(
        self, x: Array, initial_state: Any = None, mask: Array = None, *, training: bool = False
    ) -> Any:
        if isinstance(x, (list, tuple)):
            x, *given = x
            initial_state = given or initial_state
        mask = self.mask_of(x) if mask is None else mask
        states: list[Any] = [None, None]
        if initial_state is not None:
            half = len(initial_state) // 2
            states = [initial_state[:half], initial_state[half:]]
        results = [
            layer(x, state, mask, training=training, time_order=True)
            for layer, state in zip((self.layer, self.backward_layer), states, strict=True)
            if layer is not None
        ]
        last: list[Array] = []
        if self.layer.return_state:
            last = [state for result in results for state in result[1:]]
            results = [result[0] for result in results]
        y = self._merged(*results)
        if self.layer.return_sequences and mask is not None:
            for result in y if isinstance(y, list) else [y]:
                self.masked(result, mask)
        if not self.layer.return_state:
            return y
        return (*y, *last) if isinstance(y, list) else (y, *last)

    def _merged(self, one: Array, other: Array) -> Any:
        if self.merge_mode == "concat":
            return np.concatenate([one, other], axis=-1)
        if self.merge_mode == "mul":
            return one * other
        if self.merge_mode is None:
            return [one, other]
        return one + other if self.merge_mode == "sum" else (one + other) / 2.0


def _copied(layer: Layer, direction: str, **changes: Any) -> Layer:
    """A layer of the same config, named after its direction as Keras does."""
    name = layer.name or type(layer).__name__.lower()
    for prefix in ("forward_", "backward_"):
        name = name.removeprefix(prefix)
    config = {**layer.get_config(), **changes, "name": f"{direction}_{name}"}
    return type(layer).from_config(config, layer.registry)


class TimeDistributed(Layer):
    """A layer applied to every step on its own.

    All steps of a batch go through the layer at once. `BatchNormalization` inside it therefore
    takes its statistics over samples and steps.

    Parameters
    ----------
    layer : what is applied.

    Shapes
    ------
    (batch, steps, ...) -> (batch, steps, ...): of each step what the layer makes of it.
    """

    layer: Layer

    supports_masking = True

    def validate(self) -> None:
        if not isinstance(self.layer, Layer):
            refuse(self, "layer", "a layer")

    def build(self, input_shape: InputShape) -> dict[str, Any]:
        if len(input_shape) < 3:
            raise ShapeError(
                f"{named(self)} takes inputs of at least 3 axes, the batch and the steps "
                f"included, not {tuple(input_shape)}"
            )
        return {}

    def call(self, x: Array, *, training: bool = False) -> Array:
        samples, steps, *rest = x.shape
        recording = self._recorded("call")
        before = recording.folded
        recording.folded = (*before, steps)
        options = {"training": training} if self.layer.takes_training() else {}
        try:
            y = self.layer(x.reshape(size_of((samples, steps)), *rest), **options)
        finally:
            recording.folded = before
        if not hasattr(y, "shape"):
            raise ShapeError(f"{named(self)}: the layer inside must give a single result")
        return y.reshape(samples, steps, *y.shape[1:])
