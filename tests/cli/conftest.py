"""The command line as a function, and a small classifier with what it must answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import layerport as lp
import numpy as np
import pytest
from layerport.cli import main

from matrix import naive


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run ``layerport`` in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Ran(int(stopped.value.code or 0), out, err)

    return run


@dataclass(frozen=True)
class Known:
    """A model file, samples, and what it computes of them by the formula in float64."""

    path: Path
    x: np.ndarray
    y: np.ndarray


@pytest.fixture
def known(tmp_path: Path) -> Known:
    """4 inputs, 5 hidden relu units, 3 classes."""
    draw = np.random.default_rng(1)
    k1, b1, k2, b2 = (
        draw.standard_normal(shape).astype(np.float32) for shape in ((4, 5), (5,), (5, 3), (3,))
    )
    network = lp.Sequential(
        [lp.Input((4,)), lp.Dense(5, "relu"), lp.Dense(3, "softmax")], name="known"
    )
    network.set_weights([k1, b1, k2, b2])
    path = tmp_path / "known.json"
    lp.save(network, path, version=2)
    x = draw.standard_normal((6, 4)).astype(np.float32)
    X, K1, B1, K2, B2 = (a.astype(np.float64) for a in (x, k1, b1, k2, b2))
    return Known(path, x, naive.softmax(naive.dense(naive.relu(naive.dense(X, K1, B1)), K2, B2)))
