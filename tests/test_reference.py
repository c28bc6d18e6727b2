"""The reference evaluator: what it accepts, and what it says when arrays do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.errors import LayerportError, ShapeError
from layerport.graph import Builder
from layerport.numpy_engine.reference import evaluate
from layerport.op import Op, TensorType


def _graph():
    build = Builder()
    n = Dim("n")
    x = build.input("x", (n, 3), np.float32)
    mask = build.input("mask", (2 * n,), np.float32)
    w = build.parameter("w", (3, 2), np.float32)
    y = build.one(ops.Reshape((2 * n,)), build.one(ops.MatMul(), x, w))
    return build.finish([build.one(ops.Add(), y, mask)], updates=[(w, w)])


def _ones(*shape):
    return np.ones(shape, np.float32)


def test_symbolic_extents_take_the_sizes_of_the_arrays():
    weights = _ones(3, 2)
    (y,), updates = evaluate(_graph(), {"x": _ones(4, 3), "mask": _ones(8)}, {"w": weights})
    assert y.tolist() == [4] * 8
    assert list(updates) == ["w"]
    assert not np.shares_memory(updates["w"], weights)


@pytest.mark.parametrize(
    ("inputs", "parameters", "message"),
    [
        ({"x": _ones(4, 3)}, {"w": _ones(3, 2)}, "the input 'mask' is missing"),
        ({"x": _ones(4, 3), "mask": _ones(8), "z": _ones(1)}, {"w": _ones(3, 2)},
         r"there is no input 'z' \(there are mask, x\)"),
        ({"x": _ones(4, 2), "mask": _ones(8)}, {"w": _ones(3, 2)},
         r"'x' must have shape \(4, 3\) \(\(n, 3\)\), not \(4, 2\)"),
        ({"x": _ones(4, 3), "mask": _ones(7)}, {"w": _ones(3, 2)},
         r"'mask' must have shape \(8,\) \(\(2\*n,\)\), not \(7,\)"),
        ({"x": _ones(3), "mask": _ones(6)}, {"w": _ones(3, 2)},
         r"'x' must have shape \(3, 3\) \(\(n, 3\)\), not \(3,\)"),
        ({"x": _ones(4, 3).astype(float), "mask": _ones(8)}, {"w": _ones(3, 2)},
         "'x' must be float32, not float64"),
        ({"x": _ones(4, 3), "mask": _ones(8)}, {"w": _ones(2, 2)},
         r"'w' must have shape \(3, 2\), not \(2, 2\)"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit(inputs, parameters, message):
    with pytest.raises(ShapeError, match=message):
        evaluate(_graph(), inputs, parameters)


class Doubles(Op):
    """An operator whose kernel breaks its word."""

    def infer(self, x):
        return [TensorType(x.shape, x.dtype)]

    def evaluate(self, x):
        return x * np.float64(2) if x.ndim else np.float64(2)


def test_a_kernel_that_changes_the_dtype_is_found_out():
    build = Builder(rewrite=False)
    x = build.input("x", (2,), np.float32)
    with build.scope("block"):
        y = build.one(Doubles(), x)
    with pytest.raises(LayerportError, match="Doubles in layer 'block' computes float64"):
        evaluate(build.finish([y]), {"x": _ones(2)}, {})
