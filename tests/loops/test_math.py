"""How far functions built from primitives are off, in units in the last place of float32."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from layerport.loops.interpret import evaluate
from layerport.loops.ir import Let, Names, Operation, Var
from layerport.loops.math import Primitives
from layerport.op import NDArray

COUNT = 1 << 17
erf = np.vectorize(math.erf, otypes=[np.float64])


def compute(name: str, *arrays: NDArray) -> NDArray:
    """A function from primitives, in float32 arithmetic."""
    statements: list[Let] = []
    variables = [Var(f"x{k}") for k in range(len(arrays))]
    built = Primitives(frozenset({"rint"}) - {name}, Names(), statements).built(
        Operation(name, tuple(variables), "f32")
    )
    known = {v.name: x for v, x in zip(variables, arrays, strict=True)}
    with np.errstate(all="ignore"):
        for statement in statements:
            known[statement.name] = evaluate(statement.value, known)
        return np.asarray(evaluate(built, known))


def floats(low: float, high: float, *, both: bool = True) -> NDArray:
    """Floats between two positive ones, as many of each size."""
    first, last = np.array([low, high], np.float32).view(np.int32).astype(np.int64)
    some = np.linspace(first, last, COUNT).astype(np.int32).view(np.float32)
    return np.concatenate([some, -some]) if both else some


def ulps(got: NDArray, want: NDArray) -> NDArray:
    """Distances in units in the last place; 0 where the rounded result is the same."""
    with np.errstate(all="ignore"):
        rounded = want.astype(np.float32)
        unit = np.spacing(np.minimum(np.abs(rounded), np.float32(3.4e38))).astype(np.float64)
        apart = np.abs(got.astype(np.float64) - want) / unit
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


# function, where to look, largest error as the module states it
TABLE: dict[str, tuple[Callable[[NDArray], NDArray], NDArray, float]] = {
    "exp": (np.exp, floats(1e-30, 110), 1.0),
    "expm1": (np.expm1, floats(1e-30, 110), 1.8),
    "log": (np.log, floats(1e-45, 3.4e38, both=False), 0.8),
    "log1p": (np.log1p, np.concatenate([floats(1e-30, 3e38, both=False),
                                        -floats(1e-30, 0.9999, both=False)]), 2.4),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), floats(1e-30, 87), 2.3),
    "tanh": (np.tanh, floats(1e-30, 100), 2.5),
    "erf": (erf, floats(1e-30, 20), 1.2),
    "sin": (np.sin, floats(1e-30, 8192), 4.3),
    "cos": (np.cos, floats(1e-30, 8192), 1.5),
    "tan": (np.tan, floats(1e-30, 8192), 4.3),
    "asin": (np.arcsin, floats(1e-30, 1), 2.3),
    "acos": (np.arccos, floats(1e-30, 1), 1.3),
    "atan": (np.arctan, floats(1e-30, 3e38), 2.5),
    "sinh": (np.sinh, floats(1e-30, 89.4), 2.1),
    "cosh": (np.cosh, floats(1e-30, 89.4), 2.8),
    "asinh": (np.arcsinh, floats(1e-30, 3e38), 2.6),
    "acosh": (np.arccosh, floats(1, 3e38, both=False), 2.5),
    "atanh": (np.arctanh, floats(1e-30, 0.99999), 2.9),
}  # fmt: skip
EDGES = np.array(
    [0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 2, -2, 0.5, 1e-40, 200, -200], np.float32
)


@pytest.mark.parametrize("name", TABLE)
def test_largest_error(name: str) -> None:
    function, x, allowed = TABLE[name]
    assert ulps(compute(name, x), function(x.astype(np.float64))).max() <= allowed


@pytest.mark.parametrize("name", TABLE)
def test_edges(name: str) -> None:
    function = TABLE[name][0]
    with np.errstate(all="ignore"):
        want = function(EDGES.astype(np.float64))
    assert ulps(compute(name, EDGES), want).max() <= 4


def test_rint_is_exact() -> None:
    x = np.concatenate([floats(1e-10, 1e10), np.arange(-50, 50, 0.25, dtype=np.float32)])
    np.testing.assert_array_equal(compute("rint", x), np.rint(x))


def test_pow() -> None:
    random = np.random.default_rng(0)
    near_one = (1 + random.uniform(-0.3, 0.3, COUNT)).astype(np.float32)
    for x, y in (
        (floats(1e-38, 3e38, both=False), np.exp(random.uniform(-8, 5, COUNT)).astype(np.float32)),
        (near_one, random.uniform(-200, 200, COUNT).astype(np.float32)),
        (near_one * -1, random.integers(-60, 60, COUNT).astype(np.float32)),
    ):
        with np.errstate(all="ignore"):
            want = np.power(x.astype(np.float64), y)
        assert ulps(compute("pow", x, y), want).max() <= 5


def test_pow_edges() -> None:
    some = np.concatenate([EDGES, np.array([3, -3, 2.5, -2.5, 1e38, -1e38, 1e10], np.float32)])
    x, y = (a.ravel() for a in np.meshgrid(some, some))
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.float64), y.astype(np.float64))
    # The sign of a zero or infinity made of a negative zero is not kept.
    got, want = (np.where(x == 0, np.abs(a), a) for a in (compute("pow", x, y), want))
    assert ulps(got, want).max() <= 4
