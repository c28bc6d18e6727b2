"""layerport train and evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import layerport as lp
import numpy as np
import pytest


@pytest.fixture
def data(known, tmp_path: Path) -> Path:
    """Classes that depend on the sign of the first inputs."""
    x = np.random.default_rng(2).standard_normal((300, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    return tmp_path / "data.npz"


def formula_loss(known, x: np.ndarray, labels: np.ndarray) -> float:
    """Cross-entropy and accuracy of the known network by its file's weights, in float64."""
    k1, b1, k2, b2 = (a.astype(np.float64) for a in lp.load(known.path).get_weights())
    logits = np.maximum(x.astype(np.float64) @ k1 + b1, 0) @ k2 + b2
    top = logits.max(1)
    norm = top + np.log(np.exp(logits - top[:, None]).sum(1))
    rows = np.arange(len(x))
    return float((norm - logits[rows, labels]).mean()), float((logits.argmax(1) == labels).mean())


def test_evaluate(run, known, data: Path) -> None:
    arrays = np.load(data)
    loss, accuracy = formula_loss(known, arrays["x"], arrays["y"])
    ran = run("evaluate", known.path, data, "--json")
    made = json.loads(ran.out)
    assert ran.code == 0
    assert made["loss"] == pytest.approx(loss, rel=1e-5)
    assert made["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert f"loss {loss:.4g}"[:9] in run("evaluate", known.path, data).out


def test_evaluate_takes_the_test_arrays_and_one_hot_targets(run, known, tmp_path: Path) -> None:
    labels = np.array([0, 1, 2, 2, 1, 0])
    zeros = np.zeros((1, 4), np.float32)
    np.savez(tmp_path / "d.npz", x_train=zeros, y_train=np.zeros(1, int), x_test=known.x,
             y_test=np.eye(3, dtype=np.float32)[labels])  # fmt: skip
    loss, accuracy = formula_loss(known, known.x, labels)
    made = json.loads(run("evaluate", known.path, tmp_path / "d.npz", "--json").out)
    assert made["loss"] == pytest.approx(loss, rel=1e-5)
    assert made["accuracy"] == pytest.approx(accuracy, abs=1e-6)


def test_evaluate_with_another_loss(run, known, tmp_path: Path) -> None:
    targets = np.random.default_rng(3).random((6, 3)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=known.x, y=targets)
    want = ((known.y - targets) ** 2).mean()
    ran = run("evaluate", known.path, tmp_path / "d.npz", "--json", "--loss", "mse")
    assert json.loads(ran.out)["loss"] == pytest.approx(want, rel=1e-5)


def test_regression_is_measured_by_squared_error(run, tmp_path: Path) -> None:
    network = lp.Sequential([lp.Input((1,)), lp.Dense(1)])
    network.set_weights([np.float32([[2]]), np.float32([1])])
    lp.save(network, tmp_path / "m.json")
    np.savez(tmp_path / "d.npz", x=np.float32([[1], [2]]), y=np.float32([4, 4]))
    made = json.loads(run("evaluate", tmp_path / "m.json", tmp_path / "d.npz", "--json").out)
    assert made == {"loss": pytest.approx(1.0)}  # (3 - 4)^2 and (5 - 4)^2


def test_train_improves_and_saves(run, known, data: Path, tmp_path: Path) -> None:
    before = known.path.read_bytes()
    target = tmp_path / "better.h5"
    ran = run("train", known.path, data, "-o", target, "--epochs", 5, "--optimizer", "adam",
              "--lr", 0.01, "--batch-size", 20, "--seed", 1)  # fmt: skip
    assert ran.code == 0
    assert "loss" in ran.out
    assert str(target) in ran.out
    assert known.path.read_bytes() == before
    was = json.loads(run("evaluate", known.path, data, "--json").out)
    now = json.loads(run("evaluate", target, data, "--json").out)
    assert now["loss"] < 0.6 * was["loss"]
    assert now["accuracy"] > was["accuracy"]


def test_train_replaces_the_model_where_no_output_is_named(run, known, data: Path) -> None:
    before = known.path.read_bytes()
    assert run("train", known.path, data, "--quiet").code == 0
    assert known.path.read_bytes() != before
    assert [layer.name for layer in lp.load(known.path).layers] == ["dense", "dense_1"]


def test_one_step_of_gradient_descent(run, known, data: Path, tmp_path: Path) -> None:
    """A whole batch, plain SGD: the change of the output bias is known in closed form."""
    arrays = np.load(data)
    x, labels = arrays["x"].astype(np.float64), arrays["y"]
    k1, b1, k2, b2 = (a.astype(np.float64) for a in lp.load(known.path).get_weights())
    logits = np.maximum(x @ k1 + b1, 0) @ k2 + b2
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    want = b2 - 0.5 * (p - np.eye(3)[labels]).mean(0)
    ran = run("train", known.path, data, "-o", tmp_path / "b.json", "--batch-size", 300,
              "--optimizer", "sgd", "--lr", 0.5, "--quiet")  # fmt: skip
    assert ran.code == 0
    np.testing.assert_allclose(lp.load(tmp_path / "b.json").get_weights()[-1], want, atol=1e-6)


def test_a_seed_makes_it_repeatable_bit_for_bit(run, known, data: Path, tmp_path: Path) -> None:
    made = []
    for name, seed in (("a.json", 5), ("b.json", 5), ("c.json", 6)):
        run("train", known.path, data, "-o", tmp_path / name, "--seed", seed, "--quiet")
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1] != made[2]


def test_train_arrays_of_keras_and_validation(run, known, data: Path, tmp_path: Path) -> None:
    arrays = np.load(data)
    np.savez(tmp_path / "k.npz", x_train=arrays["x"], y_train=arrays["y"], x_test=arrays["x"][:0],
             y_test=arrays["y"][:0])  # fmt: skip
    ran = run("train", known.path, tmp_path / "k.npz", "-o", tmp_path / "b.json",
              "--validation-split", 0.2, "--loss", "sparse_categorical_crossentropy")  # fmt: skip
    assert ran.code == 0
    assert "val_loss" in ran.out
    assert "val_accuracy" in ran.out


@pytest.mark.parametrize(
    ("arrays", "code", "words"),
    [
        ({"inputs": np.zeros((3, 4), np.float32)}, 3, ["inputs", "x and y"]),
        ({"x": np.zeros((3, 5), np.float32), "y": np.zeros(3, int)}, 3, ["5", "4"]),
        ({"x": np.zeros((3, 4), np.float32), "y": np.zeros(2, int)}, 3, ["3", "2"]),
        ({"x": np.zeros((3, 4), np.float32), "y": np.array([0, 1, 3])}, 3, ["3"]),
        ({"x": np.array([["a"] * 4]), "y": np.zeros(1, int)}, 3, []),
    ],
)
@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_bad_data(run, known, tmp_path: Path, verb: str, arrays: dict[str, np.ndarray], code: int,
                  words: list[str]) -> None:  # fmt: skip
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    before = known.path.read_bytes()
    ran = run(verb, known.path, path)
    assert ran.code == code
    assert str(path) in ran.err
    assert all(word in ran.err for word in words)
    assert known.path.read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--optimizer", "adm"], 2, ["adm", "did you mean adam"]),
        (["--loss", "mean_square_error"], 2, ["did you mean mean_squared_error"]),
        (["--epochs", "0"], 2, ["--epochs"]),
        (["--batch-size", "many"], 2, ["--batch-size"]),
        (["--validation-split", "1.5"], 2, ["--validation-split"]),
        (["--lr", "-1"], 2, ["learning_rate"]),
        (["-o", "made.xyz"], 4, ["made.xyz", ".json"]),
        (["-o", "nowhere/made.json"], 3, ["nowhere"]),
    ],
)
def test_wrong_usage(run, known, data: Path, flags: list[str], code: int, words: list[str]) -> None:
    ran = run("train", known.path, data, *flags)
    assert ran.code == code
    assert all(word in ran.err for word in words)


def test_the_step_function_cannot_be_trained(run, tmp_path: Path) -> None:
    network = lp.Sequential([lp.Input((2,)), lp.Dense(2, "step"), lp.Dense(1)])
    lp.save(network, tmp_path / "m.json")
    np.savez(tmp_path / "d.npz", x=np.ones((4, 2), np.float32), y=np.ones(4, np.float32))
    ran = run("train", tmp_path / "m.json", tmp_path / "d.npz")
    assert ran.code == 4
    assert "step" in ran.err
    assert "sigmoid" in ran.err


def test_train_prints_a_profile(run, known, data: Path, tmp_path: Path) -> None:
    plain = run("train", known.path, data, "-o", tmp_path / "a.json", "--seed", "1", "--quiet")
    ran = run("train", known.path, data, "-o", tmp_path / "b.json", "--seed", "1", "--quiet",
              "--profile", "--threads", "1")  # fmt: skip
    assert plain.code == ran.code == 0
    assert "matrix products" in ran.out
    assert "Gemm" in ran.out
    assert "optimizer" in ran.out
    one, other = (lp.load(tmp_path / name).get_weights() for name in ("a.json", "b.json"))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)
