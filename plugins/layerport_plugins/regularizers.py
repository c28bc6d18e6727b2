"""Penalties on weights, named and parametrised as in Keras: functions of a weight, in NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from layerport.errors import LayerportError

from layerport_plugins.configured import Configured


class Regularizer(Configured):
    """Base class: subclasses define `__call__`, which returns a scalar."""

    def __post_init__(self) -> None:
        for name, value in self.get_config().items():
            if isinstance(value, (int, float)) and not 0 <= value < float("inf"):
                raise LayerportError(
                    f"{type(self).__name__}: {name} must be a finite number of at least 0, "
                    f"not {value}"
                )

    def __call__(self, w: Any) -> Any:
        """The penalty of the weight `w`."""
        raise NotImplementedError(type(self).__name__)


def _absolute(factor: float, w: Any) -> Any:
    return factor * np.sum(np.abs(w))


def _squared(factor: float, w: Any) -> Any:
    return factor * np.sum(w * w)


@dataclasses.dataclass(frozen=True)
class L1(Regularizer):
    """``l1 * sum(|w|)``."""

    l1: float = 0.01

    def __call__(self, w: Any) -> Any:
        return _absolute(self.l1, w)


@dataclasses.dataclass(frozen=True)
class L2(Regularizer):
    """``l2 * sum(w ** 2)``."""

    l2: float = 0.01

    def __call__(self, w: Any) -> Any:
        return _squared(self.l2, w)


@dataclasses.dataclass(frozen=True)
class L1L2(Regularizer):
    """``l1 * sum(|w|) + l2 * sum(w ** 2)``."""

    l1: float = 0.0
    l2: float = 0.0

    def __call__(self, w: Any) -> Any:
        if not self.l1:
            return _squared(self.l2, w)
        if not self.l2:
            return _absolute(self.l1, w)
        return _absolute(self.l1, w) + _squared(self.l2, w)


@dataclasses.dataclass(frozen=True)
class OrthogonalRegularizer(Regularizer):
    """`factor` times the mean absolute cosine between different rows (or columns) of a matrix."""

    factor: float = 0.01
    mode: str = "rows"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in ("rows", "columns"):
            raise LayerportError(
                f"OrthogonalRegularizer: mode must be rows or columns, not {self.mode!r}"
            )

    def __call__(self, w: Any) -> Any:
        if w.ndim != 2:
            raise LayerportError(
                f"OrthogonalRegularizer is for matrices, the weight has {w.ndim} axes"
            )
        vectors = w if self.mode == "rows" else np.transpose(w)
        length = np.sqrt(np.maximum(np.sum(vectors * vectors, axis=1, keepdims=True), 1e-12))
        unit = vectors / length
        cosines = np.matmul(unit, np.transpose(unit))
        count = int(vectors.shape[0])
        off_diagonal = np.abs(cosines) * (1.0 - np.eye(count))
        pairs = count * (count - 1) / 2
        return self.factor * 0.5 * np.sum(off_diagonal) / max(pairs, 1.0)


REGULARIZERS: Mapping[str, Callable[..., Regularizer]] = MappingProxyType(
    {
        "l1": L1,
        "l2": L2,
        "l1_l2": L1L2,
        "orthogonal_regularizer": OrthogonalRegularizer,
        "L1": L1,
        "L2": L2,
        "L1L2": L1L2,
        "OrthogonalRegularizer": OrthogonalRegularizer,
    }
)
"""Every name that stands for a regularizer."""
