"""Checks of arguments that several parts of training share."""

from __future__ import annotations

from typing import Any

import numpy as np

from layerport.errors import TrainingError


def whole_number(name: str, value: Any, least: int) -> int:
    """The value as an int; raises `TrainingError` naming the argument when it is no such number."""
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
    if not is_whole or value < least:
        raise TrainingError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return int(value)
