"""compile, fit, evaluate: what a network can do to learn."""

from __future__ import annotations


class Trainable:
    """The training methods of a network."""
