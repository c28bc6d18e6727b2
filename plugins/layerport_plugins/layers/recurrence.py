"""What recurrent layers share: weights, masks, dropout, and the way to ONNX's operators."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from layerport.errors import ShapeError, UnsupportedError
from layerport.layer import Array, InputShape, Layer, Weight

from layerport_plugins.layers.arguments import (
    ActivationLike,
    check_count,
    check_number,
    check_rank,
    known_extent,
    named,
    refuse,
)
from layerport_plugins.layers.masks import Compaction
from layerport_plugins.layers.penalty import penalize
from layerport_plugins.layers.regularization import drop

ONNX_ACTIVATIONS: Mapping[str, tuple[str, tuple[float, ...]]] = MappingProxyType(
    {
        "tanh": ("Tanh", ()),
        "sigmoid": ("Sigmoid", ()),
        "relu": ("Relu", ()),
        "linear": ("Affine", (1.0, 0.0)),
        "hard_sigmoid": ("HardSigmoid", (1 / 6, 0.5)),
        "hard_sigmoid_keras2": ("HardSigmoid", (0.2, 0.5)),
        "sparse_sigmoid": ("HardSigmoid", (0.5, 0.5)),
        "softsign": ("Softsign", ()),
        "softplus": ("Softplus", ()),
        "elu": ("Elu", (1.0,)),
        "leaky_relu": ("LeakyRelu", (0.2,)),
    }
)
"""Activations that ONNX's recurrent operators know: name, alpha and beta."""


class Recurrence(Layer):
    """Base class: subclasses have the fields of Keras's layers, and say what a step does.

    Attributes
    ----------
    count : how many gates there are.
    states : how many states: 1, or 2 with a cell state.
    """

    count: ClassVar[int]
    states: ClassVar[int] = 1

    zero_output_for_mask: bool = dataclasses.field(default=False, kw_only=True)

    # What a subclass says ---------------------------------------------------------------

    @property
    def activations(self) -> tuple[ActivationLike, ...]:
        """The activations in ONNX's order."""
        raise NotImplementedError(type(self).__name__)

    def operator(self, **fields: Any) -> Any:
        """ONNX's operator."""
        raise NotImplementedError(type(self).__name__)

    def onnx_bias(self) -> Array:
        """The biases of inputs and states in ONNX's order, one behind the other."""
        raise NotImplementedError(type(self).__name__)

    def onnx_rows(self, rows: Array) -> Array:
        """Rows of a transposed kernel in the order of ONNX's gates."""
        return rows

    def step(self, x: Sequence[Array], h: Sequence[Array], states: Sequence[Array]) -> list[Array]:
        """New states, for one step in plain NumPy.

        Parameters
        ----------
        x, h : input and state for the products of each gate, dropout applied.
        states : the states as they are.
        """
        raise NotImplementedError(type(self).__name__)

    def bias_shape(self) -> tuple[int, ...]:
        """The shape of the bias."""
        return (self.count * self.units,)

    def initial_bias(self) -> Any:
        """The initializer of the bias."""
        return self.bias_initializer

    # Weights ----------------------------------------------------------------------------

    def validate(self) -> None:
        check_count(self, "units")
        for argument in ("dropout", "recurrent_dropout"):
            check_number(self, argument, least=0, most=1)
            if getattr(self, argument) == 1:
                refuse(self, argument, "below 1")

    def build(self, input_shape: InputShape) -> Mapping[str, Weight]:
        shape = _first_shape(input_shape)
        check_rank(self, shape, 3)
        width = self.count * self.units
        weights = {
            "kernel": Weight(
                (known_extent(self, shape, -1), width), self.kernel_initializer,
                regularizer=self.kernel_regularizer,
            ),
            "recurrent_kernel": Weight(
                (self.units, width), self.recurrent_initializer,
                regularizer=self.recurrent_regularizer,
            ),
        }  # fmt: skip
        if self.use_bias:
            weights["bias"] = Weight(
                self.bias_shape(), self.initial_bias(), regularizer=self.bias_regularizer
            )
        return weights

    def gate(self, array: Array, number: int) -> Array:
        """The part of a gate in an array whose last axis holds all gates."""
        return array[..., number * self.units : (number + 1) * self.units]

    def per_gate(self, operands: Sequence[Array], kernel: Array) -> list[Array]:
        """The product of each operand with its gate's part of a kernel."""
        return [x @ self.gate(kernel, number) for number, x in enumerate(operands)]

    # Calling ----------------------------------------------------------------------------

    def call(
        self,
        x: Array,
        initial_state: Any = None,
        mask: Array = None,
        *,
        training: bool = False,
        time_order: bool = False,
    ) -> Any:
        """Keras's arguments; `time_order` leaves the results of `go_backwards` in their places."""
        if isinstance(x, (list, tuple)):
            x, *given = x
            initial_state = given or initial_state
        states = self._states(initial_state)
        mask = self.mask_of(x) if mask is None else mask
        compaction = None if mask is None else Compaction.of(mask)
        inputs = x if compaction is None else compaction.apply(x)
        run = self._stepwise if self._is_stepwise(training) else self._by_operator
        y, *last = run(inputs, states, compaction, training)
        if compaction is not None and self.return_sequences:
            y = compaction.undo(y, states[0] if states else None, self.go_backwards)
            if self.zero_output_for_mask:
                y = y * compaction.mask[:, :, None].astype(y.dtype)
        if not self.return_sequences:
            y = last[0]
            if compaction is not None and self.zero_output_for_mask:
                end = compaction.mask[:, 0 if self.go_backwards else -1]
                y = y * end[:, None].astype(y.dtype)
        elif self.go_backwards and not time_order:
            y = np.flip(y, axis=1)
        y = penalize(self, y, self.activity_regularizer)
        if self.return_sequences:
            self.masked(y, mask)
        return (y, *last) if self.return_state else y

    def _states(self, given: Any) -> list[Array]:
        if given is None:
            return []
        states = list(given) if isinstance(given, (list, tuple)) else [given]
        if len(states) != self.states:
            raise ShapeError(
                f"{named(self)} has {self.states} states, {len(states)} initial ones were given"
            )
        return states

    def _is_stepwise(self, training: bool) -> bool:
        """Whether no operator of ONNX does what the layer does."""
        if training and self.recurrent_dropout:
            return True
        return any(self._onnx_activation(a) is None for a in self.activations)

    def _onnx_activation(self, given: ActivationLike) -> tuple[str, tuple[float, ...]] | None:
        if given is None:
            return ONNX_ACTIVATIONS["linear"]
        name = given if isinstance(given, str) else self.registry.name_of(given)
        return ONNX_ACTIVATIONS.get(str(name))

    def _by_operator(
        self, x: Array, states: list[Array], compaction: Compaction | None, training: bool
    ) -> list[Array]:
        """All states (batch, steps, units) in the order of time, and the last states."""
        found = [self._onnx_activation(a) for a in self.activations]
        names, values = zip(*(f for f in found if f is not None), strict=True)
        fields: dict[str, Any] = {}
        if names != tuple(type(self.operator()).defaults):
            fields = {
                "activations": names,
                "activation_alpha": tuple(v[0] for v in values if v),
                "activation_beta": tuple(v[1] for v in values if len(v) > 1),
            }
        op = self.operator(direction="reverse" if self.go_backwards else "forward", **fields)
        if training and self.dropout:
            x = drop(self, x, self.dropout, (x.shape[0], 1, x.shape[2]), 1 / (1 - self.dropout))
        y, *last = op(
            np.swapaxes(x, 0, 1),
            self.onnx_rows(self.kernel.T)[None],
            self.onnx_rows(self.recurrent_kernel.T)[None],
            self.onnx_bias()[None] if self.use_bias else None,
            None if compaction is None else compaction.lengths,
            *(state[None] for state in states),
        )
        return [np.swapaxes(y[:, 0], 0, 1), *(state[0] for state in last)]

    def _stepwise(
        self, x: Array, states: list[Array], compaction: Compaction | None, training: bool
    ) -> list[Array]:
        """The same, one step after the other."""
        steps = x.shape[1]
        if not isinstance(steps, int):
            raise UnsupportedError(
                f"{named(self)}: with recurrent_dropout, or with the activations "
                f"{', '.join(map(repr, self.activations))}, the number of steps must be known",
                hint="give Input the number of steps",
            )
        input_scales = self._scales(x, x.shape[2], self.dropout if training else 0.0)
        state_scales = self._scales(x, self.units, self.recurrent_dropout if training else 0.0)
        now = states or [np.zeros_like(x[:, 0, :1]) + np.zeros(self.units)] * self.states
        found: list[Array] = [None] * steps
        for place in reversed(range(steps)) if self.go_backwards else range(steps):
            given = x[:, place]
            inputs = [given if s is None else given * s for s in input_scales]
            hidden = [now[0] if s is None else now[0] * s for s in state_scales]
            new = self.step(inputs, hidden, now)
            result = new[0]
            if compaction is not None:
                inside = (compaction.lengths > place)[:, None]
                new = [np.where(inside, a, b) for a, b in zip(new, now, strict=True)]
                result = np.where(inside, result, 0.0)
            now, found[place] = new, result
        return [np.stack(found, axis=1), *now]

    def _scales(self, x: Array, width: int, rate: float) -> list[Array]:
        """Dropout's factors for each gate, the same at all steps; None for no dropout."""
        if not rate:
            return [None] * self.count
        shape = (x.shape[0], width)
        ones = np.ones_like(x[:, 0, :1])
        return [drop(self, ones, rate, shape, 1 / (1 - rate)) for _ in range(self.count)]


def _first_shape(shape: Any) -> Sequence[Any]:
    """The shape of the sequence, where initial states are given beside it."""
    while shape and isinstance(shape[0], (list, tuple)):
        shape = shape[0]
    return tuple(shape)
