"""What a measured program is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.targets.model import Model


class NotHere(Exception):  # noqa: N818 (it is no error)
    """What makes a program, or runs it, is not installed, or is not there yet."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that answers requests.

    Attributes
    ----------
    command : what to run.
    download : what a page, or a device, has to get, the model included.
    weight_bytes : how many of the bytes of `download` are weights.
    build : a request to send first, or nothing.
    cold : the command of a process that loads the model, predicts once and ends; empty for none.
    """

    command: list[str]
    download: list[Path] = dataclasses.field(default_factory=list)
    weight_bytes: int = 0
    build: dict[str, Any] = dataclasses.field(default_factory=dict)
    cold: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Target:
    """A way to run a model outside of Python.

    Attributes
    ----------
    title : for people.
    make : builds the program; raises `NotHere`.
    """

    title: str
    make: Callable[[Model], Program]
