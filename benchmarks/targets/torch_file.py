"""The networks as PyTorch exports them to ONNX: what users of other generators start from.

Dense kernels are transposed there (Gemm with transB), so that a product runs along rows of both
operands, and convolutions have no Transpose before their weights.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
from numpy.typing import NDArray

from benchmarks import networks as spec

AXES = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
"""The axes of PyTorch's biases and kernels, in those of layerport's."""


def export(network: spec.Network, made: lp.Network, path: Path) -> None:
    """Write an ONNX file with PyTorch.

    Parameters
    ----------
    made : the network in layerport, channels first, whose weights the file gets.
    """
    import torch

    from benchmarks.contenders.pytorch import chain

    shape = network.shape
    if len(shape) == 3:
        shape = (shape[2], *shape[:2])
    layers = chain(network.layers, torch.Size((2, *shape)))
    with torch.no_grad():
        for parameter, array in zip(layers.parameters(), made.get_weights(), strict=True):
            parameter.copy_(torch.from_numpy(_turned(array)))
    module = torch.nn.Sequential(*layers, torch.nn.Softmax(-1)).eval()
    names: dict[str, Any] = {
        "input_names": ["input"],
        "output_names": ["output"],
        "dynamic_axes": {"input": {0: "batch"}, "output": {0: "batch"}},
    }
    with warnings.catch_warnings():
        # The exporter that needs no further packages is the older one.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(module, (torch.zeros(1, *shape),), path, dynamo=False, **names)


def _turned(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array.transpose(AXES[array.ndim]))
