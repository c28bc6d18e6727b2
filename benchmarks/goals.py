"""What should be reached at least: how many times as long a rival takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping


@dataclasses.dataclass(frozen=True)
class Goal:
    """A ratio to reach.

    Attributes
    ----------
    mode, network, threads, batch : the row that it is about.
    ours, rival : who is compared, `ours` being at least `least` times as fast.
    """

    mode: str
    network: str
    threads: int
    batch: int
    ours: str
    rival: str
    least: float


def _training(network: str, threads: int, least: Mapping[int, float]) -> Iterator[Goal]:
    for batch, ratio in least.items():
        yield Goal("train", network, threads, batch, "layerport", "pytorch", ratio)


def _inference(network: str, least: Mapping[int, float]) -> Iterator[Goal]:
    for batch, ratio in least.items():
        yield Goal("infer", network, 1, batch, "layerport", "onnxruntime", ratio)


def _target(ours: str, rival: str, batch: int, m1: float, m2: float) -> Iterator[Goal]:
    for network, ratio in (("m1", m1), ("m2", m2)):
        yield Goal("targets", network, 1, batch, ours, rival, ratio)


GOALS: tuple[Goal, ...] = (
    *_training("m1", 1, {10: 3.0, 32: 2.3, 128: 2.1}),
    *_training("m2", 1, {10: 1.35, 32: 1.2, 128: 1.1}),
    *_training("m1", 2, {128: 1.7}),
    *_training("m2", 2, {128: 1.0}),
    *_training("convbn", 1, {10: 1.2, 32: 1.2, 128: 1.2}),
    *_training("transformer", 1, {10: 1.4, 32: 1.4, 128: 1.4}),
    *_training("emotion", 1, {10: 1.0, 32: 1.0, 128: 1.0}),
    *_training("lstm", 1, {10: 1.0, 32: 1.0, 128: 1.0}),
    *_inference("m1", {1: 0.7, 128: 0.8}),
    *_inference("m2", {1: 0.7, 128: 0.95}),
    *_target("wasm", "ort-web", 1, m1=3.3, m2=2.1),
    *_target("wasm", "ort-web", 128, m1=1.8, m2=2.0),
    *_target("js", "tfjs-cpu", 1, m1=7.0, m2=4.5),
    *_target("c", "onnxruntime", 1, m1=3.0, m2=1.6),
    *_target("c", "onnxruntime", 128, m1=0.85, m2=1.3),
    *_target("c-o3", "emx", 1, m1=10.0, m2=4.0),
)


def goals_of(mode: str, network: str, threads: int, batch: int) -> list[Goal]:
    """The goals for a row."""
    row = (mode, network, threads, batch)
    return [goal for goal in GOALS if row == (goal.mode, goal.network, goal.threads, goal.batch)]
