"""What counts as computing the same."""

from __future__ import annotations

from pathlib import Path

import layerport as lp
import numpy as np
import pytest
from layerport.verification import largest_difference, verify_file

from matrix.cases import CASES

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("got", "want", "difference", "passed"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0, True),
        ([1.0 + 1e-6], [1.0], 1e-6, True),
        ([1.0 + 1e-4], [1.0], 1e-4, False),
        ([1e-4, 100.0], [0.0, 100.0], 1e-4, True),  # small beside the largest
        ([1e-4], [0.0], 1e-4, False),
        ([NAN, 1.0], [NAN, 1.0], 0.0, True),
        ([NAN], [1.0], INF, False),
        ([1.0], [NAN], INF, False),
        ([INF, -INF], [INF, -INF], 0.0, True),
        ([INF], [-INF], INF, False),
        ([INF], [1.0], INF, False),
        ([1.0], [INF], INF, False),
        ([], [], 0.0, True),
    ],
)
def test_differences(got: list[float], want: list[float], difference: float, passed: bool) -> None:
    found, verdict = largest_difference([np.array(got)], [np.array(want)])
    assert found == pytest.approx(difference, rel=1e-6)
    assert verdict is passed


def test_shapes_and_numbers_of_outputs_must_fit() -> None:
    with pytest.raises(lp.ShapeError, match="1 outputs, expected 2"):
        largest_difference([np.ones(3)], [np.ones(3), np.ones(3)])
    with pytest.raises(lp.ShapeError, match=r"\(3,\).*\(3, 1\)"):
        largest_difference([np.ones(3)], [np.ones((3, 1))])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_network_gets_samples(case) -> None:
    """Inputs of unknown size and of whole numbers, too; the same ones each time."""
    network = case.network()
    first, second = lp.sample_inputs(network, 4), lp.sample_inputs(network, 4)
    for port, a, b in zip(network.inputs, first, second, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == port.dtype
        assert len(a) == 4
    assert lp.verify(network, network, samples=3).passed


def test_files_are_compared(tmp_path: Path) -> None:
    network = lp.Sequential([lp.Input((3,)), lp.Dense(2)])
    network.initialize(0)
    lp.save(network, tmp_path / "a.json")
    lp.save(network, tmp_path / "a.onnx")
    result = lp.verify(tmp_path / "a.json", str(tmp_path / "a.onnx"), samples=5)
    assert result.passed
    assert result.method == "run"
    assert result.max_difference < 1e-6
    assert "5 samples" in str(result)


@pytest.mark.parametrize("suffix", [".json", ".h5", ".onnx"])
def test_changed_weights_are_found(tmp_path: Path, suffix: str) -> None:
    """A bit in the file is enough for the checksums, and more of them for the outputs."""
    network = lp.Sequential([lp.Input((3,)), lp.Dense(2, name="d")])
    network.set_weights([np.float32([[1, 2], [3, 4], [5, 6]]), np.float32([0.5, 0.25])])
    other = lp.Sequential([lp.Input((3,)), lp.Dense(2, name="d")])
    other.set_weights([np.float32([[1, 2], [3, 4], [5, 6]]), np.float32([0.5, 0.26])])
    path = tmp_path / f"m{suffix}"
    report = lp.save(other, path, **({"version": 2} if suffix == ".json" else {}))
    fmt = lp.default_registry().formats[report.format]
    by_weights = verify_file(network, path, fmt, "weights")
    assert by_weights.passed is False
    assert by_weights.detail == "different tensors: d/bias"
    by_running = verify_file(network, path, fmt, "run")
    assert by_running.passed is False
    assert by_running.max_difference == pytest.approx(0.01, rel=1e-3)
    assert verify_file(other, path, fmt, "weights").passed
    assert verify_file(other, path, fmt, "run").passed


def test_large_networks_are_compared_by_their_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = lp.Sequential([lp.Input((3,)), lp.Dense(2)])
    network.initialize(0)
    lp.save(network, tmp_path / "m.h5")
    monkeypatch.setattr("layerport.verification.RUN_BYTES", 31)  # it has 32
    report = lp.convert(tmp_path / "m.h5", tmp_path / "m.onnx")
    assert report.verification.method == "weights"
    assert report.verification.passed


def test_a_runtime_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = lp.Sequential([lp.Input((3,)), lp.Dense(2)])
    network.initialize(0)
    lp.save(network, tmp_path / "m.h5")
    monkeypatch.setattr("layerport_formats.javascript.node.find_node", lambda: None)
    report = lp.convert(tmp_path / "m.h5", tmp_path / "m.mjs")
    assert report.verification.passed is None
    assert "written, not run" in str(report)
    assert (tmp_path / "m.mjs").exists()
