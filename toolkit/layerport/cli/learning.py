"""What `train` and `evaluate` share: their data, and what is measured where nothing is said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from layerport.cli.common import read_arrays

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray


def training_data(path: Path, *, test: bool = False) -> tuple[NDArray, NDArray]:
    """x and y of an .npz: ``x``, ``y``, or ``x_train``, ``y_train``... as Keras's data sets.

    Raises
    ------
    ModelFileError : naming the arrays that there are.
    """
    from layerport.errors import ModelFileError

    arrays = read_arrays(path)
    suffixes = ("_test", "") if test else ("", "_train")
    for suffix in suffixes:
        x, y = arrays.get(f"x{suffix}"), arrays.get(f"y{suffix}")
        if x is not None and y is not None:
            return x, y
    wanted = " or ".join(f"x{suffix} and y{suffix}" for suffix in suffixes)
    raise ModelFileError(path, f"it holds {', '.join(arrays) or 'nothing'}, not {wanted}")


def natural_loss(network: Network, y: NDArray) -> str:
    """The name of the loss that fits the operator which makes the output."""
    if len(network.outputs) > 1:
        names = ", ".join(port.name for port in network.outputs)
        raise click.UsageError(f"the model has the outputs {names}; one is needed to train on y")
    from layerport.train import natural

    loss = natural.natural_loss(_last_operator(network))
    labels = loss == "categorical_crossentropy" and _are_labels(network, y)
    return f"sparse_{loss}" if labels else loss


def natural_metrics(network: Network) -> list[str]:
    """The names of the metrics that go with it."""
    return ["accuracy"] if _last_operator(network) in ("Softmax", "Sigmoid") else []


def _last_operator(network: Network) -> str:
    from layerport.train import natural

    return natural.output_operators(network)[0]


def _are_labels(network: Network, y: NDArray) -> bool:
    """Whether y holds class numbers, not a value for each class."""
    shape = network.outputs[0].shape
    return y.ndim < len(shape) or (y.shape[-1] == 1 and shape[-1] != 1)
