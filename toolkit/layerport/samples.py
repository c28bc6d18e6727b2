"""Sample inputs for a network, to check conversions with: the same ones each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from layerport.errors import LayerportError
from layerport.op import NDArray

if TYPE_CHECKING:
    from layerport.connections import Port
    from layerport.network import Network

EXTENTS = (16, 32, 64, 8)
"""What is tried for extents that may vary (image sizes, lengths of sequences)."""


def sample_inputs(network: Network, samples: int = 8, seed: int = 0) -> list[NDArray]:
    """Random inputs that the network accepts, in the order of `network.inputs`.

    Floats are normal, a tenth of them zero; integers are 0 or 1, which any vocabulary has.

    Raises
    ------
    LayerportError : when the network runs on no sample tried, or does not know its shape.
    """
    if not network.calls:
        raise LayerportError(
            f"{network} does not know its input shape yet; start it with Input(shape)"
        )
    failures: list[Exception] = []
    for extent in EXTENTS:
        inputs = [_sample(port, samples, extent, seed + i) for i, port in enumerate(network.inputs)]
        if not any(None in port.shape[1:] for port in network.inputs):
            return inputs
        try:
            network.predict(inputs)
        except LayerportError as error:
            failures.append(error)
        else:
            return inputs
    raise LayerportError(
        f"{network} ran on no sample input; extents tried for what may vary: "
        f"{', '.join(map(str, EXTENTS))}"
    ) from failures[-1]


def _sample(port: Port, samples: int, extent: int, seed: int) -> NDArray:
    rng = np.random.default_rng(seed)
    fixed: Sequence[int] = [extent if d is None else d for d in port.shape[1:]]
    batch = port.shape[0] if port.shape and port.shape[0] is not None else samples
    shape = (batch, *fixed) if port.shape else ()
    kind = np.dtype(port.dtype)
    if kind.kind == "f":
        return (rng.standard_normal(shape) * (rng.random(shape) > 0.1)).astype(kind)
    return rng.integers(0, 2, shape).astype(kind)
