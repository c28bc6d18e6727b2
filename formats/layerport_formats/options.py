"""Options that several target languages share."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

WEIGHTS: Mapping[str, str] = MappingProxyType(
    {"weights": "float32, float16 or int8: how weights are stored (default: float32)"}
)

TRAINING: Mapping[str, str] = MappingProxyType(
    {
        "train": "sgd or adam: the file can go on learning (default: it cannot)",
        "train_batch": "the largest batch of a training step (default: 32)",
        "seed": "of the random numbers in training (default: 0)",
    }
)
