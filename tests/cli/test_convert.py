"""layerport convert, verify and demo."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import layerport as lp
import numpy as np
import pytest

CUSTOM = '''
import layerport as lp
import numpy as np


class Cubed(lp.Layer):
    """x ** 3."""

    def call(self, x: lp.Array) -> lp.Array:
        return x**3
'''


@pytest.mark.parametrize("suffix", [".json", ".h5", ".onnx"])
def test_converts_and_says_so(run, known, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"made{suffix}"
    ran = run("convert", known.path, target)
    assert (ran.code, ran.err) == (0, "")
    assert str(target) in ran.out
    assert f"{target.stat().st_size:,} bytes" in ran.out
    assert "verified: largest difference" in ran.out
    again = lp.load(target)
    np.testing.assert_allclose(again.predict(known.x), known.y, rtol=1e-5, atol=1e-6)


def test_formats_can_be_named(run, known, tmp_path: Path) -> None:
    odd = known.path.rename(tmp_path / "model.txt")
    ran = run("convert", odd, tmp_path / "made.bin", "--from", "layers_json", "--to", "hdf5")
    assert ran.code == 0
    assert (tmp_path / "made.bin").read_bytes().startswith(b"\x89HDF\r\n\x1a\n")


def test_the_content_decides_not_the_suffix(run, known, tmp_path: Path) -> None:
    assert run("convert", known.path, tmp_path / "a.h5").code == 0
    disguised = (tmp_path / "a.h5").rename(tmp_path / "a.json")
    assert run("convert", disguised, tmp_path / "b.onnx").code == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--verify", "run"], "verified: largest difference"),
        (["--verify", "run", "--samples", "3"], "on 3 samples"),
        (["--verify", "weights"], "checksums of 4 tensors are equal"),
        (["--no-verify"], "not verified"),
    ],
)
def test_how_to_verify(run, known, tmp_path: Path, flags: list[str], words: str) -> None:
    ran = run("convert", known.path, tmp_path / "made.h5", *flags)
    assert ran.code == 0
    assert words in ran.out


def test_options_reach_the_format(run, known, tmp_path: Path) -> None:
    target = tmp_path / "made.json"
    ran = run(
        "convert", known.path, target, "--option", "version=2", "--option", "encoding=numbers"
    )
    assert ran.code == 0
    assert all("values" in entry for entry in json.loads(target.read_text())["weights"].values())


def test_opset(run, known, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    assert run("convert", known.path, tmp_path / "made.onnx", "--opset", 13).code == 0
    model = onnx.load(tmp_path / "made.onnx")
    assert {o.version for o in model.opset_import if o.domain in ("", "ai.onnx")} == {13}
    onnx.checker.check_model(model)


def test_dtype(run, known, tmp_path: Path) -> None:
    assert run("convert", known.path, tmp_path / "made.json", "--dtype", "float64").code == 0
    again = lp.load(tmp_path / "made.json")
    assert {a.dtype for a in again.weights.values()} == {np.dtype("float64")}
    np.testing.assert_allclose(again.predict(known.x), known.y, rtol=1e-12)


def with_dropout(folder: Path) -> Path:
    """A network of js-mind that needs folding for other formats, and carries training data."""
    weights = {"w": [[0.5, -1.0], [0.25, 2.0]], "b": [[0.5], [0.25]]}
    first = {"pDropout": 0.25, "activationFn": "relu", **weights, "input": [[1, 2], [3, 4]]}
    second = {"pDropout": 0, "activationFn": "softmax", **weights}
    path = folder / "dropout.json"
    path.write_text(
        json.dumps(
            [
                {"className": "ReLULayer", "properties": first},
                {"className": "SoftmaxLayer", "properties": second},
            ]
        )
    )
    return path


def test_a_loss_is_reported(run, tmp_path: Path) -> None:
    ran = run("convert", with_dropout(tmp_path), tmp_path / "made.h5")
    assert ran.code == 0
    assert "folded" in ran.out
    assert "verified" in ran.out
    assert "privacy" in ran.out


def test_strict_makes_a_loss_an_error(run, tmp_path: Path) -> None:
    target = tmp_path / "made.h5"
    target.write_bytes(b"what was here before")
    source = with_dropout(tmp_path)
    before = sorted(tmp_path.iterdir())
    ran = run("convert", source, target, "--strict")
    assert ran.code == 1
    assert "folded" in ran.err
    assert target.read_bytes() == b"what was here before"
    assert sorted(tmp_path.iterdir()) == before


def test_strict_passes_where_nothing_is_lost(run, known, tmp_path: Path) -> None:
    assert run("convert", known.path, tmp_path / "made.h5", "--strict").code == 0


def test_a_layer_of_the_users_own(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cubing.py").write_text(CUSTOM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    import cubing

    network = lp.Sequential([lp.Input((2,)), cubing.Cubed()])
    lp.save(network, tmp_path / "cubed.json")
    refused = run("convert", "cubed.json", "made.onnx")
    assert refused.code in (3, 4)
    assert "Cubed" in refused.err
    assert not (tmp_path / "made.onnx").exists()
    assert run("convert", "cubed.json", "made.onnx", "--layers", "cubing:Cubed").code == 0
    again = lp.load(tmp_path / "made.onnx", layers=[cubing.Cubed])
    x = np.array([[2.0, -3.0]], np.float32)
    np.testing.assert_allclose(again.predict(x), [[8, -27]], rtol=1e-6)


def test_verify_finds_what_is_equal(run, known, tmp_path: Path) -> None:
    run("convert", known.path, tmp_path / "made.h5")
    ran = run("verify", known.path, tmp_path / "made.h5", "--samples", 5)
    assert ran.code == 0
    assert "verified" in ran.out
    assert "5 samples" in ran.out


def test_verify_finds_what_differs(run, known, tmp_path: Path) -> None:
    network = lp.load(known.path)
    kernel, *rest = network.get_weights()
    network.set_weights([kernel * np.float32(1.001), *rest])
    lp.save(network, tmp_path / "other.json")
    ran = run("verify", known.path, tmp_path / "other.json")
    assert ran.code == 1
    assert "FAILED" in ran.out
    assert run("verify", known.path, tmp_path / "other.json", "--atol", 0.5).code == 0


def test_verify_of_other_shapes_fails(run, known, tmp_path: Path) -> None:
    lp.save(lp.Sequential([lp.Input((7,)), lp.Dense(3)]), tmp_path / "other.json")
    ran = run("verify", known.path, tmp_path / "other.json")
    assert ran.code == 1
    assert "(None, 7)" in ran.out


def test_demo(run, tmp_path: Path) -> None:
    ran = run("demo", tmp_path / "shown", "--json")
    rows = {row["format"]: row for row in json.loads(ran.out)}
    assert ran.code == 0
    writable = {n for n, f in lp.default_registry().formats.items() if f.can_write}
    assert set(rows) == writable >= {"layers_json", "hdf5", "onnx", "javascript"}
    for row in rows.values():
        assert Path(row["file"]).stat().st_size > 1000
        assert row["check"] == "verified" or row["check"].startswith("written, not run")
    assert {rows[name]["check"] for name in ("layers_json", "hdf5", "onnx")} == {"verified"}


def test_demo_as_a_table(run, tmp_path: Path) -> None:
    ran = run("demo", tmp_path / "shown")
    assert ran.code == 0
    for word in ("digits.h5", "digits.onnx", "digits.mjs", "verified", "largest difference"):
        assert word in ran.out


def test_what_cannot_be_read_back_is_not_verified_by_weights(run, known, tmp_path: Path) -> None:
    ran = run("convert", known.path, tmp_path / "made.mjs", "--verify", "weights")
    assert ran.code == 0
    assert "not verified" in ran.out


def test_without_node_a_module_is_written_not_run(
    run, known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layerport_formats.javascript.node.find_node", lambda: None)
    ran = run("convert", known.path, tmp_path / "made.mjs")
    assert ran.code == 0
    assert "written, not run" in ran.out
    ran = run("demo", tmp_path / "shown", "--json")
    rows = {row["format"]: row for row in json.loads(ran.out)}
    assert ran.code == 0
    assert rows["javascript"]["check"].startswith("written, not run")
    assert rows["onnx"]["check"] == "verified"


def test_js_mind_there_and_back(run, tmp_path: Path) -> None:
    """What a user of js-mind does: through Keras and ONNX, and back into js-mind's own form."""
    source = with_dropout(tmp_path)
    steps = [source, *(tmp_path / name for name in ("a.h5", "b.onnx", "c.json"))]
    for before, after in pairwise(steps):
        assert run("convert", before, after).code == 0
    assert run("verify", source, steps[-1]).code == 0
    layers = json.loads(steps[-1].read_text())
    assert [entry["className"] for entry in layers] == ["ReLULayer", "SoftmaxLayer"]
    assert [entry["properties"]["pDropout"] for entry in layers] == [0.25, 0]
    assert "input" not in layers[0]["properties"]
