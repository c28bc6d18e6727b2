"""What is minimised where nothing is said: the loss that goes with the last operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerport.network import Network


def output_operators(network: Network) -> list[str]:
    """The name of the operator that makes each output; "" for an output that is an input."""
    nodes = [value.node for value in network.lower().outputs]
    return ["" if node is None else node.op.name for node in nodes]


def natural_loss(operator: str) -> str:
    """The name of the loss for outputs that an operator makes; targets are as the outputs."""
    names = {"Softmax": "categorical_crossentropy", "Sigmoid": "binary_crossentropy"}
    return names.get(operator, "mean_squared_error")
