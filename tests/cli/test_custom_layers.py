"""``--layers module:Class`` in every verb that reads a model."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import layerport as lp
import numpy as np
import pytest

MODULE = '''
import layerport as lp
import numpy as np


class Bent(lp.Layer):
    """x * alpha + x ** 2."""

    alpha: lp.Array = lp.built()

    def build(self, input_shape: lp.InputShape) -> dict[str, lp.Weight]:
        return {"alpha": lp.Weight(input_shape[-1:], initializer="ones")}

    def call(self, x: lp.Array) -> lp.Array:
        return x * self.alpha + x**2
'''
LAYERS = ("--layers", "bending:Bent")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a module, a model that needs it, and data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    (tmp_path / "bending.py").write_text(MODULE)
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "bending", raising=False)
    bending = importlib.import_module("bending")
    network = lp.Sequential([lp.Input((2,)), bending.Bent(), lp.Dense(1, name="d")])
    network.set_weights([np.float32([1, 3]), np.float32([[1], [2]]), np.float32([0.5])])
    lp.save(network, "m.json")
    x = np.float32([[1, 2], [0, -1], [2, 0]])
    y = (x * [1, 3] + x.astype(np.float64) ** 2) @ [1, 2] + 0.5
    np.savez("d.npz", x=x, y=y.astype(np.float32))
    np.save("x.npy", x)
    np.save("y.npy", y)
    return tmp_path


def test_the_layer_must_be_named(run, folder: Path) -> None:
    for words in (
        "inspect m.json",
        "predict m.json x.npy",
        "train m.json d.npz",
        "evaluate m.json d.npz",
        "verify m.json m.json",
        "convert m.json n.onnx",
    ):
        ran = run(*words.split())
        assert ran.code in (3, 4)
        assert "Bent" in ran.err


def test_inspect(run, folder: Path) -> None:
    assert "(Bent)" in run("inspect", "m.json", *LAYERS).out


def test_predict(run, folder: Path) -> None:
    assert run("predict", "m.json", "x.npy", "-o", "p.npy", *LAYERS).code == 0
    np.testing.assert_allclose(np.load("p.npy")[:, 0], np.load("y.npy"), rtol=1e-6)


def test_evaluate(run, folder: Path) -> None:
    ran = run("evaluate", "m.json", "d.npz", "--json", *LAYERS)
    assert json.loads(ran.out)["loss"] == pytest.approx(0, abs=1e-10)


def test_train_convert_and_verify(run, folder: Path) -> None:
    np.savez("d2.npz", x=np.load("x.npy"), y=np.float32([0, 1, 2]))
    assert run("train", "m.json", "d2.npz", "-o", "t.json", "--quiet", *LAYERS).code == 0
    assert run("verify", "m.json", "t.json", *LAYERS).code == 1
    for source, target in (("t.json", "u.onnx"), ("u.onnx", "v.h5"), ("v.h5", "w.json")):
        assert run("convert", source, target, *LAYERS).code == 0
    assert run("verify", "t.json", "w.json", *LAYERS).code == 0
    assert "(Bent)" in run("inspect", "w.json", *LAYERS).out
