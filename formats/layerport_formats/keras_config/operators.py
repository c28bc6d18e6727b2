"""Raw operators in functional models: ``x * 2``, ``keras.ops.relu(x)``, ``tf.nn.relu(x)``.

Keras writes them down as layers, with constants among the arguments of the call; here they become
`Operator` layers. In .h5 files an operator and a layer of the same name (Add, Multiply...) can be
told apart by their arguments only: a merge layer takes one list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from layerport import ops
from layerport.op import Op
from layerport.operator import Operator
from layerport.registry import Registry

from layerport_formats.keras_config.fields import ConfigError
from layerport_formats.keras_config.nodes import Node, Ref, leaves

BINARY: Mapping[str, Callable[[], Op]] = MappingProxyType(
    {
        "Add": ops.Add, "Subtract": ops.Sub, "Multiply": ops.Mul, "Divide": ops.Div,
        "TrueDivide": ops.Div, "Power": ops.Pow, "Maximum": ops.Max, "Minimum": ops.Min,
        "Matmul": ops.MatMul,
    }
)  # fmt: skip
"""Keras 3's operators of two operands."""

UNARY: Mapping[str, Callable[[], Op]] = MappingProxyType(
    {
        "Relu": ops.Relu, "Sigmoid": ops.Sigmoid, "Tanh": ops.Tanh, "Exp": ops.Exp,
        "Log": ops.Log, "Sqrt": ops.Sqrt, "Abs": ops.Abs, "Absolute": ops.Abs,
        "Negative": ops.Neg, "Softplus": ops.Softplus, "Softsign": ops.Softsign, "Erf": ops.Erf,
        "Sin": ops.Sin, "Cos": ops.Cos, "Reciprocal": ops.Reciprocal,
    }
)  # fmt: skip
"""Keras 3's operators of one operand."""

TENSORFLOW: Mapping[str, str] = MappingProxyType(
    {
        "__operators__.add": "Add", "math.add": "Add", "math.subtract": "Subtract",
        "math.multiply": "Multiply", "math.divide": "Divide", "math.truediv": "Divide",
        "math.pow": "Power", "math.maximum": "Maximum", "math.minimum": "Minimum",
        "linalg.matmul": "Matmul", "nn.relu": "Relu", "math.sigmoid": "Sigmoid",
        "math.tanh": "Tanh", "math.exp": "Exp", "math.log": "Log", "math.sqrt": "Sqrt",
        "math.abs": "Abs", "math.negative": "Negative", "math.softplus": "Softplus",
        "nn.softsign": "Softsign", "math.erf": "Erf", "math.sin": "Sin", "math.cos": "Cos",
        "math.reciprocal": "Reciprocal",
    }
)  # fmt: skip
"""TensorFlow's names, in Keras 2's `TFOpLambda` layers -> Keras 3's."""

WRAPPER = "TFOpLambda"
SLICE = "GetItem"


def is_operator(
    class_name: str, registry: Registry | None = None, nodes: Sequence[Node] = ()
) -> bool:
    """Whether a layer entry is an operator, as far as its class and calls can tell."""
    if class_name in (WRAPPER, SLICE):
        return True
    if class_name not in BINARY and class_name not in UNARY:
        return False
    if registry is None or class_name not in registry.layers:
        return True
    return any(len(node.args) > 1 or not list(leaves(node.args, Ref)) for node in nodes)


def operator_layer(
    class_name: str, config: Mapping[str, Any], name: str, nodes: Sequence[Node]
) -> tuple[Operator, list[Node]]:
    """The layer of an operator, and its calls with tensors alone.

    Raises
    ------
    ConfigError : where the operator is not known, or called in a way that is not.
    """
    if len(nodes) != 1:
        raise ConfigError(f"an operator is called once, not {len(nodes)} times")
    kind = class_name
    if class_name == WRAPPER:
        function = str(config.get("function"))
        if function not in TENSORFLOW:
            raise ConfigError(f"the TensorFlow function {function!r} is not known")
        kind = TENSORFLOW[function]
    operands = _operands(nodes[0])
    if kind == SLICE:
        op, operands = _slice(operands), operands[:1]
    else:
        op = (BINARY if kind in BINARY else UNARY)[kind]()
    expected = 1 if kind in UNARY or kind == SLICE else 2
    if len(operands) != expected:
        raise ConfigError(f"{kind} takes {expected} operands, not {len(operands)}")
    tensors = [operand for operand in operands if isinstance(operand, Ref)]
    names: list[str] = []
    arrays: dict[str, Any] = {}
    for index, operand in enumerate(operands):
        if isinstance(operand, Ref):
            names.append(f"@{sum(n.startswith('@') for n in names)}")
        else:
            names.append(f"constant_{index}")
            arrays[names[-1]] = _constant(operand)
    return Operator(op, tuple(names), arrays, name=name), [Node(tuple(tensors), {})]


def _operands(node: Node) -> list[Any]:
    args = list(node.args)
    for key, value in node.kwargs.items():
        if key in ("y", "x2", "b"):
            args.append(value)
        elif value is not None and value is not False and key != "name":
            raise ConfigError(f"it is called with {key}, which is not known")
    return args


def _constant(value: Any) -> Any:
    try:
        return np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{value!r} is neither a tensor nor a number") from error


def _slice(operands: list[Any]) -> Op:
    """The operator of ``x[a:b, ...]``."""
    if len(operands) != 2:
        raise ConfigError(f"an index has one key, not {len(operands) - 1}")
    keys = operands[1] if isinstance(operands[1], list) else [operands[1]]
    starts, ends, axes, steps = [], [], [], []
    for axis, key in enumerate(keys):
        config = key.get("config") if isinstance(key, Mapping) else None
        if not isinstance(config, Mapping) or key.get("class_name") != "__slice__":
            raise ConfigError(f"the index {key!r} is no slice start:stop:step")
        start, stop, step = (config.get(part) for part in ("start", "stop", "step"))
        if start is stop is step is None:
            continue
        forward = step is None or step > 0
        axes.append(axis)
        steps.append(1 if step is None else step)
        starts.append(start if start is not None else 0 if forward else _FAR)
        ends.append(stop if stop is not None else _FAR if forward else -_FAR)
    return ops.Slice(tuple(starts), tuple(ends), tuple(axes), tuple(steps))


_FAR = 2**31 - 1
"""Beyond the end of every axis."""
