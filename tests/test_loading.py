"""The one boundary through which every file is read."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
import pytest

SUFFIXES = (".json", ".h5", ".onnx")
each_format = pytest.mark.parametrize("suffix", SUFFIXES)


@pytest.fixture
def network() -> lp.Network:
    made = lp.Sequential([lp.Input((4,)), lp.Dense(3, "relu", name="first"), lp.Dense(2)])
    made.initialize(0)
    return made


# What is read ---------------------------------------------------------------------------


@each_format
def test_the_content_decides(network: lp.Network, tmp_path: Path, suffix: str) -> None:
    lp.save(network, tmp_path / f"m{suffix}")
    for other in (*SUFFIXES, ".bin", ""):
        path = tmp_path / f"renamed{other}"
        path.write_bytes((tmp_path / f"m{suffix}").read_bytes())
        assert lp.load(path).count_params() == network.count_params()


@each_format
def test_the_format_can_be_named(network: lp.Network, tmp_path: Path, suffix: str) -> None:
    lp.save(network, tmp_path / f"m{suffix}")
    names = {".json": "layers_json", ".h5": "hdf5", ".onnx": "onnx"}
    lp.load(tmp_path / f"m{suffix}", format=names.pop(suffix))
    for other in names.values():
        with pytest.raises(lp.ModelFileError, match=f"m{suffix}"):
            lp.load(tmp_path / f"m{suffix}", format=other)


@each_format
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_dtype_can_be_asked_for(
    network: lp.Network, tmp_path: Path, suffix: str, dtype: str
) -> None:
    lp.save(network, tmp_path / f"m{suffix}")
    again = lp.load(tmp_path / f"m{suffix}", dtype=dtype)
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(dtype)
    assert again.dtype == dtype
    assert {array.dtype.name for array in again.weights.values()} == {dtype}
    assert again.predict(x).dtype.name == dtype
    np.testing.assert_allclose(again.predict(x), network.predict(x), rtol=1e-5, atol=1e-6)


def test_where_it_came_from(network: lp.Network, tmp_path: Path) -> None:
    lp.save(network, tmp_path / "m.h5")
    assert lp.load(tmp_path / "m.h5").origin == ("hdf5", ())


# What is refused ------------------------------------------------------------------------


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lp.load(tmp_path / "absent.h5")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(lp.ModelFileError, match="folder"):
        lp.load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.h5")
    refused: list[Exception] = []

    def load() -> None:
        try:
            lp.load(tmp_path / "m.h5")
        except lp.ModelFileError as error:
            refused.append(error)

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    thread.join(10)
    assert len(refused) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_that_may_not_be_read(network: lp.Network, tmp_path: Path) -> None:
    lp.save(network, tmp_path / "m.h5")
    (tmp_path / "m.h5").chmod(0)
    with pytest.raises(PermissionError):
        lp.load(tmp_path / "m.h5")


@each_format
def test_an_empty_file(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"m{suffix}").touch()
    with pytest.raises(lp.ModelFileError, match="empty"):
        lp.load(tmp_path / f"m{suffix}")


def test_an_unknown_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "m.h5").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    with pytest.raises(lp.ModelFileError) as refused:
        lp.load(tmp_path / "m.h5")
    for word in ("m.h5", "layers_json", "hdf5", "onnx"):
        assert word in str(refused.value)


@each_format
def test_limits(network: lp.Network, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    lp.save(network, path)
    size = path.stat().st_size
    lp.load(path, limits=lp.Limits(file_bytes=size))
    for limits in (
        lp.Limits(file_bytes=size - 1),
        lp.Limits(tensor_bytes=47),  # the first kernel has 48
        lp.Limits(total_bytes=91),  # all have 92
        lp.Limits(layers=1),
    ):
        with pytest.raises(lp.ModelFileError) as refused:
            lp.load(path, limits=limits)
        assert str(path) in str(refused.value)


def test_limits_of_js_mind_files(tmp_path: Path) -> None:
    entry = {"className": "SigmoidLayer", "properties": {"w": [[1, 2]], "b": [[3]]}}
    path = tmp_path / "m.json"
    path.write_text(json.dumps([entry]))
    lp.load(path, limits=lp.Limits(layers=1, tensor_bytes=16, total_bytes=24))
    for limits in (lp.Limits(layers=0), lp.Limits(tensor_bytes=15), lp.Limits(total_bytes=23)):
        with pytest.raises(lp.ModelFileError, match="limit"):
            lp.load(path, limits=limits)


def test_deep_json(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(lp.ModelFileError, match="deep"):
        lp.load(tmp_path / "m.json")


def test_deep_networks(tmp_path: Path) -> None:
    def nested(levels: int) -> dict[str, Any]:
        layers = [{"class_name": "InputLayer", "config": {"shape": [2]}}]
        layers.append(nested(levels - 1) if levels else {"class_name": "Flatten", "config": {}})
        return {"class_name": "Sequential", "config": {"layers": layers}}

    for levels, fits in ((5, True), (60, False)):
        data = {"format": "layerport", "version": 2, "weights": {}}
        (tmp_path / "m.json").write_text(json.dumps({**data, "network": nested(levels)}))
        if fits:
            lp.load(tmp_path / "m.json")
        else:
            with pytest.raises(lp.ModelFileError, match="deep"):
                lp.load(tmp_path / "m.json")


# What is never done ---------------------------------------------------------------------


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module on the path that no file may get imported."""
    (tmp_path / "trap_module.py").write_text("class Trap: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "trap_module"
    assert "trap_module" not in sys.modules


@pytest.mark.parametrize("name", ["trap_module:Trap", "trap_module.Trap", "trap_module>Trap"])
def test_a_file_names_no_code(trap: str, tmp_path: Path, name: str) -> None:
    """Wherever a class or function is named, in every format."""
    h5py = pytest.importorskip("h5py")
    named = {"module": trap, "class_name": name, "registered_name": name, "config": {}}
    source = {"class_name": "InputLayer", "config": {"shape": [2], "name": "i"}}
    places = [
        [source, {"class_name": name, "config": {}}],
        [source, {"class_name": "Activation", "config": {"activation": name}}],
        [source, {"class_name": "Dense", "config": {"units": 1, "kernel_initializer": name}}],
        [source, {"class_name": "Dense", "config": {"units": 1, "activation": named}}],
        [source, {"class_name": "Dense", "config": {"units": 1, "bias_regularizer": named}}],
    ]
    for layers in places:
        data = {"format": "layerport", "version": 2, "weights": {},
                "network": {"class_name": "Sequential", "config": {"layers": layers}}}  # fmt: skip
        (tmp_path / "m.json").write_text(json.dumps(data))
        with pytest.raises(lp.LayerportError):
            lp.load(tmp_path / "m.json").predict(np.ones((1, 2), np.float32))
        shape = {
            "class_name": "InputLayer",
            "config": {"batch_input_shape": [None, 2], "name": "i"},
        }
        config = {"class_name": "Sequential", "module": trap,
                  "config": {"name": "s", "layers": [shape, *layers[1:]]}}  # fmt: skip
        with h5py.File(tmp_path / "m.h5", "w") as file:
            file.attrs["model_config"] = json.dumps(config)
            file.create_group("model_weights").attrs["layer_names"] = np.zeros(0, "S1")
        with pytest.raises(lp.LayerportError):
            lp.load(tmp_path / "m.h5").predict(np.ones((1, 2), np.float32))


def test_bytecode_of_a_lambda_is_not_run(trap: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    import base64
    import marshal

    code = compile("import trap_module", "trap", "exec")
    function = [base64.b64encode(marshal.dumps(code)).decode(), None, None]
    layer = {"class_name": "Lambda", "config": {"name": "l", "function": function,
             "function_type": "lambda", "batch_input_shape": [None, 2]}}  # fmt: skip
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.create_group("model_weights").attrs["layer_names"] = np.zeros(0, "S1")
    with pytest.raises((lp.ModelFileError, lp.UnsupportedError), match="Lambda"):
        lp.load(tmp_path / "m.h5")
