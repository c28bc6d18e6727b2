"""Plans held against the plain evaluator."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from layerport.graph import Graph, verify
from layerport.numpy_engine.lowering import lowered
from layerport.numpy_engine.plan import Plan
from layerport.numpy_engine.reference import evaluate

Arrays = Mapping[str, np.ndarray]
TOLERANCE = {"float64": 1e-12, "float32": 2e-5}


def close(got: np.ndarray, want: np.ndarray, tolerance: float) -> None:
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))
    finite = np.isfinite(want)
    scale = max(1.0, float(np.abs(want[finite]).max(initial=0)))
    np.testing.assert_allclose(got[finite], want[finite], rtol=tolerance, atol=tolerance * scale)


def agree(
    graph: Graph,
    feeds: Arrays,
    parameters: Arrays,
    *,
    dtype: str = "float64",
    reference: Graph | None = None,
) -> Plan:
    """Run a graph three times in a plan and in the reference; compare outputs and updates.

    The reference evaluates the graph as it is, or another one that computes the same.
    """
    sizes = {"batch": 3}
    bound = graph.bind({name: sizes[name] for name in graph.dims})
    plain = graph if reference is None else reference
    low = lowered(bound)
    verify(low)
    mine = {name: array.copy() for name, array in parameters.items()}
    theirs = {name: array.copy() for name, array in parameters.items()}
    plan = Plan(low, mine)
    before = {name: array.copy() for name, array in feeds.items()}
    for run in range(3):
        outputs, updates = evaluate(plain, feeds, theirs)
        got = plan.run(feeds)
        for result, wanted in zip(got, outputs, strict=True):
            close(result, wanted, TOLERANCE[dtype] * (10**run))
        for name, array in updates.items():
            close(mine[name], array, TOLERANCE[dtype] * (10**run))
        for name, array in theirs.items():
            # Weights that are changed from outside are seen by the next run.
            array[...] = updates.get(name, array * array.dtype.type(0.5))
            mine[name][...] = array
    for name, array in feeds.items():
        np.testing.assert_array_equal(array, before[name])
    return plan


@pytest.fixture
def check() -> Callable[..., Plan]:
    return agree
