"""The weights in ``.weights.h5`` files: a tree of groups that follows the objects in Keras.

A group is called after the class of its layer, with a counter for each class; `vars` in it holds
the layer's arrays by number, other groups what is inside the layer. Keras writes every object once,
at the first place where it meets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerport.layer import snake_case
from layerport.network import Network
from layerport.operator import Operator
from layerport.sequential import Sequential

from layerport_formats.hdf5.placing import Plan
from layerport_formats.keras_config.order import (
    Slot,
    inner_layers,
    is_input,
    keras_layers,
    own_slots,
)

if TYPE_CHECKING:
    from layerport.layer import Layer

    from layerport_formats.hdf5.files import Array, Place

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
"""The groups that hold a network's layers: today's name, and that of Keras 2.12."""

INNER_GROUPS = (
    "query_dense", "_query_dense", "key_dense", "_key_dense", "value_dense", "_value_dense",
    "output_dense", "_output_dense", "forward_layer", "backward_layer", "layer", "cell",
)  # fmt: skip
"""What Keras's layers have inside them, in the order of their weights."""


def container_of(place: Place) -> str | None:
    """The name of the group with a network's layers, None where there is none."""
    return next((name for name in CONTAINERS if place.group(name) is not None), None)


def plan_tree(root: Place, network: Network) -> Plan:
    """Which array of such a file goes where.

    Parameters
    ----------
    root : the group of the network.

    Raises
    ------
    ModelFileError : naming all weights that are missing, left over or of another shape.
    """
    plan = Plan(root)
    _Walk(plan).network(root, network)
    plan.check()
    return plan


class _Walk:
    """One walk down a file, beside the network."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._done: set[int] = set()
        self._written: dict[tuple[str, str], Place] = {}

    def network(self, place: Place, network: Network) -> None:
        """The layers of a network."""
        name = container_of(place)
        container = None if name is None else place.group(name)
        if container is None:
            if any(flat_slots(layer) for layer in keras_layers(network)):
                self._plan.problem(f"{place.path or '/'} has no group of layers")
            return
        by_name = _groups_by_layer_name(container)
        used = set()
        for group_name, layer in _group_names(network, twice=name != CONTAINERS[0]):
            group = by_name.get(layer.name) or container.group(group_name)
            self._layer(group, layer, container.join(group_name))
            used.add(container.join(group_name) if group is None else group.path)
        for child in container.children():
            if container.join(child) not in used and _holds_arrays(container, child):
                self._plan.problem(f"{container.join(child)} belongs to no layer of the network")

    def _layer(self, group: Place | None, layer: Layer, expected: str) -> None:
        if id(layer) in self._done:
            return
        self._done.add(id(layer))
        # Equal layers at two places may have been one object, which was written once.
        key = (type(layer).__name__, layer.name)
        if group is None:
            group = self._written.get(key)
        else:
            self._written.setdefault(key, group)
        if isinstance(layer, Network):
            if group is not None:
                self.network(group, layer)
            elif flat_slots(layer):
                self._plan.problem(f"there is no group {expected}")
            return
        wanted = flat_slots(layer)
        arrays = [] if group is None else _arrays(group, [name for name, _ in inner_layers(layer)])
        arrays = arrays[: len(wanted)] if _has_count(layer, arrays, wanted) else arrays
        if len(arrays) != len(wanted):
            self._plan.problem(
                f"{expected} has {len(arrays)} arrays, the layer {layer.name} has {len(wanted)} "
                f"weights ({', '.join(slot.name for slot in wanted)})"
            )
            return
        for slot, array in zip(wanted, arrays, strict=True):
            self._plan.add(slot, array)


def flat_slots(layer: Layer) -> list[Slot]:
    """The weights of a layer, then those of the layers inside it, each with its own in order."""
    found = own_slots(layer, layer.name)
    for _, inner in inner_layers(layer):
        found += flat_slots(inner)
    return found


def _has_count(layer: Layer, arrays: list[Array], wanted: list[Slot]) -> bool:
    """Whether the file has Keras's counter of samples behind the weights of a layer."""
    from layerport_formats.keras_config.tables import rule_of

    extra = rule_of(type(layer).__name__).extra_weights
    return bool(extra) and len(arrays) == len(wanted) + len(extra)


def _group_names(network: Network, *, twice: bool) -> list[tuple[str, Layer]]:
    """The layers of a network with the names of their groups.

    Keras 2.12 meets each layer that has weights twice (`twice`), and counts it twice.
    """
    counts: dict[str, int] = {}
    named = []
    for layer in keras_layers(network):
        if isinstance(layer, Operator):
            continue
        base = snake_case(_class_name(layer))
        count = counts.get(base, 0)
        named.append((f"{base}_{count}" if count else base, layer))
        counts[base] = count + (2 if twice and not is_input(layer) and flat_slots(layer) else 1)
    return named


def _class_name(layer: Layer) -> str:
    if isinstance(layer, Sequential):
        return "Sequential"
    return "Functional" if isinstance(layer, Network) else type(layer).__name__


def _groups_by_layer_name(container: Place) -> dict[str, Place]:
    """The groups by the names of their layers, where Keras wrote those down (since 3.15)."""
    found = {}
    for child in container.children():
        variables = container.group(f"{child}/vars")
        name = None if variables is None else variables.text("name")
        group = container.group(child)
        if name is not None and group is not None:
            found[name] = group
    return found


def _holds_arrays(container: Place, child: str) -> bool:
    """Whether there are weights in a group."""
    group = container.group(child)
    return group is not None and (container_of(group) is not None or bool(_arrays(group, [])))


def _arrays(group: Place, fields: list[str]) -> list[Array]:
    """The arrays of a layer, then those of what is inside it."""
    found: list[Array] = []
    variables = group.group("vars")
    while variables is not None and (array := variables.array(str(len(found)))) is not None:
        found.append(array)
    for name in dict.fromkeys((*INNER_GROUPS, *fields)):
        inner = group.group(name)
        if inner is not None:
            found += _arrays(inner, fields)
    return found
