"""From a Keras model config to a Network.

Two passes: `Parser` makes every layer of the model and of the models nested in it, and collects
whatever stands in the way; only when nothing does, `build` calls the layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layerport.format import ReadContext
from layerport.network import Network

from layerport_formats.keras_config.building import build
from layerport_formats.keras_config.dialect import NETWORK_CLASSES, Dialect
from layerport_formats.keras_config.parsing import Parser


def read_network(config: Any, dialect: Dialect, context: ReadContext, place: str) -> Network:
    """The network of a model config.

    Parameters
    ----------
    config : ``{"class_name": "Sequential" or "Functional", "config": ...}``.
    place : where in the file the config stands, for messages.

    Raises
    ------
    ModelFileError : where the config is not what it should be.
    UnsupportedError : naming every layer that cannot be made, with the reason.
    """
    kind = config.get("class_name") if isinstance(config, Mapping) else type(config).__name__
    if not isinstance(config, Mapping) or not isinstance(kind, str) or kind not in NETWORK_CLASSES:
        context.fail(
            f"the model is {kind!r}, neither a Sequential nor a functional model", place,
            hint="a subclassed Keras model is program code, which a file does not hold",
        )  # fmt: skip
    parser = Parser(dialect, context, place)
    parser.check_classes(config)
    blueprint = parser.network(config)
    parser.report()
    assert blueprint is not None
    return build(blueprint, context, place)
