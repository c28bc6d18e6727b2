"""A save is whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport.verification import Verification, VerificationError

from matrix.cases import CASES

BEFORE = b"what was here before"
SUFFIXES = (".json", ".h5", ".onnx", ".mjs")
each_format = pytest.mark.parametrize("suffix", SUFFIXES)


@pytest.fixture
def network() -> lp.Network:
    made = lp.Sequential([lp.Input((4,)), lp.Dense(3, "relu"), lp.Dense(2)])
    made.initialize(0)
    return made


def only(folder: Path, *names: str) -> None:
    """The folder holds what was there, and no leftovers."""
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def writer_of(suffix: str) -> type[lp.Format]:
    return next(
        type(f)
        for f in lp.default_registry().formats.values()
        if suffix in f.suffixes and f.can_write
    )


# On failure -----------------------------------------------------------------------------


class FullError(OSError):
    """What a full disk raises."""


def half(write: Callable[..., None]) -> Callable[..., None]:
    """A writer that writes all, loses half of it, and raises."""

    def broken(self: lp.Format, network: lp.Network, context: Any) -> None:
        write(self, network, context)
        whole = context.path.read_bytes()
        context.path.write_bytes(whole[: len(whole) // 2])
        raise FullError(28, "No space left on device")

    return broken


@each_format
@pytest.mark.parametrize("exists", [True, False])
def test_a_writer_that_fails_halfway(
    network: lp.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, exists: bool
) -> None:
    target = tmp_path / f"m{suffix}"
    if exists:
        target.write_bytes(BEFORE)
    monkeypatch.setattr(writer_of(suffix), "write", half(writer_of(suffix).write))
    with pytest.raises(FullError):
        lp.save(network, target)
    if exists:
        assert target.read_bytes() == BEFORE
    only(tmp_path, *([target.name] if exists else []))


@each_format
def test_an_interrupt_halfway(
    network: lp.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    target = tmp_path / f"m{suffix}"
    target.write_bytes(BEFORE)

    def interrupted(self: lp.Format, network: lp.Network, context: Any) -> None:
        context.path.write_bytes(b"begun")
        raise KeyboardInterrupt

    monkeypatch.setattr(writer_of(suffix), "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lp.save(network, target)
    assert target.read_bytes() == BEFORE
    only(tmp_path, target.name)


@each_format
def test_a_conversion_that_does_not_verify_is_not_kept(
    network: lp.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    lp.save(network, tmp_path / "source.json")
    target = tmp_path / f"m{suffix}"
    target.write_bytes(BEFORE)

    def wrong(self: lp.Format, path: Path, inputs: Any, network: lp.Network) -> list[np.ndarray]:
        return [np.full((len(inputs[0]), 2), 7.0)]

    monkeypatch.setattr(writer_of(suffix), "run", wrong)
    with pytest.raises(VerificationError) as raised:
        lp.convert(tmp_path / "source.json", target)
    assert str(target) in str(raised.value)
    assert target.read_bytes() == BEFORE
    only(tmp_path, "source.json", target.name)
    report = lp.convert(tmp_path / "source.json", target, verify="none")
    assert isinstance(report.verification, Verification)
    assert report.verification.passed is None


SAVER = """
import sys
import layerport as lp
network = lp.Sequential([lp.Input((400,)), lp.Dense(400), lp.Dense(400)])
network.initialize(int(sys.argv[2]))
print("ready", flush=True)
while True:
    lp.save(network, sys.argv[1])
"""


@pytest.mark.skipif(os.name == "nt", reason="kills with a signal")
@each_format
def test_a_process_that_is_killed(tmp_path: Path, suffix: str) -> None:
    """Whenever it dies, the target is complete."""
    target = tmp_path / f"m{suffix}"
    rng = np.random.default_rng(0)
    for seed in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", SAVER, str(target), str(seed)], stdout=subprocess.PIPE
        ) as process:
            process.stdout.readline()
            time.sleep(0.15 + rng.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
        if target.exists():
            if suffix == ".mjs":
                assert target.read_text().rstrip().endswith(("}", ";", ")"))
            else:
                assert lp.load(target).count_params() == 2 * 401 * 400


# Refused before anything is written -----------------------------------------------------


def test_an_unknown_suffix(network: lp.Network, tmp_path: Path) -> None:
    with pytest.raises(lp.UnsupportedError) as refused:
        lp.save(network, tmp_path / "m.xyz")
    for word in ("m.xyz", ".xyz", *SUFFIXES):
        assert word in str(refused.value)
    only(tmp_path)


def test_an_unknown_format(network: lp.Network, tmp_path: Path) -> None:
    with pytest.raises(lp.LayerportError, match="did you mean hdf5"):
        lp.save(network, tmp_path / "m.h5", "hdf4")
    only(tmp_path)


@each_format
def test_an_unknown_option(network: lp.Network, tmp_path: Path, suffix: str) -> None:
    with pytest.raises(lp.UnsupportedError) as refused:
        lp.save(network, tmp_path / f"m{suffix}", colour="red", size=3)
    for word in ("colour", "size", "it has"):
        assert word in str(refused.value)
    only(tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("m.json", {"version": 3}, "version=3"),
        ("m.json", {"encoding": "morse"}, "morse"),
        ("m.json", {"state": "perhaps"}, "perhaps"),
        ("m.onnx", {"opset": 3}, "3"),
        ("m.onnx", {"opset": 1000}, "1000"),
        ("m.onnx", {"opset": "new"}, "new"),
        ("m.h5", {"config": "keras9"}, "keras9"),
    ],
)
def test_an_impossible_value_of_an_option(
    network: lp.Network, tmp_path: Path, name: str, options: dict[str, Any], word: str
) -> None:
    with pytest.raises(lp.UnsupportedError) as refused:
        lp.save(network, tmp_path / name, **options)
    assert word in str(refused.value)
    only(tmp_path)


@each_format
def test_a_folder_that_is_missing(network: lp.Network, tmp_path: Path, suffix: str) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        lp.save(network, tmp_path / "nowhere" / f"m{suffix}")
    only(tmp_path)


@each_format
def test_a_folder_in_the_place_of_the_file(
    network: lp.Network, tmp_path: Path, suffix: str
) -> None:
    target = tmp_path / f"m{suffix}"
    target.mkdir()
    with pytest.raises(IsADirectoryError, match=f"m{suffix}"):
        lp.save(network, target)
    only(tmp_path, target.name)
    only(target)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_folder_that_cannot_be_written(network: lp.Network, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "m.json").write_bytes(BEFORE)
    folder.chmod(0o555)
    try:
        with pytest.raises(PermissionError):
            lp.save(network, folder / "m.json")
        assert (folder / "m.json").read_bytes() == BEFORE
    finally:
        folder.chmod(0o755)


def test_images_of_any_size_are_no_javascript(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "any size")
    with pytest.raises(lp.UnsupportedError) as refused:
        lp.save(case.network(), tmp_path / "m.mjs")
    assert "input" in str(refused.value)
    assert "fixed" in str(refused.value)
    only(tmp_path)


def test_a_network_without_a_shape(tmp_path: Path) -> None:
    for suffix in (".onnx", ".mjs"):
        with pytest.raises(lp.LayerportError, match="shape"):
            lp.save(lp.Sequential([lp.Dense(2)]), tmp_path / f"m{suffix}")
    only(tmp_path)


# Losses ---------------------------------------------------------------------------------


def js_mind() -> lp.Network:
    layer = lp.JsMindDense(2, "relu", 0.25, "ReLULayer", dtype="float64")
    network = lp.Sequential([lp.Input((3,), dtype="float64"), layer], dtype="float64")
    network.initialize(0)
    return network


def test_strict_refuses_a_loss(tmp_path: Path) -> None:
    target = tmp_path / "m.h5"
    target.write_bytes(BEFORE)
    with pytest.raises(lp.LossError) as refused:
        lp.save(js_mind(), target, strict=True)
    assert str(target) in str(refused.value)
    assert "folded" in str(refused.value)
    assert target.read_bytes() == BEFORE
    only(tmp_path, "m.h5")


def test_without_strict_a_loss_is_reported(tmp_path: Path) -> None:
    report = lp.save(js_mind(), tmp_path / "m.h5")
    (loss,) = report.losses
    assert loss.kind == "folded"
    assert "folded" in str(report)


def test_float32_in_javascript_is_a_loss(tmp_path: Path) -> None:
    (loss,) = lp.save(js_mind(), tmp_path / "m.mjs").losses
    assert loss.kind == "approximated"
    with pytest.raises(lp.LossError, match="float64"):
        lp.save(js_mind(), tmp_path / "strict.mjs", strict=True)


def test_what_reading_lost_counts_for_strict_conversions(tmp_path: Path) -> None:
    """A file of Keras with an argument that matters in training only, and is not known here."""
    h5py = pytest.importorskip("h5py")
    network = lp.Sequential([lp.Input((3,)), lp.Dense(2, name="d")])
    lp.save(network, tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        dense = next(e for e in config["config"]["layers"] if e["class_name"] == "Dense")
        constraint = {"class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}}
        dense["config"]["kernel_constraint"] = constraint
        file.attrs["model_config"] = json.dumps(config)
    report = lp.convert(tmp_path / "m.h5", tmp_path / "m.json")
    assert any("kernel_constraint" in note.text for note in report.losses)
    with pytest.raises(lp.LossError, match="kernel_constraint"):
        lp.convert(tmp_path / "m.h5", tmp_path / "strict.json", strict=True)
    assert not (tmp_path / "strict.json").exists()


# On success -----------------------------------------------------------------------------


@each_format
def test_the_report(network: lp.Network, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"m{suffix}"
    report = lp.save(network, target)
    assert report.path == target
    assert not report.losses
    sizes = {path: path.stat().st_size for path in tmp_path.iterdir()}
    assert report.files == sizes
    assert f"{sum(sizes.values()):,} bytes" in str(report)


def test_declarations_stand_beside_a_module(network: lp.Network, tmp_path: Path) -> None:
    lp.save(network, tmp_path / "m.mjs")
    assert (tmp_path / "m.d.ts").exists()


@each_format
def test_saving_twice_gives_the_same_bytes(
    network: lp.Network, tmp_path: Path, suffix: str
) -> None:
    lp.save(network, tmp_path / f"a{suffix}")
    lp.save(network, tmp_path / f"b{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@each_format
def test_saving_does_not_change_the_network(
    network: lp.Network, tmp_path: Path, suffix: str
) -> None:
    before = [array.copy() for array in network.get_weights()]
    names = [layer.name for layer in network.layers]
    lp.save(network, tmp_path / f"m{suffix}")
    for array, old in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, old)
        assert array.flags.writeable
    assert [layer.name for layer in network.layers] == names


def test_paths_may_be_strings_and_relative(
    network: lp.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report = lp.save(network, "m.json")
    assert report.path == Path("m.json")
    assert lp.load("m.json").count_params() == network.count_params()


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_the_mode_of_the_file_is_kept(network: lp.Network, tmp_path: Path) -> None:
    target = tmp_path / "m.json"
    target.write_bytes(BEFORE)
    target.chmod(0o640)
    lp.save(network, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.skipif(os.name == "nt", reason="links need rights")
def test_a_link_stays_a_link(network: lp.Network, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "m.json").write_bytes(BEFORE)
    (tmp_path / "link.json").symlink_to(tmp_path / "real" / "m.json")
    lp.save(network, tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert lp.load(tmp_path / "real" / "m.json").count_params() == network.count_params()
    only(tmp_path / "real", "m.json")


def test_a_file_can_be_written_over_itself(network: lp.Network, tmp_path: Path) -> None:
    x = np.ones((2, 4), np.float32)
    for suffix in (".json", ".h5", ".onnx"):
        path = tmp_path / f"m{suffix}"
        lp.save(network, path)
        loaded = lp.load(path)
        lp.save(loaded, path)
        np.testing.assert_array_equal(lp.load(path).predict(x), network.predict(x))
        lp.convert(path, path)
        np.testing.assert_allclose(lp.load(path).predict(x), network.predict(x), rtol=1e-6)
