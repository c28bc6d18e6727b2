"""Who calls whom: the `inbound_nodes` of a functional config, in the spellings of both dialects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

TENSOR = "__keras_tensor__"
CONSTANT = "_CONSTANT_VALUE"


class NodeError(ValueError):
    """An entry of `inbound_nodes` that is none."""


@dataclasses.dataclass(frozen=True)
class Ref:
    """An output of a call: the name of the layer, the number of the call and of the output."""

    layer: str
    node: int
    tensor: int


@dataclasses.dataclass(frozen=True)
class Node:
    """One call of a layer: its arguments, with a Ref for every tensor."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def refs(self) -> list[Ref]:
        """The tensors among the arguments."""
        return [*leaves(self.args, Ref), *leaves(self.kwargs, Ref)]


def leaves(thing: Any, kind: type[Any]) -> Iterator[Any]:
    """What of a kind lies inside nested tuples, lists and mappings, in order."""
    if isinstance(thing, kind):
        yield thing
    elif isinstance(thing, (tuple, list)):
        for item in thing:
            yield from leaves(item, kind)
    elif isinstance(thing, Mapping):
        for item in thing.values():
            yield from leaves(item, kind)


def rebuilt(function: Callable[[Any], Any], thing: Any) -> Any:
    """Nested tuples, lists and mappings with `function` of each leaf."""
    if isinstance(thing, (tuple, list)):
        return type(thing)(rebuilt(function, item) for item in thing)
    if isinstance(thing, Mapping):
        return {key: rebuilt(function, item) for key, item in thing.items()}
    return function(thing)


def read_nodes(inbound: Any) -> list[Node]:
    """The calls that an `inbound_nodes` lists.

    Raises
    ------
    NodeError : where it has the form of neither dialect.
    """
    if not isinstance(inbound, list):
        raise NodeError("inbound_nodes is no list")
    return [_keras3(node) if isinstance(node, Mapping) else _keras2(node) for node in inbound]


def _keras3(node: Mapping[str, Any]) -> Node:
    args, kwargs = node.get("args", []), node.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, Mapping):
        raise NodeError(f"{dict(node)} has no list args and object kwargs")
    return Node(tuple(_tensor3(arg) for arg in args), {k: _tensor3(v) for k, v in kwargs.items()})


def _tensor3(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.get("class_name") == TENSOR:
            config = value.get("config")
            return as_ref(config.get("keras_history") if isinstance(config, Mapping) else None)
        return {key: _tensor3(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_tensor3(item) for item in value]
    return value


def _keras2(node: Any) -> Node:
    """``[[layer, node, tensor, kwargs], ...]``; layers for raw operators leave a level out."""
    if isinstance(node, list) and node and isinstance(node[0], str):
        node = [node]
    if not isinstance(node, list) or not node:
        raise NodeError(f"{node!r} is no call of a layer")
    tensors: list[Any] = []
    kwargs: dict[str, Any] = {}
    for entry in node:
        if not isinstance(entry, list) or not 3 <= len(entry) <= 4:
            raise NodeError(f"{entry!r} is no [layer, node, tensor, arguments]")
        tensors.append(entry[2] if entry[0] == CONSTANT else as_ref(entry[:3]))
        if len(entry) == 4:
            if not isinstance(entry[3], Mapping):
                raise NodeError(f"{entry[3]!r} are no keyword arguments")
            kwargs.update({key: _tensor2(value) for key, value in entry[3].items()})
    return Node((tensors[0] if len(tensors) == 1 else tensors,), kwargs)


def _tensor2(value: Any) -> Any:
    if is_ref(value):
        return value[2] if value[0] == CONSTANT else as_ref(value)
    if isinstance(value, list):
        return [_tensor2(item) for item in value]
    return value


def is_ref(value: Any) -> bool:
    """Whether something is written as ``[layer, node, tensor]``."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[0], str)
        and type(value[1]) is int
    )


def as_ref(value: Any) -> Ref:
    """The Ref that ``[layer, node, tensor]`` stands for."""
    if not is_ref(value) or type(value[2]) is not int or min(value[1:]) < 0:
        raise NodeError(f"{value!r} is no [layer, node, tensor]")
    return Ref(*value)


def read_ports(ports: Any) -> tuple[list[Ref], Sequence[str] | None]:
    """What `input_layers` or `output_layers` lists, and the names if it is a dict.

    A single port may stand without the list around it.
    """
    if is_ref(ports):
        return [as_ref(ports)], None
    if isinstance(ports, Mapping):
        return [as_ref(port) for port in ports.values()], [str(key) for key in ports]
    if not isinstance(ports, list):
        raise NodeError(f"{ports!r} is no list of [layer, node, tensor]")
    return [ref for port in ports for ref in read_ports(port)[0]], None
