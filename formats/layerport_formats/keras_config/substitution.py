"""Networks in which some layers stand for others that Keras has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from layerport.format import WriteContext
from layerport.layer import Layer, flat
from layerport.network import InputLayer, Network, Outlet, Sequential, input_outlet

from layerport_formats.keras_config.nodes import rebuilt


def in_keras_layers(network: Network, context: WriteContext) -> Network:
    """The network with Keras's layers in place of those that offer them by a method `as_keras`.

    The network itself stays as it is; layers that need no substitute are in both.
    """
    if not any(_substitute(layer) for _, layer in network.walk()):
        return network
    return _Substitution(context).network(network)


def _substitute(layer: Layer) -> Callable[[], list[Layer]] | None:
    return getattr(layer, "as_keras", None)


class _Substitution:
    def __init__(self, context: WriteContext) -> None:
        self._context = context
        self._made: dict[Layer, list[Layer]] = {}

    def layers(self, layer: Layer) -> list[Layer]:
        """What stands for a layer."""
        if layer not in self._made:
            substitute = _substitute(layer)
            if isinstance(layer, Network):
                self._made[layer] = [self.network(layer)]
            elif substitute is None:
                self._made[layer] = [layer]
            else:
                self._made[layer] = substitute()
                kinds = " and ".join(type(made).__name__ for made in self._made[layer])
                self._context.note(
                    "folded", f"{type(layer).__name__} is written as {kinds}", layer.name
                )
        return self._made[layer]

    def network(self, network: Network) -> Network:
        """What stands for a network."""
        if not any(_substitute(layer) for _, layer in network.walk()):
            return network
        own: dict[str, Any] = {
            "name": network.name, "trainable": network.trainable, "dtype": network.dtype
        }  # fmt: skip
        made: Network
        if isinstance(network, Sequential):
            first = [] if not network.calls else [network.calls[0].layer]
            chain = [made for layer in network.layers for made in self.layers(layer)]
            made = Sequential([*first, *_named(chain)], **own)
        else:
            made = self._functional(network, own)
        made.labels = network.labels
        return made

    def _functional(self, network: Network, own: Mapping[str, Any]) -> Network:
        known: dict[Outlet, Any] = {}
        _named([made for layer in network.layers for made in self.layers(layer)])

        def new(leaf: Any) -> Any:
            return known[leaf] if isinstance(leaf, Outlet) else leaf

        for call in network.calls:
            if isinstance(call.layer, InputLayer):
                known[call.outputs[0]] = input_outlet(call.layer)
                continue
            args, kwargs = rebuilt(new, call.args), rebuilt(new, call.kwargs)
            result: Any = None
            for layer in self.layers(call.layer):
                result = layer(*args, **kwargs)
                args, kwargs = (result,), {}
            known.update(zip(call.outputs, flat(result), strict=True))
        return Network(
            [known[outlet] for outlet in network.input_outlets],
            [known[outlet] for outlet in network.output_outlets],
            network.output_names,
            **own,
        )


def _named(layers: list[Layer]) -> list[Layer]:
    """Give another name to a layer whose name stands for another one already."""
    taken: dict[str, Layer] = {}
    for layer in layers:
        name, count = layer.name, 0
        while name and taken.get(name, layer) is not layer:
            count += 1
            name = f"{layer.name}_{count}"
        layer.name = name
        taken[name] = layer
    return layers
