"""Where NaN and infinity come from: the first operator that makes them of finite numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from layerport.graph import Node, Value
from layerport.numpy_engine.binding import sizes_of
from layerport.op import NDArray

if TYPE_CHECKING:
    from layerport.train.step import Step

SLOWER = "lower the learning rate, or clip the gradients (global_clipnorm=1.0)"


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why a loss is not finite.

    Attributes
    ----------
    reason : one clause: what went non-finite first, and what to do about it.
    is_data : whether the data are to blame, and not the weights.
    """

    reason: str
    is_data: bool = False


def explain(step: Step, feeds: Mapping[str, NDArray], arrays: Mapping[str, NDArray]) -> Cause:
    """Find out what went non-finite first in the forward pass.

    Parameters
    ----------
    feeds, arrays : the inputs and parameters of `Step.gradients`.
    """
    for name, array in feeds.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0]) if array.ndim else 0
            reason = (
                f"the data hold NaN or infinity ({name}, sample {row} of the batch); clean them"
            )
            return Cause(reason, is_data=True)
    for group in step.groups:
        for member in group.members:
            if not np.isfinite(member.array).all():
                return Cause(
                    f"the weight {member.path!r} was not finite any more, for a gradient before "
                    f"had become too large; {SLOWER}"
                )
    place = _first_bad(step, feeds, arrays)
    if place is None:
        return Cause(f"no single operator explains it; {SLOWER}")
    scope, operator = place
    if scope.split("/")[0] == "loss":
        return Cause(
            f"the loss itself ({operator}) made it of finite outputs; {SLOWER}, or check that "
            "the last activation suits the loss"
        )
    return Cause(
        f"the output of layer {scope!r} ({operator}) was the first to be not finite; {SLOWER}"
    )


def _first_bad(
    step: Step, feeds: Mapping[str, NDArray], arrays: Mapping[str, NDArray]
) -> tuple[str, str] | None:
    sizes = sizes_of(step.gradients, feeds, arrays)
    graph = step.gradients.replay(sizes=sizes, rewrite=False)
    known: dict[Value, NDArray] = {}
    for values, found in ((graph.inputs, feeds), (graph.parameters, arrays)):
        known.update({value: found[value.name] for value in values})
    needed = _nodes_behind(graph.outputs[0])
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            if node not in needed:
                continue
            operands = [
                None if v is None else known[v] if v.constant is None else v.constant
                for v in node.inputs
            ]
            made = node.op.evaluate(*operands)
            results = made if isinstance(made, tuple) else (made,)
            known.update(zip(node.outputs, results, strict=True))
            if not all(np.isfinite(r).all() for r in results if r.dtype.kind == "f"):
                return node.scope or "network", node.op.name
    return None


def _nodes_behind(value: Value) -> set[Node]:
    """The nodes that a value needs: those of the backward pass are not among those of the loss."""
    found: set[Node] = set()
    waiting = [value]
    while waiting:
        node = waiting.pop().node
        if node is not None and node not in found:
            found.add(node)
            waiting += [operand for operand in node.inputs if operand is not None]
    return found
