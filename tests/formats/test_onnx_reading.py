"""Reading ONNX: what is kept, old forms, shapes that files compute, control flow."""

from __future__ import annotations

from pathlib import Path

import layerport as lp
import numpy as np
import onnx
import pytest
from layerport.connections import InputLayer
from layerport.errors import ModelFileError, ShapeError, UnsupportedError
from layerport.operator import Operator
from onnx import TensorProto, helper, numpy_helper

from formats.onnx_models import assert_equal_to_runtime, floats, model, node, run, write


def load(made: onnx.ModelProto, folder: Path) -> lp.Network:
    return lp.load(write(made, folder))


# What is kept ---------------------------------------------------------------------------


def test_names_are_kept(tmp_path: Path) -> None:
    made = model(
        [node("MatMul", "x fc.weight", "h", "/fc/MatMul"),
         node("Add", "h fc.bias", "y", "/fc/Add")],
        {"x": ["N", 3]}, {"y": ["N", 2]},
        {"fc.weight": floats(3, 2), "fc.bias": floats(2)},
    )  # fmt: skip
    network = assert_equal_to_runtime(made, {"x": floats(4, 3)}, tmp_path)
    assert [layer.name for layer in network.layers] == ["x", "/fc/MatMul", "/fc/Add"]
    assert list(network.weights) == ["/fc/MatMul/fc.weight", "/fc/Add/fc.bias"]
    assert [(p.name, p.shape) for p in network.inputs] == [("x", (None, 3))]
    assert [(p.name, p.shape) for p in network.outputs] == [("y", (None, 2))]
    network.weights["/fc/Add/fc.bias"][...] = 0  # weights can be trained


def test_a_node_without_name_is_called_as_what_it_makes(tmp_path: Path) -> None:
    made = model([node("Relu", "x", "h"), node("Neg", "h", "y", "h")], {"x": [2]}, {"y": [2]})
    assert [layer.name for layer in load(made, tmp_path).layers] == ["x", "h", "h_1"]


def test_a_weight_of_several_nodes_is_one_weight(tmp_path: Path) -> None:
    made = model(
        [node("MatMul", "x w", "a"), node("MatMul", "a w", "b"), node("Add", "b s", "c"),
         node("Mul", "c s", "y")],
        {"x": ["N", 3]}, {"y": ["N", 3]}, {"w": floats(3, 3), "s": np.float32(2)},
    )  # fmt: skip
    network = assert_equal_to_runtime(made, {"x": floats(4, 3)}, tmp_path)
    assert {name: w.shape for name, w in network.weights.items()} == {"w/w": (3, 3)}
    network.weights["w/w"][...] = 0
    np.testing.assert_array_equal(network.predict(floats(4, 3)), np.full((4, 3), 4, np.float32))


def test_every_form_of_a_constant(tmp_path: Path) -> None:
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array([5, 7], np.float32), "v"),
        numpy_helper.from_array(np.array([0, 2], np.int64), "i"), [3],
    )  # fmt: skip
    forms = [
        {"value": numpy_helper.from_array(np.float32(2))},
        {"value_float": 1.5},
        {"value_floats": [1.0, 2.0, 3.0]},
        {"sparse_value": sparse},
    ]
    nodes = [node("Constant", "", f"c{i}", **form) for i, form in enumerate(forms)]
    nodes.append(node("Sum", "x c0 c1 c2 c3", "y"))
    network = load(model(nodes, {"x": ["N", 3]}, {"y": ["N", 3]}), tmp_path)
    x = floats(2, 3)
    want = x + np.float32(3.5) + np.array([6, 2, 10], np.float32)
    np.testing.assert_allclose(network.predict(x), want, rtol=1e-6)


def test_sparse_initializer(tmp_path: Path) -> None:
    made = model([node("MatMul", "x w", "y")], {"x": ["N", 3]}, {"y": ["N", 2]})
    tensor = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array([5, 7], np.float32), "w"),
        numpy_helper.from_array(np.array([[0, 1], [2, 0]], np.int64), "i"), [3, 2],
    )  # fmt: skip
    made.graph.sparse_initializer.append(tensor)
    network = load(made, tmp_path)
    np.testing.assert_array_equal(
        network.weights["y/w"], np.array([[0, 5], [0, 0], [7, 0]], np.float32)
    )


def test_inputs_with_a_default_are_weights(tmp_path: Path) -> None:
    """Files before IR version 4 list initializers among the inputs."""
    made = model([node("Mul", "x w", "y")], {"x": [3], "w": [3]}, {"y": [3]}, {"w": floats(3)})
    network = assert_equal_to_runtime(made, {"x": floats(3)}, tmp_path)
    assert [port.name for port in network.inputs] == ["x"]


def test_unsorted_nodes_are_put_in_order(tmp_path: Path) -> None:
    made = model([node("Neg", "h", "y"), node("Relu", "x", "h")], {"x": [3]}, {"y": [3]})
    x = floats(3)
    np.testing.assert_array_equal(load(made, tmp_path).predict(x), -np.maximum(x, 0))


def test_an_output_that_nothing_computes(tmp_path: Path) -> None:
    made = model([node("Relu", "x", "y")], {"x": [3]}, {"y": [3], "x": [3], "w": [2]},
                 {"w": floats(2)})  # fmt: skip
    network = load(made, tmp_path)
    x = floats(3)
    for got, want in zip(network.predict(x), (np.maximum(x, 0), x, floats(2)), strict=True):
        np.testing.assert_array_equal(got, want)
    assert [port.name for port in network.outputs] == ["y", "x", "w"]


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "uint8", "bool"])
def test_dtypes_are_kept(dtype: str, tmp_path: Path) -> None:
    code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    x = np.array([[0, 1, 1]]).astype(dtype)
    made = model([node("Concat", "x c", "y", axis=0)], {"x": [1, 3]}, {"y": [2, 3]},
                 {"c": np.array([[1, 0, 1]]).astype(dtype)},
                 dtypes={"x": code, "y": code})  # fmt: skip
    assert_equal_to_runtime(made, {"x": x}, tmp_path)


# Inputs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([["N", 3]], [InputLayer((3,))]),
        ([[None, 3]], [InputLayer((3,))]),
        ([[4, 3]], [InputLayer((3,), 4)]),
        ([["N", "seq"]], [InputLayer(("seq",))]),
        ([["N", None]], [InputLayer((None,))]),
        ([[]], [InputLayer((), batched=False)]),
        ([["N", 3], [2, "N", 5]], [InputLayer((3,)), InputLayer((2, "batch", 5), batched=False)]),
        ([["seq", "batch", 3]], [InputLayer(("seq", "batch", 3), batched=False)]),
    ],
)
def test_input_layers(shapes: list[list], expected: list[InputLayer], tmp_path: Path) -> None:
    inputs = {f"x{i}": shape for i, shape in enumerate(shapes)}
    nodes = [node("Relu", name, f"y{i}") for i, name in enumerate(inputs)]
    made = model(nodes, inputs, {f"y{i}": shape for i, shape in enumerate(shapes)})
    network = load(made, tmp_path)
    layers = [outlet.layer for outlet in network.input_outlets]
    for layer, want in zip(layers, expected, strict=True):
        assert isinstance(layer, InputLayer)
        assert (layer.shape, layer.batch_size, layer.batched) == (
            want.shape, want.batch_size, want.batched,
        )  # fmt: skip


def test_a_fixed_batch_stays_fixed(tmp_path: Path) -> None:
    network = load(model([node("Relu", "x", "y")], {"x": [4, 3]}, {"y": [4, 3]}), tmp_path)
    with pytest.raises(ShapeError, match="does not fit"):
        network.predict(floats(5, 3))


def test_inputs_that_vary_together(tmp_path: Path) -> None:
    made = model(
        [node("Add", "a b", "y")], {"a": ["N", "T", 2], "b": ["T", 1]}, {"y": ["N", "T", 2]}
    )
    feeds = {"a": floats(3, 5, 2), "b": floats(5, 1)}
    assert_equal_to_runtime(made, feeds, tmp_path)


# Old forms ------------------------------------------------------------------------------

X = {"x": floats(2, 3, 4)}

OLD = {
    "flattening softmax": (11, [node("Softmax", "x", "y", axis=1)], {}, [2, 3, 4]),
    "softmax of the last axis": (11, [node("Softmax", "x", "y", axis=2)], {}, [2, 3, 4]),
    "softmax without axis": (9, [node("LogSoftmax", "x", "y")], {}, [2, 3, 4]),
    "axes of unsqueeze": (11, [node("Unsqueeze", "x", "y", axes=[0, 4])], {}, [1, 2, 3, 4, 1]),
    "axes of reduce": (13, [node("ReduceMean", "x", "y", axes=[1], keepdims=0)], {}, [2, 4]),
    "axes of sum": (11, [node("ReduceSum", "x", "y", axes=[-1])], {}, [2, 3, 1]),
    "bounds of clip": (9, [node("Clip", "x", "y", min=-0.5, max=0.25)], {}, [2, 3, 4]),
    "pads": (9, [node("Pad", "x", "y", pads=[0, 1, 0, 0, 0, 2], value=3.0)], {}, [2, 4, 6]),
    "slice": (9, [node("Slice", "x", "y", starts=[1], ends=[9], axes=[2])], {}, [2, 3, 3]),
    "split": (11, [node("Split", "x", "y z", axis=2, split=[1, 3])], {}, [2, 3, 1]),
    "split evenly": (11, [node("Split", "x", "y z", axis=2)], {}, [2, 3, 2]),
    "dropout": (10, [node("Dropout", "x", "y", ratio=0.5)], {}, [2, 3, 4]),
    "negative reshape": (
        13, [node("Reshape", "x s", "y")], {"s": np.array([0, -1], np.int64)}, [2, 12],
    ),
    "upsample": (
        9, [node("Upsample", "x s", "y", mode="nearest")],
        {"s": np.array([1, 2, 1.5], np.float32)}, [2, 6, 6],
    ),
    "upsample by attribute": (
        7, [node("Upsample", "x", "y", mode="nearest", scales=[1.0, 2.0, 2.0])], {}, [2, 6, 8],
    ),
    "resize 10": (
        10, [node("Resize", "x s", "y", mode="nearest")],
        {"s": np.array([1, 1, 0.5], np.float32)}, [2, 3, 2],
    ),
    "cast": (9, [node("Cast", "x", "i", to=7), node("Cast", "i", "y", to=1)], {}, [2, 3, 4]),
    "batch normalization": (
        8, [node("BatchNormalization", "x s b m v", "y", epsilon=1e-3)],
        {k: np.abs(floats(3, seed=i)) for i, k in enumerate("sbmv")}, [2, 3, 4],
    ),
    "prelu of channels": (
        7, [node("PRelu", "x s", "y")], {"s": floats(3, 1)}, [2, 3, 4],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OLD)
def test_old_forms(name: str, tmp_path: Path) -> None:
    opset, nodes, arrays, shape = OLD[name]
    outputs = {"y": shape, "z": [2, 3, 4 - shape[-1]]} if "split" in name else {"y": shape}
    made = model(nodes, {"x": [2, 3, 4]}, outputs, arrays, opset=opset)
    assert_equal_to_runtime(made, X, tmp_path)


def test_broadcasting_by_axis(tmp_path: Path) -> None:
    made = model(
        [node("Add", "x b", "y", broadcast=1, axis=1)], {"x": [2, 3, 4]}, {"y": [2, 3, 4]},
        {"b": floats(3)}, opset=6,
    )  # fmt: skip
    want = X["x"] + floats(3)[:, None]
    np.testing.assert_array_equal(load(made, tmp_path).predict(X["x"]), want)


def test_batch_normalization_of_every_element(tmp_path: Path) -> None:
    arrays = {k: np.abs(floats(3, 4, seed=i)) for i, k in enumerate("sbmv")}
    made = model([node("BatchNormalization", "x s b m v", "y", spatial=0)], {"x": [2, 3, 4]},
                 {"y": [2, 3, 4]}, arrays, opset=8)  # fmt: skip
    s, b, m, v = (arrays[k].astype("f8") for k in "sbmv")
    want = (X["x"].astype("f8") - m) / np.sqrt(v + 1e-5) * s + b
    np.testing.assert_allclose(load(made, tmp_path).predict(X["x"]), want, rtol=1e-4, atol=1e-5)


# Shapes that files compute --------------------------------------------------------------


def _flatten(extent: str) -> list[onnx.NodeProto]:
    """As the TorchScript exporter writes x.view(x.shape[0], -1)."""
    return [
        node("Shape", "x", "s"), node("Gather", "s zero", "n", axis=0),
        node("Unsqueeze", "n axes", "n1"), node("Concat", f"n1 {extent}", "shape", axis=0),
        node("Reshape", "x shape", "y"),
    ]  # fmt: skip


def test_reshape_by_a_computed_shape(tmp_path: Path) -> None:
    arrays = {"zero": np.int64(0), "axes": np.array([0]), "rest": np.array([-1])}
    made = model(_flatten("rest"), {"x": ["N", 3, 4]}, {"y": ["N", 12]}, arrays)
    network = assert_equal_to_runtime(made, {"x": floats(5, 3, 4)}, tmp_path)
    assert [layer.name for layer in network.layers] == ["x", "y"]  # the shape is no layer
    assert network.outputs[0].shape == (None, 12)


def test_arithmetic_on_extents(tmp_path: Path) -> None:
    """(N * 3 * 4) // 2 rows of 2, with casts to float on the way, as exporters write it."""
    nodes = [
        node("Shape", "x", "s"), node("ReduceProd", "s", "size", keepdims=1),
        node("Cast", "size", "f", to=1), node("Div", "f two", "half"), node("Floor", "half", "fl"),
        node("Cast", "fl", "rows", to=7), node("Concat", "rows minus", "shape", axis=0),
        node("Reshape", "x shape", "y"),
    ]  # fmt: skip
    arrays = {"two": np.array([2], np.float32), "minus": np.array([2])}
    made = model(nodes, {"x": ["N", 3, 4]}, {"y": [None, 2]}, arrays)
    assert_equal_to_runtime(made, {"x": floats(5, 3, 4)}, tmp_path)


def test_expand_by_where(tmp_path: Path) -> None:
    """As torch writes x.expand(n, -1, 5): -1 keeps the extent."""
    nodes = [
        node("Shape", "x", "s"), node("Slice", "s zero one", "n"),
        node("Concat", "n rest", "wanted", axis=0), node("Equal", "wanted minus", "keep"),
        node("Where", "keep ones wanted", "shape"), node("Expand", "x shape", "y"),
    ]  # fmt: skip
    arrays = {"zero": np.array([0]), "one": np.array([1]), "rest": np.array([-1, 5]),
              "minus": np.int64(-1), "ones": np.ones(3, np.int64)}  # fmt: skip
    made = model(nodes, {"x": ["N", 3, 1]}, {"y": ["N", 3, 5]}, arrays)
    assert_equal_to_runtime(made, {"x": floats(2, 3, 1)}, tmp_path)


def test_zeros_of_a_computed_shape(tmp_path: Path) -> None:
    nodes = [
        node("Shape", "x", "n", start=0, end=1), node("Concat", "n four", "shape", axis=0),
        node("ConstantOfShape", "shape", "h"), node("Concat", "x h", "y", axis=1),
    ]  # fmt: skip
    made = model(nodes, {"x": ["N", 3]}, {"y": ["N", 7]}, {"four": np.array([4])})
    assert_equal_to_runtime(made, {"x": floats(2, 3)}, tmp_path)


def test_an_extent_as_a_number(tmp_path: Path) -> None:
    nodes = [node("Shape", "x", "s"), node("Gather", "s zero", "n"), node("Cast", "n", "f", to=1),
             node("Div", "x f", "y")]  # fmt: skip
    made = model(nodes, {"x": ["N", 3]}, {"y": ["N", 3]}, {"zero": np.int64(0)})
    assert_equal_to_runtime(made, {"x": floats(5, 3)}, tmp_path)


def test_a_shape_that_depends_on_data_is_refused(tmp_path: Path) -> None:
    made = model([node("Reshape", "x s", "y")], {"x": ["N", 4], "s": [2]}, {"y": [None, None]},
                 dtypes={"s": TensorProto.INT64})  # fmt: skip
    with pytest.raises(UnsupportedError, match="depends on the data of 's'"):
        load(made, tmp_path)


# Functions and control flow -------------------------------------------------------------


def test_functions_are_put_in_place(tmp_path: Path) -> None:
    gated = helper.make_function(
        "local", "Gated", ["a", "b"], ["c"],
        [node("Sigmoid", "a", "s"), node("Mul", "s b", "m"),
         node("LeakyRelu", "m", "c")],
        [helper.make_opsetid("", 20)], ["slope"],
    )  # fmt: skip
    ref = gated.node[2].attribute.add(name="alpha", type=onnx.AttributeProto.FLOAT)
    ref.ref_attr_name = "slope"
    made = model([node("Gated", "x x", "h", "g1", domain="local", slope=0.5),
                  node("Gated", "h x", "y", "g2", domain="local", slope=0.25)],
                 {"x": ["N", 3]}, {"y": ["N", 3]}, functions=[gated])  # fmt: skip
    network = assert_equal_to_runtime(made, {"x": floats(4, 3)}, tmp_path)
    assert [layer.name for layer in network.layers][1:4] == ["g1/s", "g1/m", "g1/c"]


def _branch(value: float) -> onnx.GraphProto:
    constant = node("Constant", "", "factor", value_float=value)
    out = helper.make_tensor_value_info("o", TensorProto.FLOAT, ["N", 3])
    return helper.make_graph([constant, node("Mul", "x factor", "o")], "branch", [], [out])


@pytest.mark.parametrize("condition", [True, False])
def test_a_known_branch(condition: bool, tmp_path: Path) -> None:
    made = model([node("If", "c", "y", then_branch=_branch(2.0), else_branch=_branch(3.0))],
                 {"x": ["N", 3]}, {"y": ["N", 3]}, {"c": np.array(condition)})  # fmt: skip
    assert_equal_to_runtime(made, {"x": floats(4, 3)}, tmp_path)


def test_an_unknown_branch_is_refused(tmp_path: Path) -> None:
    made = model([node("If", "c", "y", "choice", then_branch=_branch(2.0),
                       else_branch=_branch(3.0))],
                 {"x": ["N", 3], "c": []}, {"y": ["N", 3]},
                 dtypes={"c": TensorProto.BOOL})  # fmt: skip
    with pytest.raises(UnsupportedError, match=r"(?s)If.*depends on the data of 'c'.*'choice'"):
        load(made, tmp_path)


def _counting_loop(trips: int) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Mul", "v w", "v2"), node("Identity", "going", "on"), node("Neg", "v2", "each")],
        "body",
        [info("i", 7, []), info("going", 9, []), info("v", 1, ["N", 3])],
        [info("on", 9, []), info("v2", 1, ["N", 3]), info("each", 1, ["N", 3])],
    )
    return model([node("Loop", "m - x", "y all", body=body)], {"x": ["N", 3]},
                 {"y": ["N", 3], "all": [trips, "N", 3]},
                 {"m": np.int64(trips), "w": floats(3)})  # fmt: skip


def test_a_loop_of_known_length(tmp_path: Path) -> None:
    assert_equal_to_runtime(_counting_loop(4), {"x": floats(2, 3)}, tmp_path)


def test_scan(tmp_path: Path) -> None:
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Add", "s e", "s2"), node("Identity", "s2", "o")], "body",
        [info("s", 1, [3]), info("e", 1, [3])], [info("s2", 1, [3]), info("o", 1, [3])],
    )  # fmt: skip
    made = model(
        [node("Scan", "z x", "last all", body=body, num_scan_inputs=1, scan_input_directions=[1],
              scan_output_axes=[1])],
        {"x": [4, 3]}, {"last": [3], "all": [3, 4]}, {"z": np.zeros(3, np.float32)},
    )  # fmt: skip
    assert_equal_to_runtime(made, {"x": floats(4, 3)}, tmp_path)


# What cannot be expressed ---------------------------------------------------------------


def test_everything_unknown_is_named_at_once(tmp_path: Path) -> None:
    made = model(
        [node("Frob", "x", "a", "first", domain="com.acme"),
         node("Frob", "a", "b", "second", domain="com.acme"),
         node("Relu", "b", "c"), node("StringNormalizer", "c", "y", "third")],
        {"x": [3]}, {"y": [3]},
    )  # fmt: skip
    with pytest.raises(UnsupportedError) as caught:
        load(made, tmp_path)
    first, second = caught.value.problems
    assert "com.acme.Frob" in first
    assert "'first', 'second'" in first
    assert "StringNormalizer" in second
    assert "'third'" in second


def test_a_newer_operator_set_is_refused(tmp_path: Path) -> None:
    newest = onnx.defs.onnx_opset_version()
    made = model([node("Relu", "x", "y")], {"x": [3]}, {"y": [3]}, opset=newest + 1)
    with pytest.raises(UnsupportedError, match=f"operator set {newest + 1}"):
        load(made, tmp_path)


def test_dropout_that_drops_is_refused(tmp_path: Path) -> None:
    made = model([node("Dropout", "x r t", "y")], {"x": ["N", 3]}, {"y": ["N", 3]},
                 {"r": np.float32(0.5), "t": np.array(True)})  # fmt: skip
    with pytest.raises(UnsupportedError, match="without a seed"):
        load(made, tmp_path)


# scikit-learn ---------------------------------------------------------------------------


def test_labels_of_classes(tmp_path: Path) -> None:
    """The tail that skl2onnx writes: names of classes, and a list of mappings."""
    made = model(
        [node("Softmax", "x", "p"), node("ArgMax", "p", "i", axis=1),
         node("ArrayFeatureExtractor", "names i", "l", domain="ai.onnx.ml"),
         node("Reshape", "l shape", "label"),
         node("ZipMap", "p", "probabilities", domain="ai.onnx.ml", classlabels_strings=["a", "b"])],
        {"x": ["N", 2]}, {"label": ["N"], "probabilities": ["N", 2]},
        {"shape": np.array([-1])}, opset=17,
    )  # fmt: skip
    made.opset_import.add(domain="ai.onnx.ml", version=1)
    made.graph.initializer.append(helper.make_tensor("names", TensorProto.STRING, [2], ["a", "b"]))
    network = load(made, tmp_path)
    assert network.labels == ["a", "b"]
    assert [port.name for port in network.outputs] == ["probabilities"]
    x = floats(4, 2)
    want = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    np.testing.assert_allclose(network.predict(x), want, rtol=1e-6)
    assert network.origin is not None
    assert "labels" in str(network.origin[1][0])


def test_scaler(tmp_path: Path) -> None:
    made = model([node("Scaler", "x", "y", domain="ai.onnx.ml", offset=[1.0, 2.0],
                       scale=[2.0, 0.5])], {"x": ["N", 2]}, {"y": ["N", 2]})  # fmt: skip
    made.opset_import.add(domain="ai.onnx.ml", version=1)
    made.opset_import[0].version = 17
    assert_equal_to_runtime(made, {"x": floats(4, 2)}, tmp_path)


# The backend ----------------------------------------------------------------------------


def test_backend_takes_shapes_from_inputs() -> None:
    """Where a shape is an input of the model, it is taken when the model runs."""
    from layerport_formats.onnx import backend

    made = model([node("Reshape", "x s", "y")], {"x": ["N", 4], "s": ["k"]}, {"y": [None, None]},
                 dtypes={"s": TensorProto.INT64})  # fmt: skip
    prepared = backend.prepare(made)
    x = floats(3, 4)
    for shape in ([4, 3], [2, -1], [4, 3]):
        feeds = {"x": x, "s": np.array(shape)}
        np.testing.assert_array_equal(prepared.run(list(feeds.values()))[0], run(made, feeds)[0])


def test_backend_runs_nodes_and_models() -> None:
    from layerport_formats.onnx import backend

    x = floats(2, 3)
    want = np.maximum(x, 0)
    made = model([node("Relu", "x", "y")], {"x": ["N", 3]}, {"y": ["N", 3]})
    np.testing.assert_array_equal(backend.run_model(made, [x])[0], want)
    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA")


def test_operators_are_layers(tmp_path: Path) -> None:
    made = model([node("Gemm", "x w b", "y", "fc", transB=1)], {"x": ["N", 3]}, {"y": ["N", 2]},
                 {"w": floats(2, 3), "b": floats(2)})  # fmt: skip
    layer = load(made, tmp_path).get_layer("fc")
    assert isinstance(layer, Operator)
    assert layer.op.name == "Gemm"
    assert layer.op.attributes["transB"] == 1
    assert layer.operands == ("@0", "w", "b")


def test_no_graph(tmp_path: Path) -> None:
    made = onnx.ModelProto(ir_version=9, producer_name="p")
    with pytest.raises(ModelFileError, match="holds no graph"):
        load(made, tmp_path)


# Inputs without an axis of samples in front ---------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 2])
def test_recurrent_layout(batch_size: int | None, tmp_path: Path) -> None:
    """Time comes first, and the initial state has the batch on its second axis."""
    made = model(
        [node("LSTM", "x W R - - h c", "Y Yh -", "lstm", hidden_size=5)],
        {"x": ["seq", "batch", 4], "h": [1, "batch", 5], "c": [1, "batch", 5]},
        {"Y": ["seq", 1, "batch", 5], "Yh": [1, "batch", 5]},
        {"W": floats(1, 20, 4), "R": floats(1, 20, 5)},
    )  # fmt: skip
    feeds = {"x": floats(7, 6, 4), "h": floats(1, 6, 5), "c": floats(1, 6, 5)}
    network = assert_equal_to_runtime(made, feeds, tmp_path)
    for got, want in zip(network.predict(feeds, batch_size), run(made, feeds), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-6)
    lp.save(network, tmp_path / "again.onnx")
    again = lp.load(tmp_path / "again.onnx")
    assert [port.shape for port in again.inputs] == [port.shape for port in network.inputs]


@pytest.mark.parametrize("batch_size", [None, 2])
def test_scalar_input(batch_size: int | None, tmp_path: Path) -> None:
    made = model([node("Mul", "x s", "y")], {"x": ["N", 3], "s": []}, {"y": ["N", 3]})
    feeds = {"x": floats(5, 3), "s": np.array(2, np.float32)}
    network = assert_equal_to_runtime(made, feeds, tmp_path)
    np.testing.assert_array_equal(network.predict(feeds, batch_size), feeds["x"] * 2)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
        ("...ij,...jk", [(2, 3, 4), (2, 4, 5)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
        ("ii->i", [(4, 4)]),
        ("i,j->ij", [(3,), (4,)]),
        ("ij->", [(3, 4)]),
    ],
)
def test_einsum(equation: str, shapes: list[tuple[int, ...]]) -> None:
    from layerport_formats.onnx import backend

    arrays = [floats(*shape, seed=i) for i, shape in enumerate(shapes)]
    names = [f"x{i}" for i in range(len(shapes))]
    made = model([node("Einsum", " ".join(names), "y", equation=equation)],
                 dict(zip(names, shapes, strict=True)), {"y": None})  # fmt: skip
    want = np.einsum(equation, *arrays)
    np.testing.assert_allclose(backend.run_model(made, arrays)[0], want, rtol=1e-5)


def test_another_dtype(tmp_path: Path) -> None:
    """Constants, and the dtypes that operators name, follow the network's."""
    nodes = [node("Cast", "x", "a", to=1), node("Mul", "a half", "b"), node("Shape", "x", "s"),
             node("ConstantOfShape", "s", "z"), node("Concat", "b z", "y", axis=0)]  # fmt: skip
    made = model(nodes, {"x": ["N", 3]}, {"y": [None, 3]}, {"half": np.float32(0.5)})
    network = lp.load(write(made, tmp_path), dtype="float64")
    x = np.random.default_rng(0).standard_normal((2, 3))
    want = np.concatenate([x * 0.5, np.zeros((2, 3))])
    np.testing.assert_array_equal(network.predict(x), want)
    lp.save(network, tmp_path / "again.onnx")
    np.testing.assert_array_equal(lp.load(tmp_path / "again.onnx").predict(x), want)
