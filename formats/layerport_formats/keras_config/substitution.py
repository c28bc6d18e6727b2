"""Networks in which some layers stand for others that Keras has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from layerport.connections import InputLayer, Outlet, input_outlet
from layerport.errors import UnsupportedError
from layerport.format import WriteContext
from layerport.layer import Layer, flat
from layerport.network import Network
from layerport.sequential import Sequential

from layerport_formats.keras_config.nodes import rebuilt


def in_keras_layers(network: Network, context: WriteContext) -> Network:
    """The network with Keras's layers in place of those that offer them by a method `as_keras`.

    The network itself stays as it is; layers that need no substitute are in both.
    """
    layers = [layer for _, layer in network.walk()]
    if not any(_substitute(layer) for layer in layers):
        return network
    unbuilt = [repr(layer) for layer in layers if _substitute(layer) and not layer.is_built]
    if unbuilt:
        raise UnsupportedError(
            f"{context.target}: layers without weights cannot be written as Keras's", unbuilt,
            hint="give the network an input shape",
        )  # fmt: skip
    return _Substitution(context, {layer.name for layer in layers}).network(network)


def _substitute(layer: Layer) -> Callable[[], list[Layer]] | None:
    return getattr(layer, "as_keras", None)


class _Substitution:
    def __init__(self, context: WriteContext, names: set[str]) -> None:
        self._context = context
        self._names = names
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
                self._name(self._made[layer], layer.name)
                kinds = " and ".join(type(made).__name__ for made in self._made[layer])
                self._context.note(
                    "folded", f"{type(layer).__name__} is written as {kinds}", layer.name
                )
        return self._made[layer]

    def _name(self, layers: list[Layer], name: str) -> None:
        """Give substitutes names that no other layer has; one of them has that of the original."""
        for layer in layers:
            base, count = layer.name, 0
            while layer.name != name and layer.name in self._names:
                count += 1
                layer.name = f"{base}_{count}"
            self._names.add(layer.name)

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
            made = Sequential([*first, *chain], **own)
        else:
            made = self._functional(network, own)
        made.labels = network.labels
        return made

    def _functional(self, network: Network, own: Mapping[str, Any]) -> Network:
        known: dict[Outlet, Any] = {}

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
