"""Bias and activation behind max-pooling: they commute, and there are fewer elements behind it."""

from __future__ import annotations

import dataclasses

from layerport.dim import is_extent, same_shape
from layerport.graph import Builder, Graph, Node, Value
from layerport.ops.activation import (
    Celu,
    Elu,
    HardSigmoid,
    LeakyRelu,
    Relu,
    Selu,
    Sigmoid,
    Softplus,
    Softsign,
)
from layerport.ops.conv import Conv
from layerport.ops.elementwise import Add
from layerport.ops.pool import MaxPool
from layerport.ops.shape import Reshape, Transpose
from layerport.ops.unary import Exp, Tanh

_NONDECREASING = (Exp, Relu, Sigmoid, Softplus, Softsign, Tanh)
_NONDECREASING_WITH_ALPHA = (Celu, Elu, HardSigmoid, LeakyRelu, Selu)


def pool_first(graph: Graph) -> Graph:
    """``MaxPool(f(x + b))`` as ``f(MaxPool(x) + b)`` for nondecreasing f and a bias a channel.

    To be applied before differentiating, so that the gradients profit as well. Transpositions on
    the way, which layers with channels last make, are looked through.
    """
    mover = _Mover(graph)
    return graph.replay(mover.rule)


@dataclasses.dataclass
class _Chain:
    """What lies between a pooling and the operator before it.

    Attributes
    ----------
    start : the value that is pooled instead.
    order : the axes of `start` that are the axes of the pooling's operand.
    steps : (node, other operand in the axes of the pooling, or None), the last one first.
    """

    start: Value
    order: tuple[int, ...]
    steps: list[tuple[Node, Value | None]]


class _Mover:
    """One replay of a graph."""

    def __init__(self, graph: Graph) -> None:
        self._uses = graph.uses()
        self._new: dict[Value, Value] = {}

    def rule(
        self, build: Builder, node: Node, inputs: tuple[Value | None, ...]
    ) -> tuple[Value, ...]:
        """Build a node again; a pooling before what came before it."""
        for old, new in zip(node.inputs, inputs, strict=True):
            if old is not None and new is not None:
                self._new[old] = new
        made = self._moved(build, node)
        if made is None:
            made = build.add(node.op, *inputs)
        self._new.update(zip(node.outputs, made, strict=True))
        return made

    def _moved(self, build: Builder, node: Node) -> tuple[Value, ...] | None:
        op, x = node.op, node.inputs[0]
        if not isinstance(op, MaxPool) or op.indices or x is None:
            return None
        if all(stride == 1 for stride in op.strides):
            return None
        chain = self._chain(build, x)
        y, steps = self._start(build, chain), chain.steps
        bias = self._bias(build, chain)
        if not steps and bias is None:
            return None
        y = build.one(op, y)
        if bias is not None:
            y = build.one(Add(), y, bias)
        for step, other in reversed(steps):
            with build.scope(""):
                build.scope_name = step.scope
                y = build.one(step.op, y) if other is None else build.one(step.op, y, other)
        return (y,)

    def _chain(self, build: Builder, x: Value) -> _Chain:
        chain = _Chain(x, tuple(range(x.ndim)), [])
        while len(self._uses[chain.start]) == 1 and chain.start.node is not None:
            node = chain.start.node
            source = node.inputs[0] if node.inputs else None
            if isinstance(node.op, Transpose) and source is not None:
                before = node.op.order(source.ndim)
                chain.start = source
                chain.order = tuple(before[axis] for axis in chain.order)
            elif _is_nondecreasing(node) and source is not None:
                chain.steps.append((node, None))
                chain.start = source
            elif not self._passes_bias(build, node, chain):
                break
        return chain

    def _passes_bias(self, build: Builder, node: Node, chain: _Chain) -> bool:
        """Go on to the operand of an addition whose other operand pooling does not touch."""
        if not isinstance(node.op, Add):
            return False
        for x, other in (node.inputs, node.inputs[::-1]):
            if x is None or other is None or not same_shape(x.shape, chain.start.shape):
                continue
            turned = self._turned(build, other, chain)
            if all(is_extent(extent, 1) for extent in turned.shape[2:]):
                chain.steps.append((node, turned))
                chain.start = x
                return True
        return False

    def _turned(self, build: Builder, value: Value, chain: _Chain) -> Value:
        """A value that broadcasts to the chain's start, in the axes of the pooling."""
        rank = len(chain.order)
        full = (1,) * (rank - value.ndim) + value.shape
        wide = build.one(Reshape(full), self._new.get(value, value))
        return build.one(Transpose(chain.order), wide)

    def _start(self, build: Builder, chain: _Chain) -> Value:
        start = chain.start
        node = start.made_by(Conv)
        if node is not None and self._bias(build, chain) is not None:
            x, w = (self._new.get(v, v) for v in node.inputs[:2] if v is not None)
            with build.scope(""):
                build.scope_name = node.scope
                new = build.one(node.op, x, w)
        else:
            new = self._new.get(start, start)
        return build.one(Transpose(chain.order), new)

    def _bias(self, build: Builder, chain: _Chain) -> Value | None:
        """The bias of the convolution that a chain starts with, if nothing else reads that."""
        node = chain.start.made_by(Conv)
        if node is None or len(node.inputs) < 3 or len(self._uses[chain.start]) != 1:
            return None
        bias = node.inputs[2]
        if bias is None:
            return None
        shape = (1, bias.shape[0], *(1,) * (chain.start.ndim - 2))
        wide = build.one(Reshape(shape), self._new.get(bias, bias))
        return build.one(Transpose(chain.order), wide)


def _is_nondecreasing(node: Node) -> bool:
    if isinstance(node.op, _NONDECREASING_WITH_ALPHA):
        return node.op.alpha >= 0
    return isinstance(node.op, _NONDECREASING)
