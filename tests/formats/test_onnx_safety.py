"""ONNX files that are damaged, or made to do harm."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import layerport as lp
import numpy as np
import onnx
import pytest
from layerport.errors import LayerportError, ModelFileError
from layerport.limits import Limits
from onnx import TensorProto, helper, numpy_helper

from formats.onnx_models import floats, model, node, write


def relu(**changes: object) -> onnx.ModelProto:
    return model([node("Relu", "x", "y")], {"x": ["N", 3]}, {"y": ["N", 3]}, **changes)


def refused(made: onnx.ModelProto, folder: Path, match: str, limits: Limits | None = None) -> None:
    path = write(made, folder)
    with pytest.raises(ModelFileError, match=match) as caught:
        lp.load(path, limits=limits)
    assert str(path) in str(caught.value)


# Graphs ---------------------------------------------------------------------------------


def _graph(*nodes: onnx.NodeProto, **arrays: object) -> onnx.ModelProto:
    return model(list(nodes), {"x": ["N", 3]}, {"y": ["N", 3]}, arrays)


def _twice_declared() -> onnx.ModelProto:
    made = relu()
    made.graph.output.append(made.graph.output[0])
    return made


def _without_operator_sets() -> onnx.ModelProto:
    made = relu()
    del made.opset_import[:]
    return made


BROKEN: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "cycle": (lambda: _graph(node("Add", "x b", "a"), node("Neg", "a", "b"),
                             node("Relu", "b", "y")), "has a cycle"),
    "missing value": (lambda: _graph(node("Add", "x ghost", "y", "sum")),
                      "node 'sum' .Add.: nothing makes its input 'ghost'"),
    "missing output": (lambda: _graph(node("Relu", "x", "z")), "nothing makes the output 'y'"),
    "made twice": (lambda: _graph(node("Relu", "x", "y"), node("Neg", "x", "y")),
                   "'y' is made by two nodes"),
    "makes an input": (lambda: _graph(node("Relu", "x", "x"), node("Neg", "x", "y")),
                       "'x', which is an input"),
    "output twice": (_twice_declared, "'y' is declared twice"),
    "no operator sets": (_without_operator_sets, "which version of ONNX's operators"),
    "shapes that do not fit": (lambda: _graph(node("MatMul", "x w", "y", "fc"), w=floats(4, 3)),
                               "node 'fc' .MatMul.: .*do not multiply"),
    "dtypes that do not fit": (lambda: _graph(node("Add", "x i", "y"), i=np.int64([1])),
                               "float32 and int64"),
    "too few operands": (lambda: _graph(node("Add", "x", "y")), "it has 1 operands"),
    "too many operands": (lambda: _graph(node("Relu", "x x", "y")), "it has 2 operands"),
    "wrong attribute": (lambda: _graph(node("Softmax", "x", "y", axis="last")),
                        "axis is 'last', not INT"),
    "missing attribute": (lambda: _graph(node("Cast", "x", "y")), "attribute to is missing"),
    "axis out of range": (lambda: _graph(node("Softmax", "x", "y", axis=5)), "no axis 5"),
    "two unknown extents": (lambda: _graph(node("Reshape", "x s", "y"), s=np.array([-1, -1])),
                            "leaves more than one extent open"),
    "element type": (lambda: relu(dtypes={"x": 77}), "element type 77 does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_graphs(name: str, tmp_path: Path) -> None:
    make, match = BROKEN[name]
    refused(make(), tmp_path, match)


# Tensors --------------------------------------------------------------------------------


def _with(tensor: TensorProto) -> onnx.ModelProto:
    made = model([node("MatMul", "x w", "y")], {"x": ["N", 3]}, {"y": ["N", 3]})
    made.graph.initializer.append(tensor)
    return made


def _sparse(indices: list[int], dims: list[int]) -> onnx.ModelProto:
    values = numpy_helper.from_array(np.ones(len(indices), np.float32), "w")
    made = model([node("Relu", "x", "y")], {"x": [3]}, {"y": [3]})
    places = numpy_helper.from_array(np.array(indices, np.int64), "i")
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, dims))
    return made


@pytest.mark.parametrize(
    ("made", "match"),
    [
        (_with(TensorProto(name="w", dims=[3, 3], data_type=1, raw_data=b"1234")), "does not fit"),
        (_with(TensorProto(name="w", dims=[-3, 3], data_type=1)), "negative extent"),
        (_with(TensorProto(name="w", dims=[3, 3], data_type=77)), "element type 77"),
        (_with(TensorProto(name="w", dims=[1 << 40, 1 << 40], data_type=1)), "the limits allow"),
        (_with(TensorProto(name="w", dims=[3, 3], data_type=1, float_data=[1.0])), "does not fit"),
        (_sparse([0, 7], [3]), "outside of the shape"),
        (_sparse([0], [1 << 28]), "out of proportion"),
    ],
)
def test_broken_tensors(made: onnx.ModelProto, match: str, tmp_path: Path) -> None:
    refused(made, tmp_path, f"tensor 'w'.*{match}")


# External data --------------------------------------------------------------------------


def _external(**entries: str) -> onnx.ModelProto:
    tensor = TensorProto(name="w", dims=[3, 3], data_type=1, data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return _with(tensor)


def _put(path: Path, array: np.ndarray, before: bytes = b"") -> None:
    path.write_bytes(before + array.tobytes())


def test_external_data(tmp_path: Path) -> None:
    w = floats(3, 3)
    (tmp_path / "data").mkdir()
    _put(tmp_path / "data" / "w.bin", w, b"12345678")
    network = lp.load(write(_external(location="data/w.bin", offset="8", length="36"), tmp_path))
    np.testing.assert_array_equal(network.weights["y/w"], w)


@pytest.mark.parametrize(
    "location", ["../w.bin", "data/../../w.bin", "", "/etc/hostname", "..\\w.bin", "w.bin\0"]
)
def test_external_data_stays_in_the_folder(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    _put(tmp_path / "w.bin", floats(3, 3))
    refused(_external(location=location), folder, "no path inside the model's folder")


@pytest.mark.parametrize("link", ["file", "folder", "hard"])
def test_external_data_follows_no_link_out(link: str, tmp_path: Path) -> None:
    folder, secret = tmp_path / "model", tmp_path / "secret"
    folder.mkdir()
    secret.mkdir()
    _put(secret / "w.bin", floats(3, 3))
    if link == "file":
        (folder / "w.bin").symlink_to(secret / "w.bin")
    elif link == "folder":
        (folder / "sub").symlink_to(secret)
    else:
        os.link(secret / "w.bin", folder / "w.bin")
    location = "sub/w.bin" if link == "folder" else "w.bin"
    refused(_external(location=location), folder, "leads out of|hard link")


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ({"location": "gone.bin"}, "no file 'gone.bin'"),
        ({"location": "w.bin", "offset": "4"}, "beyond the end"),
        ({"location": "w.bin", "offset": "-4"}, "beyond the end"),
        ({"location": "w.bin", "length": "8"}, "needs 36 bytes"),
        ({"location": "w.bin", "length": "many"}, "no number"),
        ({"location": "w.bin", "__class__": "x"}, "has no entry '__class__'"),
        ({"location": "."}, "no file '.'"),
    ],
)
def test_external_data_is_checked(entries: dict[str, str], match: str, tmp_path: Path) -> None:
    _put(tmp_path / "w.bin", floats(3, 3))
    refused(_external(**entries), tmp_path, match)


# Limits ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"tensor_bytes": 8}, "more than the limits allow"),
        ({"total_bytes": 8}, "more than the limits allow"),
        ({"layers": 2}, "more nodes than the limits allow"),
        ({"name_length": 3}, "a name has 4 characters"),
        ({"file_bytes": 100}, "more than the limit allows"),
    ],
)
def test_limits(changes: dict[str, int], match: str, tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "a"), node("Neg", "a", "long"), node("MatMul", "long w", "y")]
    made = _graph(*nodes, w=floats(3, 3))
    refused(made, tmp_path, match, dataclasses.replace(Limits(), **changes))


@pytest.mark.parametrize(
    ("op", "operand"),
    [("ConstantOfShape", None), ("Expand", "x"), ("Tile", "x")],
)
def test_sizes_that_operators_declare(op: str, operand: str | None, tmp_path: Path) -> None:
    inputs = "s" if operand is None else f"{operand} s"
    made = model([node(op, inputs, "h"), node("ReduceSum", "h", "y", keepdims=0)],
                 {"x": [1, 1]}, {"y": []}, {"s": np.array([1 << 24, 1 << 24])})  # fmt: skip
    refused(made, tmp_path, "more than the limits allow")


def _function(name: str, calls: list[str]) -> onnx.FunctionProto:
    values = ["a", *(f"v{i}" for i in range(1, len(calls))), "b"]
    nodes = [
        node(call, values[i], values[i + 1], domain="local") for i, call in enumerate(calls)
    ]  # fmt: skip
    return helper.make_function("local", name, ["a"], ["b"], nodes,
                                [helper.make_opsetid("local", 1)])  # fmt: skip


def test_functions_that_call_themselves(tmp_path: Path) -> None:
    made = model([node("F", "x", "y", domain="local")], {"x": [3]}, {"y": [3]},
                 functions=[_function("F", ["F"])])  # fmt: skip
    refused(made, tmp_path, "nested too deeply")


def test_functions_that_multiply(tmp_path: Path) -> None:
    bodies = [_function(f"F{i}", [f"F{i + 1}"] * 10) for i in range(20)]
    bodies.append(helper.make_function("local", "F20", ["a"], ["b"], [node("Relu", "a", "b")],
                                       [helper.make_opsetid("", 20)]))  # fmt: skip
    made = model([node("F0", "x", "y", domain="local")], {"x": [3]}, {"y": [3]}, functions=bodies)
    refused(made, tmp_path, "more nodes than", dataclasses.replace(Limits(), layers=1000))


def test_loops_without_end(tmp_path: Path) -> None:
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Identity", "going", "on"), node("Neg", "v", "w")], "body",
        [info("i", 7, []), info("going", 9, []), info("v", 1, [3])],
        [info("on", 9, []), info("w", 1, [3])],
    )  # fmt: skip
    made = model([node("Loop", "- c x", "y", body=body)], {"x": [3]}, {"y": [3]},
                 {"c": np.array(True)})  # fmt: skip
    refused(made, tmp_path, "more rounds than", dataclasses.replace(Limits(), layers=1000))


# Bytes ----------------------------------------------------------------------------------


def test_no_shortened_file_is_taken_for_a_model(tmp_path: Path) -> None:
    data = _graph(node("MatMul", "x w", "y"), w=floats(3, 3)).SerializeToString()
    path = tmp_path / "model.onnx"
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(LayerportError):
            lp.load(path, format="onnx")


def test_no_changed_byte_escapes(tmp_path: Path) -> None:
    """Whatever a byte is changed to, the file is read or refused, never anything else."""
    data = _graph(node("MatMul", "x w", "h"), node("Relu", "h", "y"), w=floats(3, 3))
    raw = data.SerializeToString()
    rng = np.random.default_rng(0)
    path = tmp_path / "model.onnx"
    for place in rng.integers(0, len(raw), 300):
        changed = bytearray(raw)
        changed[place] = rng.integers(256)
        path.write_bytes(bytes(changed))
        with contextlib.suppress(LayerportError):
            lp.load(path, format="onnx")
