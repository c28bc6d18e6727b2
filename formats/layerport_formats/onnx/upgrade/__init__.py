"""Old forms of operators in the form of the newest operator set.

A table for each family lists, for an operator, the operator set before which a rule applies, and
the rule: a function of the node that returns the nodes that stand for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from layerport_formats.onnx.nodes import OnnxNode

from . import arithmetic, arrange, classical, images, normalization, reduction
from .sketch import Asks, Rule

REPLACED = frozenset(
    {"CastLike", "Dropout", "NonZero", "Scatter", "Size", "Upsample", *classical.RULES}
)
"""Operators that other ones stand for."""


def _merged() -> Mapping[str, Sequence[tuple[int, Rule]]]:
    families = (arithmetic, arrange, classical, images, normalization, reduction)
    merged: dict[str, list[tuple[int, Rule]]] = {}
    for op, rules in chain.from_iterable(family.RULES.items() for family in families):
        merged.setdefault(op, []).extend(rules)
    return {op: sorted(rules, key=lambda entry: entry[0]) for op, rules in merged.items()}


RULES = _merged()
"""Operator -> (first operator set that the rule is not for, rule), oldest first."""


def is_upgraded(node: OnnxNode) -> bool:
    """Whether other operators stand for a node's."""
    return node.kind in REPLACED


def upgrade(node: OnnxNode, asks: Asks) -> list[OnnxNode] | None:
    """What stands for a node, one version up; None where it stays.

    Raises
    ------
    UnsupportedError : when an old form cannot be expressed.
    """
    for before, rule in RULES.get(node.kind, ()):
        if node.version < before:
            made = rule(node, asks)
            return [
                n.with_(version=before) if n.op == node.op and n.version < before else n
                for n in made
            ]
    return None
