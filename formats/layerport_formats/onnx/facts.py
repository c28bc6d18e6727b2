"""What the reader knows of each value of a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from layerport.errors import LayerportError
from layerport.graph import Value
from layerport.op import NDArray, Op

from .known import Known
from .nodes import OnnxNode, plain_name


@dataclasses.dataclass(eq=False)
class Pending:
    """An operator that is put into the graph only when something there needs what it makes.

    Computations of shapes leave the graph this way: what they give is known while reading.
    """

    op: Op
    inputs: Sequence[Fact | None]
    outputs: list[Fact]
    name: str


@dataclasses.dataclass(eq=False)
class Fact:
    """What is known of one value of a file.

    Attributes
    ----------
    name : the value's name in the file.
    value : what stands for it in the graph, once it is there.
    known : what it is before anything runs.
    array : of an initializer or a Constant.
    pending : what makes it, if it is not in the graph yet.
    is_weight : whether the array is a parameter of the graph in any case.
    broken : whether what makes it cannot be expressed (which is reported where it happens).
    is_label : whether it holds names of classes.
    """

    name: str
    value: Value | None = None
    known: Known | None = None
    array: NDArray | None = None
    pending: Pending | None = None
    is_weight: bool = False
    broken: bool = False
    is_label: bool = False


class NeedsValueError(LayerportError):
    """What decides a shape, or which way a graph goes, depends on data.

    Attributes
    ----------
    inputs : the inputs of the graph that it depends on.
    """

    def __init__(self, what: str, inputs: Sequence[str]) -> None:
        self.inputs = list(inputs)
        depends = f"depends on the data of {', '.join(map(repr, inputs))}" if inputs else (
            "is not known before the network runs"
        )  # fmt: skip
        super().__init__(f"{what} {depends}")


def inputs_behind(value: Value) -> list[str]:
    """The names of the graph's inputs that a value depends on."""
    seen: set[Value] = set()
    return list(dict.fromkeys(v.name for v in _ancestors(value, seen) if _is_input(v)))


def _is_input(value: Value) -> bool:
    return value.node is None and value.constant is None


def _ancestors(value: Value, seen: set[Value]) -> Iterator[Value]:
    stack = [value]
    while stack:
        found = stack.pop()
        if found in seen:
            continue
        seen.add(found)
        yield found
        if found.node is not None:
            stack += [v for v in reversed(found.node.inputs) if v is not None]


def label_of(node: OnnxNode, position: int) -> str:
    """How messages name an operand of a node."""
    name = node.inputs[position] if position < len(node.inputs) else ""
    return f"operand {position} ({plain_name(name)!r})"
