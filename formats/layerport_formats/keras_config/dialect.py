"""Which Keras wrote a config: the two generations spell the same things differently."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

NETWORK_CLASSES = frozenset({"Sequential", "Functional", "Model"})
"""Class names that stand for networks; `Model` is the functional one of Keras before 2.4."""


@dataclasses.dataclass(frozen=True)
class Dialect:
    """A generation of Keras.

    Attributes
    ----------
    major : 2 or 3.
    early : whether the defaults of Keras before 2.3 hold where a config leaves something out, as
        they do for TensorFlow.js.
    """

    major: int
    early: bool = False

    @property
    def shape_key(self) -> str:
        """How the config of an input layer calls its shape."""
        return "batch_input_shape" if self.major == 2 else "batch_shape"


KERAS2 = Dialect(2)
KERAS3 = Dialect(3)


def dialect_of(config: Mapping[str, Any], version: str | None) -> Dialect:
    """The dialect of a model's config.

    Parameters
    ----------
    config : of a Sequential or functional model, with its class name.
    version : what the file says wrote it ("2.12.0", "3.15.1", "tfjs-layers 4.22.0"), or None.

    Where the version and the way in which shapes are written disagree, the shapes decide: tools
    that convert models copy configs as they are.
    """
    if version is not None and version.startswith("tfjs"):
        return Dialect(2, early=True)
    found = re.match(r"(\d+)\.(\d+)", version or "")
    numbers = (int(found[1]), int(found[2])) if found else None
    early = numbers is not None and numbers < (2, 3)
    keys = _shape_keys(config)
    if "batch_input_shape" in keys:
        return KERAS3 if numbers is not None and numbers[0] >= 3 else Dialect(2, early)
    if "batch_shape" in keys or numbers is None:
        return KERAS3
    return KERAS3 if numbers[0] >= 3 else Dialect(2, early)


def _shape_keys(config: Mapping[str, Any]) -> set[str]:
    return {
        key
        for entry in layer_entries(config)
        if isinstance(entry.get("config"), Mapping)
        for key in ("batch_input_shape", "batch_shape")
        if key in entry["config"]
    }


def layer_entries(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every layer entry below a model's config, those of nested models included."""
    stack: list[Any] = [config]
    while stack:
        entry = stack.pop()
        inner = entry.get("config")
        listed = inner.get("layers") if isinstance(inner, Mapping) else inner
        if isinstance(listed, list):
            found = [item for item in listed if isinstance(item, Mapping)]
            yield from found
            stack += reversed(found)
