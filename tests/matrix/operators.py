"""ONNX's operators in files as others write them, with the formulas of its documentation."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
import onnx
from onnx import helper, numpy_helper

from matrix import naive
from matrix.activations import elu, log_softmax
from matrix.case import SAMPLES, Case, Drawn, f64

OPSET, FORMAT = 21, 10


class Written:
    """A graph that grows call by call; each call adds a node and names its first output."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._arrays: list[onnx.TensorProto] = []

    def __call__(self, kind: str, *operands: str, outputs: int = 1, **attributes: Any) -> str:
        made = [f"{kind}_{len(self._nodes)}_{k}" for k in range(outputs)]
        self._nodes.append(helper.make_node(kind, operands, made, **attributes))
        return made[0]

    @property
    def kinds(self) -> frozenset[str]:
        """The operators so far."""
        return frozenset(node.op_type for node in self._nodes)

    def array(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"array_{len(self._arrays)}"
        self._arrays.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def model(self, inputs: dict[str, np.ndarray], outputs: Sequence[str],
              expected: Sequence[np.ndarray]) -> bytes:  # fmt: skip
        """The file, with an open batch."""
        given, made = (
            [
                helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", *x.shape[1:]])
                for name, x in pairs
            ]
            for pairs in (inputs.items(), zip(outputs, expected, strict=True))
        )
        graph = helper.make_graph(self._nodes, "operators", given, made, self._arrays)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, ir_version=FORMAT, opset_imports=opsets)
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()


@dataclass(frozen=True)
class OperatorCase(Case):
    """A case that was read from a file with operators of these kinds."""

    kinds: frozenset[str] = frozenset()


def case(name: str, write: Written, inputs: dict[str, np.ndarray],
         results: dict[str, np.ndarray]) -> OperatorCase:  # fmt: skip
    """A case of the outputs and what they must be."""
    expected = list(results.values())
    data = write.model(inputs, list(results), expected)

    def network() -> lp.Network:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "operators.onnx"
            path.write_bytes(data)
            return lp.load(path)

    return OperatorCase(name, network, list(inputs.values()), expected, kinds=write.kinds)


def elementwise() -> OperatorCase:
    draw = Drawn(800)
    x, y, p = draw(SAMPLES, 3, 4), draw.positive(SAMPLES, 3, 4), draw(SAMPLES, 1, 4)
    slope, row = draw.positive(4), draw(4)
    X, Y, P, S, R = f64(x, y, p, slope, row)
    w = Written()
    results = {
        w("Add", "x", "p"): X + P,
        w("Sub", "x", w.array(row)): X - R,
        w("Mul", "p", "y"): P * Y,
        w("Div", "x", "y"): X / Y,
        w("Pow", "y", w.array(1.5)): Y**1.5,
        w("Pow", "x", w.array(3.0)): X**3,
        w("Sum", "x", "y", "p"): X + Y + P,
        w("Neg", "x"): -X,
        w("Abs", "x"): np.abs(X),
        w("Sqrt", "y"): np.sqrt(Y),
        w("Exp", "x"): np.exp(X),
        w("Log", "y"): np.log(Y),
        w("Clip", "x", w.array(-0.5), w.array(0.75)): np.clip(X, -0.5, 0.75),
        w("Clip", "x", "", w.array(0.25)): np.minimum(X, 0.25),
        w("Relu", "x"): naive.relu(X),
        w("LeakyRelu", "x", alpha=0.25): np.where(X > 0, X, 0.25 * X),
        w("PRelu", "x", w.array(slope)): np.where(X > 0, X, S * X),
        w("Elu", "x", alpha=0.5): elu(X, 0.5),
        w("Selu", "x", alpha=1.5, gamma=2.0): 2 * elu(X, 1.5),
        w("Sigmoid", "x"): naive.sigmoid(X),
        w("HardSigmoid", "x", alpha=0.25, beta=0.5): np.clip(0.25 * X + 0.5, 0, 1),
        w("Tanh", "x"): np.tanh(X),
        w("Softplus", "x"): naive.softplus(X),
        w("Softsign", "x"): X / (1 + np.abs(X)),
        w("Identity", "y"): Y,
        w("Dropout", "x", w.array(0.5), w.array(False, bool)): X,
        w("Softmax", "x", axis=1): naive.softmax(X, 1),
        w("LogSoftmax", "x"): log_softmax(X),
    }
    return case("operators: elements", w, {"x": x, "y": y, "p": p}, results)


def shapes() -> OperatorCase:
    draw = Drawn(801)
    x, y = draw(SAMPLES, 3, 4), draw(SAMPLES, 2, 4)
    X, Y = f64(x, y)
    w = Written()
    table = numpy_helper.from_array(np.arange(4, dtype=np.float32))
    numbers = w("Cast", w("Mul", "x", w.array(3.0)), to=onnx.TensorProto.INT32)
    filled = w("ConstantOfShape", w("Shape", "x"),
               value=numpy_helper.from_array(np.array([2.5], np.float32)))  # fmt: skip
    results = {
        w("Reshape", "x", w.array([0, 2, -1], np.int64)): X.reshape(SAMPLES, 2, 6),
        w("Flatten", "x"): X.reshape(SAMPLES, 12),
        w("Transpose", "x", perm=[0, 2, 1]): X.transpose(0, 2, 1),
        w("Unsqueeze", "x", w.array([1, -1], np.int64)): X[:, None, :, :, None],
        w("Squeeze", w("Unsqueeze", "y", w.array([2], np.int64)), w.array([2], np.int64)): Y,
        w("Concat", "x", "y", axis=1): np.concatenate([X, Y], 1),
        w("Add", "x", w("Constant", value=table)): X + np.arange(4),
        w("Cast", numbers, to=onnx.TensorProto.FLOAT): np.trunc(3 * x).astype(np.float64),
        w("Add", filled, "x"): X + 2.5,
    }
    return case("operators: shapes", w, {"x": x, "y": y}, results)


def products() -> OperatorCase:
    draw = Drawn(802)
    x, y, z = draw(SAMPLES, 4), draw(SAMPLES, 3, 4), draw(SAMPLES, 4, 2)
    a, b, c, d = draw(6, 4), draw(6), draw(4, 3), draw(4, 5)
    X, Y, Z, A, B, C, D = f64(x, y, z, a, b, c, d)
    w = Written()
    results = {
        w("Gemm", "x", w.array(a), w.array(b), transB=1, alpha=0.5, beta=2.0): 0.5 * X @ A.T
        + 2 * B,
        w("Gemm", "x", w.array(c)): X @ C,
        w("MatMul", "y", w.array(d)): Y @ D,
        w("MatMul", "y", "z"): Y @ Z,
    }
    return case("operators: products", w, {"x": x, "y": y, "z": z}, results)


def images() -> OperatorCase:
    """Channels first, as ONNX has them."""
    draw = Drawn(803)
    x = draw(SAMPLES, 4, 6, 7)
    k, b, g, scale = draw(5, 4, 3, 2), draw(5), draw(4, 2, 3, 3), [
        draw.positive(4), draw(4), draw(4), draw.positive(4)
    ]  # fmt: skip
    X, K, B, G = f64(x, k, b, g)
    rows = naive.first_to_last(X)
    square = np.pad(X**2, [(0, 0), (1, 1), (0, 0), (0, 0)])
    across = sum(square[:, place : place + 4] for place in range(3))
    conv = naive.conv2d(rows, K.transpose(2, 3, 1, 0), B, (2, 1))
    around = np.pad(rows, [(0, 0), (1, 1), (1, 1), (0, 0)])
    groups = naive.grouped(around, G.transpose(2, 3, 1, 0), np.zeros(4), 2)
    zeros = naive.average_pool(around, (3, 3), (2, 2))
    w = Written()
    results = {
        w("Conv", "x", w.array(k), w.array(b), strides=[2, 1]): naive.last_to_first(conv),
        w("Conv", "x", w.array(g), group=2, pads=[1] * 4): naive.last_to_first(groups),
        w("MaxPool", "x", kernel_shape=[2, 3], strides=[2, 2]): naive.last_to_first(
            naive.max_pool(rows, (2, 3), (2, 2))
        ),
        w("AveragePool", "x", kernel_shape=[2, 2]): naive.last_to_first(
            naive.average_pool(rows, (2, 2), (1, 1))
        ),
        w("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4,
          count_include_pad=1): naive.last_to_first(zeros),
        w("GlobalAveragePool", "x"): X.mean((2, 3), keepdims=True),
        w("GlobalMaxPool", "x"): X.max((2, 3), keepdims=True),
        w("LRN", "x", size=3, alpha=0.3, beta=0.5, bias=2.0): X / np.sqrt(2 + 0.1 * across),
        w("BatchNormalization", "x", *map(w.array, scale), epsilon=0.01): naive.last_to_first(
            naive.batch_norm(rows, *f64(*scale), 0.01)
        ),
    }  # fmt: skip
    return case("operators: images", w, {"x": x}, results)


CASES = [make() for make in (elementwise, shapes, products, images)]
OPERATORS = (
    "Conv Gemm MatMul Add Relu Reshape MaxPool Softmax Sigmoid Mul Concat Transpose Constant "
    "BatchNormalization GlobalAveragePool AveragePool Flatten Sub Div Tanh Clip Identity Dropout "
    "Unsqueeze Squeeze Cast Sum LeakyRelu PRelu Elu Selu HardSigmoid LogSoftmax Softplus Softsign "
    "Exp Log Sqrt Pow Neg Abs ConstantOfShape GlobalMaxPool LRN"
)
"""The operators that most files need: the first tier of ../shared/conformance/tiers.json."""
