"""Networks: layers connected, Keras's way.

`Sequential([...])` for a chain; for anything else the functional form::

    x = lp.Input((28, 28, 1))
    y = lp.Dense(10)(lp.Flatten()(x))
    network = lp.Network(x, y)
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from layerport.connections import (
    BATCH,
    Call,
    InputLayer,
    Outlet,
    Port,
    by_name,
    check_port,
    connect,
    input_outlet,
    name_layers,
    sorted_calls,
    unique_names,
)
from layerport.dim import same_extent
from layerport.errors import LayerportError, ShapeError
from layerport.graph import Graph
from layerport.layer import Layer, declared_shape, flat, map_leaves
from layerport.lazy import is_lazy
from layerport.op import NDArray
from layerport.recording import Recording, arrays_of
from layerport.tensor import Tensor
from layerport.training import Trainable

if TYPE_CHECKING:
    from layerport.format import Note
    from layerport.numpy_engine.profile import Profile
    from layerport.numpy_engine.runner import Runner
    from layerport.summary import Summary


class Network(Trainable, Layer):
    """Layers connected between inputs and outputs. A network is a layer, too.

    Parameters
    ----------
    inputs, outputs : Outlets, or lists of them.
    name : of the network.
    output_names : names of the outputs; None takes those of the layers that make them.
    """

    inputs_given: Any = dataclasses.field(default=(), repr=False)
    outputs_given: Any = dataclasses.field(default=(), repr=False)
    output_names: tuple[str, ...] | None = None

    labels: Any = dataclasses.field(default=None, init=False, repr=False)
    """The names of the classes, or None."""

    origin: tuple[str, tuple[Note, ...]] | None = dataclasses.field(
        default=None, init=False, repr=False
    )
    """For a network from a file: its format, and what the reader noted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._calls: list[Call] = []
        self._runner: Runner | None = None
        self._run_with: list[tuple[dict[str, Any], str, NDArray]] = []
        self._is_built = True
        if self.inputs_given or self.outputs_given:
            self._set(_as_outlets(self.inputs_given, "inputs"), _as_outlets(self.outputs_given,
                      "outputs"))  # fmt: skip

    def _set(self, inputs: list[Outlet], outputs: list[Outlet]) -> None:
        calls = sorted_calls([*inputs, *outputs])
        loose = [
            call.layer
            for call in calls
            if isinstance(call.layer, InputLayer) and call.outputs[0] not in inputs
        ]
        if loose:
            raise LayerportError(f"the outputs need the inputs {loose}, which are not in `inputs`")
        self._input_outlets, self._output_outlets = inputs, outputs
        self._calls = calls
        self._runner = None
        name_layers(self.layers)

    def __getstate__(self) -> dict[str, Any]:
        """For copies: the plans of `predict` belong to this network's arrays."""
        return {**self.__dict__, "_runner": None, "_run_with": []}

    # Structure --------------------------------------------------------------------------

    @property
    def calls(self) -> Sequence[Call]:
        """The calls of layers, in order of computation, those of input layers included."""
        return tuple(self._calls)

    @property
    def input_outlets(self) -> Sequence[Outlet]:
        """Where the inputs enter."""
        return tuple(self._input_outlets) if self._calls else ()

    @property
    def output_outlets(self) -> Sequence[Outlet]:
        """Where the outputs leave."""
        return tuple(self._output_outlets) if self._calls else ()

    @property
    def layers(self) -> list[Layer]:
        """The layers, each once, in order of computation."""
        return list(dict.fromkeys(call.layer for call in self._calls))

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of a name, or at an index; raises `LayerportError` where there is none."""
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise LayerportError(f"there are {len(layers)} layers, none at index {index}")
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in layers)
        raise LayerportError(f"there is no layer called {name!r}; there are: {names}")

    def sublayers(self) -> Iterator[tuple[str, Layer]]:
        for layer in self.layers:
            yield layer.name, layer

    @property
    def inputs(self) -> list[Port]:
        """Name, shape and dtype of each input."""
        return [
            Port(o.layer.name, declared_shape(o.shape), o.dtype.name) for o in self.input_outlets
        ]

    @property
    def outputs(self) -> list[Port]:
        """Name, shape and dtype of each output."""
        names = self.output_names or unique_names([o.layer.name for o in self.output_outlets])
        return [
            Port(name, declared_shape(o.shape), o.dtype.name)
            for name, o in zip(names, self.output_outlets, strict=True)
        ]

    def summary(self) -> Summary:
        """A table of layers, shapes and numbers of parameters: an object that prints."""
        from layerport.summary import Summary

        return Summary.of(self)

    # Calling ----------------------------------------------------------------------------

    def call(self, *args: Any, **kwargs: Any) -> Any:
        self._needs_shape()
        leaves = [leaf for leaf in flat(args) if leaf is not None]
        if len(leaves) != len(self._input_outlets):
            raise ShapeError(
                f"{self.name or 'the network'} has {len(self._input_outlets)} inputs, "
                f"{len(leaves)} were given"
            )
        for port, leaf in zip(self.inputs, leaves, strict=True):
            check_port(port, leaf.shape)
        made: dict[Outlet, Any] = dict(zip(self._input_outlets, leaves, strict=True))
        recording = self._recorded("call")
        for call in self._calls:
            if isinstance(call.layer, InputLayer):
                continue

            def known(leaf: Any) -> Any:
                return made[leaf] if isinstance(leaf, Outlet) else leaf

            options = {key: map_leaves(known, value) for key, value in call.kwargs.items()}
            if "training" in kwargs and call.layer.takes_training():
                options.setdefault("training", kwargs["training"])
            # Not through __call__: a layer whose operands are all weights has no Tensor to go by.
            result = recording.call(call.layer, map_leaves(known, call.args), options)
            made.update(zip(call.outputs, flat(result), strict=True))
        outputs = [made[outlet] for outlet in self._output_outlets]
        return outputs[0] if len(outputs) == 1 else outputs

    @classmethod
    def takes_training(cls) -> bool:
        return True

    def _needs_shape(self) -> None:
        if not self._calls:
            raise LayerportError(
                f"{self.name or 'the network'} does not know its input shape yet; start it with "
                "Input(shape), or call fit or predict on data"
            )

    # Lowering ---------------------------------------------------------------------------

    def record(self, recording: Recording) -> tuple[list[Tensor], list[Tensor]]:
        """Record a call of this network on new inputs; returns the inputs and the outputs."""
        self._needs_shape()
        recording.name_layers(self, "")
        inputs = []
        for outlet in self._input_outlets:
            layer = outlet.layer
            shape = layer.extents(layer.name) if isinstance(layer, InputLayer) else outlet.shape
            inputs.append(recording.input(layer.name, shape, outlet.dtype))
        outputs = recording.call(self, [inputs], {})
        return inputs, outputs if isinstance(outputs, list) else [outputs]

    def lower(self, *, training: bool = False, rewrite: bool = False) -> Graph:
        """The graph of this network; its parameters are called ``layer/weight``.

        Parameters
        ----------
        training : record what layers do in training.
        rewrite : simplify on the way.
        """
        recording = Recording(training=training, rewrite=rewrite, float_dtype=self.dtype)
        _, outputs = self.record(recording)
        return recording.finish(outputs, [port.name for port in self.outputs])

    @property
    def parameters(self) -> dict[str, NDArray]:
        """The arrays for the parameters of `lower`'s graph: the same objects as the weights."""
        recording = Recording(float_dtype=self.dtype)
        self.record(recording)
        return arrays_of(recording)

    def initialize(self, seed: int | Sequence[int] | None = None) -> None:
        """Give every weight a new initial value; `seed` makes them repeatable."""
        self._initialize(seed, missing_only=False)

    def initialize_missing(self, seed: int | Sequence[int] | None = None) -> None:
        self._initialize(seed, missing_only=True)

    def _initialize(self, seed: int | Sequence[int] | None, *, missing_only: bool) -> None:
        for index, (_, layer) in enumerate(self.walk()):
            if layer is self or isinstance(layer, Network):
                continue
            key = None if seed is None else [*np.atleast_1d(seed), index]
            (layer.initialize_missing if missing_only else layer.initialize)(key)

    # Running ----------------------------------------------------------------------------

    def predict(self, x: Any, batch_size: int | None = None, threads: int | None = None) -> Any:
        """Compute the outputs.

        Parameters
        ----------
        x : an array, a list in the order of `inputs`, or a dict by name. Memory-mapped arrays and
            data sets of h5py are read in parts.
        batch_size : how many samples at once; None lets the engine choose.
        threads : how many threads share a large batch; None takes one for each processor.

        Returns
        -------
        An array for one output, else a list in the order of `outputs`.

        Raises
        ------
        ShapeError : naming the input whose shape or dtype does not fit.
        """
        from layerport.numpy_engine.runner import Runner

        self._shape_from(x)
        # Training this or another network with the same layers may have moved their weights.
        if self._runner is None or any(t.get(name) is not a for t, name, a in self._run_with):
            self._runner = Runner(self)
            tables = [layer._arrays for _, layer in self.walk()]
            self._run_with = [(t, name, array) for t in tables for name, array in t.items()]
        outputs = self._runner.repeat(x) if batch_size is None else None
        if outputs is None:
            outputs = self._runner.predict(self._given(x), batch_size, threads)
        return outputs[0] if len(outputs) == 1 else outputs

    def profile(
        self,
        x: Any,
        y: Any = None,
        *,
        batch_size: int = 32,
        runs: int = 20,
        threads: int | None = None,
    ) -> Profile:
        """Where the time goes, by operator and layer: an object that prints.

        Parameters
        ----------
        x : as for `predict`; of many samples, the first that are computed at once are timed.
        y : targets, as for `fit`, to time a training step of a compiled network in place of
            `predict`. Weights and the optimizer's state stay as they are.
        batch_size, threads : of the training step.
        runs : how often; medians are taken.
        """
        if y is not None:
            return self._profile_step(x, y, batch_size, runs, threads)
        self.predict(x)
        assert self._runner is not None
        return self._runner.profile(self.feeds(x), runs)

    def _shape_from(self, x: Any) -> None:
        """A Sequential without an input shape takes it from the first data."""

    def feeds(self, x: Any) -> dict[str, NDArray]:
        """The arrays of `x` by the names of the inputs, checked and in the inputs' dtypes."""
        given = self._given(x)
        return {port.name: np.asarray(given[port.name], port.dtype) for port in self.inputs}

    def _given(self, x: Any) -> dict[str, Any]:
        """The arrays of `x` by the names of the inputs, checked; what is on disk stays there."""
        ports = self.inputs
        named = by_name(x, [port.name for port in ports])
        given = {}
        for port in ports:
            thing = named[port.name]
            array = thing if is_lazy(thing) else np.asarray(thing)
            if array.dtype.kind not in "biuf":
                raise ShapeError(f"input {port.name!r}: cannot be made of {array.dtype} values")
            check_port(port, array.shape)
            given[port.name] = array
        counted = {
            outlet.layer.name: len(given[outlet.layer.name])
            for outlet in self._input_outlets
            if outlet.shape and same_extent(outlet.shape[0], BATCH)
        }
        if len(set(counted.values())) > 1:
            sizes = ", ".join(f"{name}: {count}" for name, count in counted.items())
            raise ShapeError(f"the inputs have different numbers of samples ({sizes})")
        return given

    def astype(self, dtype: Any) -> None:
        """Change the dtype of all layers, weights and float inputs, in place."""
        networks = [layer for _, layer in self.walk() if isinstance(layer, Network)]
        inputs = {o.layer: o.layer.dtype for inner in networks for o in inner.input_outlets}
        super().astype(dtype)
        for layer, before in inputs.items():  # a chain's input layer is not among its layers
            layer.dtype = np.dtype(dtype if np.dtype(before).kind == "f" else before).name
        self._retrace()

    def _retrace(self) -> None:
        """Connect all layers again, after something that shapes or dtypes depend on changed."""
        if not self._calls:
            return
        made: dict[Outlet, Outlet] = {}
        for call in self._calls:
            if isinstance(call.layer, InputLayer):
                outlet = input_outlet(call.layer)
                made[call.outputs[0]] = outlet
                continue

            def new(leaf: Any) -> Any:
                return made[leaf] if isinstance(leaf, Outlet) else leaf

            options = {key: map_leaves(new, value) for key, value in call.kwargs.items()}
            result = connect(call.layer, map_leaves(new, call.args), options)
            made.update(zip(call.outputs, flat(result), strict=True))
        inputs = [made[o] for o in self._input_outlets]
        self._set(inputs, [made[o] for o in self._output_outlets])

    def load_weights(
        self, path: str | os.PathLike[str], format: str | None = None
    ) -> list[Note]:  # fmt: skip
        """Take the weights of a file, all or none.

        Parameters
        ----------
        path : of a file of weights, or of a whole model with the same layers.
        format : the name of its format; None recognises it by its content.

        Returns
        -------
        What the reader has to say.

        Raises
        ------
        ModelFileError : naming every weight that does not fit.
        """
        from layerport.files import load_weights

        return load_weights(self, path, format)

    # Config -----------------------------------------------------------------------------

    @classmethod
    def config_fields(cls) -> list[dataclasses.Field[Any]]:
        own = {"inputs_given", "outputs_given"}
        return [field for field in super().config_fields() if field.name not in own]

    def get_config(self) -> dict[str, Any]:
        """Layers with their configs, and how they are connected."""
        from layerport.structure import to_config

        return {**super().get_config(), **to_config(self)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], registry: Any = None) -> Network:
        from layerport.registry import default_registry
        from layerport.structure import from_config

        return from_config(cls, config, default_registry() if registry is None else registry)

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"{kind}({self.name!r}, {len(self.layers)} layers)"


def _as_outlets(given: Any, what: str) -> list[Outlet]:
    values = list(given.values()) if isinstance(given, Mapping) else list(flat((given,)))
    wrong = [item for item in values if not isinstance(item, Outlet)]
    if wrong or not values:
        raise LayerportError(f"{what} of a network are what Input and calls of layers return")
    return values
