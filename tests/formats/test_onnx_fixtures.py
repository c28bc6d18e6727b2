"""Files of PyTorch, Keras, tf2onnx and scikit-learn, with the outputs of their producers."""

from __future__ import annotations

from pathlib import Path

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError

FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures"
TOLERANCE = 1e-4

FOLDERS = ("torch", "keras_export_onnx", "keras_tf2onnx", "sklearn")


def _files() -> list[Path]:
    return sorted(p for f in FOLDERS for p in (FIXTURES / f).glob("*.onnx"))


def _expected(path: Path) -> Path:
    """`resnet_ts17.onnx` is compared with `resnet.npz`."""
    same = path.with_suffix(".npz")
    return same if same.exists() else path.with_name(path.stem.split("_")[0] + ".npz")


def _given(inputs: list[np.ndarray]) -> object:
    return inputs if len(inputs) > 1 else inputs[0]


@pytest.mark.parametrize("path", _files(), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_file(path: Path, tmp_path: Path) -> None:
    """Read, run; write, read, run."""
    arrays = np.load(_expected(path))
    inputs = [arrays[k] for k in sorted(arrays.files) if k.startswith("input_")]
    outputs = [arrays[k] for k in sorted(arrays.files) if k.startswith("output_")]
    network = lp.load(path)
    if network.labels is not None:  # names of classes are no output
        outputs = [array for array in outputs if array.dtype.kind not in "US"]
    lp.save(network, tmp_path / "again.onnx")
    again = lp.load(tmp_path / "again.onnx")
    for net in (network, again):
        made = net.predict(_given(inputs))
        for got, want in zip(made if isinstance(made, list) else [made], outputs, strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_allclose(
                got.reshape(want.shape), want, rtol=TOLERANCE, atol=TOLERANCE
            )
    assert [layer.name for layer in again.layers] == [layer.name for layer in network.layers]
    assert list(again.weights) == list(network.weights)
    for name, array in network.weights.items():
        assert again.weights[name].tobytes() == array.tobytes()


INVALID = sorted((FIXTURES / "invalid").glob("*.onnx"))


@pytest.mark.parametrize("path", INVALID, ids=lambda p: p.stem)
def test_invalid_file(path: Path) -> None:
    """Files with operators that do not exist; one merely asks for more inputs than it should."""
    if "captured_inputs" in path.stem:
        assert len(lp.load(path).inputs) == 3
        return
    with pytest.raises(LayerportError, match="layerport has no such operator"):
        lp.load(path)
