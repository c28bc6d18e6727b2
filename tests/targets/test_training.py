"""Exported models that learn: the same steps as in Python, and weights that come back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport.errors import UnsupportedError
from layerport.op import NDArray
from layerport_formats.javascript.node import find_node

NODE = find_node()
needs_node = pytest.mark.skipif(NODE is None, reason="Node is not on this machine")
STEPS, BATCH, SEED = 5, 7, 123
RATE = {"sgd": 0.05, "adam": 0.002}


class Wave(lp.Layer):
    """A layer that is NumPy: scale * sin(x) + x ** 2 / 2."""

    scale: lp.Array = lp.built()

    def build(self, input_shape: Any) -> dict[str, lp.Weight]:
        return {"scale": lp.Weight(input_shape[-1:], initializer="ones")}

    def call(self, x: lp.Array) -> lp.Array:
        return self.scale * np.sin(x) + 0.5 * np.square(x)


def mlp() -> lp.Sequential:
    return lp.Sequential(
        [lp.Input((12,)), lp.Dense(9, "relu"), lp.Dense(6, "tanh"), lp.Dense(4, "softmax")]
    )


def lenet() -> lp.Sequential:
    return lp.Sequential(
        [
            lp.Input((14, 14, 2)),
            lp.Conv2D(5, 3, activation="relu"),
            lp.MaxPooling2D(),
            lp.Conv2D(6, 3, padding="same", activation="relu"),
            lp.AveragePooling2D(),
            lp.Flatten(),
            lp.Dropout(0.4),
            lp.Dense(8, "relu"),
            lp.Dense(3, "softmax"),
        ]
    )


def normalized() -> lp.Sequential:
    return lp.Sequential(
        [
            lp.Input((10,)),
            # A bias here would have the gradient 0, of which floats only leave rounding errors.
            lp.Dense(8, use_bias=False),
            lp.BatchNormalization(),
            lp.Activation("relu"),
            lp.Dense(1, "sigmoid"),
        ]
    )


def custom() -> lp.Sequential:
    return lp.Sequential([lp.Input((6,)), lp.Dense(5), Wave(), lp.Dense(2)])


def recurrent() -> lp.Sequential:
    return lp.Sequential([lp.Input((5, 3)), lp.LSTM(6), lp.Dense(1, "sigmoid")])


LOSSES = {
    "mlp": "categorical_crossentropy",
    "lenet": "categorical_crossentropy",
    "normalized": "binary_crossentropy",
    "custom": "mean_squared_error",
    "recurrent": "binary_crossentropy",
}
NETWORKS: dict[str, Callable[[], lp.Sequential]] = {
    f.__name__: f for f in (mlp, lenet, normalized, custom, recurrent)
}


def data(network: lp.Sequential, loss: str) -> tuple[NDArray, NDArray]:
    """Inputs, and targets as JavaScript gets them: class numbers where these will do."""
    random = np.random.default_rng(5)
    count = STEPS * BATCH
    x = random.standard_normal((count, *network.inputs[0].shape[1:])).astype(np.float32)  # type: ignore[arg-type]
    (width,) = network.outputs[0].shape[1:]
    assert width is not None
    if loss == "categorical_crossentropy":
        return x, random.integers(0, width, count)
    if loss == "binary_crossentropy":
        return x, random.integers(0, 2, (count, width)).astype(np.float32)
    return x, random.standard_normal((count, width)).astype(np.float32)


def trained(network: lp.Sequential, name: str, kind: str) -> tuple[NDArray, list[float], Any]:
    """Train in Python with the seed; returns inputs, the losses of the steps, and targets."""
    loss = LOSSES[name]
    x, y = data(network, loss)
    rows = np.eye(network.outputs[0].shape[-1])[y] if y.ndim == 1 else y  # type: ignore[arg-type]
    network.compile(kind, loss)
    network.optimizer.learning_rate = RATE[kind]
    losses: list[float] = []
    for step in range(STEPS):
        part = slice(step * BATCH, (step + 1) * BATCH)
        # fit counts steps on from call to call, and takes a seed.
        done = network.fit(
            x[part], rows[part], batch_size=BATCH, shuffle=False, seed=SEED, verbose=0
        )
        losses += done.history["loss"]
    return x, losses, y


def in_node(folder: Path, script: str, **values: Any) -> Any:
    """Run a script with `model` and `given`; returns what it sends."""
    path = folder / "script.mjs"
    (folder / "given.json").write_text(json.dumps(values), encoding="utf-8")
    path.write_text(
        'import { readFileSync, writeFileSync } from "node:fs";\n'
        'import * as model from "./model.mjs";\n'
        'const given = JSON.parse(readFileSync(new URL("given.json", import.meta.url)));\n'
        "const here = (name) => new URL(name, import.meta.url);\n"
        f"const send = (value) => console.log(JSON.stringify(value));\n{script}",
        encoding="utf-8",
    )
    assert NODE is not None
    done = subprocess.run([NODE, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LEARN = """
const losses = [];
for (let k = 0; k < given.x.length; k++) {
  losses.push(model.train(given.x[k], given.y[k], given.options));
}
const saved = model.save();
writeFileSync(here("saved.json"), saved);
const flat = Float32Array.from(given.x.flat(Infinity));
const learned = Array.from(model.predict(flat));
for (let k = 0; k < 3; k++) model.train(given.x[0], given.y[0], given.options);
const moved = Array.from(model.predict(flat));
model.load(saved);
send({ losses, learned, moved, loaded: Array.from(model.predict(flat)) });
"""


@needs_node
@pytest.mark.parametrize("engine", ["js", "wasm"])
@pytest.mark.parametrize("kind", ["sgd", "adam"])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_steps_in_node_are_those_of_python(
    name: str, kind: str, engine: str, tmp_path: Path
) -> None:
    network = NETWORKS[name]()
    network.initialize(3)
    lp.save(network, tmp_path / "model.mjs", train=kind, seed=SEED, engine=engine)
    x, losses, y = trained(network, name, kind)
    steps = np.split(np.arange(len(x)), STEPS)
    got = in_node(
        tmp_path,
        LEARN,
        x=[x[part].tolist() for part in steps],
        y=[y[part].tolist() for part in steps],
        options={"learningRate": RATE[kind]},
    )
    np.testing.assert_allclose(got["losses"], losses, rtol=1e-4)
    back = lp.load(tmp_path / "saved.json", layers=[Wave])
    for (path, weight), want in zip(back.weights.items(), network.weights.values(), strict=True):
        assert np.abs(weight - want).max() <= 1e-4 * np.abs(want).max(), path
    want = network.predict(x)
    np.testing.assert_allclose(back.predict(x), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.reshape(got["learned"], want.shape), want, rtol=1e-4, atol=1e-5)
    assert got["loaded"] == got["learned"]
    assert got["moved"] != got["learned"]
    if name != "custom":
        lp.save(back, tmp_path / "back.h5")
        np.testing.assert_array_equal(lp.load(tmp_path / "back.h5").predict(x), back.predict(x))


@needs_node
def test_js_mind_networks_stay_in_its_form(tmp_path: Path) -> None:
    random = np.random.default_rng(0)

    def layer(name: str, activation: str, rows: int, columns: int, p: float) -> dict[str, Any]:
        w, b = random.normal(size=(rows, columns)), random.normal(size=(rows, 1))
        fields = {"pDropout": p, "activationFn": activation, "w": w.tolist(), "b": b.tolist()}
        return {"className": name, "properties": fields}

    layers = [layer("ReLULayer", "relu", 5, 4, 0), layer("SoftmaxLayer", "softmax", 3, 5, 0.2)]
    (tmp_path / "layers.json").write_text(json.dumps(layers))
    network = lp.load(tmp_path / "layers.json")
    lp.save(network, tmp_path / "model.mjs", train="sgd")
    x = random.normal(size=(6, 4)).astype(np.float32)
    got = in_node(
        tmp_path,
        """
        const before = JSON.parse(model.save());
        for (let k = 0; k < 20; k++) model.train(given.x, given.y, { learningRate: 0.1 });
        writeFileSync(here("saved.json"), model.save());
        model.load(model.save());
        send({ before, learned: model.predict(given.x) });
        """,
        x=x.tolist(),
        y=[0, 1, 2, 0, 1, 2],
    )
    for old, new in zip(layers, got["before"], strict=True):
        assert list(new) == list(old)
        assert list(new["properties"]) == list(old["properties"])
        for key in ("w", "b"):
            np.testing.assert_allclose(new["properties"][key], old["properties"][key], rtol=1e-7)
    back = lp.load(tmp_path / "saved.json")
    assert isinstance(json.loads((tmp_path / "saved.json").read_text()), list)
    np.testing.assert_allclose(back.predict(x), got["learned"], rtol=1e-5)
    assert np.abs(back.predict(x) - network.predict(x)).max() > 0.01


REFUSED = {
    "wrong_length": "model.train([1, 2, 3], [0])",
    "too_many": "model.train(new Float32Array(12 * 33), new Array(33).fill(0))",
    "not_finite": "model.train(new Float32Array(12).fill(NaN), [0])",
    "no_class": "model.train(new Float32Array(12), [4])",
    "half_class": "model.train(new Float32Array(12), [0.5])",
    "targets_missing": "model.train(new Float32Array(12))",
    "few_targets": "model.train(new Float32Array(24), [1])",
    "bad_rate": "model.train(new Float32Array(12), [1], { learningRate: -1 })",
    "rate_is_text": 'model.train(new Float32Array(12), [1], { learningRate: "1" })',
    "bad_seed": "model.train(new Float32Array(12), [1], { seed: 0.5 })",
    "no_json": 'model.load("{")',
    "other_json": 'model.load("{}")',
    "null_json": 'model.load("null")',
    "js_mind": "model.load([])",
    "wrong_shape": """(() => {
      const data = JSON.parse(model.save());
      data.weights["dense/kernel"].shape = [9, 12];
      model.load(data);
    })()""",
    "cut_off": """(() => {
      const data = JSON.parse(model.save());
      data.weights["dense_2/bias"].data = "AAAA";
      model.load(data);
    })()""",
    "missing": """(() => {
      const data = JSON.parse(model.save());
      delete data.weights["dense_2/bias"];
      model.load(data);
    })()""",
    "not_finite_weight": """(() => {
      const data = JSON.parse(model.save());
      data.weights["dense_2/bias"] = { dtype: "float32", shape: [4], values: [1, 2, 1e99, 4] };
      model.load(data);
    })()""",
}


@needs_node
def test_refused_calls_change_nothing(tmp_path: Path) -> None:
    network = mlp()
    network.initialize(3)
    lp.save(network, tmp_path / "model.mjs", train="sgd")
    lines = [
        f"try {{ {call}; errors[{json.dumps(name)}] = null; }} "
        f"catch (error) {{ errors[{json.dumps(name)}] = error.constructor.name; }}"
        for name, call in REFUSED.items()
    ]
    got = in_node(
        tmp_path,
        "const before = model.save();\nconst errors = {};\n"
        + "\n".join(lines)
        + "\nsend({ errors, same: model.save() === before });",
    )
    kinds = {"TypeError", "RangeError", "SyntaxError"}
    assert {name for name, kind in got["errors"].items() if kind not in kinds} == set()
    assert got["same"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": "lion"}, "train=lion: it is sgd or adam"),
        ({"train": "sgd", "train_batch": 0}, "train_batch=0"),
        ({"train": "sgd", "seed": "x"}, "seed=x"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=message):
        lp.save(mlp(), tmp_path / "model.mjs", **options)
    assert not list(tmp_path.iterdir())


def test_a_network_without_weights_cannot_learn(tmp_path: Path) -> None:
    network = lp.Sequential([lp.Input((3,)), lp.Activation("relu")])
    with pytest.raises(UnsupportedError, match="cannot be trained"):
        lp.save(network, tmp_path / "model.mjs", train="sgd")
