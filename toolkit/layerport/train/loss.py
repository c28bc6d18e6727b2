"""What a loss is: a function of targets and outputs, written in NumPy, one number a sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from layerport.dim import Dim, Extent, Shape, is_extent, same_extent
from layerport.errors import LayerportError, ShapeError
from layerport.op import NDArray, Op, TensorType
from layerport.tensor import Tensor
from layerport.train.component import Component


@dataclasses.dataclass(frozen=True)
class TargetType:
    """How targets enter the graph: the shape of one sample, None for what varies, and the dtype."""

    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]


class Loss(Component):
    """Base class of the losses.

    Parameters
    ----------
    reduction : "sum_over_batch_size" (the mean) or "sum".
    """

    reduction: str = dataclasses.field(default="sum_over_batch_size", kw_only=True)

    takes_labels: ClassVar[bool] = False
    """Whether targets can be class numbers, one axis short of the output."""

    def validate(self) -> None:
        if self.reduction not in ("sum_over_batch_size", "sum"):
            raise LayerportError(
                f"reduction must be 'sum_over_batch_size' or 'sum', not {self.reduction!r}"
            )

    # What a subclass writes -------------------------------------------------------------

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The losses: the outputs' shape without the last axis.

        Parameters
        ----------
        y_true : Tensor of targets, in the type that `target_type` states.
        y_pred : Tensor, an output of the network.
        """
        raise LayerportError(f"{type(self).__name__} defines no call method")

    def check(self, y: NDArray, output: Shape) -> tuple[int, str] | None:
        """The first sample whose target cannot be right, and why; None when all can."""
        return first_bad(~np.isfinite(y), y, "is not a finite number")

    # ------------------------------------------------------------------------------------

    def target_type(self, shape: tuple[int, ...], output: TensorType) -> TargetType:
        """How targets of this shape (of one sample) enter the graph.

        Raises
        ------
        ShapeError : when they do not fit the output.
        """
        if self.takes_labels and is_labels(shape, output.shape[1:]):
            return TargetType(shape, np.dtype(np.int64))
        if fits(shape, output.shape[1:]):
            return TargetType(shape, output.dtype)
        wanted = [_shown(output.shape[1:])]
        if is_extent(output.shape[-1], 1):
            wanted.append(_shown(output.shape[1:-1]))
        if self.takes_labels:
            wanted.append(f"class numbers of shape {_shown(output.shape[1:-1])}")
        raise ShapeError(
            f"targets of shape {_shown(shape)} do not fit {self.name}, which takes "
            f"{' or '.join(wanted)} here"
        )

    def reduce(self, losses: Any) -> Any:
        """All losses of a batch as one number."""
        return losses.sum() if self.reduction == "sum" else losses.mean()


class FunctionLoss(Loss):
    """A function of (y_true, y_pred) as a loss."""

    function: Callable[[Any, Any], Any]

    @property
    def label(self) -> str:
        """The function's name."""
        return getattr(self.function, "__name__", "loss")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.function(y_true, y_pred)


def is_labels(shape: tuple[int, ...], output: Shape) -> bool:
    """Whether targets of this shape are class numbers for an output of several classes."""
    if not output or is_extent(output[-1], 1):
        return False
    if fits(shape, output[:-1]):
        return True
    return len(shape) == len(output) and shape[-1] == 1 and fits(shape[:-1], output[:-1])


def fits(shape: tuple[int, ...], output: Shape) -> bool:
    """Whether targets fit an output, with an axis of extent 1 at the end or without it."""
    if len(shape) == len(output) - 1 and is_extent(output[-1], 1):
        output = output[:-1]
    elif len(shape) == len(output) + 1 and shape[-1] == 1:
        shape = shape[:-1]
    return len(shape) == len(output) and all(map(_may_equal, shape, output))


def _may_equal(size: int, extent: Extent) -> bool:
    return isinstance(extent, Dim) or size == extent


def aligned(y_true: Any, y_pred: Any) -> Any:
    """Targets in the rank of the output: an axis of extent 1 at the end comes or goes."""
    if y_true.ndim == y_pred.ndim - 1 and is_extent(y_pred.shape[-1], 1):
        return y_true.reshape((*y_true.shape, 1))
    if y_true.ndim == y_pred.ndim + 1 and is_extent(y_true.shape[-1], 1):
        return y_true.reshape(y_true.shape[:-1])
    return y_true


def class_numbers(y_true: Any, y_pred: Any) -> Any:
    """Class numbers without an axis of extent 1 at the end."""
    return y_true.squeeze(-1) if y_true.ndim == y_pred.ndim else y_true


def hold_labels(y_true: Any, y_pred: Any) -> bool:
    """Whether a Tensor of targets holds class numbers, not values for each class."""
    if is_extent(y_pred.shape[-1], 1):
        return False
    return y_true.ndim < y_pred.ndim or not same_extent(y_true.shape[-1], y_pred.shape[-1])


def before(kind: type[Op], tensor: Tensor) -> Tensor | None:
    """What an operator of this kind was applied to, over the last axis, to make a tensor."""
    node = tensor.value.made_by(kind)
    if node is None or node.inputs[0] is None:
        return None
    axis = getattr(node.op, "axis", -1)
    if axis not in (-1, tensor.ndim - 1):
        return None
    return Tensor(tensor.builder, node.inputs[0])


def first_bad(bad: NDArray, y: NDArray, reason: str) -> tuple[int, str] | None:
    """The first sample with an element that is bad, and what is wrong with it."""
    if not bad.any():
        return None
    place = np.unravel_index(int(bad.argmax()), bad.shape)
    return int(place[0]), f"{y[place]} {reason}"


def _shown(shape: Shape) -> str:
    return "(" + ", ".join(["n", *map(str, shape)]) + ("," if not shape else "") + ")"
