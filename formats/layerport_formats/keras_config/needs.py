"""Which Keras a network needs, and what no Keras has."""

from __future__ import annotations

import dataclasses
from typing import Any

from layerport.connections import Call, InputLayer, Outlet
from layerport.errors import UnsupportedError
from layerport.format import WriteContext
from layerport.layer import Layer
from layerport.network import Network
from layerport.operator import Operator
from layerport.sequential import Sequential

from layerport_formats.keras_config.dialect import KERAS2, KERAS3, Dialect
from layerport_formats.keras_config.tables import (
    KERAS2_ACTIVATIONS,
    KERAS2_ONLY_LAYERS,
    KERAS3_ACTIVATIONS,
    KERAS3_ONLY_LAYERS,
    rule_of,
)

DIALECTS = {"keras2": KERAS2, "keras3": KERAS3}


@dataclasses.dataclass
class Needs:
    """Why a network needs one Keras or the other, one line for each layer and reason.

    Attributes
    ----------
    problems : what no Keras config can hold.
    keras2, keras3 : what one of them has and the other lacks.
    calls_networks : networks among the layers of others; the two dialects number their calls
        differently, so that no config can serve both.
    """

    problems: list[str] = dataclasses.field(default_factory=list)
    keras2: list[str] = dataclasses.field(default_factory=list)
    keras3: list[str] = dataclasses.field(default_factory=list)
    calls_networks: list[str] = dataclasses.field(default_factory=list)


def choose_dialect(network: Network, wanted: str, context: WriteContext) -> Dialect:
    """The dialect to write a network in; a note says where the other Keras cannot read it.

    Parameters
    ----------
    wanted : "keras2", "keras3", or "auto": Keras 2, which both of them read, where it can.

    Raises
    ------
    UnsupportedError : naming every layer that stands in the way.
    """
    if wanted not in (*DIALECTS, "auto"):
        raise UnsupportedError(f"option config={wanted}: it is keras2, keras3 or auto")
    needs = Needs()
    for path, layer in network.walk():
        _of_layer(path or layer.name, layer, needs)
    if needs.problems:
        raise UnsupportedError(
            f"{context.target}: Keras has no layers for this", dict.fromkeys(needs.problems),
            hint="ONNX and layers.json hold every operator",
        )  # fmt: skip
    if needs.keras2 and needs.keras3:
        raise UnsupportedError(
            f"{context.target}: no version of Keras has all of this",
            [*dict.fromkeys(needs.keras2), *dict.fromkeys(needs.keras3)],
        )
    if wanted == "auto":
        prefers3 = needs.keras3 or (needs.calls_networks and not needs.keras2)
        wanted = "keras3" if prefers3 else "keras2"
    against = needs.keras3 if wanted == "keras2" else needs.keras2
    if against:
        raise UnsupportedError(
            f"{context.target}: config={wanted} cannot express this", dict.fromkeys(against),
            hint="leave the option out",
        )  # fmt: skip
    _note_readers(needs, wanted, context)
    return DIALECTS[wanted]


def _note_readers(needs: Needs, chosen: str, context: WriteContext) -> None:
    """Say which Keras alone can read the file, and why."""
    calls = [f"it calls {network}" for network in needs.calls_networks]
    if chosen == "keras3":
        reader, reasons = "Keras 3", needs.keras3 or calls
    else:
        reader, reasons = "Keras 2", [*needs.keras2, *calls]
    if reasons:
        why = "; ".join(dict.fromkeys(reasons))
        context.note("notice", f"only {reader} reads this file: {why}")


def _of_layer(path: str, layer: Layer, needs: Needs) -> None:
    kind = type(layer).__name__
    if isinstance(layer, Operator):
        needs.problems.append(f"operator {layer.op.name} at {path}")
        return
    _of_name(path, layer.name, needs)
    if isinstance(layer, Network):
        odd = [call.layer.name for call in layer.calls if not _plain_call(call)]
        needs.keras3 += [f"{path}: Keras 2 cannot write down the call of {name}" for name in odd]
        if not isinstance(layer, Sequential):
            inner = [call.layer.name for call in layer.calls if isinstance(call.layer, Network)]
            needs.calls_networks += [f"the network {name}" for name in dict.fromkeys(inner)]
        return
    if isinstance(layer, InputLayer):
        if not layer.batched:
            needs.problems.append(f"input {path}: Keras's inputs have an axis for the samples")
        return
    if kind in KERAS3_ONLY_LAYERS:
        needs.keras3.append(f"{path}: Keras 2 has no layer {kind}")
    if kind in KERAS2_ONLY_LAYERS:
        needs.keras2.append(f"{path}: Keras 3 has no layer {kind}")
    _of_fields(path, layer, needs)


def _of_name(path: str, name: str, needs: Needs) -> None:
    """A layer's name is the path of a group in the file."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        needs.problems.append(f"{path!r}: the name is no valid Unicode text")
        return
    if name and ("\0" in name or any(part in ("", ".", "..") for part in name.split("/"))):
        needs.problems.append(f"{path!r}: a file cannot hold this name")


def _of_fields(path: str, layer: Layer, needs: Needs) -> None:
    kind = type(layer).__name__
    for field in layer.config_fields():
        value = getattr(layer, field.name)
        neutral = rule_of(kind).keras3_only
        if field.name in neutral and value not in neutral[field.name]:
            needs.keras3.append(f"{path}: Keras 2's {kind} has no argument {field.name}")
        if field.name == "activation" or field.name.endswith("_activation"):
            _of_activation(f"{path}: {field.name}", value, layer, needs)


def _of_activation(place: str, value: Any, layer: Layer, needs: Needs) -> None:
    if value is None or isinstance(value, Layer):
        return
    name = value if isinstance(value, str) else layer.registry.name_of(value)
    if name is None:
        needs.problems.append(f"{place} is a function without a name")
    elif name == "hard_sigmoid_keras2":
        needs.keras2.append(f"{place} is Keras 2's hard_sigmoid")
    elif name in KERAS3_ACTIVATIONS and name not in KERAS2_ACTIVATIONS:
        needs.keras3.append(f"{place} is {name}, which Keras 2 lacks or defines differently")


def _plain_call(call: Call) -> bool:
    """Whether the first argument is a tensor, or a list of several."""
    if not call.args:
        return not call.kwargs
    first = call.args[0]
    if isinstance(first, (list, tuple)):
        return len(first) > 1 and all(isinstance(item, Outlet) for item in first)
    return isinstance(first, Outlet)
