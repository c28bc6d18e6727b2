"""Writing ONNX: what other runtimes compute, operator sets, names, extents, external data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import layerport as lp
import numpy as np
import onnx
import pytest
from layerport import ops
from layerport.errors import UnsupportedError
from onnx import numpy_helper

from formats.onnx_models import floats, model, node, outputs_of, run, write


class Applied(lp.Layer):
    """A function as a layer; files do not keep it."""

    function: Callable[..., object] = lambda x: x

    def call(self, *args: object) -> object:
        return self.function(*args)


def applied(function: Callable[..., object], *shapes: tuple[int | None, ...]) -> lp.Network:
    """The network that computes a function of inputs x0, x1..."""
    inputs = [lp.Input(shape, name=f"x{i}") for i, shape in enumerate(shapes)]
    return lp.Network(inputs, Applied(function, name="f")(*inputs))


def check(network: lp.Network, folder: Path, *arrays: np.ndarray, tolerance: float = 1e-6,
          **options: object) -> onnx.ModelProto:  # fmt: skip
    """Write, let onnxruntime run it, read back, compare; returns what was written."""
    path = folder / "network.onnx"
    lp.save(network, path, **options)
    onnx.checker.check_model(str(path), full_check=True)
    feeds = {port.name: array for port, array in zip(network.inputs, arrays, strict=True)}
    want = outputs_of(network, feeds)
    for outputs in (run(path, feeds), outputs_of(lp.load(path), feeds)):
        for mine, theirs in zip(outputs, want, strict=True):
            assert mine.dtype == theirs.dtype
            np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)
    return onnx.load(path)


def kinds(made: onnx.ModelProto) -> list[str]:
    return [n.op_type for n in made.graph.node]


def mlp(**dense: object) -> lp.Sequential:
    network = lp.Sequential(
        [lp.Input((6,), **dense), lp.Dense(5, "relu"), lp.Dense(3, "softmax")], name="mlp"
    )
    network.initialize(0)
    return network


# Names ----------------------------------------------------------------------------------


def test_names(tmp_path: Path) -> None:
    made = check(mlp(), tmp_path, floats(4, 6))
    assert [n.name for n in made.graph.node] == [
        "dense/MatMul", "dense/Add", "dense/Relu",
        "dense_1/MatMul", "dense_1/Add", "dense_1/Softmax",
    ]  # fmt: skip
    assert [t.name for t in made.graph.initializer] == [
        "dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias",
    ]  # fmt: skip
    assert made.graph.name == "mlp"
    (given,) = made.graph.input
    assert given.name == "input"
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == ["batch", 6]
    (output,) = made.graph.output
    assert output.name == "dense_1"


def test_operator_set_and_versions(tmp_path: Path) -> None:
    made = check(mlp(), tmp_path, floats(4, 6))
    assert [(entry.domain, entry.version) for entry in made.opset_import] == [("", 17)]
    assert made.ir_version == 8  # what operator set 17 asks for
    assert made.producer_name == "layerport"


def test_foreign_files_keep_their_names(tmp_path: Path) -> None:
    made = model(
        [node("Gemm", "x w b", "h", "fc1", transB=1), node("Relu", "h", "r", "/act/Relu"),
         node("Clip", "r low", "c", "clip"), node("Gather", "c places", "y", "pick", axis=1)],
        {"x": ["N", 3]}, {"y": ["N", 2]},
        {"w": floats(4, 3), "b": floats(4), "low": np.float32(0.1), "places": np.array([0, 2])},
    )  # fmt: skip
    network = lp.load(write(made, tmp_path))
    again = check(network, tmp_path, floats(5, 3))
    assert [n.name for n in again.graph.node] == ["fc1", "/act/Relu", "clip", "pick"]
    arrays = {t.name: numpy_helper.to_array(t) for t in again.graph.initializer}
    assert list(arrays) == ["w", "b", "low", "places"]
    for name, tensor in zip("wb", made.graph.initializer, strict=False):
        np.testing.assert_array_equal(arrays[name], numpy_helper.to_array(tensor))
    assert again.graph.output[0].name == "y"
    assert not again.metadata_props  # there are no layers to speak of


def test_one_value_leaves_twice(tmp_path: Path) -> None:
    x = lp.Input((3,), name="x")
    h = lp.ReLU(name="h")(x)
    made = check(lp.Network(x, [h, h, x]), tmp_path, floats(2, 3))
    assert kinds(made) == ["Relu", "Identity"]
    assert [output.name for output in made.graph.output] == ["h", "h_1", "x"]


# Operator sets --------------------------------------------------------------------------


@pytest.mark.parametrize("opset", [13, 15, 17, 18, 20, 21, 23])
def test_operator_sets(opset: int, tmp_path: Path) -> None:
    """Axes of reductions are attributes before 18; Gelu is in from 20, LayerNormalization 17."""
    network = lp.Sequential(
        [lp.Input((8, 8, 2)), lp.Conv2D(4, 3, activation="gelu"), lp.LayerNormalization(),
         lp.MaxPooling2D(), lp.UpSampling2D(2), lp.ZeroPadding2D(1), lp.GlobalAveragePooling2D(),
         lp.Dense(3, "hard_silu")]
    )  # fmt: skip
    network.initialize(1)
    made = check(network, tmp_path, floats(2, 8, 8, 2), opset=opset, tolerance=1e-5)
    assert made.opset_import[0].version == opset
    used = set(kinds(made))
    assert ("Gelu" in used) == (opset >= 20)
    assert ("LayerNormalization" in used) == (opset >= 17)
    assert type(lp.load(tmp_path / "network.onnx")) is lp.Sequential


def test_options_are_checked(tmp_path: Path) -> None:
    for options, match in [
        ({"opset": 12}, "operator set 12"),
        ({"opset": "x"}, "opset=x"),
        ({"opset": 999}, "operator set 999"),
        ({"external_data": "maybe"}, "external_data=maybe"),
    ]:
        with pytest.raises(UnsupportedError, match=match):
            lp.save(mlp(), tmp_path / "network.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_a_newer_set_where_an_operator_needs_it(tmp_path: Path) -> None:
    made = model([node("ReduceMax", "x", "y")], {"x": [2, 3]}, {"y": [1, 1]},
                 dtypes={"x": onnx.TensorProto.BOOL, "y": onnx.TensorProto.BOOL})  # fmt: skip
    network = lp.load(write(made, tmp_path))
    lp.save(network, tmp_path / "again.onnx")
    assert onnx.load(tmp_path / "again.onnx").opset_import[0].version == 20
    with pytest.raises(UnsupportedError, match=r"ReduceMax \(operator set 20 has it\)"):
        lp.save(network, tmp_path / "again.onnx", opset=17)


# Symbolic extents -----------------------------------------------------------------------

EXTENTS: dict[str, tuple[Callable[..., object], tuple[int | None, ...]]] = {
    "flatten": (lambda x: x.reshape(x.shape[0], -1), (3, 4)),
    "batch into rows": (lambda x: x.reshape(x.shape[0] * 3, 4), (3, 4)),
    "two unknown extents": (lambda x: x.reshape(x.shape[0], x.shape[1], 2, 2), (None, 4)),
    "unknown extents merged": (lambda x: x.reshape(x.shape[0] * x.shape[1], 4), (None, 4)),
    "unknown extents moved": (
        lambda x: x.reshape(2, x.shape[1], x.shape[0], 2), (None, 4),
    ),
    "all but the last": (lambda x: x[:, :-1], (None, 2)),
    "reversed": (lambda x: x[:, ::-1], (None, 2)),
    "broadcast": (lambda x: np.broadcast_to(x[:, :, :1], x.shape), (None, 3)),
    "zeros": (lambda x: np.concatenate([np.zeros_like(x), x], 1), (None, 3)),
    "count": (lambda x: x / ops.count(x, 1).astype(x.dtype), (None, 3)),
    "mean": (lambda x: x.mean(axis=1), (None, 3)),
    "repeat": (lambda x: np.repeat(x, 3, axis=1), (None, 2)),
    "tile": (lambda x: np.tile(x, (1, 2, 2)), (None, 2)),
    "pad": (lambda x: np.pad(x, [(0, 0), (1, 2), (0, 0)]), (None, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", EXTENTS)
def test_symbolic_extents(name: str, tmp_path: Path) -> None:
    """One file serves every size."""
    function, shape = EXTENTS[name]
    network = applied(function, shape)
    for batch, extent in ((3, 5), (1, 8)):
        sizes = [extent if d is None else d for d in shape]
        x = floats(batch, *sizes)
        if name == "unknown extents moved":
            x = floats(batch, extent, 4)
        check(network, tmp_path, x)


def test_extents_of_two_inputs(tmp_path: Path) -> None:
    def swapped(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.concatenate([a, b], 1).reshape(2 * (a.shape[1] + b.shape[1]), a.shape[0])

    network = applied(swapped, (None, 2), (None, 2))
    check(network, tmp_path, floats(3, 4, 2), floats(3, 5, 2))


# Types ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float16", 2e-3)])
def test_dtypes(dtype: str, tolerance: float, tmp_path: Path) -> None:
    network = mlp()
    network.astype(dtype)
    made = check(network, tmp_path, floats(4, 6).astype(dtype), tolerance=tolerance)
    code = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    assert {t.data_type for t in made.graph.initializer} == {code}
    again = lp.load(tmp_path / "network.onnx")
    assert {w.dtype.name for w in again.weights.values()} == {dtype}


def test_integers(tmp_path: Path) -> None:
    x = lp.Input((4,), dtype="int32", name="ids")
    network = lp.Network(x, Applied(lambda ids: ops.Gather(0)(floats(7, 3), ids))(x))
    check(network, tmp_path, np.array([[0, 6, 2, 2]], np.int32))


# External data --------------------------------------------------------------------------


def big() -> lp.Sequential:
    network = lp.Sequential([lp.Input((64,)), lp.Dense(50), lp.Dense(2)])
    network.initialize(0)
    return network


@pytest.mark.parametrize("value", [True, "true"])
def test_external_data(value: object, tmp_path: Path) -> None:
    network = big()
    report = lp.save(network, tmp_path / "network.onnx", external_data=value)
    assert {path.name for path in report.files} == {"network.onnx", "network.onnx.data"}
    x = floats(3, 64)
    for got in (run(tmp_path / "network.onnx", {"input": x})[0],
                lp.load(tmp_path / "network.onnx").predict(x)):  # fmt: skip
        np.testing.assert_allclose(got, network.predict(x), rtol=1e-5, atol=1e-6)
    tensors = onnx.load(tmp_path / "network.onnx", load_external_data=False).graph.initializer
    outside = [t for t in tensors if t.data_location == onnx.TensorProto.EXTERNAL]
    assert [t.name for t in outside] == ["dense/kernel"]  # small ones stay in the model
    places = {entry.key: entry.value for entry in outside[0].external_data}
    assert int(places["offset"]) % 4096 == 0


def test_saving_replaces_external_data(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    lp.save(big(), path, external_data=True)
    network = lp.load(path)
    network.weights["dense/kernel"][...] = 1
    lp.save(network, path, external_data=True)
    assert (lp.load(path).weights["dense/kernel"] == 1).all()


def test_one_file_unless_asked(tmp_path: Path) -> None:
    lp.save(big(), tmp_path / "network.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["network.onnx"]


# Custom operators -----------------------------------------------------------------------


def test_what_onnx_cannot_express_is_named(tmp_path: Path) -> None:
    class Noise(lp.Layer):
        def call(self, x: lp.Array) -> lp.Array:
            return x + self.random.uniform(x.shape)

    x = lp.Input((3,))
    network = lp.Network(x, Noise(name="hiss")(x))
    with pytest.raises(UnsupportedError) as caught:
        lp.save(network, tmp_path / "network.onnx")
    assert "hiss" in str(caught.value)
    assert "RandomUniform" in str(caught.value)
    assert not list(tmp_path.iterdir())
