"""Every operator with a kernel of its own in a plan, on arrays in any memory order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from layerport import ops
from layerport.errors import TrainingError
from layerport.graph import Builder
from layerport.numpy_engine.plan import Plan
from layerport.op import Op
from layerport.ops.loss import SigmoidCrossEntropy
from layerport.tensor import Tensor

X, Y = (2, 6, 5, 4), (6, 5, 4)
IMAGE = (2, 3, 8, 9)

CASES: dict[str, tuple[Op, list[Any]]] = {
    "Add row": (ops.Add(), [X, (4,)]),
    "Add column": (ops.Add(), [X, (6, 1, 1)]),
    "Add number": (ops.Add(), [X, ()]),
    "Add long rows": (ops.Add(), [(700, 5), (5,)]),
    "Max number": (ops.Max(), [X, ()]),
    "Sub broadcast": (ops.Sub(), [(6, 1, 4), X]),
    "Div": (ops.Div(), [X, Y]),
    "Pow": (ops.Pow(), [X, ()]),
    "Where": (ops.Where(), ["bool", X, Y]),
    "Clip": (ops.Clip(), [X, (), ()]),
    "Clip above": (ops.Clip(), [X, None, ()]),
    "Relu": (ops.Relu(), [X]),
    "LeakyRelu": (ops.LeakyRelu(0.3), [X]),
    "LeakyRelu steep": (ops.LeakyRelu(1.5), [X]),
    "Elu": (ops.Elu(0.7), [X]),
    "Selu": (ops.Selu(), [X]),
    "Celu": (ops.Celu(2.0), [X]),
    "PRelu": (ops.PRelu(), [X, (4,)]),
    "Sigmoid": (ops.Sigmoid(), [X]),
    "Softplus": (ops.Softplus(), [X]),
    "Softsign": (ops.Softsign(), [X]),
    "Gelu": (ops.Gelu(), [X]),
    "Gelu tanh": (ops.Gelu("tanh"), [X]),
    "Mish": (ops.Mish(), [X]),
    "HardSigmoid": (ops.HardSigmoid(), [X]),
    "HardSwish": (ops.HardSwish(), [X]),
    "ThresholdedRelu": (ops.ThresholdedRelu(0.5), [X]),
    "Cast": (ops.Cast("int32"), [X]),
    "Cast to bool": (ops.Cast("bool"), [X]),
    "Softmax": (ops.Softmax(), [X]),
    "Softmax over channels": (ops.Softmax(1), [X]),
    "Softmax of many rows": (ops.Softmax(), [(100, 3)]),
    "LogSoftmax": (ops.LogSoftmax(2), [X]),
    "ReduceSum": (ops.ReduceSum((0, 2)), [X]),
    "ReduceSum last": (ops.ReduceSum((3,), keepdims=False), [X]),
    "ReduceSum first": (ops.ReduceSum((0,), keepdims=False), [X]),
    "ReduceSum all": (ops.ReduceSum(), [X]),
    "ReduceMean": (ops.ReduceMean((1, 3), keepdims=False), [X]),
    "ReduceMax": (ops.ReduceMax((1,)), [X]),
    "ReduceMax rows": (ops.ReduceMax((1,), keepdims=False), [(100, 4)]),
    "ReduceMin": (ops.ReduceMin((0, 1, 2, 3)), [X]),
    "ReduceProd": (ops.ReduceProd((2,)), [X]),
    "ReduceLogSumExp": (ops.ReduceLogSumExp((2,)), [X]),
    "ArgMax": (ops.ArgMax(1), [X]),
    "ArgMax flat": (ops.ArgMax(3, keepdims=False), [X]),
    "ArgMax last": (ops.ArgMax(0, select_last_index=True), [X]),
    "MatMul": (ops.MatMul(), [(7, 4), (4, 3)]),
    "MatMul rows": (ops.MatMul(), [X, (4, 3)]),
    "MatMul stacked": (ops.MatMul(), [X, (2, 6, 4, 5)]),
    "MatMul broadcast": (ops.MatMul(), [(6, 1, 5, 4), (2, 4, 3)]),
    "MatMul many rows": (ops.MatMul(), [(3, 70, 4), (3, 4, 5)]),
    "MatMul vectors": (ops.MatMul(), [(4,), (4,)]),
    "MatMul vector": (ops.MatMul(), [(4,), (3, 4, 2)]),
    "MatMul by vector": (ops.MatMul(), [X, (4,)]),
    "Gemm": (ops.Gemm(0.5, 2.0, 1, 1), [(4, 7), (3, 4), (3,)]),
    "Gemm column": (ops.Gemm(), [(7, 4), (4, 3), (7, 1)]),
    "Concat": (ops.Concat(1), [X, X, (2, 1, 5, 4)]),
    "Pad": (ops.Pad((0, 1, 2, 0, 0, 3, 0, 1)), [X]),
    "Pad number": (ops.Pad((1, 1), axes=(2,)), [X, ()]),
    "Pad edge": (ops.Pad((1, 2), "edge", axes=(1,)), [X]),
    "Pad reflect": (ops.Pad((2, 1), "reflect", axes=(3,)), [X]),
    "Slice backwards": (ops.Slice((-1,), (-(2**40),), (1,), (-2,)), [X]),
    "SliceGrad": (ops.SliceGrad((1,), (8,), (1,), (2,), (2, 8, 5, 4)), [(2, 4, 5, 4)]),
    "Tile": (ops.Tile((1, 2, 3, 1)), [X]),
    "Expand": (ops.Expand((3, 2, 6, 5, 4)), [X]),
    "Gather": (ops.Gather(1), [X, np.array([[0, -1], [5, 2]])]),
    "GatherGrad": (ops.GatherGrad(1, X), [(2, 3, 5, 4), np.array([0, 2, 0])]),
    "OneHot": (ops.OneHot(4), [np.array([[0, -1], [3, 2]]), (2,)]),
    "Trilu": (ops.Trilu(1), [X]),
    "BatchNormalization": (ops.BatchNormalization(), [X, (6,), (6,), (6,), "positive"]),
    "LayerNormalization": (ops.LayerNormalization(), [X, (4,), (4,)]),
    "LayerNormalization of images": (ops.LayerNormalization(1), [X, Y]),
    "Moments": (ops.Moments((0, 2, 3)), [X]),
    "Moments of rows": (ops.Moments((3,)), [X]),
    "LRN": (ops.LRN(3), [X]),
    "Resize": (ops.Resize(scales=(1.0, 1.0, 2.0, 3.0)), [IMAGE]),
    "Resize linear": (ops.Resize(scales=(1.0, 1.0, 2.0, 2.0), mode="linear"), [IMAGE]),
    "MaxPool": (ops.MaxPool((2, 2), (2, 2)), [IMAGE]),
    "MaxPool of three": (ops.MaxPool((3, 3), (3, 3)), [IMAGE]),
    "MaxPool overlapping": (ops.MaxPool((3, 2), (2, 1), (1, 0, 1, 1)), [IMAGE]),
    "MaxPool of one": (ops.MaxPool((1, 1), (2, 2)), [IMAGE]),
    "MaxPool indices": (ops.MaxPool((2, 2), (2, 2), indices=True), [IMAGE]),
    "AveragePool": (ops.AveragePool((2, 2), (2, 2)), [IMAGE]),
    "AveragePool padded": (ops.AveragePool((3, 3), (2, 2), (1, 1, 1, 1)), [IMAGE]),
    "GlobalAveragePool": (ops.GlobalAveragePool(), [IMAGE]),
    "GlobalMaxPool": (ops.GlobalMaxPool(), [IMAGE]),
    "Conv": (ops.Conv(pads=(1, 0, 0, 1), strides=(1, 2)), [IMAGE, (4, 3, 3, 2), (4,)]),
    "Conv of points": (ops.Conv(), [IMAGE, (4, 3, 1, 1)]),
    "Conv depthwise": (ops.Conv(group=3, auto_pad="SAME_UPPER"), [IMAGE, (6, 1, 3, 3), (6,)]),
    "SoftmaxCrossEntropy": (ops.SoftmaxCrossEntropy(), [(8, 5), "targets"]),
    "SparseSoftmaxCrossEntropy": (
        ops.SparseSoftmaxCrossEntropy(),
        [(8, 5), np.array([0, 4, 2, 2, 1, 3, 0, 4], np.int32)],
    ),
    "SigmoidCrossEntropy": (SigmoidCrossEntropy(), [X, X]),
}


def _operand(build: Builder, spec: Any, place: int, dtype: str, turned: bool) -> Any:
    """A value for an operand, and its array; turned ones lie in memory in another order."""
    numbers = np.random.default_rng(place)
    if spec is None:
        return None, None
    if isinstance(spec, np.ndarray):
        array = spec
    elif spec == "bool":
        array = numbers.random(X) > 0.5
    elif spec == "positive":
        array = numbers.random(6).astype(dtype) + 0.5
    elif spec == "targets":
        array = np.eye(5, dtype=dtype)[numbers.integers(0, 5, 8)]
    else:
        array = np.asarray(numbers.standard_normal(spec), dtype)
    name = f"x{place}"
    if not turned or array.ndim < 2:
        return build.input(name, array.shape, array.dtype), array
    order = (0, *range(2, array.ndim), 1) if array.ndim > 2 else (1, 0)
    stored = np.ascontiguousarray(array.transpose(order))
    value = build.input(name, stored.shape, stored.dtype)
    back = tuple(order.index(axis) for axis in range(array.ndim))
    return build.one(ops.Transpose(back), value), stored


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_operator(name: str, turned: bool, dtype: str, check: Callable[..., Plan]) -> None:
    op, specs = CASES[name]
    build = Builder(rewrite=False)
    pairs = [_operand(build, spec, place, dtype, turned) for place, spec in enumerate(specs)]
    values = build.add(op, *(value for value, _ in pairs))
    feeds = {f"x{k}": array for k, (_, array) in enumerate(pairs) if array is not None}
    graph = build.finish(values)
    check(graph, feeds, {}, dtype=dtype)


def test_random_numbers_are_those_of_the_operator(check: Callable[..., Plan]) -> None:
    build = Builder()
    names = ["seed", "step", "sample"]
    counters = [build.input(name, (), np.uint32) for name in names]
    uniform = build.one(ops.RandomUniform((3, 4, 5), 7), *counters)
    graph = build.finish([uniform])
    for numbers in ((1, 2, 3), (2**32 - 1, 0, 2**32 - 2)):
        feeds = dict(zip(names, (np.asarray(n, np.uint32) for n in numbers), strict=True))
        plan = check(graph, feeds, {}, dtype="float32")
        got = plan.run(feeds)[0]
        np.testing.assert_array_equal(got, ops.RandomUniform((3, 4, 5), 7)(*feeds.values()))


def test_unknown_classes_are_refused() -> None:
    build = Builder()
    logits = build.input("z", (2, 3), "float32")
    targets = build.input("t", (2,), "int64")
    graph = build.finish(build.add(ops.SparseSoftmaxCrossEntropy(), logits, targets))
    plan = Plan(graph, {})
    with pytest.raises(TrainingError, match="class 3"):
        plan.run({"z": np.zeros((2, 3), np.float32), "t": np.array([0, 3])})


def test_what_gradients_compute_again_is_computed_once() -> None:
    from layerport.gradient import gradient
    from layerport.numpy_engine.lowering import lowered

    build = Builder(float_dtype="float64")
    x = Tensor(build, build.input("x", (4, 5), "float64"))
    y = ops.gelu(x).sum()
    graph = build.finish([y.value])
    low = lowered(gradient(graph, graph.outputs[0], [graph.inputs[0]]))
    assert sum(isinstance(node.op, ops.Tanh) for node in low.nodes) == 1
