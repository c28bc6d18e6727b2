"""LSTM, GRU and SimpleRNN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from layerport import ops
from layerport.layer import Array, Initializer, Regularizer, built
from layerport.op import NDArray

from layerport_plugins.layers.arguments import ActivationLike
from layerport_plugins.layers.recurrence import Recurrence


class SimpleRNN(Recurrence):
    """``h' = activation(x @ kernel + h @ recurrent_kernel + bias)``, step by step.

    Parameters
    ----------
    units : extent of the state and of the result.
    activation : name, function or layer; None for none.
    use_bias : whether there is a bias.
    kernel_initializer, recurrent_initializer, bias_initializer : see `Weight`.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : penalties on the weights.
    activity_regularizer : penalty on the result, divided by the number of samples.
    dropout : share of the inputs that fall in training, the same at all steps.
    recurrent_dropout : share of the state that falls in training where it is multiplied.
    return_sequences : give the states of all steps, not just the last.
    return_state : give the last state beside the result.
    go_backwards : take the steps from the last to the first; results come in this order.
    stateful : kept for files; every call starts from a state of zeros.
    unroll : kept for files; changes nothing.
    seed : kept for files; what falls is decided by the seed of the training run.
    zero_output_for_mask : give zeros at masked steps instead of the state so far.

    Shapes
    ------
    (batch, steps, features) -> (batch, units), or (batch, steps, units) with `return_sequences`;
    kernel (features, units), recurrent_kernel (units, units), bias (units,).
    """

    count: ClassVar[int] = 1

    units: int
    activation: ActivationLike = "tanh"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer = None
    recurrent_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    activity_regularizer: Regularizer = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    seed: int | None = None

    kernel: Array = built()
    recurrent_kernel: Array = built()
    bias: Array = built()

    @property
    def activations(self) -> tuple[ActivationLike, ...]:
        return (self.activation,)

    def operator(self, **fields: Any) -> Any:
        return ops.RNN(hidden_size=self.units, **fields)

    def onnx_bias(self) -> Array:
        return np.concatenate([self.bias, np.zeros_like(self.bias)])

    def step(self, x: Sequence[Array], h: Sequence[Array], states: Sequence[Array]) -> list[Array]:
        total = x[0] @ self.kernel + h[0] @ self.recurrent_kernel
        return [self.activate(total + self.bias if self.use_bias else total, self.activation)]


class GRU(Recurrence):
    """Gated recurrent unit (Cho et al., 2014).

    ``z = s(x Wz + h Rz + bz)``, ``r = s(x Wr + h Rr + br)``, ``h' = z h + (1 - z) n`` with the
    candidate ``n = a(x Wn + bn + r (h Rn + cn))``, or ``n = a(x Wn + (r h) Rn + bn)`` where
    `reset_after` is False; s is `recurrent_activation`, a `activation`.

    Parameters
    ----------
    units : extent of the state and of the result.
    activation, recurrent_activation : names, functions or layers; None for none.
    reset_after : whether the reset gate applies behind the product with the recurrent kernel. Then
        there are two biases.
    use_bias, kernel_initializer, recurrent_initializer, bias_initializer, kernel_regularizer,
    recurrent_regularizer, bias_regularizer, activity_regularizer, dropout, recurrent_dropout,
    return_sequences, return_state, go_backwards, stateful, unroll, seed, zero_output_for_mask :
        as for `SimpleRNN`; each gate has dropout of its own where `recurrent_dropout` is used.

    Shapes
    ------
    (batch, steps, features) -> (batch, units), or (batch, steps, units) with `return_sequences`;
    kernel (features, 3 * units), recurrent_kernel (units, 3 * units), both z, r, n; bias
    (2, 3 * units), or (3 * units,) where `reset_after` is False.
    """

    count: ClassVar[int] = 3

    units: int
    activation: ActivationLike = "tanh"
    recurrent_activation: ActivationLike = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer = None
    recurrent_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    activity_regularizer: Regularizer = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    seed: int | None = None
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    reset_after: bool = True

    kernel: Array = built()
    recurrent_kernel: Array = built()
    bias: Array = built()

    @property
    def activations(self) -> tuple[ActivationLike, ...]:
        return self.recurrent_activation, self.activation

    def bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def operator(self, **fields: Any) -> Any:
        reset = int(self.reset_after)
        return ops.GRU(hidden_size=self.units, linear_before_reset=reset, **fields)

    def onnx_bias(self) -> Array:
        if self.reset_after:
            return self.bias.reshape(-1)
        return np.concatenate([self.bias, np.zeros_like(self.bias)])

    def step(self, x: Sequence[Array], h: Sequence[Array], states: Sequence[Array]) -> list[Array]:
        own, inner = self._biases()
        sums = self.per_gate(x, self.kernel)
        sums = [s if own is None else s + self.gate(own, g) for g, s in enumerate(sums)]
        products = self.per_gate(h[:2], self.recurrent_kernel)
        if inner is not None:
            products = [p + self.gate(inner, g) for g, p in enumerate(products)]
        z, r = (
            self.activate(a + b, self.recurrent_activation)
            for a, b in zip(sums[:2], products, strict=True)
        )
        kernel = self.gate(self.recurrent_kernel, 2)
        if self.reset_after:
            product = h[2] @ kernel
            candidate = r * (product if inner is None else product + self.gate(inner, 2))
        else:
            candidate = (r * h[2]) @ kernel
        n = self.activate(sums[2] + candidate, self.activation)
        return [z * states[0] + (1 - z) * n]

    def _biases(self) -> tuple[Array | None, Array | None]:
        """The bias of the inputs' products, and that of the states'."""
        if not self.use_bias:
            return None, None
        return (self.bias[0], self.bias[1]) if self.reset_after else (self.bias, None)


class LSTM(Recurrence):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997).

    ``c' = f c + i a(x Wc + h Rc + bc)``, ``h' = o a(c')``; the gates i, f and o are
    ``s(x W + h R + b)`` with weights of their own; s is `recurrent_activation`, a `activation`.

    Parameters
    ----------
    units : extent of both states and of the result.
    activation, recurrent_activation : names, functions or layers; None for none.
    unit_forget_bias : whether the bias of the forget gate starts at 1.
    use_bias, kernel_initializer, recurrent_initializer, bias_initializer, kernel_regularizer,
    recurrent_regularizer, bias_regularizer, activity_regularizer, dropout, recurrent_dropout,
    return_sequences, return_state, go_backwards, stateful, unroll, seed, zero_output_for_mask :
        as for `SimpleRNN`; each gate has dropout of its own where `recurrent_dropout` is used.

    Shapes
    ------
    (batch, steps, features) -> (batch, units), or (batch, steps, units) with `return_sequences`;
    kernel (features, 4 * units), recurrent_kernel (units, 4 * units), bias (4 * units,), the gates
    in the order i, f, c, o.
    """

    count: ClassVar[int] = 4
    states: ClassVar[int] = 2

    units: int
    activation: ActivationLike = "tanh"
    recurrent_activation: ActivationLike = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    unit_forget_bias: bool = True
    kernel_regularizer: Regularizer = None
    recurrent_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    activity_regularizer: Regularizer = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    seed: int | None = None
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False

    kernel: Array = built()
    recurrent_kernel: Array = built()
    bias: Array = built()

    @property
    def activations(self) -> tuple[ActivationLike, ...]:
        return self.recurrent_activation, self.activation, self.activation

    def initial_bias(self) -> Any:
        if not self.unit_forget_bias:
            return self.bias_initializer
        make = self.registry.initializer(self.bias_initializer)
        units = self.units

        def initializer(shape: Any, rng: Any, dtype: Any) -> NDArray:
            first, rest = make((units,), rng, dtype), make((2 * units,), rng, dtype)
            return np.concatenate([first, np.ones(units, dtype), rest])

        return initializer

    def operator(self, **fields: Any) -> Any:
        return ops.LSTM(hidden_size=self.units, **fields)

    def onnx_rows(self, rows: Array) -> Array:
        units = self.units
        return np.concatenate([rows[:units], rows[3 * units :], rows[units : 3 * units]])

    def onnx_bias(self) -> Array:
        return np.concatenate([self.onnx_rows(self.bias), np.zeros_like(self.bias)])

    def step(self, x: Sequence[Array], h: Sequence[Array], states: Sequence[Array]) -> list[Array]:
        sums = [
            a + b
            for a, b in zip(
                self.per_gate(x, self.kernel), self.per_gate(h, self.recurrent_kernel), strict=True
            )
        ]
        if self.use_bias:
            sums = [s + self.gate(self.bias, g) for g, s in enumerate(sums)]
        i, f, o = (self.activate(sums[g], self.recurrent_activation) for g in (0, 1, 3))
        c = f * states[1] + i * self.activate(sums[2], self.activation)
        return [o * self.activate(c, self.activation), c]
