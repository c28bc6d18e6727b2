"""Every case in every runtime."""

from __future__ import annotations

import json
from pathlib import Path

import layerport as lp
import numpy as np
import pytest

from matrix import operators
from matrix.activations import FORMULAS
from matrix.case import Case
from matrix.cases import CASES
from matrix.runtimes import RUNTIMES, Runtime


def test_every_layer_has_a_case() -> None:
    """Whatever is registered: a layer without a case is one that nobody saw run in a language."""
    found = {type(layer).__name__ for case in CASES for _, layer in case.network().walk()}
    found |= {type(call.layer).__name__ for case in CASES for call in case.network().calls}
    assert set(lp.default_registry().layers) - found == set()


def test_every_operator_of_the_first_tier_has_a_case() -> None:
    found = frozenset().union(*(case.kinds for case in operators.CASES))
    assert set(operators.OPERATORS.split()) - found == set()


def test_the_first_tier_is_the_one_that_was_agreed_on() -> None:
    path = Path(__file__).parents[3] / "shared" / "conformance" / "tiers.json"
    if not path.exists():
        pytest.skip("../shared is not on this machine")
    assert json.loads(path.read_text())["tier1"] == operators.OPERATORS.split()


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
