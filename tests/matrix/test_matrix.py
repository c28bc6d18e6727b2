"""Every case in every runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matrix.activations import FORMULAS
from matrix.case import Case
from matrix.cases import CASES
from matrix.runtimes import RUNTIMES, Runtime

LAYERS = (
    "InputLayer Dense Activation ReLU LeakyReLU PReLU ELU Softmax Dropout GaussianNoise Flatten "
    "Reshape Permute Conv1D Conv2D DepthwiseConv2D SeparableConv2D MaxPooling1D MaxPooling2D "
    "AveragePooling1D AveragePooling2D GlobalAveragePooling1D GlobalAveragePooling2D "
    "GlobalMaxPooling1D GlobalMaxPooling2D ZeroPadding2D Cropping2D UpSampling2D "
    "BatchNormalization LayerNormalization Add Subtract Multiply Average Maximum Minimum "
    "Concatenate Rescaling Normalization JsMindDense Sequential Network "
)
"""What the main road promises."""


def test_every_layer_has_a_case() -> None:
    found = {type(layer).__name__ for case in CASES for _, layer in case.network().walk()}
    found |= {type(call.layer).__name__ for case in CASES for call in case.network().calls}
    assert set(LAYERS.split()) - found == set()


def test_every_activation_of_keras_has_a_case() -> None:
    """FORMATS.md, section 5, and what Keras 3 has beyond it is in tests/layers."""
    names = """linear relu relu6 leaky_relu elu celu selu gelu sigmoid hard_sigmoid silu swish tanh
        exponential softplus softsign mish log_softmax softmax hard_silu glu step"""
    assert set(names.split()) <= set(FORMULAS)


@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda r: r.name)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_case(case: Case, runtime: Runtime, tmp_path: Path) -> None:
    if case.name in runtime.unsupported:
        pytest.skip(runtime.unsupported[case.name])
    outputs = runtime.run(case.network(), case.inputs, tmp_path)
    assert len(outputs) == len(case.expected)
    for got, want in zip(outputs, case.expected, strict=True):
        assert got.shape == want.shape
        bound = max(case.tolerance, runtime.tolerance) * (np.abs(want).max() + np.abs(want))
        difference = np.abs(np.asarray(got, np.float64) - want)
        assert (difference <= bound).all(), f"largest difference {difference.max():.3g}"
