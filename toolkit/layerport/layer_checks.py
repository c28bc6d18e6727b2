"""`check_layer`, which `layerport.testing` offers."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from layerport.connections import Input
from layerport.errors import UnsupportedError
from layerport.files import load, save
from layerport.gradient import gradient
from layerport.graph import Graph, verify
from layerport.layer import Layer
from layerport.network import Network
from layerport.numpy_engine.reference import evaluate
from layerport.op import NDArray
from layerport.recording import RANDOM_INPUTS, Recording, arrays_of
from layerport.registry import default_registry

if TYPE_CHECKING:
    from layerport.format import Format

STEP = 1e-6


def check_layer(
    layer: Layer,
    *inputs: NDArray,
    expected: NDArray | Sequence[NDArray] | None = None,
    formats: Sequence[str] | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    seed: int = 0,
) -> None:
    """Check that a layer keeps the rules that everything relies on.

    It must give the shapes and dtypes that it declares, the same for samples alone and together,
    with derivatives (in training, too) that are those of central differences in float64; and
    after its config has been through JSON, or itself through a file, it must be the same.

    Parameters
    ----------
    layer : what is checked; it is left as it was, but for weights that are initialized.
    inputs : arrays of at least two samples, around which the layer is smooth. Several are given
        to the layer as a list.
    expected : what it must compute, from a source other than itself.
    formats : names of the formats to go through; None for all that can be read and written.
    rtol, atol : how far results may differ.
    seed : of the directions in which derivatives are taken, and of the random numbers of layers.

    Raises
    ------
    AssertionError : with what differs.
    """
    layer = copy.deepcopy(layer)
    network = _network_of(layer, inputs)
    outputs = _predict(network, inputs)
    _check_declared(network, outputs)
    if expected is not None:
        wanted = [expected] if isinstance(expected, np.ndarray) else list(expected)
        _close(f"{layer}", outputs, wanted, rtol, atol)
    _close(f"{layer} called with arrays", _flat(layer(_given(inputs))), outputs, rtol, atol)
    alone = [_predict(network, [array[i : i + 1] for array in inputs]) for i in range(2)]
    for place, (first, second) in enumerate(zip(*alone, strict=True)):
        together = outputs[place][:2]
        _close(f"{layer}: samples alone", [np.concatenate([first, second])], [together], rtol, atol)
    for training in (False, True):
        _check_derivative(copy.deepcopy(layer), inputs, training, seed)
    _check_config(network, inputs, outputs)
    for name, fmt in default_registry().formats.items():
        if name in formats if formats is not None else fmt.can_read and fmt.can_write:
            _check_file(network, inputs, outputs, fmt)


def _given(inputs: Sequence[Any]) -> Any:
    return inputs[0] if len(inputs) == 1 else list(inputs)


def _flat(result: Any) -> list[NDArray]:
    return list(result) if isinstance(result, (list, tuple)) else [result]


def _network_of(layer: Layer, inputs: Sequence[NDArray]) -> Network:
    sources = [Input(array.shape[1:], dtype=array.dtype.name) for array in inputs]
    network = Network(sources, _flat(layer(_given(sources))), name="checked")
    network.initialize_missing(0)
    return network


def _predict(network: Network, inputs: Sequence[NDArray]) -> list[NDArray]:
    return _flat(network.predict(_given(inputs)))


def _check_declared(network: Network, outputs: Sequence[NDArray]) -> None:
    for port, array in zip(network.outputs, outputs, strict=True):
        shape = tuple(
            size if extent is None else extent
            for size, extent in zip(array.shape, port.shape, strict=True)
        )
        if shape != array.shape or port.dtype != array.dtype.name:
            raise AssertionError(
                f"{port.name}: declared {port.dtype}{port.shape}, computed "
                f"{array.dtype}{array.shape}"
            )


def _close(
    what: str, found: Sequence[NDArray], wanted: Sequence[NDArray], rtol: float, atol: float
) -> None:
    if len(found) != len(wanted):
        raise AssertionError(f"{what}: {len(found)} outputs instead of {len(wanted)}")
    for array, right in zip(found, wanted, strict=True):
        np.testing.assert_allclose(array, right, rtol=rtol, atol=atol, err_msg=what)


# Derivatives ----------------------------------------------------------------------------


def _check_derivative(
    layer: Layer, inputs: Sequence[NDArray], training: bool, seed: int
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    layer.astype("float64")
    known = {f"x{i}": _precise(array) for i, array in enumerate(inputs)}
    graph, parameters = _recorded(layer, known, training, rng)
    known |= parameters
    frozen = {
        f"layer/{name}" for name, weight in layer.declared_weights.items() if not weight.trainable
    }
    wrt = [
        value
        for value in (*graph.inputs, *graph.parameters)
        if value.dtype == np.float64 and value.name not in frozen
    ]
    derived = gradient(graph, graph.outputs[0], wrt)
    verify(derived)
    ways = {value.name: rng.standard_normal(known[value.name].shape) for value in wrt}
    known |= {name: np.array(seed + 3, np.uint32) for name in RANDOM_INPUTS}
    slopes = _run(derived, known)[1:]
    along = sum(float(np.sum(s * ways[v.name])) for v, s in zip(wrt, slopes, strict=True))
    sides = [
        _run(graph, known | {k: known[k] + sign * STEP * way for k, way in ways.items()})[0]
        for sign in (1, -1)
    ]
    difference = float(sides[0] - sides[1]) / (2 * STEP)
    state = "training" if training else "inference"
    np.testing.assert_allclose(
        along, difference, rtol=1e-5, atol=1e-5, err_msg=f"{layer}: derivative in {state}"
    )


def _precise(array: NDArray) -> NDArray:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _recorded(
    layer: Layer, inputs: Mapping[str, NDArray], training: bool, rng: np.random.Generator
) -> tuple[Graph, dict[str, NDArray]]:
    """A weighed sum of the outputs, with what the layer adds to the loss."""
    recording = Recording(training=training, float_dtype="float64")
    recording.name_layers(layer, "layer")
    symbols = [recording.input(name, a.shape, a.dtype) for name, a in inputs.items()]
    outputs = _flat(recording.call(layer, [_given(symbols)], {}))
    total: Any = sum(
        ((y * rng.standard_normal(y.shape)).sum() for y in outputs if y.dtype.kind == "f"), 0.0
    )
    for loss in recording.losses:
        total = total + loss
    graph = recording.finish([total])
    verify(graph)
    return graph, arrays_of(recording)


def _run(graph: Graph, known: Mapping[str, NDArray]) -> list[NDArray]:
    feeds, parameters = (
        {value.name: known[value.name] for value in values}
        for values in (graph.inputs, graph.parameters)
    )
    return list(evaluate(graph, feeds, parameters)[0])


# Files ----------------------------------------------------------------------------------


def _check_config(
    network: Network, inputs: Sequence[NDArray], outputs: Sequence[NDArray]
) -> None:  # fmt: skip
    registry = default_registry().with_layers([type(layer) for _, layer in network.walk()])
    config = json.loads(json.dumps(network.get_config()))
    again = type(network).from_config(config, registry)
    again.set_weights(network.get_weights())
    _check_same(again, network, inputs, outputs, "its config")


def _check_file(
    network: Network, inputs: Sequence[NDArray], outputs: Sequence[NDArray], fmt: Format
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"checked{fmt.suffixes[0]}"
        try:
            save(network, path, fmt.name)
        except UnsupportedError:
            return
        again = load(path, fmt.name, [type(layer) for _, layer in network.walk()])
    _check_same(again, network, inputs, outputs, fmt.name)


def _check_same(
    again: Network, network: Network, inputs: Sequence[NDArray], outputs: Sequence[NDArray],
    where: str,
) -> None:  # fmt: skip
    found, wanted = ([layer.get_config() for layer in net.layers] for net in (again, network))
    if found != wanted:
        raise AssertionError(f"after {where} the configs are {found}, not {wanted}")
    for name, array in network.weights.items():
        np.testing.assert_array_equal(again.weights[name], array, err_msg=f"{name} after {where}")
    for got, want in zip(_predict(again, inputs), outputs, strict=True):
        np.testing.assert_array_equal(got, want, err_msg=f"after {where}")
