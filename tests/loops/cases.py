"""Small graphs that use every operator, for the loop level and its printers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from layerport import ops
from layerport.dim import Dim
from layerport.graph import Graph
from layerport.recording import Recording

BATCH = 5
N = Dim("batch")

Spec = tuple[tuple[int | None, ...], str]
"""Shape (None: the batch) and kind of data: f normal, p positive, u 0 to 1, b bool, iK below K."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A function of Tensors, and what it is called with."""

    name: str
    inputs: Sequence[Spec]
    function: Callable[..., Any] = dataclasses.field(repr=False)

    def graph(self, dtype: type = np.float32) -> Graph:
        recording = Recording(float_dtype=dtype)
        tensors = [
            recording.input(
                f"x{k}", tuple(N if e is None else e for e in shape), kind_of(kind, dtype)
            )
            for k, (shape, kind) in enumerate(self.inputs)
        ]
        made = self.function(*tensors)
        outputs = list(made) if isinstance(made, (list, tuple)) else [made]
        return recording.finish(outputs)

    def data(self, batch: int = BATCH) -> list[np.ndarray]:
        random = np.random.default_rng(sum(map(ord, self.name)))
        return [
            draw(random, tuple(batch if e is None else e for e in shape), kind)
            for shape, kind in self.inputs
        ]


def kind_of(kind: str, dtype: type) -> Any:
    return np.bool_ if kind == "b" else np.int64 if kind.startswith("i") else dtype


def draw(random: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    if kind == "b":
        return random.random(shape) < 0.5
    if kind.startswith("i"):
        return random.integers(0, int(kind[1:]), shape)
    if kind == "u":
        return random.uniform(-0.95, 0.95, shape).astype(np.float32)
    values = random.standard_normal(shape).astype(np.float32)
    return np.abs(values) + np.float32(0.1) if kind == "p" else values


def constant(*shape: int, seed: int = 7) -> np.ndarray:
    """Weights: float32 values, in whatever dtype they are used."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def weights(x: Any, *shape: int, seed: int = 7) -> Any:
    return constant(*shape, seed=seed).astype(x.dtype)


IMAGE: Spec = ((None, 3, 8, 7), "f")
ROW: Spec = ((None, 10), "f")


def _functions(x: Any) -> list[Any]:
    kinds = [ops.Exp, ops.Sin, ops.Cos, ops.Tan, ops.Tanh, ops.Sinh, ops.Cosh, ops.Atan, ops.Asinh,
             ops.Floor, ops.Ceil, ops.Round, ops.Sign, ops.Abs, ops.Neg, ops.Erf]  # fmt: skip
    return [kind()(x) for kind in kinds] + [ops.Round()(ops.Round()(x * 4) / 2)]


def _activations(x: Any) -> list[Any]:
    names = (
        "relu leaky_relu relu6 hard_sigmoid hard_swish elu selu celu gelu mish sigmoid silu "
        "softplus softsign thresholded_relu erf"
    )
    return [getattr(ops, name)(x) for name in names.split()]


def _comparisons(x: Any, y: Any) -> list[Any]:
    tests = [x > y, x >= y, x < y, x <= y, x == y, np.logical_not(x > y)]
    both = [np.logical_and(x > 0, y > 0), np.logical_or(x > 0, y > 0), ops.Xor()(x > 0, y > 0)]
    return [*tests, *both, np.where(x > y, x, y), np.isnan(x)]


def _integers(i: Any, j: Any) -> list[Any]:
    k = j + 1
    return [
        i + j,
        i - j,
        i * j,
        ops.Div()(i - 4, k),
        ops.Mod()(i - 4, k),
        ops.Mod(1)(i - 4, k),
        np.maximum(i, j),
        -i,
        np.abs(i - j),
        i > j,
    ]


def _casts(x: Any, i: Any, b: Any) -> list[Any]:
    return [x.astype("int32"), i.astype("float32"), b.astype("float32"), x.astype("bool"),
            b.astype("int64"), i.astype("bool")]  # fmt: skip


def _dense(x: Any, units: int, seed: int, activation: Callable[..., Any] = ops.relu) -> Any:
    return activation(x @ weights(x, x.shape[-1], units, seed=seed) + weights(x, units, seed=seed))


def _mlp(x: Any) -> Any:
    return ops.softmax(_dense(_dense(x, 13, 1), 10, 2, lambda v: v))


def _cnn(x: Any) -> Any:
    y = ops.max_pool(ops.relu(ops.conv(x, weights(x, 6, 3, 3, 3), weights(x, 6))), 2, strides=2)
    y = ops.relu(ops.conv(y, weights(x, 9, 6, 2, 2), weights(x, 9), pads=1))
    return _dense(y.reshape((y.shape[0], math.prod(y.shape[1:]))), 4, 3)


def _keras_cnn(x: Any) -> Any:
    """Channels last, as Keras has it: transposed around every operator."""
    first, last = (0, 3, 1, 2), (0, 2, 3, 1)
    y = ops.conv(x.transpose(first), weights(x, 6, 3, 3, 3), pads=1).transpose(last)
    y = ops.relu(y + weights(x, 6))
    y = ops.max_pool(y.transpose(first), 2, strides=2).transpose(last)
    z = ops.conv(y.transpose(first), weights(x, 6, 6, 3, 3), pads=1).transpose(last)
    y = ops.relu(z + y)
    return y.mean(axis=(1, 2)), y.reshape((y.shape[0], math.prod(y.shape[1:])))


def _dense_block(x: Any) -> Any:
    """Concatenations that grow: operands are computed in place."""
    for seed in range(3):
        y = ops.relu(ops.conv(x, weights(x, 4, x.shape[1], 3, 3, seed=seed), pads=1))
        x = np.concatenate([x, y], axis=1)
    return x


def _separable(x: Any) -> Any:
    y = ops.conv(x, weights(x, 6, 1, 3, 3), pads=1, group=3, strides=2)
    return ops.relu(ops.conv(y, weights(x, 5, 6, 1, 1), weights(x, 5)))


def _attention(x: Any) -> Any:
    q, k, v = (x @ weights(x, 6, 6, seed=seed) for seed in range(3))
    scores = q @ k.transpose((0, 2, 1)) / math.sqrt(6)
    return ops.softmax(scores) @ v


def _normalized(x: Any) -> list[Any]:
    c = x.shape[1]
    vectors = [weights(x, c, seed=1), weights(x, c, seed=2), weights(x, c, seed=3) + 100,
               np.abs(weights(x, c, seed=4)) + 0.5]  # fmt: skip
    return [
        ops.BatchNormalization(epsilon=1e-3)(x, *vectors),
        ops.LRN(3, alpha=0.5)(x),
        ops.LRN(2)(x),
    ]


def _layer_normalized(x: Any) -> list[Any]:
    plain = ops.LayerNormalization(-1)(x, weights(x, x.shape[-1]), weights(x, x.shape[-1], seed=2))
    both = ops.LayerNormalization(1)(x, weights(x, *x.shape[1:]))
    return [ops.relu(plain[0]), both[0], both[1], both[2]]


def _reductions(x: Any) -> list[Any]:
    return [
        x.sum(axis=(2, 3)), x.mean(axis=1, keepdims=True), x.max(axis=(1, 3)), x.min(axis=2),
        *ops.Moments((1, 3))(x), np.prod(x, axis=3), x.sum(axis=(1, 2, 3)),
        x.mean(axis=(2, 3), keepdims=True),
        ops.ReduceLogSumExp((1,), keepdims=False)(x), np.argmax(x, axis=1), np.argmax(x, axis=3),
        ops.ArgMax(2, False, True)(np.round(x)), (x * x).sum(axis=1),
    ]  # fmt: skip


def _pools(x: Any) -> list[Any]:
    return [
        ops.max_pool(x, 2, strides=2), ops.max_pool(x, 3, strides=2, pads=1),
        ops.max_pool(x, 2, strides=2, ceil_mode=True), ops.average_pool(x, 2, strides=2),
        ops.average_pool(x, 3, strides=2, pads=1),
        ops.AveragePool((3, 3), (1, 1), (1, 1, 1, 1), count_include_pad=1)(x),
        ops.AveragePool((3, 2), (2, 2), (1, 0, 1, 0), ceil_mode=1)(x),
        ops.max_pool(x, 2, dilations=2), ops.GlobalAveragePool()(x), ops.GlobalMaxPool()(x),
        *ops.MaxPool((3, 3), (2, 2), (1, 1, 1, 1), indices=True)(x),
        *ops.MaxPool((2, 2), (2, 2), (1, 0, 0, 1), storage_order=1, indices=True)(x),
    ]  # fmt: skip


def _convolutions(x: Any) -> list[Any]:
    w = weights(x, 5, 3, 3, 3)
    return [
        ops.conv(x, w, weights(x, 5)), ops.conv(x, w, pads=1, strides=2),
        ops.conv(x, w, dilations=2), ops.conv(x, w, auto_pad="SAME_UPPER", strides=2),
        ops.conv(x, w, auto_pad="SAME_LOWER", strides=2),
        ops.conv(x, weights(x, 6, 1, 3, 2), group=3, pads=(0, 1, 2, 0)),
        ops.conv(x, weights(x, 4, 3, 1, 1)), ops.conv(x, w, pads=-1),
        ops.conv_transpose(x, weights(x, 3, 4, 3, 3), weights(x, 4)),
        ops.conv_transpose(x, weights(x, 3, 4, 3, 3), strides=2, pads=1, output_padding=1),
        ops.conv_transpose(x, weights(x, 3, 2, 2, 3), strides=(3, 2), dilations=2, group=3),
    ]  # fmt: skip


def _shapes(x: Any) -> list[Any]:
    return [
        x.transpose((0, 2, 3, 1)), x.reshape((x.shape[0], 21, 8)), x[:, :, 1:7:2, ::-1],
        np.concatenate([x, x * 2, x], axis=2), np.pad(x, ((0, 0), (0, 1), (2, 0), (1, 3))),
        np.tile(x, (1, 2, 1, 3)), x[:, 1], np.stack([x, -x], axis=1),
        np.broadcast_to(x[:, :1], x.shape), np.flip(x, 2), *np.split(x, [2, 5], axis=2),
        ops.Trilu(1)(x), ops.Trilu(-1, 0)(x), np.repeat(x, 2, axis=3), np.squeeze(x[:, :1], 1),
    ]  # fmt: skip


def _mixed_views(x: Any) -> list[Any]:
    """Views that cannot be: a copy is needed."""
    y = x.transpose((0, 2, 1, 3)).reshape((x.shape[0], 24, 7))
    return [y, ops.relu(y).transpose((0, 2, 1)), x.reshape((x.shape[0] * 3, 8, 7)) + 1]


def _padded(x: Any) -> list[Any]:
    pads = (0, 1, 2, 0, 0, 0, 1, 3)
    return [ops.Pad(pads, mode)(x) for mode in ("reflect", "edge", "wrap")] + [
        ops.Pad(pads)(x, np.asarray(-2.5, x.dtype)), ops.Pad((0, 0, -1, 2, 0, 1, -2, 0))(x),
    ]  # fmt: skip


def _gathered(x: Any, i: Any) -> list[Any]:
    table = weights(x, 9, 4)
    hot = ops.OneHot(9)(i, np.array([0, 1], x.dtype))
    cold = ops.OneHot(6, 0)(i, np.array([-1.0, 3.0], x.dtype))
    rows = [ops.Gather(1)(x, np.array(places)) for places in ([2, -1, 0], 3)]
    return [ops.Gather(0)(table, i), *rows, hot, cold]


def _resized(x: Any) -> list[Any]:
    return [
        ops.resize(x, scales=(1, 1, 2, 3)),
        ops.resize(x, scales=(1, 1, 2, 2), mode="linear"),
        ops.resize(x, sizes=(5, 11), axes=(2, 3), mode="linear"),
        ops.resize(x, sizes=(13, 4), axes=(2, 3), nearest_mode="floor"),
        ops.resize(x, sizes=(5, 3), axes=(2, 3), mode="cubic", antialias=True),
        ops.resize(x, sizes=(9, 9), axes=(2, 3), mode="linear",
                   coordinate_transformation_mode="align_corners"),
    ]  # fmt: skip


def _products(x: Any, y: Any) -> list[Any]:
    return [
        x @ y, x @ weights(x, 4, 6), weights(x, 7, 3) @ x, x @ weights(x, 4),
        weights(x, 3) @ x, ops.Gemm(0.5, 2.0, 0, 1)(x[:, 0], weights(x, 6, 4), weights(x, 6)),
        ops.Gemm(2.0, 0.5, 1, 1)(weights(x, 4, 6), x[:, 0], weights(x, 6, 1)),
    ]  # fmt: skip


def _sequence_first(x: Any) -> Any:
    """Time before batch, both made one axis: no affine index says where a sample is."""
    rows = x.transpose((1, 0, 2)).reshape((4 * x.shape[0], 3))
    y = np.tanh(rows @ weights(x, 3, 5)).reshape((4, x.shape[0], 5))
    return y.transpose((1, 0, 2))


def _over_batch(x: Any) -> list[Any]:
    """Samples that influence each other."""
    return [x - x.mean(axis=0), x.sum(), x @ x.transpose(), x - x[:1]]


def _sizes(x: Any) -> list[Any]:
    return [ops.Shape()(x), x * ops.count(x, 0), ops.Count((0, 1))(x)]


def _losses(x: Any, y: Any, i: Any) -> list[Any]:
    target = ops.softmax(y)
    return [*ops.SoftmaxCrossEntropy()(x, target), *ops.SparseSoftmaxCrossEntropy()(x, i),
            ops.sigmoid_cross_entropy(x, target), *ops.SoftmaxCrossEntropy(0)(x, y)]  # fmt: skip


def _gradients(x: Any) -> list[Any]:
    """The operators of training graphs."""
    same = {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1), "dilations": (1, 1)}
    dy = ops.conv(x, weights(x, 6, 3, 3, 3), strides=2, pads=1)
    y = ops.MaxPool(**same)(x)
    w = weights(x, 6, 3, 3, 3)
    return [
        ops.ConvInputGrad(**same, extents=(8, 7))(dy, w), ops.ConvWeightGrad(**same)(x, dy),
        ops.ConvWeightGrad(**same, group=3)(x, dy),
        ops.ConvInputGrad(**same, group=3, extents=(8, 7))(dy, weights(x, 6, 1, 3, 3)),
        ops.MaxPoolGrad(**same)(y + 1, x, y), ops.AveragePoolGrad(**same, extents=(8, 7))(y),
        ops.AveragePoolGrad(**same, count_include_pad=1, extents=(8, 7))(y),
        ops.ResizeGrad(scales=(1, 1, 2, 2), mode="linear", shape=(N, 3, 4, 3))(x[..., :6]),
        ops.PadGrad((0, 0, 1, 2, 0, 0, 1, 1), "reflect")(x),
        ops.SliceGrad((1,), (8,), (3,), (2,), (N, 3, 8, 9))(x[..., :4]),
        ops.SliceGrad((1,), (8,), (3,), (1,), (N, 3, 8, 9))(x),
        ops.GatherGrad(2, (N, 3, 5, 7))(x, np.array([0, 3, 3, 1, 4, 0, 0, -1])),
    ]  # fmt: skip


def _recurrences(x: Any, lengths: Any) -> list[Any]:
    """Every recurrence in both directions, and the operators of its training."""
    found: list[Any] = []
    for kind, gates, fields in (
        (ops.RNN, 1, {"activations": ("Elu", "Softplus")}),
        (ops.GRU, 3, {}),
        (ops.GRU, 3, {"linear_before_reset": 1, "clip": 0.7}),
        (ops.LSTM, 4, {}),
        (ops.LSTM, 4, {"input_forget": 1, "activations": ("HardSigmoid", "Tanh", "Softsign") * 2}),
    ):
        op = kind(5, "bidirectional", **fields)
        w, r = weights(x, 2, gates * 5, 3, seed=1), weights(x, 2, gates * 5, 5, seed=2) * 0.5
        given = [np.swapaxes(x, 0, 1), w, r, weights(x, 2, gates * 10, seed=3), lengths]
        given += [weights(x, 2, 1, 5, seed=4) + x[:, 0, :1] for _ in range(op.states)]
        if kind is ops.LSTM:
            given.append(weights(x, 2, 15, seed=5))
        traced = op.traced()(*given)
        slopes = list(traced[: 1 + op.states])
        back = getattr(ops, f"{kind.__name__}Grad")(**op.attributes)
        peepholes = given[7] if len(given) > 7 else None
        flowed = back(r, traced[-1], lengths, peepholes, *(y * 2 for y in slopes))
        product = ops.RecurrentWeightGrad()(flowed[0], traced[-2])
        # What is kept of steps behind a sequence may be anything.
        within = (np.arange(4)[:, None] < lengths[None, :]).astype(x.dtype)
        kept = traced[-1] * within.reshape(1, 4, 1, -1, 1)
        found += [*op(*given), *traced[:-1], kept, *flowed, product]
        found += list(kind(5, "reverse")(given[0], w[:1], r[:1]))
    return found


def _elements(x: Any, i: Any) -> list[Any]:
    places = np.argsort(constant(4, 6), axis=0)[None] + (i * 0).astype(np.int64)[:, :, None]
    return [
        *(ops.CumSum(1, *options)(x) for options in ((0, 0), (1, 0), (0, 1), (1, 1))),
        ops.CumSum(1)(i), ops.GatherElements(1)(x, places),
        ops.ScatterElements(1)(x, places, x * 2), ops.ScatterElements(1, "add")(x, places, x),
    ]  # fmt: skip


def _random(seed: Any) -> Any:
    return ops.RandomUniform((6, 3, 4), 5)(
        seed.astype("uint32"), seed.astype("uint32") * 3, seed.astype("uint32")
    )


CASES = [
    Case("functions", [ROW], _functions),
    Case(
        "logarithms",
        [((None, 10), "p")],
        lambda x: [np.log(x), np.log1p(x), np.sqrt(x), 1 / x, x**2.5, x**-1.3],
    ),
    Case(
        "inverse_functions",
        [((None, 10), "u")],
        lambda x: [ops.Asin()(x), ops.Acos()(x), ops.Atanh()(x), ops.Acosh()(x + 2)],
    ),
    Case("activations", [((None, 3, 10), "f")], _activations),
    Case("large_arguments", [ROW], lambda x: _activations(x * 60)),
    Case(
        "arithmetic",
        [ROW, ((None, 1), "f")],
        lambda x, y: [
            x + y,
            x - y,
            x * y,
            x / y,
            np.maximum(x, y),
            np.minimum(y, x),
            np.clip(x, -0.5, 0.7),
            ops.Mod(1)(x, y),
            x * weights(x, 10),
        ],
    ),
    Case("comparisons", [ROW, ROW], _comparisons),
    Case("integers", [((None, 6), "i9"), ((None, 6), "i5")], _integers),
    Case("casts", [ROW, ((None, 6), "i9"), ((None, 6), "b")], _casts),
    Case(
        "variadic",
        [ROW, ROW, ROW],
        lambda *xs: [ops.Max()(*xs), ops.Min()(*xs), ops.Mean()(*xs), ops.Sum()(*xs)],
    ),
    Case("prelu", [IMAGE], lambda x: ops.prelu(x, weights(x, 3, 1, 1))),
    Case("mlp", [((None, 11), "f")], _mlp),
    Case("cnn", [IMAGE], _cnn),
    Case("keras_cnn", [((None, 8, 6, 3), "f")], _keras_cnn),
    Case("dense_block", [IMAGE], _dense_block),
    Case("separable", [IMAGE], _separable),
    Case("attention", [((None, 4, 6), "f")], _attention),
    Case("normalized", [IMAGE], _normalized),
    Case("layer_normalized", [((None, 4, 6), "f")], _layer_normalized),
    Case(
        "softmaxes",
        [IMAGE],
        lambda x: [
            ops.softmax(x),
            ops.softmax(x, 1),
            ops.log_softmax(x, 1),
            ops.log_softmax(x * 90),
        ],
    ),
    Case("reductions", [IMAGE], _reductions),
    Case("pools", [IMAGE], _pools),
    Case("convolutions", [IMAGE], _convolutions),
    Case(
        "convolutions_1d",
        [((None, 3, 9), "f")],
        lambda x: [
            ops.conv(x, weights(x, 4, 3, 3), pads=(2, 0)),
            ops.conv(x, weights(x, 3, 1, 4), group=3, strides=2),
            ops.max_pool(x, 3, strides=2),
        ],
    ),
    Case(
        "convolution_3d",
        [((None, 2, 4, 5, 3), "f")],
        lambda x: [ops.conv(x, weights(x, 3, 2, 2, 3, 2), pads=1), ops.max_pool(x, 2)],
    ),
    Case(
        "pooled_convolutions",
        [IMAGE],
        lambda x: [
            ops.max_pool(ops.relu(ops.conv(x, weights(x, 5, 3, 3, 3))), 2, strides=2),
            ops.average_pool(ops.conv(x, weights(x, 3, 1, 2, 2), group=3), 2, strides=2),
            ops.max_pool(np.tanh(x), 3, strides=3),
        ],
    ),
    Case("shapes", [IMAGE], _shapes),
    Case("mixed_views", [IMAGE], _mixed_views),
    Case("padded", [IMAGE], _padded),
    Case("gathered", [((None, 4, 6), "f"), ((None, 3), "i9")], _gathered),
    Case("resized", [((None, 2, 4, 5), "f")], _resized),
    Case("products", [((None, 3, 4), "f"), ((None, 4, 5), "f")], _products),
    Case(
        "residual",
        [IMAGE],
        lambda x: (
            ops.relu(ops.conv(x, weights(x, 3, 3, 3, 3), pads=1) + x) * 2
            + x.mean(axis=1, keepdims=True)
        ),
    ),
    Case(
        "several_uses",
        [ROW],
        lambda x: (lambda y: [y, y * ops.sigmoid(y), y.sum(axis=1)])(_dense(x, 6, 1)),
    ),
    Case("same_twice", [ROW], lambda x: [x, x, ops.relu(x), ops.relu(x[0] * 0 + 3)]),
    Case("sequence_first", [((None, 4, 3), "f")], _sequence_first),
    Case("over_batch", [ROW], _over_batch),
    Case("sizes", [ROW], _sizes),
    Case("losses", [ROW, ROW, ((None,), "i10")], _losses),
    Case("gradients", [IMAGE], _gradients),
    Case("fixed_batch", [((3, 4), "f")], lambda x: ops.relu(x @ weights(x, 4, 2))),
    Case("random", [((), "i9")], _random),
    Case("recurrences", [((None, 4, 3), "f"), ((None,), "i5")], _recurrences),
    Case("elements", [((None, 4, 6), "f"), ((None, 4), "i9")], _elements),
]
