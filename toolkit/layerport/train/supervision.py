"""Which targets and sample weights belong to which output, and how they enter the graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from layerport.dim import Dim
from layerport.errors import DataError, ShapeError
from layerport.op import NDArray, TensorType
from layerport.train.compiled import Head
from layerport.train.loss import TargetType

if TYPE_CHECKING:
    from layerport.network import Network


@dataclasses.dataclass(frozen=True)
class Supervision:
    """How an output is taught: the type of its targets, and the shape of one sample's weight.

    None stands for an extent that varies as in the output.
    """

    target: TargetType
    weight: tuple[int | None, ...] | None = None


def targets_of(heads: Sequence[Head], y: Any) -> dict[str, Any]:
    """The targets of each output that has a loss or metrics.

    Parameters
    ----------
    y : an array, a list in the order of the outputs, or a dict by their names.

    Raises
    ------
    DataError : naming the outputs whose targets are missing or not known.
    """
    used = [head.output for head in heads if head.is_used]
    given = _by_output(heads, used, y, "the targets y")
    missing = [name for name in used if given.get(name) is None]
    if missing:
        raise DataError(f"targets are missing for the outputs {', '.join(missing)}: give y")
    return {name: given[name] for name in used}


def weights_of(heads: Sequence[Head], weights: Any) -> dict[str, Any]:
    """The sample weights of each output: one array for all, or as for targets."""
    used = [head.output for head in heads if head.loss is not None]
    if weights is None:
        return {}
    several = isinstance(weights, Mapping) or (
        isinstance(weights, (list, tuple)) and len(used) > 1 and np.ndim(weights[0]) > 0
    )
    if not several:
        return dict.fromkeys(used, weights)
    given = _by_output(heads, used, weights, "sample_weight")
    return {name: array for name, array in given.items() if array is not None}


def _by_output(heads: Sequence[Head], used: list[str], given: Any, what: str) -> dict[str, Any]:
    names = [head.output for head in heads]
    if given is None:
        return {}
    if isinstance(given, Mapping):
        unknown = [str(key) for key in given if key not in names]
        if unknown:
            raise DataError(f"{what} name {', '.join(unknown)}; the outputs are {', '.join(names)}")
        return dict(given)
    if len(names) == 1 or len(used) == 1:
        alone = isinstance(given, (list, tuple)) and len(given) == 1 and np.ndim(given[0]) > 0
        return {(used or names)[0]: given[0] if alone and hasattr(given[0], "shape") else given}
    if not isinstance(given, (list, tuple)) or len(given) not in (len(names), len(used)):
        count = f"{len(given)} arrays" if isinstance(given, (list, tuple)) else "one array"
        raise DataError(
            f"{what} must be a list of {len(names)} arrays or a dict: the outputs are "
            f"{', '.join(names)}; {count} was given"
        )
    return dict(zip(names if len(given) == len(names) else used, given, strict=True))


def supervise(
    network: Network,
    heads: Sequence[Head],
    targets: Mapping[str, Any],
    weights: Mapping[str, tuple[int, ...]],
) -> dict[str, Supervision]:
    """How each output is taught.

    Parameters
    ----------
    targets : arrays by output; only shape and dtype matter.
    weights : the shapes of one sample's weight, by output.

    Raises
    ------
    ShapeError : when targets do not fit an output.
    """
    types = {
        port.name: TensorType(outlet.shape, outlet.dtype)
        for port, outlet in zip(network.outputs, network.output_outlets, strict=True)
    }
    found = {}
    for head in heads:
        if head.output not in targets:
            continue
        output = types[head.output]
        if len(output.shape) == 1:
            output = TensorType((*output.shape, 1), output.dtype)
        shape = tuple(targets[head.output].shape[1:])
        try:
            kind = _target_type(head, shape, targets[head.output].dtype, output)
        except ShapeError as error:
            raise ShapeError(f"output {head.output!r}: {error}") from error
        weight = weights.get(head.output)
        found[head.output] = Supervision(
            dataclasses.replace(kind, shape=_open(kind.shape, output)),
            None if weight is None else _open(weight, output),
        )
    return found


def _open(shape: Sequence[int | None], output: TensorType) -> tuple[int | None, ...]:
    """The shape of a sample, with None for what varies in the output."""
    varies = [isinstance(extent, Dim) for extent in output.shape[1:]]
    return tuple(
        None if axis < len(varies) and varies[axis] else extent for axis, extent in enumerate(shape)
    )


def _target_type(
    head: Head, shape: tuple[int, ...], dtype: np.dtype[Any], output: TensorType
) -> TargetType:
    if head.loss is not None:
        return head.loss.target_type(shape, output)
    # Without a loss nothing says what targets should look like; class numbers stay what they are.
    return TargetType(shape, np.dtype(np.int64) if dtype.kind in "iu" else output.dtype)


def class_table(class_weight: Mapping[Any, float], heads: Sequence[Head]) -> NDArray:
    """Weights by class number; classes that are not named count 1.

    Raises
    ------
    DataError : when keys are no class numbers, or there are several outputs.
    """
    if sum(head.loss is not None for head in heads) != 1:
        raise DataError("class_weight needs a network with a single loss; give sample_weight")
    try:
        numbers = {int(key): float(weight) for key, weight in class_weight.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f"class_weight is a dict from class numbers to weights, not {class_weight!r}"
        ) from error
    if any(number < 0 for number in numbers):
        raise DataError(f"class_weight has negative class numbers: {sorted(numbers)}")
    table = np.ones(max(numbers, default=0) + 1)
    for number, weight in numbers.items():
        table[number] = weight
    return table


def weigh_classes(y: NDArray, table: NDArray) -> NDArray:
    """The weight of each sample, from its class: a number, or the largest of a row.

    Raises
    ------
    DataError : when targets are no classes.
    """
    if y.ndim > 2:
        raise DataError(
            f"class_weight needs one class a sample; the targets have shape {y.shape}; "
            "give sample_weight"
        )
    row = y.ndim == 2 and y.shape[1] > 1
    classes = y.argmax(axis=1) if row else y.reshape(-1).astype(np.int64)
    known = (classes >= 0) & (classes < len(table))
    return np.where(known, table[np.where(known, classes, 0)], 1.0)
