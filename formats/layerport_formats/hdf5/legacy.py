"""The weights in legacy files: a group for each layer, with a list of its weights' names.

``<root>/<layer name>`` has the attribute `weight_names`, paths inside this group; a nested model is
one group with the weights of all layers in it. Keras goes by position, and so does this reader
where the names do not say clearly which weight is which.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING

from layerport_formats.hdf5.placing import Plan
from layerport_formats.keras_config.order import Slot, keras_layers, slots

if TYPE_CHECKING:
    from layerport.layer import Layer
    from layerport.network import Network

    from layerport_formats.hdf5.files import Array, Place

IGNORED = frozenset({"count"})
"""Weights of Keras that nothing is computed with."""


def plan_weights(root: Place, network: Network, *, by_name: bool) -> Plan:
    """Which array of a legacy file goes where.

    Parameters
    ----------
    root : the group with the attribute `layer_names`.
    by_name : whether the layers must have the names of the file; otherwise they may go by order.

    Raises
    ------
    ModelFileError : naming all weights that are missing, left over or of another shape.
    """
    listed = root.names("layer_names")
    if listed is None:
        root.fail("there is no attribute layer_names")
    plan = Plan(root)
    wanted = {layer.name: layer for layer in keras_layers(network) if slots(layer)}
    groups = _groups(root, listed, plan)
    if groups and not network.calls:
        root.fail("the input shape of the network is not known, so that its weights have no place")
    pairs = _by_name(wanted, groups, plan) if by_name or set(wanted) <= set(groups) else None
    if pairs is None:
        pairs = _by_order(list(wanted.values()), groups, plan)
    for layer, (group, names) in pairs:
        _match(group, names, slots(layer), plan)
    plan.check()
    return plan


_Group = tuple["Place", list[str]]


def _groups(root: Place, listed: Sequence[str], plan: Plan) -> dict[str, _Group]:
    """The groups that hold weights, with the weights' names."""
    found: dict[str, _Group] = {}
    for name in dict.fromkeys(listed):
        group = root.group(name)
        if group is None:
            plan.problem(f"there is no group {name}")
            continue
        names = group.names("weight_names")
        if names:
            found[name] = group, names
    return found


def _by_name(
    wanted: dict[str, Layer], groups: dict[str, _Group], plan: Plan
) -> list[tuple[Layer, _Group]]:
    for name, (group, names) in groups.items():
        if name not in wanted and any(_variable(n) not in IGNORED for n in names):
            plan.problem(f"{group.path} holds weights, but no layer of this name has any")
    for name in wanted:
        if name not in groups:
            plan.problem(f"there are no weights for the layer {name}")
    return [(layer, groups[name]) for name, layer in wanted.items() if name in groups]


def _by_order(
    wanted: Sequence[Layer], groups: dict[str, _Group], plan: Plan
) -> list[tuple[Layer, _Group]]:
    if len(wanted) != len(groups):
        plan.problem(
            f"it has weights for {len(groups)} layers ({', '.join(groups)}), the network has "
            f"{len(wanted)} layers with weights ({', '.join(layer.name for layer in wanted)})"
        )
        return []
    return list(zip(wanted, groups.values(), strict=True))


def _variable(name: str) -> str:
    """``dense/kernel:0`` -> ``kernel``."""
    return re.sub(r":\d+$", "", name.rsplit("/", 1)[-1])


def _match(group: Place, names: Sequence[str], wanted: Sequence[Slot], plan: Plan) -> None:
    """Pair the weights of one group."""
    if len(names) > len(wanted):
        names = [name for name in names if _variable(name) not in IGNORED] or names
    if len(names) != len(wanted):
        plan.problem(
            f"{group.path} has {len(names)} weights ({', '.join(names)}), the layer has "
            f"{len(wanted)} ({', '.join(slot.full_name for slot in wanted)})"
        )
        return
    for name, slot in zip(names, _arranged(names, wanted), strict=True):
        plan.add(slot, _array(group, name, plan))


def _array(group: Place, name: str, plan: Plan) -> Array | None:
    found = group.array(name)
    if found is None:
        plan.problem(f"there is no array {group.join(name)}")
    return found


def _arranged(names: Sequence[str], wanted: Sequence[Slot]) -> list[Slot]:
    """The slots in the order of the names, as far as the names identify them."""
    for keys_of in (_short_keys, _long_keys):
        keys, places = keys_of(names, wanted)
        named = dict(zip(places, wanted, strict=True))
        if len(set(keys)) == len(keys) and set(keys) == set(named):
            return [named[key] for key in keys]
    return list(wanted)


_Keys = Sequence[Hashable]


def _short_keys(names: Sequence[str], wanted: Sequence[Slot]) -> tuple[_Keys, _Keys]:
    """By the last part of the name."""
    return [_variable(name) for name in names], [slot.name for slot in wanted]


def _long_keys(names: Sequence[str], wanted: Sequence[Slot]) -> tuple[_Keys, _Keys]:
    """By layer and weight. A layer's name may have several parts."""
    owners = {slot.owner for slot in wanted}
    keys = [(_owner(name.rsplit("/", 1)[0], owners), _variable(name)) for name in names]
    return keys, [(slot.owner, slot.name) for slot in wanted]


def _owner(path: str, owners: Iterable[str]) -> str:
    """The longest of the layers' names that a path ends with, "" for none."""
    fitting = [name for name in owners if path == name or path.endswith(f"/{name}")]
    return max(fitting, key=len, default="")
