"""Calling the layers of a functional config in an order in which every argument is there."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from layerport.connections import InputLayer, Outlet, input_outlet
from layerport.errors import LayerportError
from layerport.layer import Layer, flat
from layerport.network import Network

from layerport_formats.keras_config.nodes import Node, Ref, rebuilt


class CallError(ValueError):
    """A call that cannot be made; names the layer."""

    def __init__(self, layer: str, reason: str) -> None:
        self.layer = layer
        self.reason = reason
        super().__init__(f"{layer}: {reason}")


_Key = tuple[str, int]


class Connection:
    """The calls of the layers of one functional model.

    Parameters
    ----------
    layers : by name.
    nodes : the calls of each layer.
    ports : the inputs and outputs of the model.
    """

    def __init__(self, layers: Mapping[str, Layer], nodes: Mapping[str, Sequence[Node]],
                 ports: Sequence[Ref]) -> None:  # fmt: skip
        self._layers = layers
        self._nodes = nodes
        self._first = self._first_numbers(ports)
        self._made: dict[_Key, list[Outlet]] = {}
        for key in self._sorted():
            self._made[key] = self._call(key)

    def outlet(self, ref: Ref, user: str = "") -> Outlet:
        """What a Ref stands for."""
        made = self._made[self._key(ref, user)]
        if not ref.tensor < len(made):
            raise CallError(user, f"{ref.layer} has {len(made)} outputs, none is {ref.tensor}")
        return made[ref.tensor]

    def _first_numbers(self, ports: Sequence[Ref]) -> dict[str, int]:
        """The number that the first call of each layer has.

        In Keras 2 the call that made a nested model is number 0, though no model lists it; then
        the numbers of the calls in use run to one more than there are.
        """
        highest: dict[str, int] = {}
        used = [ref for nodes in self._nodes.values() for node in nodes for ref in node.refs]
        for ref in [*used, *ports]:
            highest[ref.layer] = max(ref.node, highest.get(ref.layer, 0))
        return {
            name: int(isinstance(layer, Network) and highest.get(name, 0) == self._count(name))
            for name, layer in self._layers.items()
        }

    def _count(self, name: str) -> int:
        # An input layer is called once, by nobody.
        return 1 if isinstance(self._layers[name], InputLayer) else len(self._nodes[name])

    def _key(self, ref: Ref, user: str) -> _Key:
        if ref.layer not in self._layers:
            raise CallError(user, f"it uses the layer {ref.layer!r}, which is not there")
        number = ref.node - self._first[ref.layer]
        if not 0 <= number < self._count(ref.layer):
            raise CallError(user, f"it uses call {ref.node} of {ref.layer!r}, which is not there")
        return ref.layer, number

    def _sorted(self) -> list[_Key]:
        """All calls, each after those whose outputs it takes."""
        done: dict[_Key, None] = {}
        entered: set[_Key] = set()
        stack: list[tuple[_Key, bool]] = [
            ((name, number), False)
            for name in reversed(list(self._layers))
            for number in reversed(range(self._count(name)))
        ]
        while stack:
            key, leaving = stack.pop()
            if leaving:
                done[key] = None
            elif key not in done:
                if key in entered:
                    raise CallError(key[0], "it depends on its own output")
                entered.add(key)
                stack.append((key, True))
                needed = [self._key(ref, key[0]) for ref in self._refs(key)]
                stack += [(needs, False) for needs in reversed(needed) if needs not in done]
        return list(done)

    def _refs(self, key: _Key) -> list[Ref]:
        name, number = key
        return [] if isinstance(self._layers[name], InputLayer) else self._nodes[name][number].refs

    def _call(self, key: _Key) -> list[Outlet]:
        name, number = key
        layer = self._layers[name]
        if isinstance(layer, InputLayer):
            return [input_outlet(layer)]
        node = self._nodes[name][number]

        def found(leaf: Any) -> Any:
            return self.outlet(leaf, name) if isinstance(leaf, Ref) else leaf

        try:
            args = _positional(layer, [rebuilt(found, arg) for arg in node.args])
            kwargs = {k: rebuilt(found, v) for k, v in _keywords(layer, node.kwargs).items()}
            _move_tensors(layer, args, kwargs)
            made = list(flat(layer(*args, **kwargs)))
        except (CallError, RecursionError, MemoryError):
            raise
        except LayerportError as error:
            raise CallError(name, str(error)) from error
        except Exception as error:  # the code of any layer runs here, on arguments of any kind
            reason = f"it cannot be called so ({type(error).__name__}: {error})"
            raise CallError(name, reason) from error
        if not all(isinstance(outlet, Outlet) for outlet in made):
            raise CallError(name, "it is called with nothing that the inputs decide")
        return made


def _positional(layer: Layer, args: list[Any]) -> list[Any]:
    """The positional arguments without trailing Nones, and lists for dicts of inputs."""
    while len(args) > 1 and args[-1] is None:
        args.pop()
    if isinstance(layer, Network):
        names = [port.name for port in layer.inputs]
        return [
            [arg[name] for name in names] if isinstance(arg, Mapping) and set(arg) == set(names)
            else arg
            for arg in args
        ]  # fmt: skip
    return args


def _keywords(layer: Layer, given: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments that mean something: Keras writes down a lot of ``mask=null``.

    ``training=false`` is noise as well: Keras 3 writes it for layers whose mode nobody fixed.
    """
    parameters = inspect.signature(type(layer).call).parameters
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    kept = {key: value for key, value in given.items() if value is not None and value is not False}
    unknown = [key for key in kept if key not in parameters and not anything]
    if unknown and unknown != ["name"]:
        raise CallError(
            layer.name, f"it is called with {', '.join(unknown)}, which it does not take"
        )
    return {key: value for key, value in kept.items() if key not in unknown}


def _move_tensors(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Make tensors that go by keyword positional: `build` gets the shapes of those alone."""
    parameters = list(inspect.signature(type(layer).call).parameters.values())[1:]
    for parameter in parameters[len(args) :]:
        given = kwargs.get(parameter.name)
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD or not isinstance(given, Outlet):
            break
        args.append(kwargs.pop(parameter.name))
