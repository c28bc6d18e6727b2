"""The example of a plugin, built and installed as its author's users would do it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import types
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
import pluggy
import pytest
from layerport import hookspecs, registry
from layerport_formats.javascript.node import find_node

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "custom_layer_plugin"
SCRIPT = Path(__file__).parent / "files" / "use_plugin.py"
NEEDED = ("numpy", "h5py", "onnx", "google.protobuf", "ml_dtypes", "pluggy", "click", "rich",
          "markdown_it", "pygments", "mdurl", "typing_extensions", "packaging")  # fmt: skip


# Installed ------------------------------------------------------------------------------


def command(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program without what this process has in its environment for layerport."""
    hidden = {"PYTHONPATH", "PYTHONHOME"}
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    ran = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, env=environment,
        check=False, **options,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with layerport and the plugin, as wheels.

    What layerport depends on is taken from this environment, so that nothing is downloaded.
    """
    if importlib.util.find_spec("pip") is None:
        pytest.skip("pip is not in this environment")
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    wheels = folder / "wheels"
    for project in (ROOT, EXAMPLE):
        command(*pip, "wheel", "--no-deps", *isolation, "-w", wheels, project)
    assert {path.name.split("-")[0] for path in wheels.iterdir()} == {"layerport", "gated_layers"}
    command(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    scripts = "Scripts" if os.name == "nt" else "bin"
    python = folder / "venv" / scripts / Path(sys.executable).name
    site = sysconfig.get_path("purelib", vars={"base": str(folder / "venv")})
    command(*pip, "install", "--no-deps", "--no-index", "--target", site, *wheels.iterdir())
    (Path(site) / "dependencies.pth").write_text("\n".join(sorted(where_dependencies_are())))
    return python


def where_dependencies_are() -> set[str]:
    found = set()
    for name in NEEDED:
        spec = importlib.util.find_spec(name)
        if spec is not None:
            place = spec.origin or next(iter(spec.submodule_search_locations or ()))
            up = name.count(".") + (2 if Path(place).name == "__init__.py" else 1)
            found.add(str(Path(place).parents[up - 1]))
    return found


@pytest.fixture(scope="module")
def made(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the installed plugin was used."""
    folder = tmp_path_factory.mktemp("made")
    command(python, "-I", SCRIPT, folder, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def numbers(made: Path) -> dict[str, np.ndarray]:
    with np.load(made / "numbers.npz") as archive:
        return dict(archive)


def formula(x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """The network, in float64."""
    k1, b1, gate, k2, b2 = (w.astype(np.float64) for w in weights)
    h = np.tanh(x.astype(np.float64) @ k1 + b1)
    energy = (np.abs(h) ** 3).mean(-1, keepdims=True)
    z = np.where(h > 0, np.tanh(h) * gate, h * energy) @ k2 + b2
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def weights_of(numbers: dict[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    return [numbers[f"{prefix}_{index}"] for index in range(5)]


def test_the_plugin_says_nothing_about_gradients_or_formats() -> None:
    text = (EXAMPLE / "src" / "gated_layers" / "__init__.py").read_text().lower()
    code = text.split('"""\n', 2)[-1]
    for word in ("onnx", "javascript", "h5", "json", "backward", "def gradient"):
        assert word not in code


def test_both_are_offered(python: Path, numbers: dict[str, np.ndarray]) -> None:
    assert json.loads(str(numbers["origins"])) == ["gated_layers", "gated_layers"]
    ran = command(python, "-I", "-m", "layerport", "plugins", "--json")
    rows = {row["plugin"]: row for row in json.loads(ran.stdout)}
    assert rows["gated_layers"]["distribution"] == "gated-layers 0.1.0"
    assert set(rows["gated_layers"]["offers"]) == {"1 layers", "1 optimizers"}
    listed = json.loads(command(python, "-I", "-m", "layerport", "layers", "--json").stdout)
    (gated,) = [row for row in listed if row["layer"] == "Gated"]
    assert gated["from"] == "gated_layers"
    assert gated["arguments"] == ["sharpness"]


def test_it_learns(numbers: dict[str, np.ndarray]) -> None:
    assert numbers["loss"][-1] < 0.5 * float(numbers["before"])
    assert numbers["accuracy"][-1] > 0.85
    assert not np.array_equal(numbers["weight_2"], np.ones(8))  # the gate, which starts with ones


def test_one_step_goes_against_the_sign_of_the_gradient(numbers: dict[str, np.ndarray]) -> None:
    """The gradient is that of central differences of the formula."""
    start = [w.astype(np.float64) for w in weights_of(numbers, "start")]
    x, y = numbers["x"][:32], numbers["y"][:32]

    def loss() -> float:
        return float(-np.log(formula(x, start)[np.arange(len(y)), y]).mean())

    for before, after in zip(start, weights_of(numbers, "step"), strict=True):
        slope = np.empty_like(before)
        for place in np.ndindex(before.shape):
            kept = before[place]
            sides = []
            for sign in (1, -1):
                before[place] = kept + sign * 1e-5
                sides.append(loss())
            before[place] = kept
            slope[place] = (sides[0] - sides[1]) / 2e-5
        clear = np.abs(slope) > 1e-6
        assert clear.mean() > 0.9
        moved = after - before
        np.testing.assert_allclose(moved[clear], -0.01 * np.sign(slope[clear]), rtol=0, atol=1e-6)


def test_predictions(numbers: dict[str, np.ndarray]) -> None:
    want = formula(numbers["x"], weights_of(numbers, "weight"))
    for suffix in ("", ".json", ".onnx", ".h5"):
        np.testing.assert_allclose(numbers[f"predicted{suffix}"], want, rtol=1e-5, atol=1e-6)


def test_onnxruntime_agrees(made: Path, numbers: dict[str, np.ndarray]) -> None:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(made / "network.onnx", providers=["CPUExecutionProvider"])
    (predicted,) = session.run(None, {session.get_inputs()[0].name: numbers["x"]})
    want = formula(numbers["x"], weights_of(numbers, "weight"))
    np.testing.assert_allclose(predicted, want, rtol=1e-5, atol=1e-6)


def test_node_agrees(made: Path, numbers: dict[str, np.ndarray]) -> None:
    node = find_node()
    if node is None:
        pytest.skip("Node.js is not on this machine")
    (made / "run.mjs").write_text(
        'import * as model from "./network.mjs";\n'
        'import { readFileSync } from "node:fs";\n'
        'const x = JSON.parse(readFileSync("x.json", "utf8"));\n'
        "console.log(JSON.stringify([Array.from(model.predict(x)).flat(), model.selfTest()]));\n"
    )
    (made / "x.json").write_text(json.dumps(numbers["x"].tolist()))
    predicted, tested = json.loads(command(node, "run.mjs", cwd=made).stdout)
    assert tested["ok"]
    want = formula(numbers["x"], weights_of(numbers, "weight"))
    np.testing.assert_allclose(np.reshape(predicted, want.shape), want, rtol=1e-5, atol=1e-6)


def test_without_the_plugin(made: Path, numbers: dict[str, np.ndarray]) -> None:
    """ONNX can still be run: as operators. Other files name the layer that is missing."""
    want = formula(numbers["x"], weights_of(numbers, "weight"))
    network = lp.load(made / "network.onnx")
    assert any("Gated" in note.text for note in network.origin[1])
    np.testing.assert_allclose(network.predict(numbers["x"]), want, rtol=1e-5, atol=1e-6)
    for suffix in (".json", ".h5"):
        with pytest.raises((lp.ModelFileError, lp.UnsupportedError), match="Gated") as refused:
            lp.load(made / f"network{suffix}")
        assert "plugin" in str(refused.value)


# Gathered -------------------------------------------------------------------------------


def plugin(**hooks: Any) -> types.SimpleNamespace:
    """A plugin that offers what these functions return, by kind."""
    made = types.SimpleNamespace()
    for kind, function in hooks.items():
        setattr(made, f"layerport_{kind}", hookspecs.hookimpl(function))
    return made


def gathered(**plugins: types.SimpleNamespace) -> lp.Registry:
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    for name, entry in plugins.items():
        manager.register(entry, name=name)
    return registry.gather(manager, dict.fromkeys(plugins, "some-package 1.0"))


class Twice(lp.Layer):
    """Two times x."""

    def call(self, x: lp.Array) -> lp.Array:
        return x * 2


def raising() -> Any:
    raise ZeroDivisionError("on purpose")


@pytest.mark.parametrize("broken", [raising, lambda: None, lambda: [3]])
def test_a_broken_plugin_is_a_warning_that_names_it(broken: Any) -> None:
    with pytest.warns(RuntimeWarning, match="'bad_one'"):
        made = gathered(bad_one=plugin(layers=broken), good_one=plugin(layers=lambda: [Twice]))
    assert dict(made.layers) == {"Twice": Twice}
    assert made.origins["layers", "Twice"] == "good_one"


def test_a_name_offered_twice_is_an_error_that_names_both() -> None:
    one, two = plugin(layers=lambda: [Twice]), plugin(layers=lambda: [Twice])
    with pytest.raises(lp.PluginError) as raised:
        gathered(first_one=one, second_one=two)
    for word in ("Twice", "first_one", "second_one"):
        assert word in str(raised.value)


def test_the_same_name_of_another_kind_is_none() -> None:
    made = gathered(
        one=plugin(activations=lambda: {"twice": abs}),
        two=plugin(initializers=lambda: {"twice": int}),
    )
    assert made.activations["twice"] is abs
    assert made.initializers["twice"] is int


def test_the_registry_cannot_be_changed() -> None:
    made = gathered(one=plugin(layers=lambda: [Twice]))
    with pytest.raises(TypeError):
        made.layers["Other"] = Twice  # type: ignore[index]
    with pytest.raises(AttributeError):
        made.layers = {}  # type: ignore[misc]


def test_a_plugin_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    real = list(importlib.metadata.entry_points(group=hookspecs.GROUP))
    broken = importlib.metadata.EntryPoint("far_away", "no_such_module_at_all", hookspecs.GROUP)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [*real, broken])
    with pytest.warns(RuntimeWarning, match="'far_away'.*no_such_module_at_all"):
        made = registry.collect()
    assert "Dense" in made.layers
    assert "far_away" not in made.plugins
