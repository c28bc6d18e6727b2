"""A layers.json without its weights, for exported models that learn and write it themselves."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from layerport.structure import layer_config

from layerport_formats.layers_json import jsmind
from layerport_formats.layers_json.version2 import check_dtype

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray


def template(network: Network) -> dict[str, Any]:
    """What a printed model needs to write and read layers.json.

    Returns
    -------
    dict
        ``network``: the config, for version 2; ``weights``: name, dtype and shape of each; and
        ``layers``, for networks that came from js-mind and fit its form: for each layer its
        properties, the names of its weights, whether the kernel lies transposed, and the factor
        that js-mind's weights have.
    """
    weights = [
        {"name": name, "dtype": check_dtype(name, array), "shape": list(array.shape)}
        for name, array in network.weights.items()
    ]
    return {"network": layer_config(network), "weights": weights, "layers": _layers(network)}


def constant_entry(name: str, array: NDArray) -> dict[str, Any]:
    """A weight that does not change, as version 2 has it."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    data = base64.b64encode(little.tobytes()).decode("ascii")
    return {"dtype": check_dtype(name, array), "shape": list(array.shape), "data": data}


def _layers(network: Network) -> list[Mapping[str, Any]] | None:
    """The layers in js-mind's terms; None where version 2 is written."""
    if not network.origin or network.origin[0] != "layers_json":
        return None
    plan = jsmind.plan(network)
    if plan.obstacles or plan.losses:
        return None
    names = {id(array): name for name, array in network.weights.items()}
    dense = [layer for layer in network.layers if type(layer).__name__ != "Dropout"]
    made: list[Mapping[str, Any]] = []
    for layer, entry in zip(dense, plan.entries, strict=True):
        own = layer.own_weights
        plain = "kernel" in own
        if plain and "bias" not in own:
            return None
        made.append(
            {
                "className": entry.class_name,
                "pDropout": entry.p,
                "activationFn": entry.activation,
                "w": names[id(own["kernel" if plain else "w"])],
                "b": names[id(own["bias" if plain else "b"])],
                "transposed": plain,
                "scale": 1 / (1 - entry.p) if plain else 1,
            }
        )
    return made
