"""What is refused: exit code, one paragraph on stderr, nothing written, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
import pytest

BEFORE = b"what was here before"


def version2(known, change: Callable[[dict[str, Any]], None]) -> str:
    data = json.loads(known.path.read_text())
    change(data)
    return json.dumps(data)


def units_seven(data: dict[str, Any]) -> None:
    dense = [e for e in data["network"]["config"]["layers"] if e["class_name"] == "Dense"]
    dense[0]["config"]["units"] = 7


def unknown_layer(data: dict[str, Any]) -> None:
    data["network"]["config"]["layers"][-1]["class_name"] = "Frobnicate"


def misspelt_layer(data: dict[str, Any]) -> None:
    data["network"]["config"]["layers"][-1]["class_name"] = "Dence"


def unknown_argument(data: dict[str, Any]) -> None:
    data["network"]["config"]["layers"][-1]["config"]["colour"] = "red"


def wrong_weights(data: dict[str, Any]) -> None:
    data["weights"]["dense/bias"]["shape"] = [4]
    data["weights"].pop("dense_1/kernel")
    data["weights"]["dense_9/kernel"] = data["weights"]["dense/bias"]


MODELS: dict[str, tuple[str, Callable[[Any], bytes | str], tuple[int, ...], list[str]]] = {
    "empty": ("m.json", lambda known: b"", (3,), ["empty"]),
    "truncated json": ("m.json", lambda known: known.path.read_text()[:300], (3,), ["line 1"]),
    "no network": ("m.json", lambda known: '{"a": 1}', (3,), []),
    "no UTF-8": ("m.json", lambda known: b'[{"className": "\xff"}]', (3,), ["UTF-8"]),
    "null weights": (
        "m.json",
        lambda known: '[{"className": "SigmoidLayer", "properties": {"w": [[null]], "b": [[1]]}}]',
        (3,),
        ["[0].properties.w", "null", "NaN"],
    ),
    "all of js-mind's problems": (
        "m.json",
        lambda known: '[{"className": "Sigmoid", "properties": {"w": [[1]], "b": [[1]]}},'
        '{"className": "SigmoidLayer", "properties": {"w": [[1, 2], [3]], "b": [[1]]}},'
        '{"className": "SigmoidLayer", "properties": {"pDropout": 2, "w": [[1]], "b": [[1]]}}]',
        (3,),
        ["[0]", "Sigmoid", "[1].properties.w", "[2].properties.pDropout"],
    ),
    "unknown layer": (
        "m.json", lambda known: version2(known, unknown_layer), (3, 4), ["Frobnicate", "layers"],
    ),
    "misspelt layer": ("m.json", lambda known: version2(known, misspelt_layer), (3, 4), ["Dense"]),
    "unknown argument": (
        "m.json", lambda known: version2(known, unknown_argument), (3,), ["colour", "dense_1"],
    ),
    "other shapes": (
        "m.json", lambda known: version2(known, units_seven), (3,), ["dense/kernel", "(4, 7)"],
    ),
    "all wrong weights": (
        "m.json",
        lambda known: version2(known, wrong_weights),
        (3,),
        ["dense/bias", "dense_1/kernel", "missing", "dense_9/kernel"],
    ),
    "version 3": (
        "m.json", lambda known: version2(known, lambda d: d.update(version=3)), (3,), ["version"],
    ),
    "no hdf5": ("m.h5", lambda known: b"\x89PNG\r\n\x1a\n" + bytes(100), (3,), ["onnx", "hdf5"]),
    "magic of hdf5 only": ("m.h5", lambda known: b"\x89HDF\r\n\x1a\n", (3,), []),
    "text": ("m.onnx", lambda known: b"What is this?", (3,), ["onnx"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("verb", ["convert", "inspect", "train", "predict"])
def test_bad_models(run, known, tmp_path: Path, name: str, verb: str) -> None:
    file, content, codes, words = MODELS[name]
    text = content(known)
    source, target, data = tmp_path / file, tmp_path / "made.h5", tmp_path / "d.npz"
    source.write_bytes(text if isinstance(text, bytes) else text.encode())
    target.write_bytes(BEFORE)
    np.savez(data, x=known.x, y=np.zeros(6, int))
    before = sorted(tmp_path.iterdir())
    rest = {"convert": [target], "inspect": [], "train": [data, "-o", target],
            "predict": [data]}[verb]  # fmt: skip
    ran = run(verb, source, *rest)
    assert ran.code in codes
    assert ran.out == ""
    assert ran.err.startswith(f"layerport: {source}")
    assert ran.err.count("\n") == 1
    assert all(word in ran.err for word in words), ran.err
    assert target.read_bytes() == BEFORE
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("suffix", [".h5", ".onnx", ".json"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.95])
def test_truncated_files(run, known, tmp_path: Path, suffix: str, part: float) -> None:
    whole = tmp_path / f"whole{suffix}"
    lp.save(lp.load(known.path), whole)
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: int(part * whole.stat().st_size)])
    ran = run("convert", cut, tmp_path / "made.json")
    assert ran.code == 3
    assert str(cut) in ran.err
    assert not (tmp_path / "made.json").exists()


def foreign_onnx(path: Path) -> None:
    """ONNX of somebody else, with operators that are no layers."""
    helper = pytest.importorskip("onnx.helper")
    onnx = pytest.importorskip("onnx")
    nodes = [
        helper.make_node("Erf", ["x"], ["a"], name="first"),
        helper.make_node("Cos", ["a"], ["b"], name="second"),
        helper.make_node("Sign", ["b"], ["y"], name="third"),
    ]
    kinds = [helper.make_tensor_value_info(n, 1, ["n", 3]) for n in "xy"]
    graph = helper.make_graph(nodes, "g", kinds[:1], kinds[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def test_what_a_target_cannot_hold_is_named_all_at_once(run, tmp_path: Path) -> None:
    source, target = tmp_path / "m.onnx", tmp_path / "made.h5"
    foreign_onnx(source)
    target.write_bytes(BEFORE)
    ran = run("convert", source, target)
    assert ran.code == 4
    for word in ("Erf", "first", "Cos", "second", "Sign", "third", str(target)):
        assert word in ran.err
    assert target.read_bytes() == BEFORE


def test_an_operator_that_is_not_known(run, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    foreign_onnx(tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    model.graph.node[1].op_type = "Frobnicate"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    ran = run("convert", tmp_path / "m.onnx", tmp_path / "made.json")
    assert ran.code in (3, 4)
    assert "Frobnicate" in ran.err
    assert "second" in ran.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["known.json", "made.xyz"], 4, ["made.xyz", ".h5", ".onnx"]),
        (["known.json", "made.h5", "--option", "colour=red"], 4, ["colour", "hdf5"]),
        (["known.json", "made.h5", "--opset", "17"], 4, ["opset"]),
        (["known.json", "made.json", "--option", "encoding=morse"], 4, ["morse", "base64"]),
        (["known.json", "made.onnx", "--opset", "3"], 4, ["3"]),
        (["known.json", "made.json", "--to", "javascrpt"], 2, ["did you mean javascript"]),
        (["known.json", "made.json", "--from", "javascript"], 4, ["javascript"]),
        (["known.json", "nowhere/made.json"], 3, ["nowhere"]),
        (["known.json", "folder.json"], 2, ["folder.json"]),
        (["known.json"], 2, ["TARGET"]),
        (["absent.json", "made.h5"], 2, ["absent.json"]),
        (["folder.json", "made.h5"], 2, ["folder.json"]),
        (["known.json", "made.h5", "--verify", "hope"], 2, ["hope", "weights"]),
        (["known.json", "made.h5", "--verify", "run", "--no-verify"], 2, ["--no-verify"]),
        (["known.json", "made.h5", "--samples", "0"], 2, ["--samples"]),
        (["known.json", "made.h5", "--option", "colour"], 2, ["NAME=VALUE"]),
        (["known.json", "made.h5", "--layers", "Gated"], 2, ["module:Class"]),
        (["known.json", "made.h5", "--layers", "no_such_module:Gated"], 2, ["no_such_module"]),
        (["known.json", "made.h5", "--layers", "json:JSONDecoder"], 2, ["not a layer class"]),
        (["known.json", "made.h5", "--dtype", "int7"], 2, ["int7"]),
        (["known.json", "made.h5", "--frobnicate"], 2, ["--frobnicate"]),
    ],
)
def test_wrong_usage(run, known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                     words: list[str], code: int, said: list[str]) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.json").mkdir()
    before = sorted(tmp_path.rglob("*"))
    ran = run("convert", *words)
    assert ran.code == code, ran.err
    assert all(word in ran.err for word in said), ran.err
    assert sorted(tmp_path.rglob("*")) == before


def test_unknown_verbs_get_a_hint(run) -> None:
    ran = run("convrt", "a", "b")
    assert ran.code == 2
    assert "did you mean convert" in ran.err


def test_no_verb_at_all(run) -> None:
    ran = run()
    assert ran.code in (0, 2)
    assert "convert" in ran.out + ran.err


def layerport(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "layerport", *map(str, words)],
        capture_output=True, text=True, check=False, **options,
    )  # fmt: skip


def test_a_traceback_only_with_debug(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text("{")
    plain = layerport("inspect", tmp_path / "m.json")
    assert (plain.returncode, plain.stdout) == (3, "")
    assert "Traceback" not in plain.stderr
    assert plain.stderr.count("\n") == 1
    for words in (["--debug", "inspect"], ["inspect", "--debug"]):
        debugged = layerport(*words, tmp_path / "m.json")
        assert debugged.returncode not in (0, 2)
        assert "Traceback" in debugged.stderr
        assert "ModelFileError" in debugged.stderr


def test_a_mistake_of_ours_is_no_traceback_either(run, known, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("two lines\nof text")

    monkeypatch.setattr("layerport.files.load", broken)
    ran = run("inspect", known.path)
    assert ran.code not in range(5)
    assert "ZeroDivisionError" in ran.err
    assert "--debug" in ran.err


def test_a_reader_that_goes_away_is_no_error(known) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "layerport", "ops"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_names_that_the_terminal_cannot_show(known, tmp_path: Path) -> None:
    network = lp.Sequential([lp.Input((2,)), lp.Dense(1, name="größe_→_💩")])
    lp.save(network, tmp_path / "m.json")
    ran = layerport("inspect", tmp_path / "m.json", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert ran.returncode == 0
    assert "gr\\xf6" in ran.stdout
