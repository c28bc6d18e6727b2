"""Initial values of weights, named and parametrised as in Keras.

An initializer is a function of (shape, rng, dtype). Its `seed`, where it has one and it is a
number, replaces the generator that the network hands in: two weights with equal initializers then
start out equal, as in Keras.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from layerport.errors import LayerportError
from layerport.op import NDArray

from layerport_plugins.configured import Configured

TRUNCATED_STDDEV = 0.87962566103423978
"""The standard deviation of a standard normal distribution cut off at -2 and 2."""


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """The numbers of inputs and of outputs of a unit whose kernel has this shape.

    The last two axes count inputs and outputs, those before are a convolution's window.
    """
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


def truncated_normal(shape: Sequence[int], rng: np.random.Generator) -> NDArray:
    """Standard normal numbers, drawn again until they lie within -2 and 2."""
    drawn = rng.standard_normal(tuple(shape))
    outside = np.abs(drawn) > 2
    while outside.any():
        drawn[outside] = rng.standard_normal(int(outside.sum()))
        outside = np.abs(drawn) > 2
    return drawn


class Initializer(Configured):
    """Base class: subclasses define `draw`."""

    def __call__(self, shape: Sequence[int], rng: np.random.Generator, dtype: Any) -> NDArray:
        """An array of this shape and dtype."""
        seed = getattr(self, "seed", None)
        generator = np.random.default_rng(seed) if isinstance(seed, int) else rng
        return np.asarray(self.draw(tuple(shape), generator), dtype)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        """The values, in float64."""
        raise NotImplementedError(type(self).__name__)


@dataclasses.dataclass(frozen=True)
class Zeros(Initializer):
    """All 0."""

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        return np.zeros(shape)


@dataclasses.dataclass(frozen=True)
class Ones(Initializer):
    """All 1."""

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        return np.ones(shape)


@dataclasses.dataclass(frozen=True)
class Constant(Initializer):
    """All `value`, or an array that broadcasts to the shape."""

    value: Any = 0.0

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        return np.broadcast_to(np.asarray(self.value, np.float64), shape).copy()


@dataclasses.dataclass(frozen=True)
class RandomNormal(Initializer):
    """Normally distributed."""

    mean: float = 0.0
    stddev: float = 0.05
    seed: Any = None

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        return rng.normal(self.mean, self.stddev, shape)


@dataclasses.dataclass(frozen=True)
class TruncatedNormal(Initializer):
    """Normally distributed, without what is further than two `stddev` from `mean`."""

    mean: float = 0.0
    stddev: float = 0.05
    seed: Any = None

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        return self.mean + self.stddev * truncated_normal(shape, rng)


@dataclasses.dataclass(frozen=True)
class RandomUniform(Initializer):
    """Uniformly distributed in [minval, maxval)."""

    minval: float = -0.05
    maxval: float = 0.05
    seed: Any = None

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        return rng.uniform(self.minval, self.maxval, shape)


MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("uniform", "truncated_normal", "untruncated_normal", "normal")


@dataclasses.dataclass(frozen=True)
class VarianceScaling(Initializer):
    """Random with the variance ``scale / n``, n a number of inputs or outputs (see `fans`).

    Parameters
    ----------
    scale : factor of the variance, positive.
    mode : what n is: "fan_in", "fan_out" or their mean "fan_avg".
    distribution : "uniform", "truncated_normal" (in old files "normal") or "untruncated_normal".
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    seed: Any = None

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise LayerportError(f"VarianceScaling: scale must be positive, not {self.scale}")
        for name, allowed in (("mode", MODES), ("distribution", DISTRIBUTIONS)):
            if getattr(self, name) not in allowed:
                raise LayerportError(
                    f"VarianceScaling: {name} must be one of {', '.join(allowed)}, "
                    f"not {getattr(self, name)!r}"
                )

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        fan_in, fan_out = fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return rng.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return rng.normal(0, math.sqrt(variance), shape)
        return math.sqrt(variance) / TRUNCATED_STDDEV * truncated_normal(shape, rng)


@dataclasses.dataclass(frozen=True)
class _Scaled(Initializer):
    """A `VarianceScaling` with a name of its own."""

    seed: Any = None
    scale: ClassVar[float] = 1.0
    mode: ClassVar[str] = "fan_in"
    distribution: ClassVar[str] = "truncated_normal"

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        return VarianceScaling(self.scale, self.mode, self.distribution).draw(shape, rng)


@dataclasses.dataclass(frozen=True)
class GlorotUniform(_Scaled):
    """Uniform with the variance 2 / (inputs + outputs)."""

    mode: ClassVar[str] = "fan_avg"
    distribution: ClassVar[str] = "uniform"


@dataclasses.dataclass(frozen=True)
class GlorotNormal(_Scaled):
    """Truncated normal with the variance 2 / (inputs + outputs)."""

    mode: ClassVar[str] = "fan_avg"


@dataclasses.dataclass(frozen=True)
class HeUniform(_Scaled):
    """Uniform with the variance 2 / inputs."""

    scale: ClassVar[float] = 2.0
    distribution: ClassVar[str] = "uniform"


@dataclasses.dataclass(frozen=True)
class HeNormal(_Scaled):
    """Truncated normal with the variance 2 / inputs."""

    scale: ClassVar[float] = 2.0


@dataclasses.dataclass(frozen=True)
class LecunUniform(_Scaled):
    """Uniform with the variance 1 / inputs."""

    distribution: ClassVar[str] = "uniform"


@dataclasses.dataclass(frozen=True)
class LecunNormal(_Scaled):
    """Truncated normal with the variance 1 / inputs."""


@dataclasses.dataclass(frozen=True)
class JsMind(Initializer):
    """What js-mind starts with: normal, kernels with the variance 1 / inputs, biases with 1."""

    seed: Any = None

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        inputs = fans(shape)[0] if len(shape) > 1 else 1
        return rng.standard_normal(shape) / math.sqrt(max(1, inputs))


@dataclasses.dataclass(frozen=True)
class Orthogonal(Initializer):
    """`gain` times a matrix with orthonormal rows or columns; axes before the last are merged."""

    gain: float = 1.0
    seed: Any = None

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        if len(shape) < 2:
            raise LayerportError(f"orthogonal needs at least two axes, the weight has {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)  # makes the distribution uniform
        return np.asarray(self.gain * (q if rows >= columns else q.T)).reshape(shape)


@dataclasses.dataclass(frozen=True)
class Identity(Initializer):
    """`gain` times the identity matrix."""

    gain: float = 1.0

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
        if len(shape) != 2:
            raise LayerportError(f"identity makes matrices only, the weight has {shape}")
        return self.gain * np.eye(*shape)


INITIALIZERS: Mapping[str, Callable[..., Initializer]] = MappingProxyType(
    {
        "zeros": Zeros,
        "ones": Ones,
        "constant": Constant,
        "random_normal": RandomNormal,
        "random_uniform": RandomUniform,
        "truncated_normal": TruncatedNormal,
        "variance_scaling": VarianceScaling,
        "glorot_uniform": GlorotUniform,
        "glorot_normal": GlorotNormal,
        "he_uniform": HeUniform,
        "he_normal": HeNormal,
        "lecun_uniform": LecunUniform,
        "lecun_normal": LecunNormal,
        "orthogonal": Orthogonal,
        "identity": Identity,
        "js_mind": JsMind,
        # The class names that configs hold, today's and those of older files.
        "Zeros": Zeros,
        "Ones": Ones,
        "Constant": Constant,
        "RandomNormal": RandomNormal,
        "RandomUniform": RandomUniform,
        "TruncatedNormal": TruncatedNormal,
        "VarianceScaling": VarianceScaling,
        "GlorotUniform": GlorotUniform,
        "GlorotNormal": GlorotNormal,
        "HeUniform": HeUniform,
        "HeNormal": HeNormal,
        "LecunUniform": LecunUniform,
        "LecunNormal": LecunNormal,
        "Orthogonal": Orthogonal,
        "OrthogonalInitializer": Orthogonal,
        "Identity": Identity,
        "IdentityInitializer": Identity,
        "JsMind": JsMind,
        "normal": RandomNormal,
        "uniform": RandomUniform,
        "zero": Zeros,
        "one": Ones,
    }
)
"""Every name that stands for an initializer."""
