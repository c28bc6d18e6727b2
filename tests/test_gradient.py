"""Differentiation of whole graphs, and how gradients are summed."""

from __future__ import annotations

import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.errors import LayerportError, ShapeError, UnsupportedError
from layerport.gradient import gradient
from layerport.graph import Builder, verify
from layerport.numpy_engine.reference import evaluate
from layerport.op import Op, TensorType
from layerport.tensor import Tensor

RANDOM = np.random.default_rng(0)


def _inputs(build, **arrays):
    made = {}
    for name, array in arrays.items():
        declare = build.parameter if name.startswith("w") else build.input
        made[name] = Tensor(build, declare(name, array.shape, array.dtype))
    return made


def _split(arrays):
    weights = {name: array for name, array in arrays.items() if name.startswith("w")}
    return {name: a for name, a in arrays.items() if name not in weights}, weights


def _check(function, **arrays):
    """Compare the gradients of a scalar function with central differences; returns the graph."""
    build = Builder(float_dtype=np.float64)
    tensors = _inputs(build, **arrays)
    loss = function(**tensors).value
    graph = build.finish([loss])
    names = [name for name, array in arrays.items() if array.dtype.kind == "f"]
    slopes = gradient(graph, loss, [tensors[name].value for name in names])
    verify(slopes)
    assert slopes.output_names == ("output_0", *(f"gradient/{name}" for name in names))
    (_, *found), _ = evaluate(slopes, *_split(arrays))
    for name, slope in zip(names, found, strict=True):
        numeric = np.zeros_like(arrays[name])
        for index in np.ndindex(numeric.shape):
            both = []
            for step in (1e-5, -1e-5):
                moved = {**arrays, name: arrays[name].copy()}
                moved[name][index] += step
                both.append(evaluate(graph, *_split(moved))[0][0])
            numeric[index] = (both[0] - both[1]) / 2e-5
        np.testing.assert_allclose(slope, numeric, rtol=1e-6, atol=1e-7, err_msg=name)
    return slopes


def _made(graph, kind):
    return [node for node in graph.nodes if isinstance(node.op, kind)]


def test_dense_layers():
    def loss(x, t, w1, b1, w2):
        hidden = np.tanh(x @ w1 + b1)
        return ((hidden @ w2 - t) ** 2).mean()

    normal = RANDOM.standard_normal
    _check(loss, x=normal((4, 3)), t=normal((4, 2)), w1=normal((3, 5)), b1=normal(5),
           w2=normal((5, 2)))  # fmt: skip


def test_a_small_convolutional_network():
    def loss(x, w, b, w2):
        image = ops.max_pool(np.maximum(ops.conv(x, w, b, pads=1), 0), 2, strides=2)
        return np.log(np.exp(image.reshape(2, -1) @ w2).sum(axis=1)).sum()

    normal = RANDOM.standard_normal
    _check(loss, x=normal((2, 2, 6, 6)), w=normal((3, 2, 3, 3)), b=normal(3),
           w2=normal((27, 4)) * 0.1)  # fmt: skip


def test_broadcast_operands_get_sums():
    def loss(x, row, column, one):
        return ((x * row + column) / one).sum()

    normal = RANDOM.standard_normal
    _check(loss, x=normal((2, 3, 4)), row=normal(4), column=normal((3, 1)), one=np.array(1.5))


def test_gradients_of_slices_side_by_side_become_one_concat():
    def loss(x):
        return (np.exp(x[:, 0]) * x[:, 1] + x[:, 3] ** 2 + x[:, 3]).sum()

    slopes = _check(loss, x=RANDOM.standard_normal((2, 5)))
    assert len(_made(slopes, ops.Concat)) == 1
    assert not _made(slopes, ops.SliceGrad)


def test_gradients_of_slices_that_overlap_are_added():
    def loss(x):
        return (np.exp(x[:, :2]) * x[:, 1:3]).sum() + (x[:, 1:3] ** 2).sum()

    slopes = _check(loss, x=RANDOM.standard_normal((2, 3)))
    assert len(_made(slopes, ops.SliceGrad)) == 2


def test_slices_of_a_symbolic_axis_become_one_concat():
    build = Builder()
    n = Dim("n")
    x = Tensor(build, build.input("x", (2 * n, 3), np.float32))
    low = x.record(ops.Slice((0,), (n,), (0,)), x)
    high = x.record(ops.Slice((n,), (2 * n,), (0,)), x)
    loss = (low * high).sum().value
    slopes = gradient(build.finish([loss]), loss, [x.value])
    assert len(_made(slopes, ops.Concat)) == 1
    assert not _made(slopes, ops.SliceGrad)


def test_products_of_a_shared_weight_become_one_longer_product():
    def loss(x, w):
        state = x[:, 0]
        for step in range(1, 4):
            state = np.tanh(x[:, step] + state @ w)
        return (state**2).sum()

    slopes = _check(loss, x=RANDOM.standard_normal((2, 4, 3)), w=RANDOM.standard_normal((3, 3)))
    weight_products = [n for n in _made(slopes, ops.Gemm) if n.outputs[0] in slopes.outputs]
    assert len(weight_products) == 1


def test_weights_are_not_copied_to_join_products():
    def loss(x, w1, w2, w3):
        return ((x @ w1) * np.tanh(x @ w2) + x @ w3).sum()

    normal = RANDOM.standard_normal
    slopes = _check(loss, x=normal((2, 3)), w1=normal((3, 4)), w2=normal((3, 4)),
                    w3=normal((3, 4)))  # fmt: skip
    assert not _made(slopes, ops.Concat)


def test_integers_and_comparisons_let_nothing_through():
    def loss(x, t):
        where = np.where(x > 0, x, 0.25 * x)
        return (np.take(where, t, axis=1) * np.sign(x[:, :2])).sum()

    _check(loss, x=RANDOM.standard_normal((2, 3)), t=np.array([0, 2]))


def test_what_the_loss_does_not_depend_on_gets_zeros():
    build = Builder()
    x, w = (Tensor(build, build.parameter(name, (2, 3), np.float32)) for name in "xw")
    loss = (x * x).sum().value
    slopes = gradient(build.finish([loss]), loss, [w.value])
    (_, dw), _ = evaluate(slopes, {}, {"x": np.ones((2, 3), "f"), "w": np.ones((2, 3), "f")})
    assert np.array_equal(dw, np.zeros((2, 3)))
    assert dw.dtype == np.float32


def test_a_seed_scales_the_gradients():
    build = Builder()
    x = Tensor(build, build.input("x", (3,), np.float32))
    loss = (x * x).mean().value
    slopes = gradient(build.finish([loss]), loss, [x.value], seed="scale")
    feeds = {"x": np.array([1, 2, 3], np.float32), "scale": np.array(-1.5, np.float32)}
    (mean, dx), _ = evaluate(slopes, feeds, {})
    assert mean == pytest.approx(14 / 3)
    assert dx == pytest.approx([-1, -2, -3])


def test_derivatives_by_a_value_in_the_middle():
    build = Builder()
    x = Tensor(build, build.input("x", (3,), np.float32))
    middle = np.exp(x)
    loss = (middle * middle).sum().value
    slopes = gradient(build.finish([loss]), loss, [middle.value, x.value])
    array = np.array([0, 0.5, -1], np.float32)
    (_, dmiddle, dx), _ = evaluate(slopes, {"x": array}, {})
    np.testing.assert_allclose(dmiddle, 2 * np.exp(array), rtol=1e-6)
    np.testing.assert_allclose(dx, 2 * np.exp(2 * array), rtol=1e-6)


def test_second_derivatives():
    build = Builder()
    x = Tensor(build, build.input("x", (), np.float32))
    loss = (x**3).value
    first = gradient(build.finish([loss]), loss, [x.value])
    second = gradient(first, first.outputs[1], [first.inputs[0]])
    outputs, _ = evaluate(second, {"x": np.array(2, np.float32)}, {})
    assert [float(y) for y in outputs] == pytest.approx([8, 12, 12])


def test_updates_stay():
    build = Builder()
    w = build.parameter("w", (), np.float32)
    loss = (Tensor(build, w) * 3).value
    graph = build.finish([loss], updates=[(w, loss)])
    (_, dw), updates = evaluate(gradient(graph, loss, [w]), {}, {"w": np.array(2, np.float32)})
    assert dw == 3
    assert updates == {"w": 6}


class Opaque(Op):
    """An operator without a derivative."""

    def infer(self, x):
        return [TensorType(x.shape, x.dtype)]


class Odd(Opaque):
    """Another one."""


def test_all_operators_without_a_derivative_are_named():
    build = Builder()
    x = Tensor(build, build.parameter("w", (3,), np.float32))
    with build.scope("first"), build.scope("inner"):
        y = x.record(Opaque(), x)
    with build.scope("second"):
        z = x.record(Odd(), x)
    unused = x.record(Odd(), y)
    loss = (y * z).sum().value
    graph = build.finish([loss, unused.value])
    with pytest.raises(UnsupportedError) as caught:
        gradient(graph, loss, [x.value])
    assert sorted(caught.value.problems) == [
        "Odd in layer 'second'",
        "Opaque in layer 'first/inner'",
    ]
    assert "freeze the layers" in str(caught.value)


def test_what_cannot_be_differentiated():
    build = Builder()
    x = Tensor(build, build.input("x", (3,), np.float32))
    t = Tensor(build, build.input("t", (3,), np.int64))
    y = x * 2
    graph = build.finish([y.value])
    with pytest.raises(ShapeError, match="single number"):
        gradient(graph, y.value, [x.value])
    loss = y.sum().value
    graph = build.finish([loss])
    with pytest.raises(LayerportError, match="no floats"):
        gradient(graph, loss, [t.value])
    with pytest.raises(LayerportError, match="not part of the graph"):
        gradient(graph, loss, [Builder().input("x", (3,), np.float32)])
