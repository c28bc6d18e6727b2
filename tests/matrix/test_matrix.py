"""Every case in every runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matrix.cases import CASES, Case
from matrix.runtimes import RUNTIMES, Runtime


@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda r: r.name)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_case(case: Case, runtime: Runtime, tmp_path: Path) -> None:
    if case.name in runtime.unsupported:
        pytest.skip(runtime.unsupported[case.name])
    outputs = runtime.run(case.network(), case.inputs, tmp_path)
    assert len(outputs) == len(case.expected)
    for got, want in zip(outputs, case.expected, strict=True):
        assert got.shape == want.shape
        bound = case.tolerance * (np.abs(want).max() + np.abs(want))
        difference = np.abs(np.asarray(got, np.float64) - want)
        assert (difference <= bound).all(), f"largest difference {difference.max():.3g}"
