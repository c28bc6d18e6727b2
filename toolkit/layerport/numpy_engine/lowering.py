"""Graph to graph: what the engine has good kernels for, in place of what it has not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.dim import broadcast_shapes, same_shape
from layerport.graph import Graph
from layerport.numpy_engine.composite import (
    Rule,
    batch_normalization,
    formula,
    gelu,
    hard_sigmoid,
    hard_swish,
    layer_normalization,
    mish,
    prelu,
    softsign,
)
from layerport.numpy_engine.convolution import (
    lower_conv,
    lower_conv_transpose,
    lower_input_grad,
    lower_weight_grad,
)
from layerport.numpy_engine.maxpool import lower_max_pool, lower_max_pool_grad
from layerport.op import OURS, NDArray, Op
from layerport.ops.activation import Gelu, HardSigmoid, HardSwish, Mish, PRelu, Softsign
from layerport.ops.base import Elementwise
from layerport.ops.conv import Conv, ConvInputGrad, ConvTranspose, ConvWeightGrad
from layerport.ops.elementwise import Mul
from layerport.ops.global_pool import GlobalAveragePool, GlobalMaxPool
from layerport.ops.logic import Cast
from layerport.ops.normalization import BatchNormalization, LayerNormalization
from layerport.ops.pool import MaxPool, MaxPoolGrad
from layerport.ops.shape import Expand

if TYPE_CHECKING:
    from layerport.graph import Builder, Node, Value
    from layerport.numpy_engine.emit import Emitter


def lowered(graph: Graph) -> Graph:
    """The graph in operators that the engine has good kernels for; its sizes must be known."""
    return graph.replay(_lower)


def _lower(
    build: Builder, node: Node, inputs: tuple[Value | None, ...]
) -> Value | Sequence[Value] | None:
    rule = _RULES.get(type(node.op))
    made = rule(build, node.op, *inputs) if rule is not None else None
    if made is None and node.op.elementwise:
        return _without_expand(build, node, inputs)
    return made


# Elementwise ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Masked(Elementwise):
    """A float where a condition holds, else 0: a product without a cast of the condition."""

    domain: ClassVar[str] = OURS

    def dtype_of(self, *inputs: Value) -> np.dtype[Any]:
        return inputs[0].dtype

    def evaluate(self, x: NDArray, condition: NDArray) -> NDArray:
        return np.asarray(x * condition)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        emitter.ufunc(np.multiply, inputs, outputs[0])


def _without_expand(build: Builder, node: Node, inputs: tuple[Value | None, ...]) -> Value | None:
    """Read what was expanded before it was: NumPy broadcasts by itself."""
    shape = node.outputs[0].shape
    operands = list(inputs)
    for place, operand in enumerate(inputs):
        expanded = operand.made_by(Expand) if operand is not None else None
        if expanded is None:
            continue
        before, operands[place] = operands[place], expanded.inputs[0]
        shapes = [value.shape for value in operands if value is not None]
        if not same_shape(broadcast_shapes(*shapes), shape):
            operands[place] = before
    if operands == list(inputs):
        return None
    return build.one(node.op, *operands)


def _lower_mul(build: Builder, op: Mul, x: Value, y: Value) -> Value | None:
    for value, other in ((x, y), (y, x)):
        cast = other.made_by(Cast)
        condition = cast.inputs[0] if cast is not None else None
        if condition is not None and condition.dtype == bool and value.dtype.kind == "f":
            return build.one(Masked(), value, condition)
    return None


# Rules ---------------------------------------------------------------------------------


def _decomposed(build: Builder, op: Op, *inputs: Value) -> Value | None:
    return op.decompose(build, *inputs)


_RULES: Mapping[type[Op], Rule] = MappingProxyType(
    {
        BatchNormalization: formula(batch_normalization),
        Conv: lower_conv,
        ConvInputGrad: lower_input_grad,
        ConvTranspose: lower_conv_transpose,
        ConvWeightGrad: lower_weight_grad,
        Gelu: formula(gelu),
        GlobalAveragePool: _decomposed,
        GlobalMaxPool: _decomposed,
        HardSigmoid: formula(hard_sigmoid),
        HardSwish: formula(hard_swish),
        LayerNormalization: formula(layer_normalization),
        MaxPool: lower_max_pool,
        MaxPoolGrad: lower_max_pool_grad,
        Mish: formula(mish),
        Mul: _lower_mul,
        PRelu: formula(prelu),
        Softsign: formula(softsign),
    }
)
