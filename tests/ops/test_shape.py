"""Shapes, joining, padding and indexing against onnxruntime and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim, bind_shape
from layerport.errors import ShapeError
from layerport.graph import Builder, Value
from layerport.numpy_engine.reference import evaluate
from layerport.ops.arrange import Concat, Pad, PadGrad, Split, Tile
from layerport.ops.indexing import Gather, GatherGrad, OneHot, Slice, SliceGrad, Trilu
from layerport.ops.shape import (
    ConstantOfShape,
    Expand,
    Flatten,
    Identity,
    Reshape,
    Shape,
    Squeeze,
    Transpose,
    Unsqueeze,
    reshaped,
)
from layerport.tensor import Tensor
from layerport.testing import check_op

FAR = 2**63 - 1
N = Dim("n")


def _random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


UNARY = [
    # (op, shape of x, symbolic shape or None)
    (Identity(), (2, 3), ("n", "m")),
    (Reshape((6, 4)), (2, 3, 4), None),
    (Reshape(()), (1, 1), None),
    (Reshape((2, 1, 12, 1)), (2, 3, 4), None),
    (Flatten(), (2, 3, 4), ("n", 3, "m")),
    (Flatten(0), (2, 3, 4), ("n", 3, "m")),
    (Flatten(-1), (2, 3, 4), ("n", 3, "m")),
    (Flatten(3), (2, 3, 4), ("n", 3, "m")),
    (Squeeze(), (1, 3, 1), None),
    (Squeeze((0, -1)), (1, 3, 1), (1, "n", 1)),
    (Unsqueeze((0,)), (2, 3), ("n", 3)),
    (Unsqueeze((-1, 1)), (2, 3), ("n", 3)),
    (Transpose(), (2, 3, 4), ("n", "m", 4)),
    (Transpose((1, 0, 2)), (2, 3, 4), ("n", "m", 4)),
    (Transpose((2, 0, 1)), (2, 3, 4), ("n", "m", 4)),
    (Expand((2, 3, 4)), (3, 1), (3, 1)),
    (Expand((1, 4)), (3, 1), ("n", 1)),
    (Expand((1,)), (2, 3), ("n", "m")),
    (Tile((2, 1, 3)), (2, 3, 1), ("n", 3, 1)),
    (Tile((1, 1)), (2, 3), None),
    (Trilu(), (3, 4), ("n", 4)),
    (Trilu(1, upper=0), (2, 4, 3), ("n", 4, 3)),
    (Trilu(-2), (4, 5), None),
    (Trilu(9), (4, 5), None),
    (Slice((1,), (3,)), (4, 5), (4, "n")),
    (Slice((1, 0), (FAR, -1), (1, 0)), (4, 5), ("n", "m")),
    (Slice((-3,), (FAR,), (-1,)), (4, 5), (4, "m")),
    (Slice((0,), (FAR,), (1,), (2,)), (4, 7), (4, "m")),
    (Slice((1,), (-1,), (1,), (3,)), (2, 9), (2, "m")),
    (Slice((FAR,), (-FAR,), (1,), (-1,)), (2, 5), (2, "m")),
    (Slice((-1,), (-FAR - 1,), (0,), (-2,)), (5, 2), ("n", 2)),
    (Slice((3,), (0,), (0,), (-2,)), (5, 2), ("n", 2)),
    (Slice((-2,), (-5,), (0,), (-1,)), (6, 2), ("n", 2)),
    (Slice((9,), (0,), (0,), (-3,)), (5, 2), None),
    (Slice((-20,), (20,), (0,)), (5, 2), None),
    (Slice((3,), (2,), (0,)), (5, 2), None),
    (Pad((1, 0, 2, 3)), (2, 3), ("n", "m")),
    (Pad((1, -1, 0, 2)), (2, 3), ("n", "m")),
    (Pad((-1, -1, 0, 0)), (2, 3), ("n", "m")),
    (Pad((2, 1), axes=(-1,)), (2, 3), ("n", "m")),
    (Pad((1, 2, 0, 1), "reflect"), (3, 4), ("n", "m")),
    (Pad((1, 5, 2, 3), "edge"), (3, 4), ("n", "m")),
    (Pad((3, 1, 0, 4), "wrap"), (3, 4), ("n", "m")),
    (Pad((1, 2, 1, 1), "reflect", axes=(2, 0)), (3, 1, 4), ("n", 1, "m")),
    (Split(1, (1, 3)), (2, 4), ("n", 4)),
    (Split(-1, (2, 0, 2)), (2, 4), ("n", 4)),
    (Split(0, num_outputs=2), (4, 3), ("n", 3)),
    (Split(1, num_outputs=3), (2, 7), (2, "n")),
]


@pytest.mark.parametrize(("op", "shape", "symbolic"), UNARY)
def test_one_operand(op, shape, symbolic, onnxruntime_outputs):
    x = _random(*shape)
    expected = onnxruntime_outputs(op, x)
    check_op(op, x, expected=expected, dims=None if symbolic is None else [symbolic])


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.uint8, np.float64])
@pytest.mark.parametrize("op", [Reshape((3, 2)), Transpose(), Expand((2, 2, 3)), Tile((2, 1))])
def test_other_dtypes(op, dtype, onnxruntime_outputs):
    x = np.array([[0, 1, 2], [3, 0, 5]]).astype(dtype)
    check_op(op, x, expected=onnxruntime_outputs(op, x), differentiate=False)


@pytest.mark.parametrize(
    ("axis", "shapes"),
    [
        (0, [(2, 3), (1, 3), (4, 3)]),
        (-1, [(2, 3), (2, 1)]),
        (1, [(2, 3, 2), (2, 0, 2), (2, 1, 2)]),
        (1, [(2, 3)]),
    ],
)
def test_concat(axis, shapes, onnxruntime_outputs):
    operands = [_random(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    op = Concat(axis)
    check_op(op, *operands, expected=onnxruntime_outputs(op, *operands))


def test_pad_with_a_number(onnxruntime_outputs):
    op, x, fill = Pad((1, 0, 2, -1)), _random(2, 3), np.array(2.5, np.float32)
    check_op(op, x, fill, expected=onnxruntime_outputs(op, x, fill))


@pytest.mark.parametrize(
    ("axis", "indices"),
    [(0, [0, 2, -1, 2]), (1, [[0, 1], [3, 3]]), (-1, []), (0, 1), (1, -1), (0, -2)],
)
def test_gather(axis, indices, onnxruntime_outputs):
    op, x, where = Gather(axis), _random(3, 4, 2), np.array(indices, np.int64)
    check_op(op, x, where, expected=onnxruntime_outputs(op, x, where))


@pytest.mark.parametrize("place", [0, 2, -1, -3])
def test_gather_at_one_known_place_is_a_slice(place):
    build = Builder()
    x = build.input("x", (N, 3), np.float32)
    y = build.one(Gather(1), x, build.constant(np.array(place)))
    graph = build.finish([y])
    assert [type(node.op) for node in graph.nodes] == [Slice, Squeeze]
    array = _random(2, 3)
    (found,), _ = evaluate(graph, {"x": array}, {})
    assert np.array_equal(found, array[:, place])


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot(axis, onnxruntime_outputs):
    op, values = OneHot(4, axis), np.array([-1.5, 2], np.float32)
    indices = np.array([[0, 3, -1], [7, -4, 1]], np.int64)
    check_op(op, indices, values, expected=onnxruntime_outputs(op, indices, values))


@pytest.mark.parametrize(
    ("op", "operands"),
    [
        (SliceGrad((3,), (-FAR,), (1,), (-2,), (2, 5)), [_random(2, 2)]),
        (GatherGrad(1, (2, 4)), [_random(2, 3), np.array([1, 1, -1])]),
        (PadGrad((1, 2, 1, 1), "reflect"), [_random(5, 6)]),
    ],
)
def test_gradients_have_gradients(op, operands):
    check_op(op, *operands)


@pytest.mark.parametrize("op", [Shape(), Shape(1), Shape(-2, -1), Shape(0, 9)])
def test_shape(op, onnxruntime_outputs):
    x = _random(2, 3, 4)
    check_op(op, x, expected=onnxruntime_outputs(op, x), differentiate=False)


def test_shape_is_a_constant_where_it_is_known():
    build = Builder()
    x = build.input("x", (N, 3, 4), np.float32)
    known = build.one(Shape(1), x)
    assert known.constant is not None
    assert known.constant.tolist() == [3, 4]
    assert build.one(Shape(0), x).constant is None


def test_constant_of_shape():
    check_op(ConstantOfShape((2, 3), 7, "int64"), expected=np.full((2, 3), 7), differentiate=False)


def test_count():
    x = _random(2, 3)
    assert ops.count(x, 1) == 3
    assert ops.count(x) == 6


def test_slices_of_symbolic_axes_have_the_length_of_static_ones():
    random = np.random.default_rng(0)
    for _ in range(300):
        extent = int(random.integers(1, 12))
        start, end = random.integers(-extent, extent, 2).tolist()
        step = int(random.choice([-3, -2, -1, 1, 2, 3]))
        op = Slice((start,), (end,), (0,), (step,))
        (static,) = op.infer(Value((extent,), np.float32))
        if not static.shape[0]:
            continue  # on a symbolic axis bounds are trusted to select something
        (symbolic,) = op.infer(Value((N,), np.float32))
        assert bind_shape(symbolic.shape, {"n": extent}) == static.shape
        assert static.shape == np.arange(extent)[start:end:step].shape


def test_squeeze_without_axes_keeps_a_symbolic_extent_that_turns_out_to_be_1():
    build = Builder()
    x = build.input("x", (N, 1, 3), np.float32)
    graph = build.finish([build.one(Squeeze(), x)])
    assert graph.bind({"n": 1}).outputs[0].shape == (1, 3)


# Symbolic shapes and rewriting ----------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "wanted", "options", "expected"),
    [
        ((2, 3, 4), (-1, 4), {}, (6, 4)),
        ((N, 3, 4), (N, -1), {}, (N, 12)),
        ((N, 3, 4), (-1, 12), {}, (N, 12)),
        ((N, 3, 4), (0, -1), {"allowzero": False}, (N, 12)),
        ((2, 0, 4), (0, 4, 2), {}, (0, 4, 2)),
        ((2, 0, 4), (-1, 3), {}, (0, 3)),
    ],
)
def test_reshaped(shape, wanted, options, expected):
    assert str(reshaped(shape, wanted, **options)) == str(expected)


def test_sizes_that_do_not_agree():
    with pytest.raises(ShapeError, match=r"\(2, 3\) has 6 elements, \(4, 2\) has 8"):
        Reshape((4, 2)).infer(Value((2, 3), np.float32))
    with pytest.raises(ShapeError, match="more than one extent open"):
        reshaped((2, 3), (-1, -1))
    with pytest.raises(ShapeError, match="is not 1"):
        Squeeze((0,)).infer(Value((2, 3), np.float32))
    with pytest.raises(ShapeError, match="do not add up"):
        Split(0, (1, 2)).infer(Value((4,), np.float32))
    with pytest.raises(ShapeError, match="differ elsewhere"):
        Concat(0).infer(Value((4, 2), np.float32), Value((4, 3), np.float32))


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ([Transpose((1, 0, 2)), Transpose((1, 0, 2))], 0),
        ([Transpose((1, 2, 0)), Transpose((1, 2, 0))], 1),
        ([Reshape((N * 12,)), Reshape((3, N, 4))], 1),
        ([Unsqueeze((1,)), Squeeze((1,))], 0),
        ([Flatten(), Reshape((N, 3, 4))], 0),
        ([Expand((N, 3, 4))], 0),
        ([Slice((0,), (FAR,), (0,))], 0),
        ([Pad((0,) * 6)], 0),
        ([Tile((1, 1, 1)), Identity()], 0),
    ],
)
def test_simplify(steps, left):
    build = Builder()
    value = build.input("x", (N, 3, 4), np.float32)
    for op in steps:
        value = build.one(op, value)
    assert len(build.finish([value]).nodes) == left


def test_one_hot_of_tensors_and_arrays():
    indices = np.array([2, 0, 5])
    expected = np.array([[0, 0, 1], [1, 0, 0], [0, 0, 0]], np.float32)
    eager = ops.one_hot(indices, 3)
    assert np.array_equal(eager, expected)
    assert eager.dtype == np.float32
    build = Builder()
    labels = Tensor(build, build.input("labels", (N,), np.int64))
    graph = build.finish([ops.one_hot(labels, 3).value])
    (recorded,), _ = evaluate(graph, {"labels": indices}, {})
    assert np.array_equal(recorded, expected)
