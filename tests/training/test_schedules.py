"""Learning-rate schedules at chosen steps, against their formulas."""

from __future__ import annotations

import math

import layerport as lp
import pytest
from layerport.errors import LayerportError

HALF = 0.1 * 0.5 * (1 + math.cos(math.pi * 0.5))


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (lp.ExponentialDecay(0.1, 10, 0.5), {0: 0.1, 5: 0.1 * 0.5**0.5, 20: 0.025}),
        (lp.ExponentialDecay(0.1, 10, 0.5, staircase=True), {9: 0.1, 10: 0.05, 29: 0.025}),
        (lp.PiecewiseConstantDecay((5, 8), (1.0, 0.5, 0.1)), {0: 1, 5: 1, 6: 0.5, 8: 0.5, 9: 0.1}),
        (lp.PolynomialDecay(0.1, 10, 0.0), {0: 0.1, 5: 0.05, 10: 0.0, 99: 0.0}),
        (lp.PolynomialDecay(0.1, 10, 0.02, power=2.0), {5: 0.08 * 0.25 + 0.02}),
        (lp.PolynomialDecay(0.1, 10, 0.0, cycle=True), {10: 0.0, 15: 0.025, 20: 0.0}),
        (lp.CosineDecay(0.1, 100), {0: 0.1, 50: HALF, 100: 0.0, 500: 0.0}),
        (lp.CosineDecay(0.1, 100, alpha=0.1), {100: 0.01}),
        (
            lp.CosineDecay(0.0, 100, warmup_target=0.1, warmup_steps=10),
            {0: 0.0, 5: 0.05, 10: 0.1, 60: HALF, 110: 0.0},
        ),
        (lp.Warmup(0.1, 4), {0: 0.0, 2: 0.05, 4: 0.1, 99: 0.1}),
        (lp.Warmup(lp.CosineDecay(0.1, 100), 10), {5: 0.05, 60: HALF}),
    ],
)
def test_rates(schedule: lp.Schedule, rates: dict[int, float]) -> None:
    for step, rate in rates.items():
        assert schedule(step) == pytest.approx(rate, abs=1e-15)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(LayerportError, match="need 2 values"):
        lp.PiecewiseConstantDecay((5,), (1.0,))
    with pytest.raises(LayerportError, match="decay_steps"):
        lp.CosineDecay(0.1, 0)


def test_steps_follow_a_schedule() -> None:
    network = lp.Sequential([lp.Input((1,)), lp.Dense(1, use_bias=False)])
    network.astype("float64")
    network.set_weights([[[0.0]]])
    network.compile(lp.SGD(lp.PiecewiseConstantDecay((1,), (0.1, 0.01))), lambda y, p: p[..., 0])
    seen = []
    for _ in range(4):
        network.train_on_batch([[1.0]], [[0.0]])
        seen.append(float(network.weights["dense/kernel"][0, 0]))
    assert seen == pytest.approx([-0.1, -0.2, -0.21, -0.22])
