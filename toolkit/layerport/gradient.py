"""Differentiation, graph to graph: the gradient is recorded behind the graph it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layerport.accumulation import total
from layerport.dim import is_extent, same_shape
from layerport.errors import LayerportError, ShapeError, UnsupportedError
from layerport.graph import Builder, Graph, Node, Value
from layerport.op import Op
from layerport.ops.broadcasting import unbroadcast
from layerport.ops.shape import Expand
from layerport.tensor import Tensor

__all__ = ["gradient", "unbroadcast"]


def gradient(graph: Graph, loss: Value, wrt: Sequence[Value], *, seed: str | None = None) -> Graph:
    """The graph with the derivatives of one of its values as further outputs.

    Parameters
    ----------
    graph : what is differentiated.
    loss : a float value of the graph with a single element.
    wrt : values of the graph (parameters, inputs or others), all floats.
    seed : None for the derivative as it is; or the name of a new scalar input that it is
        multiplied with, at no cost (a loss scale, a learning rate...).

    Returns
    -------
    Graph
        The outputs of `graph`, then d(loss)/d(value) for each of `wrt`, named
        ``gradient/<name of the value>``. Inputs, parameters and updates are those of `graph`.

    Raises
    ------
    UnsupportedError : naming every operator on the way that has no derivative, with its layer.
    """
    _check(graph, loss, wrt)
    build = Builder(float_dtype=loss.dtype)
    new = build.copy(graph, _traced)
    targets = [new(value) for value in wrt]
    start = _seed(build, new(loss), seed)
    found = _Backward(build, targets).run(new(loss), start)
    names = [f"gradient/{value.name or place}" for place, value in enumerate(wrt)]
    return build.finish(
        [*(new(value) for value in graph.outputs), *found],
        updates=[(new(parameter), new(value)) for parameter, value in graph.updates],
        output_names=[*graph.output_names, *names],
    )


def _traced(build: Builder, node: Node, inputs: tuple[Value | None, ...]) -> Sequence[Value] | None:
    """Let operators keep what their gradients read."""
    op = node.op.traced()
    return None if op is None else build.add(op, *inputs)


def _check(graph: Graph, loss: Value, wrt: Sequence[Value]) -> None:
    known = {*graph.inputs, *graph.parameters, *(v for node in graph.nodes for v in node.outputs)}
    for value in (loss, *wrt):
        if value not in known:
            raise LayerportError(f"{value} is not part of the graph that is differentiated")
        if value.dtype.kind != "f":
            raise LayerportError(f"{value} holds no floats, so it has no derivative")
    if not all(is_extent(extent, 1) for extent in loss.shape):
        raise ShapeError(
            f"only a single number can be differentiated, not {loss}; take its sum or mean"
        )


def _seed(build: Builder, loss: Value, name: str | None) -> Value:
    if name is None:
        return build.constant(np.ones(loss.ndim * (1,), loss.dtype))
    return build.one(Expand(loss.shape), build.input(name, (), loss.dtype))


class _Backward:
    """One walk from a value back to the values that it is differentiated by."""

    def __init__(self, build: Builder, targets: Sequence[Value]) -> None:
        self.build = build
        self.targets = targets
        self.flowing: set[Value] = set(targets)
        self.parts: dict[Value, list[Value]] = {}
        self.problems: list[str] = []

    def run(self, loss: Value, seed: Value) -> list[Value]:
        """The derivatives of `loss`, one a target."""
        nodes = self.build.finish([loss]).nodes
        for node in nodes:
            if any(value in self.flowing for value in node.inputs):
                self.flowing.update(v for v in node.outputs if v.dtype.kind == "f")
        self.parts[loss] = [seed]
        for node in reversed(nodes):
            if any(value in self.flowing and value in self.parts for value in node.outputs):
                self._pass_on(node)
        if self.problems:
            raise UnsupportedError(
                "what is to be trained lies before operators without a derivative:",
                self.problems,
                hint="freeze the layers before them (trainable=False), or replace the operators",
            )
        return [self._sum(target) or self._zeros(target) for target in self.targets]

    def _sum(self, value: Value) -> Value | None:
        parts = self.parts.get(value)
        if not parts:
            return None
        if len(parts) > 1:
            parts[:] = [total(self.build, parts)]
        return parts[0]

    def _zeros(self, value: Value) -> Value:
        return self.build.one(Expand(value.shape), self.build.constant(0, value.dtype))

    def _pass_on(self, node: Node) -> None:
        """Add what flows through a node to the gradients of its operands."""
        if not any(value in self.flowing for value in node.inputs if value is not None):
            return
        with self.build.scope(""):
            self.build.scope_name = node.scope
            for operand, part in zip(node.inputs, self._rule(node), strict=False):
                if operand is None or part is None or operand not in self.flowing:
                    continue
                self.parts.setdefault(operand, []).append(self._fitted(node, operand, part))

    def _rule(self, node: Node) -> Sequence[Any]:
        place = f" in layer {node.scope!r}" if node.scope else ""
        if type(node.op).gradient is Op.gradient:
            self.problems.append(f"{node.op.name}{place}")
            return ()
        slopes = tuple(self._tensor(self._sum(value)) for value in node.outputs)
        results = tuple(map(self._tensor, node.outputs))
        operands = map(self._tensor, node.inputs)
        several = len(node.outputs) > 1
        try:
            parts: Sequence[Any] = node.op.gradient(
                slopes if several else slopes[0], results if several else results[0], *operands
            )
        except UnsupportedError as error:
            self.problems.append(f"{node.op.name}{place}: {error}")
            return ()
        return parts

    def _tensor(self, value: Value | None) -> Tensor | None:
        return None if value is None else Tensor(self.build, value)

    def _fitted(self, node: Node, operand: Value, part: Any) -> Value:
        if node.op.elementwise:
            part = unbroadcast(part, operand.shape)
        value: Value = part.value
        if not same_shape(value.shape, operand.shape) or value.dtype != operand.dtype:
            raise ShapeError(
                f"{node.op.name}: the gradient rule gives {value} for the operand {operand}"
            )
        return value
