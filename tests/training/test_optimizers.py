"""Every optimizer against its formula, written out in float64, over several steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError
from layerport.op import NDArray

STEPS = 6

Rule = Callable[[NDArray, NDArray], NDArray]


def problem() -> tuple[NDArray, NDArray]:
    """A least-squares problem."""
    rng = np.random.default_rng(3)
    return rng.normal(size=(12, 3)), rng.normal(size=(12, 2))


def network(dtype: str) -> lp.Sequential:
    """The linear network that solves it."""
    made = lp.Sequential([lp.Input((3,)), lp.Dense(2)])
    made.astype(dtype)
    rng = np.random.default_rng(4)
    made.set_weights([rng.normal(size=(3, 2)), rng.normal(size=2)])
    return made


def slopes(weights: Sequence[NDArray], x: NDArray, y: NDArray) -> list[NDArray]:
    """The gradient of mean((x @ kernel + bias - y) ** 2)."""
    error = x @ weights[0] + weights[1] - y
    return [2 * x.T @ error / error.size, 2 * error.sum(axis=0) / error.size]


def sgd(momentum: float = 0.0, nesterov: bool = False) -> Iterator[Rule]:
    """Keras: m = momentum * m - lr * g; w += m, or w += momentum * m - lr * g."""
    state = {}

    def rule(w: NDArray, g: NDArray) -> NDArray:
        m = momentum * state.get(w.shape, 0.0) - 0.1 * g
        state[w.shape] = m
        return w + (momentum * m - 0.1 * g if nesterov else m)

    while True:
        yield rule


def adam(decay: float = 0.0, amsgrad: bool = False, epsilon: float = 1e-7) -> Iterator[Rule]:
    """Kingma and Ba, algorithm 1 with the order of section 2 (epsilon outside the correction)."""
    first, second, highest = {}, {}, {}
    count = 0

    def rule(w: NDArray, g: NDArray) -> NDArray:
        m = first[w.shape] = 0.9 * first.get(w.shape, 0.0) + 0.1 * g
        v = second[w.shape] = 0.999 * second.get(w.shape, 0.0) + 0.001 * g**2
        if amsgrad:
            v = highest[w.shape] = np.maximum(highest.get(w.shape, 0.0), v)
        rate = 0.1 * np.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        return w - 0.1 * decay * w - rate * m / (np.sqrt(v) + epsilon)

    while True:
        count += 1
        yield rule


def rmsprop(momentum: float = 0.0, centered: bool = False) -> Iterator[Rule]:
    """Keras: v = rho * v + (1 - rho) * g**2; w -= lr * g / sqrt(v - average**2 + epsilon)."""
    squares, averages, changes = {}, {}, {}

    def rule(w: NDArray, g: NDArray) -> NDArray:
        v = squares[w.shape] = 0.9 * squares.get(w.shape, 0.0) + 0.1 * g**2
        if centered:
            average = averages[w.shape] = 0.9 * averages.get(w.shape, 0.0) + 0.1 * g
            v = v - average**2
        change = 0.1 * g / np.sqrt(v + 1e-7)
        changes[w.shape] = change = momentum * changes.get(w.shape, 0.0) + change
        return w - change

    while True:
        yield rule


def adagrad() -> Iterator[Rule]:
    """Duchi et al., figure 1, with Keras's start value: w -= lr * g / sqrt(sum of g**2)."""
    sums = {}

    def rule(w: NDArray, g: NDArray) -> NDArray:
        s = sums[w.shape] = sums.get(w.shape, 0.1) + g**2
        return w - 0.1 * g / np.sqrt(s + 1e-7)

    while True:
        yield rule


CASES = [
    (lp.SGD(0.1), sgd),
    (lp.SGD(0.1, momentum=0.9), lambda: sgd(0.9)),
    (lp.SGD(0.1, momentum=0.9, nesterov=True), lambda: sgd(0.9, True)),
    (lp.Adam(0.1), adam),
    (lp.Adam(0.1, amsgrad=True), lambda: adam(amsgrad=True)),
    (lp.Adam(0.1, weight_decay=0.05), lambda: adam(0.05)),
    (lp.AdamW(0.1), lambda: adam(0.004)),
    (lp.RMSprop(0.1), rmsprop),
    (lp.RMSprop(0.1, momentum=0.5), lambda: rmsprop(0.5)),
    (lp.RMSprop(0.1, centered=True, momentum=0.5), lambda: rmsprop(0.5, True)),
    (lp.Adagrad(0.1), adagrad),
]


def run(optimizer: lp.Optimizer, dtype: str) -> list[NDArray]:
    """The weights after some steps."""
    x, y = problem()
    made = network(dtype)
    made.compile(optimizer, "mean_squared_error")
    for _ in range(STEPS):
        made.train_on_batch(x, y)
    return made.get_weights()


def expected(rules: Iterator[Rule]) -> list[NDArray]:
    """The same by formula."""
    x, y = problem()
    weights = network("float64").get_weights()
    for rule in (next(rules) for _ in range(STEPS)):
        gradients = slopes(weights, x, y)
        weights = [rule(w, g) for w, g in zip(weights, gradients, strict=True)]
    return weights


@pytest.mark.parametrize(("optimizer", "formula"), CASES, ids=lambda c: repr(c)[:60])
def test_steps_follow_the_formula(
    optimizer: lp.Optimizer, formula: Callable[[], Iterator[Rule]]
) -> None:
    for found, wanted in zip(run(optimizer, "float64"), expected(formula()), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize(("optimizer", "formula"), CASES, ids=lambda c: repr(c)[:60])
def test_float32_stays_close_to_the_formula(
    optimizer: lp.Optimizer, formula: Callable[[], Iterator[Rule]]
) -> None:
    for found, wanted in zip(run(optimizer, "float32"), expected(formula()), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-6)


def test_clipvalue() -> None:
    x, y = problem()
    weights = network("float64").get_weights()
    wanted = [
        w - 0.1 * np.clip(g, -0.2, 0.2) for w, g in zip(weights, slopes(weights, x, y), strict=True)
    ]
    made = network("float64")
    made.compile(lp.SGD(0.1, clipvalue=0.2), "mse")
    made.train_on_batch(x, y)
    for found, array in zip(made.get_weights(), wanted, strict=True):
        np.testing.assert_allclose(found, array, rtol=1e-12)


@pytest.mark.parametrize("limit", [0.3, 100.0])
def test_clipnorm_is_per_weight(limit: float) -> None:
    x, y = problem()
    weights = network("float64").get_weights()
    wanted = []
    for w, g in zip(weights, slopes(weights, x, y), strict=True):
        length = np.sqrt((g**2).sum())
        wanted.append(w - 0.1 * g * min(1.0, limit / length))
    made = network("float64")
    made.compile(lp.SGD(0.1, clipnorm=limit), "mse")
    made.train_on_batch(x, y)
    for found, array in zip(made.get_weights(), wanted, strict=True):
        np.testing.assert_allclose(found, array, rtol=1e-12)


@pytest.mark.parametrize("limit", [0.3, 100.0])
def test_global_clipnorm_is_over_all_weights(limit: float) -> None:
    x, y = problem()
    weights = network("float64").get_weights()
    gradients = slopes(weights, x, y)
    length = np.sqrt(sum((g**2).sum() for g in gradients))
    wanted = [
        w - 0.1 * g * min(1.0, limit / length) for w, g in zip(weights, gradients, strict=True)
    ]
    made = network("float64")
    made.compile(lp.SGD(0.1, global_clipnorm=limit), "mse")
    made.train_on_batch(x, y)
    for found, array in zip(made.get_weights(), wanted, strict=True):
        np.testing.assert_allclose(found, array, rtol=1e-12)


class Lion(lp.Optimizer):
    """The sign of a running average; not flat, to see that this works, too."""

    flat = False

    learning_rate: float = 0.1
    beta: float = 0.9

    def slots(self) -> dict[str, float]:
        return {"average": 0.0}

    def update(self, parameter, gradient, slots, learning_rate, step):  # type: ignore[no-untyped-def]
        average = slots["average"] * self.beta + gradient * (1 - self.beta)
        largest = np.abs(parameter).max()  # of this weight alone
        return parameter - learning_rate * largest * np.sign(average), {"average": average}


def test_an_optimizer_can_work_weight_by_weight() -> None:
    x, y = problem()
    weights = network("float64").get_weights()
    averages = [np.zeros_like(w) for w in weights]
    for _ in range(STEPS):
        for place, g in enumerate(slopes(weights, x, y)):
            averages[place] = 0.9 * averages[place] + 0.1 * g
        weights = [
            w - 0.1 * abs(w).max() * np.sign(a) for w, a in zip(weights, averages, strict=True)
        ]
    for found, wanted in zip(run(Lion(), "float64"), weights, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: lp.SGD(-1.0), "learning_rate"),
        (lambda: lp.SGD(0.1, momentum=1.5), "momentum"),
        (lambda: lp.Adam(beta_1=1.0), "beta_1"),
        (lambda: lp.Adam(clipnorm=1.0, clipvalue=1.0), "only one of clipnorm, clipvalue"),
        (lambda: lp.Adam(clipnorm=0.0), "clipnorm"),
        (lambda: lp.RMSprop(weight_decay=-1.0), "weight_decay"),
        (lambda: lp.Adagrad(initial_accumulator_value=-1.0), "initial_accumulator_value"),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], object], named: str) -> None:
    with pytest.raises(LayerportError, match=named):
        make()


def test_configs_make_equal_optimizers() -> None:
    optimizer = lp.Adam(lp.CosineDecay(0.1, 100), amsgrad=True, clipnorm=1.0)
    config = {"class_name": "Adam", "config": optimizer.get_config()}
    made = network("float32")
    made.compile(config, "mse")
    assert made.optimizer.get_config() == optimizer.get_config()
    assert made.optimizer.rate(50) == pytest.approx(0.05)


def test_scalar_learning_rate_goes_into_the_seed() -> None:
    made = network("float32")
    made.compile(lp.SGD(0.1, momentum=0.9), "mse")
    made.train_on_batch(*problem())
    step = made._learner._trainer[1].step
    assert step.rate_sign == -1
    made.compile(lp.Adam(0.1), "mse")
    made.train_on_batch(*problem())
    assert made._learner._trainer[1].step.rate_sign is None
