"""Layers with several kernels, inner cells and keyword tensors, by classes that only tests have.

They show that a class with Keras's name and field names is all that a file needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport.op import NDArray


class LSTM(lp.Layer):
    """Keras's LSTM, unrolled."""

    units: int
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    use_bias: bool = True
    return_sequences: bool = False
    go_backwards: bool = False
    kernel: lp.Array
    recurrent_kernel: lp.Array
    bias: lp.Array

    def build(self, input_shape):
        width = 4 * self.units
        return {
            "kernel": lp.Weight((input_shape[-1], width)),
            "recurrent_kernel": lp.Weight((self.units, width)),
            "bias": lp.Weight((width,)),
        }

    def call(self, x):
        steps = range(x.shape[1])
        h = c = x[:, 0, :1] * np.zeros((1, self.units))
        outputs = []
        for step in reversed(steps) if self.go_backwards else steps:
            z = x[:, step] @ self.kernel + h @ self.recurrent_kernel + self.bias
            parts = [z[:, k * self.units : (k + 1) * self.units] for k in range(4)]
            gates = [self.activate(part, self.recurrent_activation) for part in parts]
            c = gates[1] * c + gates[0] * self.activate(parts[2], self.activation)
            h = gates[3] * self.activate(c, self.activation)
            outputs.append(h.reshape(-1, 1, self.units))
        return np.concatenate(outputs, axis=1) if self.return_sequences else h


class MultiHeadAttention(lp.Layer):
    """Keras's attention, without its masks."""

    num_heads: int
    key_dim: int
    value_dim: int | None = None
    use_bias: bool = True
    dropout: float = 0.0
    output_shape: Any = None
    attention_axes: Any = None

    def build(self, input_shape):
        query, value = input_shape[0], input_shape[1]
        key = input_shape[2] if len(input_shape) > 2 else value
        width = self.value_dim or self.key_dim
        result = self.output_shape[0] if self.output_shape else query[-1]
        shapes = {
            "query": (query[-1], self.num_heads, self.key_dim),
            "key": (key[-1], self.num_heads, self.key_dim),
            "value": (value[-1], self.num_heads, width),
            "output": (self.num_heads, width, result),
        }
        weights = {}
        for name, shape in shapes.items():
            weights[f"{name}_kernel"] = lp.Weight(shape)
            if self.use_bias:
                weights[f"{name}_bias"] = lp.Weight(shape[1:] if name != "output" else shape[2:])
        return weights

    def _heads(self, x, name):
        kernel = getattr(self, f"{name}_kernel")
        width, heads, size = kernel.shape
        y = x @ kernel.reshape(width, heads * size)
        if self.use_bias:
            y = y + getattr(self, f"{name}_bias").reshape(heads * size)
        return np.transpose(y.reshape(-1, x.shape[1], heads, size), (0, 2, 1, 3))

    def call(self, query, value, key=None):
        q, v = self._heads(query, "query"), self._heads(value, "value")
        k = self._heads(value if key is None else key, "key")
        scores = q @ np.transpose(k, (0, 1, 3, 2)) / np.sqrt(self.key_dim)
        mixed = np.transpose(self.activate(scores, "softmax") @ v, (0, 2, 1, 3))
        heads, size, width = self.output_kernel.shape
        y = mixed.reshape(-1, query.shape[1], heads * size) @ self.output_kernel.reshape(-1, width)
        return y + self.output_bias if self.use_bias else y


def _stored(path: Any) -> tuple[Any, NDArray]:
    with np.load(path) as file:
        data: Mapping[str, NDArray] = dict(file)
    return data["input_0"], next(value for key, value in data.items() if key[:6] == "output")


@pytest.mark.parametrize("name", ["keras3/f_lstm", "tfkeras2/f_lstm", "keras212/f_lstm",
                                  "tfkeras2/h_transformer", "keras3/h_transformer"])  # fmt: skip
def test_layers_of_these_classes_load_from_real_files(shared, tmp_path, name):
    layers = [LSTM, MultiHeadAttention]
    path = shared / f"fixtures/{name}.h5"
    network = lp.load(path, layers=layers)
    x, y = _stored(path.with_suffix(".npz"))
    np.testing.assert_allclose(network.predict(x), y, atol=1e-5)
    lp.save(network, tmp_path / "a.h5")
    np.testing.assert_allclose(lp.load(tmp_path / "a.h5", layers=layers).predict(x), y, atol=1e-5)
    for suffix in (".weights.h5", "_weights_legacy.h5"):
        weights = shared / f"fixtures/{name}{suffix}"
        if weights.exists():
            network.initialize(1)
            assert not np.allclose(network.predict(x), y, atol=1e-3)
            network.load_weights(weights)
            np.testing.assert_allclose(network.predict(x), y, atol=1e-5)
