"""A graph as a network of `Operator` layers, one for each node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from layerport.connections import BATCH, InputLayer, Outlet, connect, input_outlet
from layerport.dim import Dim, same_extent
from layerport.graph import Graph, Node, Value
from layerport.layer import flat
from layerport.network import Network
from layerport.op import NDArray
from layerport.operator import ABSENT, Operator
from layerport.ops import Identity

from .names import Names
from .reading import Translation


def operator_network(translation: Translation) -> Network:
    """The network whose layers are the nodes of a file, under their names.

    A weight that several nodes read is a layer of its own, an Identity that has no input.
    """
    graph = translation.graph
    outlets: dict[Value, Outlet] = {}
    builder = _Layers(graph, translation.arrays, outlets)
    for value in graph.inputs:
        outlets[value] = input_outlet(_input_layer(value, graph))
    inputs = [outlets[value] for value in graph.inputs]
    for node in graph.nodes:
        builder.add(node)
    outputs = [builder.output(v, n) for v, n in zip(graph.outputs, graph.output_names, strict=True)]
    floats = [v.dtype for v in (*graph.parameters, *graph.inputs) if v.dtype.kind == "f"]
    dtype = floats[0].name if floats else "float32"
    network = Network(inputs, outputs, tuple(graph.output_names), dtype=dtype)
    network.labels = None if translation.labels is None else list(translation.labels)
    return network


def _input_layer(value: Value, graph: Graph) -> InputLayer:
    """An input of samples where the first axis counts them, else one of the whole shape."""
    shape = value.shape
    dtype = value.dtype.name
    counts = [
        str(extent) for other in graph.inputs for extent in other.shape if isinstance(extent, Dim)
    ]
    rest = tuple(
        None if str(d) == f"{value.name}_{axis}" and counts.count(str(d)) == 1
        else str(d) if isinstance(d, Dim) else d
        for axis, d in enumerate(shape)
    )  # fmt: skip
    batched = bool(shape) and not any(same_extent(d, BATCH) for d in shape[1:])
    if batched and same_extent(shape[0], BATCH):
        return InputLayer(rest[1:], name=value.name, dtype=dtype)
    if batched and isinstance(shape[0], int):
        return InputLayer(rest[1:], shape[0], name=value.name, dtype=dtype)
    return InputLayer(rest, batched=False, name=value.name, dtype=dtype)


class _Layers:
    """Makes the layers of a graph's nodes."""

    def __init__(
        self, graph: Graph, arrays: Mapping[str, NDArray], outlets: dict[Value, Outlet]
    ) -> None:
        self.arrays = arrays
        self.outlets = outlets
        uses = graph.uses()
        self.shared = {v for v in graph.parameters if len(set(uses.get(v, ()))) > 1}
        scopes = [node.scope for node in graph.nodes]
        self.names = Names([*scopes, *(value.name for value in graph.inputs)])

    def add(self, node: Node) -> None:
        """The layer of a node."""
        operands: list[str] = []
        arrays: dict[str, NDArray] = {}
        args: list[Outlet] = []
        for value in node.inputs:
            if value is None:
                operands.append(ABSENT)
            elif value in self.outlets or value in self.shared:
                operands.append(f"@{len(args)}")
                args.append(self._outlet(value))
            else:
                operands.append(self._array(value, arrays))
        layer = Operator(node.op, tuple(operands), arrays, name=node.scope,
                         dtype=_float_dtype(node))  # fmt: skip
        made = list(flat(self._connect(layer, args)))
        self.outlets.update(zip(node.outputs, made, strict=True))

    @staticmethod
    def _connect(layer: Operator, args: Sequence[Outlet]) -> Any:
        made = connect(layer, args, {})
        for name in layer.declared_weights:
            layer.place(name, layer.arrays[name])  # itself, where building would copy it
        return made

    def _array(self, value: Value, arrays: dict[str, NDArray]) -> str:
        """The name under which a layer holds a constant operand."""
        array = self.arrays[value.name] if value.constant is None else value.constant
        base = name = value.name.lstrip("@") or "constant"
        count = 0
        while name in arrays and arrays[name] is not array:
            count += 1
            name = f"{base}_{count}"
        arrays[name] = array
        return name

    def _outlet(self, value: Value) -> Outlet:
        if value not in self.outlets:
            self._source(value, value.name)
        return self.outlets[value]

    def _source(self, value: Value, name: str) -> None:
        """A layer that gives an array, or passes an input on."""
        arrays: dict[str, NDArray] = {}
        args = [self.outlets[value]] if value in self.outlets else []
        operand = "@0" if args else self._array(value, arrays)
        layer = Operator(Identity(), (operand,), arrays, name=self.names.take(name or "constant"),
                         dtype=_float_name(value.dtype))  # fmt: skip
        self.outlets[value] = self._connect(layer, args)

    def output(self, value: Value, name: str) -> Outlet:
        """Where an output of the graph leaves the network."""
        if value.node is None:
            self._source(value, name)
        return self.outlets[value]


def _float_dtype(node: Node) -> str:
    floats = [v.dtype for v in (*node.inputs, *node.outputs) if v is not None]
    return next((_float_name(d) for d in floats if _float_name(d) != "float32"), "float32")


def _float_name(dtype: np.dtype[Any]) -> str:
    return dtype.name if dtype.kind == "f" else "float32"
