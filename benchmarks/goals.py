"""What should be reached at least: how many times as long another contender may take."""

from __future__ import annotations

from types import MappingProxyType

Situation = tuple[str, str, int, int]
"""Mode, network, threads, batch."""


def _each(mode: str, network: str, threads: int, goals: dict[int, float]) -> dict[Situation, float]:
    return {(mode, network, threads, batch): goal for batch, goal in goals.items()}


AGAINST = MappingProxyType({"train": "pytorch", "infer": "onnxruntime"})
"""Whom the goals of a mode are about."""

GOALS: MappingProxyType[Situation, float] = MappingProxyType(
    _each("train", "m1", 1, {10: 3.0, 32: 2.3, 128: 2.1})
    | _each("train", "m2", 1, {10: 1.35, 32: 1.2, 128: 1.1})
    | _each("train", "m1", 2, {128: 1.7})
    | _each("train", "m2", 2, {128: 1.0})
    | _each("train", "convbn", 1, {10: 1.2, 32: 1.2, 128: 1.2})
    | _each("train", "transformer", 1, {10: 1.4, 32: 1.4, 128: 1.4})
    | _each("train", "emotion", 1, {10: 1.0, 32: 1.0, 128: 1.0})
    | _each("train", "lstm", 1, {10: 1.0, 32: 1.0, 128: 1.0})
    | _each("infer", "m1", 1, {1: 0.7, 128: 0.8})
    | _each("infer", "m2", 1, {1: 0.7, 128: 0.95})
)
