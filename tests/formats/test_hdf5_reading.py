"""What Keras's files of different ages say, written down by hand."""

from __future__ import annotations

import h5py
import layerport as lp
import numpy as np
import pytest

from .conftest import dense, functional, sequential, write_groups

X = np.array([[0.5, -1.0, 2.0], [-3.0, 0.25, 1.0]], np.float32)
K = np.arange(6, dtype=np.float32).reshape(3, 2) / 4 - 0.5
B = np.array([0.25, -0.5], np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def tensor(layer, node=0, index=0):
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, 3], "dtype": "float32", "keras_history": [layer, node, index]},
    }


def call(*args, **kwargs):
    return {"args": list(args), "kwargs": kwargs}


D = {"d/kernel:0": K, "d/bias:0": B}


# Spellings ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("d/kernel:0", "d/bias:0"),
        ("d/kernel", "d/bias"),
        ("kernel", "bias"),
        ("model/d/kernel", "model/d/bias"),
        ("renamed_1/kernel:0", "renamed_1/bias:0"),
        ("first", "second"),
    ],
)
def test_weight_names_of_every_producer(keras_file, names):
    path = keras_file(sequential([dense("d", 2)]), {"d": dict(zip(names, (K, B), strict=True))})
    np.testing.assert_allclose(lp.load(path).predict(X), X @ K + B, atol=1e-6)


def test_names_decide_where_the_order_is_another(keras_file):
    path = keras_file(sequential([dense("d", 2)]), {"d": {"d/bias:0": B, "d/kernel:0": K}})
    np.testing.assert_allclose(lp.load(path).predict(X), X @ K + B, atol=1e-6)


def test_sequential_config_may_be_the_list_of_layers(keras_file):
    layers = [dense("d", 2, batch_input_shape=[None, 3])]
    path = keras_file({"class_name": "Sequential", "config": layers}, {"d": D}, version="2.1.0")
    network = lp.load(path)
    assert network.inputs[0].name == "d_input"
    np.testing.assert_allclose(network.predict(X), X @ K + B, atol=1e-6)


def test_input_shape_may_stand_in_build_input_shape(keras_file):
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [dense("d", 2)]}}
    path = keras_file(config, {"d": D}, version="3.1.0")
    with pytest.raises(lp.ModelFileError, match="input shape"):
        lp.load(path)
    config["config"]["build_input_shape"] = [None, 3]
    assert lp.load(keras_file(config, {"d": D}, version="3.1.0")).inputs[0].shape == (None, 3)


def test_missing_version_is_no_obstacle(keras_file):
    path = keras_file(sequential([dense("d", 2)]), {"d": D}, version=None)
    np.testing.assert_allclose(lp.load(path).predict(X), X @ K + B, atol=1e-6)


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("2.12.0", lambda y: np.clip(0.2 * y + 0.5, 0, 1)),
        ("3.0.0", lambda y: np.clip(y / 6 + 0.5, 0, 1)),
    ],
)
def test_hard_sigmoid_is_that_of_its_keras(keras_file, version, wanted):
    path = keras_file(
        sequential([dense("d", 2, activation="hard_sigmoid")]), {"d": D}, version=version
    )
    np.testing.assert_allclose(lp.load(path).predict(X), wanted(X @ K + B), atol=1e-6)


@pytest.mark.parametrize(
    "activation",
    [
        "sigmoid",
        {"class_name": "function", "config": "sigmoid", "registered_name": "sigmoid"},
        {"class_name": "Activation", "config": {"name": "a", "activation": "sigmoid"}},
    ],
)
def test_activation_may_be_an_object(keras_file, activation):
    path = keras_file(sequential([dense("d", 2, activation=activation)]), {"d": D})
    np.testing.assert_allclose(lp.load(path).predict(X), sigmoid(X @ K + B), atol=1e-6)


def test_keras2_arguments_get_their_names_of_today(keras_file):
    layers = [
        {"class_name": "LeakyReLU", "config": {"name": "l", "alpha": 0.30000001192092896}},
        {"class_name": "BatchNormalization", "config": {"name": "b", "axis": [1]}},
        {"class_name": "Activation", "config": {"name": "a", "activation": "swish"}},
    ]
    groups = {
        "b": {
            f"b/{n}:0": np.ones(3, "f4")
            for n in ("gamma", "beta", "moving_mean", "moving_variance")
        }
    }
    leaky, batch, swish = lp.load(keras_file(sequential(layers), groups)).layers
    assert leaky.negative_slope == 0.3
    assert batch.axis == 1
    assert swish.activation == "silu"


def test_objects_of_other_kinds_become_plain_arguments(keras_file):
    path = keras_file(
        sequential(
            [
                dense(
                    "d", 2,
                    dtype={"class_name": "Policy", "config": {"name": "float32"}},
                    kernel_initializer={"class_name": "HeNormal", "config": {"seed": None}},
                    bias_initializer={"class_name": "Constant", "config": {"value": 2.0}},
                    kernel_regularizer={"module": "keras.regularizers", "class_name": "L2",
                                        "config": {"l2": 0.5}, "registered_name": None},
                )
            ]
        ),
        {"d": D},
    )  # fmt: skip
    (layer,) = lp.load(path).layers
    assert layer.kernel_initializer == "he_normal"
    assert layer.bias_initializer == {"class_name": "constant", "config": {"value": 2.0}}
    assert layer.kernel_regularizer == {"class_name": "l2", "config": {"l2": 0.5}}


def test_arguments_that_do_nothing_are_passed_over(keras_file):
    path = keras_file(
        sequential([dense("d", 2, quantization_config=None, lora_rank=None, seed=3)]), {"d": D}
    )
    assert lp.load(path).layers[0].units == 2


def test_arguments_for_training_alone_are_noted(keras_file):
    constraint = {"class_name": "MaxNorm", "config": {"max_value": 2}}
    network = lp.load(
        keras_file(sequential([dense("d", 2, kernel_constraint=constraint)]), {"d": D})
    )
    assert network.origin is not None
    (note,) = network.origin[1]
    assert note.kind == "dropped"
    assert "kernel_constraint of d" in note.text


def test_what_changes_the_result_is_never_passed_over(keras_file):
    path = keras_file(
        sequential([dense("d", 2, lora_rank=4), dense("e", 2, activation="nonsense")]), {"d": D}
    )
    with pytest.raises(lp.UnsupportedError) as caught:
        lp.load(path)
    text = str(caught.value)
    assert "Dense 'd'" in text
    assert "lora_rank=4" in text
    assert "Dense 'e'" in text
    assert "nonsense" in text
    assert str(path) in text


# Layers that are not known ---------------------------------------------------------------


def test_all_unknown_layers_are_named_at_once(keras_file):
    inner = sequential([{"class_name": "Whirl", "config": {"name": "deep"}}])
    layers = [
        {"class_name": "Twist", "config": {"name": "a"}},
        dense("d", 2),
        {"class_name": "Lambda", "config": {"name": "b", "function": ["x", None, None]}},
        inner,
    ]
    with pytest.raises(lp.UnsupportedError) as caught:
        lp.load(keras_file(sequential(layers), {"d": D}))
    assert len(caught.value.problems) == 3
    for part in (
        "Twist 'a'",
        "Lambda 'b', whose config is program code",
        "Whirl 'deep'",
        "layers=",
    ):
        assert part in str(caught.value)


class Twist(lp.Layer):
    """x * factor * gamma, to stand in for a layer of the user."""

    factor: float = 2.0
    modes: tuple[str, ...] = ()
    gamma: lp.Array

    def build(self, input_shape):
        return {"gamma": lp.Weight(input_shape[-1:], "ones")}

    def call(self, x):
        return x * self.gamma * self.factor


@pytest.mark.parametrize("class_name", ["Twist", "my_package>Twist"])
def test_custom_layers_are_made_of_their_config(keras_file, class_name):
    gamma = np.array([1, 2, 3], np.float32)
    config = {"name": "t", "trainable": False, "dtype": "float32", "factor": 3.0, "modes": ["a"]}
    path = keras_file(
        sequential([{"class_name": class_name, "config": config}]), {"t": {"t/gamma:0": gamma}}
    )
    network = lp.load(path, layers=[Twist])
    (layer,) = network.layers
    assert (layer.factor, layer.modes, layer.trainable) == (3.0, ("a",), False)
    np.testing.assert_allclose(network.predict(X), X * gamma * 3)


class Chain(lp.Layer):
    """Two layers in a row, to stand in for a wrapper."""

    first: lp.Layer
    second: lp.Layer

    def call(self, x):
        return self.second(self.first(x))


def test_layers_inside_layers_take_their_weights_in_order(keras_file):
    chain = {
        "class_name": "Chain",
        "config": {
            "name": "c",
            "first": dense("p", 2, activation="tanh"),
            "second": {"module": "keras.layers", **dense("q", 2), "registered_name": None},
        },
    }
    square = np.array([[1, 2], [3, 4]], np.float32)
    weights = {"c/p/kernel:0": K, "c/p/bias:0": B, "c/q/kernel:0": square, "c/q/bias:0": B}
    network = lp.load(keras_file(sequential([chain]), {"c": weights}), layers=[Chain])
    np.testing.assert_allclose(network.predict(X), np.tanh(X @ K + B) @ square + B, atol=1e-6)


# Connections ----------------------------------------------------------------------------


def test_keras2_shared_layer_and_keyword_tensor(keras_file):
    class Mix(lp.Layer):
        scale: float = 1.0

        def call(self, x, other, bias=0.0):
            return x * self.scale - other + bias

    entry = {"class_name": "Mix", "config": {"name": "m", "scale": 2.0}}
    config = functional(
        [
            (dense("d", 3), [[["in", 0, 0, {}]], [["d", 0, 0, {}]]]),
            (entry, [[["d", 1, 0, {"other": ["d", 0, 0], "bias": 0.5, "mask": None}]]]),
        ],
        [["m", 0, 0]],
    )
    kernel = np.eye(3, dtype=np.float32) * 2
    path = keras_file(config, {"d": {"d/kernel:0": kernel, "d/bias:0": np.ones(3, "f4")}})
    once = X * 2 + 1
    np.testing.assert_allclose(
        lp.load(path, layers=[Mix]).predict(X), (once * 2 + 1) * 2 - once + 0.5, atol=1e-6
    )


def test_keras3_calls_flat_ports_and_named_outputs(keras_file):
    layers = [
        (dense("d", 3), [call(tensor("in")), call(tensor("d"), mask=None, training=False)]),
        ({"class_name": "Add", "config": {"name": "a"}}, [call([tensor("d", 0), tensor("d", 1)])]),
    ]
    weights = {"d": {"d/kernel": np.eye(3, dtype="f4"), "d/bias": np.ones(3, "f4")}}
    flat = functional(layers, ["a", 0, 0], ["in", 0, 0], key="batch_shape")
    network = lp.load(keras_file(flat, weights, version="3.15.1"))
    np.testing.assert_allclose(network.predict(X), X * 2 + 3)
    named = functional(
        layers, {"sum": ["a", 0, 0], "first": ["d", 0, 0]}, ["in", 0, 0], key="batch_shape"
    )
    network = lp.load(keras_file(named, weights, version="3.15.1"))
    assert [port.name for port in network.outputs] == ["sum", "first"]


def test_layers_may_stand_in_any_order(keras_file):
    config = functional(
        [
            (dense("b", 2), [[["a", 0, 0, {}]]]),
            (dense("a", 3), [[["in", 0, 0, {}]]]),
        ],
        [["b", 0, 0]],
    )
    weights = {
        "a": {"a/kernel:0": np.eye(3, dtype="f4"), "a/bias:0": np.ones(3, "f4")},
        "b": {"b/kernel:0": K, "b/bias:0": B},
    }
    network = lp.load(keras_file(config, weights))
    np.testing.assert_allclose(network.predict(X), (X + 1) @ K + B, atol=1e-6)


@pytest.mark.parametrize("first", [0, 1])
def test_calls_of_a_nested_model_count_from_0_or_1(keras_file, first):
    """Keras 2 counts the call that made the nested model, Keras 3 does not."""
    inner = sequential([dense("d", 3)])
    inner["config"]["name"] = "inner"
    config = functional(
        [
            (inner, [[["in", 0, 0, {}]], [["inner", first, 0, {}]]]),
            ({"class_name": "Subtract", "config": {"name": "sub"}},
             [[["inner", first + 1, 0, {}], ["inner", first, 0, {}]]]),
        ],
        [["sub", 0, 0]],
    )  # fmt: skip
    weights = {"d/kernel:0": np.eye(3, dtype="f4") * 3, "d/bias:0": np.ones(3, "f4")}
    network = lp.load(keras_file(config, {"inner": weights}))
    np.testing.assert_allclose(network.predict(X), (X * 3 + 1) * 3 + 1 - (X * 3 + 1), atol=1e-5)


def test_nested_weights_without_names_go_by_keras_order(keras_file):
    """Trainable weights of all layers first, then the others, frozen layers among these."""
    inner = sequential(
        [
            dense("p", 3, trainable=False),
            {"class_name": "BatchNormalization", "config": {"name": "n"}},
            dense("q", 3),
        ]
    )
    inner["config"]["name"] = "inner"
    arrays = {
        "gamma": 1.0, "beta": 2.0, "q/kernel": 3.0, "q/bias": 4.0,
        "p/kernel": 5.0, "p/bias": 6.0, "moving_mean": 7.0, "moving_variance": 8.0,
    }  # fmt: skip
    shapes = {"q/kernel": (3, 3), "p/kernel": (3, 3)}
    weights = {
        f"w{index}": np.full(shapes.get(name, 3), value, np.float32)
        for index, (name, value) in enumerate(arrays.items())
    }
    network = lp.load(keras_file(sequential([inner]), {"inner": weights}))
    found = {name.removeprefix("inner/"): array.flat[0] for name, array in network.weights.items()}
    assert found == {
        "p/kernel": 5, "p/bias": 6, "n/gamma": 1, "n/beta": 2, "n/moving_mean": 7,
        "n/moving_variance": 8, "q/kernel": 3, "q/bias": 4,
    }  # fmt: skip


def test_layer_with_an_id_that_repeats_is_one_object(keras_file):
    shared = {**dense("d", 3), "shared_object_id": 7}
    inner = sequential([shared])
    inner["config"]["name"] = "inner"
    path = keras_file(
        sequential([shared, inner]),
        {
            "d": {"d/kernel:0": np.eye(3, dtype="f4"), "d/bias:0": np.ones(3, "f4")},
            "inner": {"d/kernel:0": np.eye(3, dtype="f4"), "d/bias:0": np.ones(3, "f4")},
        },
    )
    network = lp.load(path)
    assert network.get_layer("inner").get_layer("d") is network.get_layer("d")


@pytest.mark.parametrize(
    ("nodes", "outputs", "message"),
    [
        ([[["nobody", 0, 0, {}]]], [["d", 0, 0]], "'nobody', which is not there"),
        ([[["in", 3, 0, {}]]], [["d", 0, 0]], "call 3 of 'in'"),
        ([[["d", 0, 0, {}]]], [["d", 0, 0]], "its own output"),
        ([[["in", 0, 4, {}]]], [["d", 0, 0]], "1 outputs"),
        ([[["in", 0, 0, {"sideways": 3}]]], [["d", 0, 0]], "called with sideways"),
        ("nonsense", [["d", 0, 0]], "inbound_nodes is no list"),
        ([[["in", 0, 0, {}]]], "nonsense", "inputs or outputs"),
    ],
)
def test_wrong_connections_are_refused(keras_file, nodes, outputs, message):
    path = keras_file(functional([(dense("d", 2), nodes)], outputs), {"d": D})
    with pytest.raises(lp.LayerportError, match=message) as caught:
        lp.load(path)
    assert str(path) in str(caught.value)


def test_raw_operators_become_operators(keras_file):
    """``relu(x * 2 + x)[:, 1:]``, as Keras 3 writes it into an .h5 file."""
    config = functional(
        [
            ({"class_name": "Multiply", "config": {"name": "m"}}, [call(tensor("in"), 2.0)]),
            ({"class_name": "Add", "config": {"name": "a"}}, [call(tensor("m"), tensor("in"))]),
            ({"class_name": "Relu", "config": {"name": "r"}}, [call(tensor("a"))]),
            ({"class_name": "GetItem", "config": {"name": "g"}},
             [call(tensor("r"), [slice_(None, None), slice_(1, None)])]),
        ],
        ["g", 0, 0], ["in", 0, 0], key="batch_shape",
    )  # fmt: skip
    network = lp.load(keras_file(config, {}, version="3.15.1"))
    np.testing.assert_allclose(network.predict(X), np.maximum(X * 3, 0)[:, 1:])


def slice_(start, stop):
    return {"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": None}}


# Weights --------------------------------------------------------------------------------


def test_everything_that_does_not_fit_is_named(keras_file):
    path = keras_file(
        sequential([dense("d", 2), dense("e", 2), dense("f", 2)]),
        {
            "d": {"d/kernel:0": np.ones((4, 2), "f4"), "d/bias:0": B},
            "e": {"e/kernel:0": np.ones((2, 2), "f4")},
            "g": D,
        },
    )
    with pytest.raises(lp.ModelFileError) as caught:
        lp.load(path)
    for part in (
        "/model_weights/d/d/kernel:0 has the shape (4, 2)",
        "/model_weights/e has 1 weights",
        "no weights for the layer f",
        "/model_weights/g holds weights",
    ):
        assert part in str(caught.value)


def test_chunked_names_are_put_together(tmp_path):
    path = tmp_path / "weights.h5"
    network = lp.Sequential([lp.Input((3,)), lp.Dense(2, name="d"), lp.Dense(2, name="e")])
    square = np.ones((2, 2), np.float32)
    with h5py.File(path, "w") as file:
        write_groups(file, {"d": D, "e": {"e/kernel:0": square, "e/bias:0": B}})
        del file.attrs["layer_names"], file["d"].attrs["weight_names"]
        file.attrs["layer_names0"] = np.array([b"d"])
        file.attrs["layer_names1"] = np.array([b"e"])
        file["d"].attrs["weight_names0"] = np.array([b"d/kernel:0"])
        file["d"].attrs["weight_names1"] = np.array([b"d/bias:0"])
    network.load_weights(path)
    np.testing.assert_allclose(network.predict(X), (X @ K + B) @ square + B, atol=1e-6)


def test_weights_go_by_order_where_names_differ(tmp_path):
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        write_groups(
            file, {"input_9": {}, "dense_17": {"dense_17/kernel:0": K, "dense_17/bias:0": B}}
        )
    network = lp.Sequential([lp.Input((3,)), lp.Dropout(0.5), lp.Dense(2)])
    network.load_weights(path)
    np.testing.assert_allclose(network.predict(X), X @ K + B, atol=1e-6)


def test_weights_are_replaced_all_or_none(tmp_path):
    path = tmp_path / "weights.h5"
    network = lp.Sequential([lp.Input((3,)), lp.Dense(2, name="d"), lp.Dense(2, name="e")])
    before = {name: array.copy() for name, array in network.weights.items()}
    with h5py.File(path, "w") as file:
        write_groups(file, {"d": D, "e": {"e/kernel:0": K, "e/bias:0": B}})
    with pytest.raises(lp.ModelFileError, match=r"e/kernel:0 has the shape \(3, 2\)"):
        network.load_weights(path)
    for name, array in network.weights.items():
        assert array.tobytes() == before[name].tobytes()


def test_weights_alone_are_no_network(tmp_path):
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        write_groups(file, {"d": D})
    with pytest.raises(lp.ModelFileError, match="load_weights"):
        lp.load(path)


def test_tree_names_groups_of_other_layers(tmp_path):
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        for group in ("dense", "dense_1"):
            file[f"layers/{group}/vars/0"] = K
            file[f"layers/{group}/vars/1"] = B
    network = lp.Sequential([lp.Input((3,)), lp.Dense(2)])
    with pytest.raises(lp.ModelFileError, match="/layers/dense_1 belongs to no layer"):
        network.load_weights(path)
