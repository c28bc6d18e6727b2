"""The graph of tensor operators: SSA, immutable once built, topologically ordered.

Every pass is a replay of a graph into a `Builder`, which infers shapes, folds constants, shares
common subexpressions and applies each operator's own `simplify`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from layerport.dim import Extent, Shape, bind_shape, is_static, same_shape, size_of
from layerport.errors import LayerportError, ShapeError
from layerport.op import NDArray, Op, TensorType

FOLD_LIMIT = 1 << 20
"""Constants are folded unless the result has more elements than this and than its operands."""


class Value:
    """One tensor of a graph.

    Attributes
    ----------
    shape : extents, symbolic ones included.
    dtype : NumPy dtype.
    node : the node that makes it, or None for inputs, parameters and constants.
    constant : its array (read-only) when it is a constant, else None.
    name : the name of an input or parameter, or a hint for names of others.
    """

    __slots__ = ("constant", "dtype", "name", "node", "shape")

    def __init__(
        self,
        shape: Sequence[Extent],
        dtype: Any,
        node: Node | None = None,
        constant: NDArray | None = None,
        name: str = "",
    ) -> None:
        self.shape: Shape = tuple(shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.node = node
        self.constant = constant
        self.name = name

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def scalar(self) -> float | int | bool | None:
        """The number, when this is a constant that holds a single element."""
        if self.constant is None or self.constant.size != 1:
            return None
        item: float | int | bool = self.constant.item()
        return item

    def made_by(self, kind: type[Op]) -> Node | None:
        """The node that makes this value, if its operator is of this kind."""
        return self.node if self.node is not None and isinstance(self.node.op, kind) else None

    def __repr__(self) -> str:
        shape = ", ".join(map(str, self.shape))
        return f"Value({self.name or 'unnamed'}: {self.dtype}[{shape}])"


class Node:
    """One application of an operator. `scope` names the layer it comes from."""

    __slots__ = ("inputs", "op", "outputs", "scope")

    def __init__(self, op: Op, inputs: Sequence[Value | None], scope: str = "") -> None:
        self.op = op
        self.inputs: tuple[Value | None, ...] = tuple(inputs)
        self.outputs: tuple[Value, ...] = ()
        self.scope = scope

    def __repr__(self) -> str:
        return f"{self.op} -> {', '.join(map(repr, self.outputs))}"


Rule: TypeAlias = (
    "Callable[[Builder, Node, tuple[Value | None, ...]], Value | Sequence[Value] | None]"
)


@dataclass(frozen=True)
class Graph:
    """A function of `inputs` and `parameters`.

    Attributes
    ----------
    inputs : what changes from call to call.
    parameters : named arrays that live between calls: weights, optimizer state.
    outputs : what it computes; `output_names` names them, one each.
    updates : (parameter, value): what a parameter becomes after a run.
    nodes : in an order in which every node follows what it needs.
    """

    inputs: tuple[Value, ...]
    parameters: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    updates: tuple[tuple[Value, Value], ...] = ()
    output_names: tuple[str, ...] = ()

    @property
    def results(self) -> tuple[Value, ...]:
        """Outputs and updated values: all that a run must produce."""
        return self.outputs + tuple(value for _, value in self.updates)

    def uses(self) -> dict[Value, list[Node | None]]:
        """Who reads each value; None stands for the caller (outputs and updates)."""
        readers: dict[Value, list[Node | None]] = {}
        for node in self.nodes:
            for value in node.inputs:
                if value is not None:
                    readers.setdefault(value, []).append(node)
        for value in self.results:
            readers.setdefault(value, []).append(None)
        return readers

    @property
    def dims(self) -> frozenset[str]:
        """The names of the symbolic extents of inputs and parameters."""
        names: set[str] = set()
        for value in self.inputs + self.parameters:
            for extent in value.shape:
                if not isinstance(extent, int):
                    names |= extent.names
        return frozenset(names)

    def replay(
        self,
        rule: Rule | None = None,
        *,
        sizes: Mapping[str, Extent] | None = None,
        constants: Mapping[str, NDArray] | None = None,
        rewrite: bool = True,
    ) -> Graph:
        """Build the graph again, changed.

        Parameters
        ----------
        rule : called with (builder, node, new inputs) for each node; returns what stands for the
            node's outputs, or None to keep the node.
        sizes : values for named extents.
        constants : parameters and inputs that become constants, by name.
        rewrite : whether the builder folds, shares and simplifies.
        """
        build = Builder(rewrite=rewrite)
        new = build.copy(self, rule, sizes=sizes, constants=constants)
        return build.finish(
            [new(v) for v in self.outputs],
            updates=[(new(p), new(v)) for p, v in self.updates],
            output_names=self.output_names,
        )

    def bind(self, sizes: Mapping[str, Extent]) -> Graph:
        """The graph for these sizes of the named extents."""
        return self.replay(sizes=sizes)


class Builder:
    """Where graphs are made.

    Parameters
    ----------
    rewrite : fold constants, share equal nodes and apply `Op.simplify` on the way. Without it
        every operator is recorded as it is called.
    float_dtype : what a Python float becomes where no operand says otherwise.
    """

    def __init__(self, *, rewrite: bool = True, float_dtype: Any = np.float32) -> None:
        self.rewrite = rewrite
        self.float_dtype: np.dtype[Any] = np.dtype(float_dtype)
        self.scope_name = ""
        self.recording: Any = None
        """The `Recording` that this builder belongs to, for layers called inside layers."""
        self.inputs: dict[str, Value] = {}
        self.parameters: dict[str, Value] = {}
        self._nodes: list[Node] = []
        self._known: dict[Any, tuple[Value, ...]] = {}
        self._constants: dict[Any, Value] = {}

    def input(self, name: str, shape: Sequence[Extent], dtype: Any) -> Value:
        """A new input; its name must be free."""
        return self._declare(self.inputs, name, shape, dtype)

    def parameter(self, name: str, shape: Sequence[Extent], dtype: Any) -> Value:
        """A new parameter; its name must be free."""
        return self._declare(self.parameters, name, shape, dtype)

    def _declare(
        self, table: dict[str, Value], name: str, shape: Sequence[Extent], dtype: Any
    ) -> Value:
        if name in self.inputs or name in self.parameters:
            raise LayerportError(f"two inputs or parameters of the graph are called {name!r}")
        table[name] = Value(shape, dtype, name=name)
        return table[name]

    def constant(self, array: Any, dtype: Any = None) -> Value:
        """A constant; small equal ones are the same Value."""
        made = np.array(array, dtype=dtype)
        made.flags.writeable = False
        return self._same_constant(Value(made.shape, made.dtype, constant=made))

    def _same_constant(self, value: Value) -> Value:
        """The first constant that equals a small one, so that equal nodes are recognised."""
        array = value.constant
        if array is None or array.size > 1024 or array.dtype == object:
            return value
        key = (array.dtype.str, array.shape, array.tobytes())
        return self._constants.setdefault(key, value)

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Nodes added inside carry this name (layers inside layers: `outer/inner`)."""
        before = self.scope_name
        self.scope_name = f"{before}/{name}" if before and name else name or before
        try:
            yield
        finally:
            self.scope_name = before

    def add(self, op: Op, *inputs: Value | None) -> tuple[Value, ...]:
        """Apply an operator; returns its outputs.

        Raises
        ------
        ShapeError : when the operands do not fit; the message names operator and layer.
        """
        try:
            types = op.infer(*inputs)
        except ShapeError as error:
            place = f" in layer {self.scope_name!r}" if self.scope_name else ""
            raise ShapeError(f"{op.name}{place}: {error}") from error
        if self.rewrite:
            simpler = op.simplify(self, *inputs)
            if simpler is not None:
                return (simpler,) if isinstance(simpler, Value) else tuple(simpler)
            folded = self._fold(op, inputs, types)
            if folded is not None:
                return folded
            key = (op, tuple(map(id, inputs)))
            if op.deterministic and key in self._known:
                return self._known[key]
        node = Node(op, inputs, self.scope_name)
        node.outputs = tuple(Value(t.shape, t.dtype, node) for t in types)
        self._nodes.append(node)
        if self.rewrite and op.deterministic:
            self._known[key] = node.outputs
        return node.outputs

    def one(self, op: Op, *inputs: Value | None) -> Value:
        """`add` for an operator with a single output, or when only the first matters."""
        return self.add(op, *inputs)[0]

    def _fold(
        self, op: Op, inputs: Sequence[Value | None], types: Sequence[TensorType]
    ) -> tuple[Value, ...] | None:
        if not op.deterministic or not all(v is None or v.constant is not None for v in inputs):
            return None
        if not inputs or not all(is_static(t.shape) for t in types):
            return None
        before = sum(v.constant.size for v in inputs if v is not None and v.constant is not None)
        after = sum(int(size_of(t.shape)) for t in types)
        if after > max(FOLD_LIMIT, before):
            return None
        with np.errstate(all="ignore"):
            made = op.evaluate(*[None if v is None else v.constant for v in inputs])
        arrays = made if isinstance(made, tuple) else (made,)
        return tuple(self.constant(a, t.dtype) for a, t in zip(arrays, types, strict=True))

    def copy(
        self,
        graph: Graph,
        rule: Rule | None = None,
        *,
        sizes: Mapping[str, Extent] | None = None,
        constants: Mapping[str, NDArray] | None = None,
        inputs: Mapping[str, Value] | None = None,
        known: Mapping[Value, Value] | None = None,
    ) -> Callable[[Value], Value]:
        """Replay `graph` into this builder; returns the function from old values to new ones.

        `inputs` gives values that stand for the graph's inputs and parameters, by name;
        those it lacks are declared here. `known` are further values with what stands for them,
        for nodes that are not a whole graph. The rest is as for `Graph.replay`.
        """
        sizes, constants, inputs = sizes or {}, constants or {}, inputs or {}
        new: dict[Value, Value] = dict(known or {})
        for table, declare in ((graph.inputs, self.input), (graph.parameters, self.parameter)):
            for value in table:
                if value.name in constants:
                    new[value] = self.constant(constants[value.name], value.dtype)
                elif value.name in inputs:
                    new[value] = inputs[value.name]
                else:
                    new[value] = declare(value.name, bind_shape(value.shape, sizes), value.dtype)

        def find(value: Value) -> Value:
            if value not in new:
                new[value] = self._same_constant(value)  # constants are shared between graphs
            return new[value]

        for node in graph.nodes:
            operands = tuple(None if v is None else find(v) for v in node.inputs)
            with self.scope(""):
                self.scope_name = node.scope
                made = rule(self, node, operands) if rule is not None else None
                if made is None:
                    made = self.add(node.op.bind(sizes), *operands)
            outputs = (made,) if isinstance(made, Value) else made
            for old, value in zip(node.outputs, outputs, strict=False):
                new[old] = value
                if old.name and not value.name:
                    value.name = old.name
        return find

    def finish(
        self,
        outputs: Sequence[Value],
        *,
        updates: Sequence[tuple[Value, Value]] = (),
        output_names: Sequence[str] = (),
    ) -> Graph:
        """The graph of these outputs; nodes that nothing needs are left out."""
        needed: set[Value] = set(outputs) | {value for _, value in updates}
        kept: list[Node] = []
        for node in reversed(self._nodes):
            if any(v in needed for v in node.outputs):
                kept.append(node)
                needed.update(v for v in node.inputs if v is not None)
        names = tuple(output_names) or tuple(f"output_{i}" for i in range(len(outputs)))
        return Graph(
            tuple(self.inputs.values()),
            tuple(self.parameters.values()),
            tuple(outputs),
            tuple(reversed(kept)),
            tuple(updates),
            names,
        )


@dataclass
class _Scan:
    """What `verify` has seen so far."""

    graph: Graph
    known: set[Value] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


def verify(graph: Graph) -> None:
    """Check that a graph is valid.

    Raises
    ------
    LayerportError : naming every problem found: values used before they are made, shapes and
        dtypes that the operators do not infer, names used twice, outputs that nothing makes.
    """
    scan = _Scan(graph)
    names: set[str] = set()
    for value in graph.inputs + graph.parameters:
        scan.known.add(value)
        if not value.name or value.name in names:
            scan.problems.append(f"the name {value.name!r} of {value} is empty or used twice")
        names.add(value.name)
    for node in graph.nodes:
        _verify_node(node, scan)
    for value in graph.results:
        if value not in scan.known and value.constant is None:
            scan.problems.append(f"nothing makes the output {value}")
    for parameter, value in graph.updates:
        if parameter not in graph.parameters:
            scan.problems.append(f"{parameter} is updated but is no parameter")
        if not same_shape(parameter.shape, value.shape) or parameter.dtype != value.dtype:
            scan.problems.append(f"{parameter} is updated with {value}")
    if len(graph.output_names) != len(graph.outputs):
        scan.problems.append("there is not one name for each output")
    if scan.problems:
        raise LayerportError("the graph is not valid:\n" + "\n".join(scan.problems))


def _verify_node(node: Node, scan: _Scan) -> None:
    for value in node.inputs:
        if value is not None and value not in scan.known and value.constant is None:
            scan.problems.append(f"{node} reads {value} before it is made")
    try:
        types = node.op.infer(*node.inputs)
    except LayerportError as error:
        scan.problems.append(f"{node}: {error}")
        types = []
    if len(types) != len(node.outputs):
        scan.problems.append(f"{node} has {len(node.outputs)} outputs, its operator {len(types)}")
    for value, expected in zip(node.outputs, types, strict=False):
        if value in scan.known:
            scan.problems.append(f"{value} is made twice")
        scan.known.add(value)
        if not same_shape(value.shape, expected.shape) or value.dtype != expected.dtype:
            scan.problems.append(f"{node} should make {expected}")
