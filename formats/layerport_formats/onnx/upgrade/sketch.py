"""What rules for old operators are written with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
from layerport.dim import Shape

from layerport_formats.onnx.known import Known
from layerport_formats.onnx.nodes import NEWEST, OnnxNode

ALWAYS = NEWEST + 1
"""The operator set before which rules apply that apply to all."""


class Asks(Protocol):
    """What a rule can ask about the values that a node reads, and the names it can make."""

    def fresh(self, base: str) -> str:
        """A new name."""

    def constant(self, array: Any, dtype: Any = None) -> str:
        """The name of a new constant."""

    def shape(self, name: str) -> Shape:
        """The shape of a value."""

    def dtype(self, name: str) -> np.dtype[Any]:
        """The dtype of a value."""

    def require(self, node: OnnxNode, position: int) -> Known:
        """What an operand is, which must be known before the network runs."""

    def text(self, name: str) -> list[str] | None:
        """The elements of a constant that holds strings; None for any other value."""

    def name_classes(self, labels: list[str]) -> None:
        """Say what the classes are called."""


class LabelsError(Exception):
    """A value holds the names of classes, which no tensor of numbers can."""

    def __init__(self, labels: list[str]) -> None:
        super().__init__("it gives names of classes")
        self.labels = labels


Rule: TypeAlias = "Callable[[OnnxNode, Asks], list[OnnxNode]]"


class Sketch:
    """The nodes that stand for one node, in the making."""

    def __init__(self, node: OnnxNode, asks: Asks) -> None:
        self.node = node
        self.asks = asks
        self.nodes: list[OnnxNode] = []

    def apply(self, op: str, *inputs: str, into: str = "", **attributes: Any) -> str:
        """The result of an operator; `into` names it."""
        name = into or self.asks.fresh(f"{self.node.label}/{op}")
        self.nodes.append(OnnxNode(op, list(inputs), [name], attributes, self.node.name))
        return name

    def constant(self, value: Any, dtype: Any = None) -> str:
        """A constant."""
        return self.asks.constant(value, dtype)

    def axes(self, *axes: int) -> str:
        """A constant that names axes."""
        return self.asks.constant(axes, np.int64)

    def reshaped_like(self, x: str, like: str, into: str) -> str:
        """`x` with the shape of `like`."""
        return self.apply("Reshape", x, self.apply("Shape", like), into=into)


def without(node: OnnxNode, *names: str) -> OnnxNode:
    """The node without some attributes."""
    kept = {key: value for key, value in node.attributes.items() if key not in names}
    return node.with_(attributes=kept)


def attributes_as_operands(*names: str, dtype: Any = np.int64) -> Rule:
    """The rule that makes operands, from the second on, of attributes.

    An attribute that is left out leaves its operand out.
    """

    def rule(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
        inputs = node.inputs[:1]
        for name in names:
            value = node.attributes.get(name)
            inputs.append("" if value is None else asks.constant(value, dtype))
        return [without(node, *names).with_(inputs=inputs)]

    return rule


def renamed(op: str, **attributes: Any) -> Rule:
    """The rule that puts another operator in place, with attributes added."""

    def rule(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
        return [node.with_(op=op, attributes={**node.attributes, **attributes})]

    return rule


def with_defaults(**attributes: Any) -> Rule:
    """The rule that writes defaults out that later versions changed."""

    def rule(node: OnnxNode, asks: Asks) -> list[OnnxNode]:
        return [node.with_(attributes={**attributes, **node.attributes})]

    return rule
