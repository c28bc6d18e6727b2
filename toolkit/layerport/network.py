"""Networks: layers connected, Keras's way.

`Sequential([...])` for a chain; for anything else the functional form::

    x = lp.Input((28, 28, 1))
    y = lp.Dense(10)(lp.Flatten()(x))
    network = lp.Network(x, y)
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from layerport.dim import Dim, Extent, Shape, same_extent
from layerport.errors import LayerportError, ShapeError
from layerport.graph import Graph
from layerport.layer import Layer, declared_shape, flat, map_leaves, snake_case
from layerport.op import NDArray
from layerport.recording import Recording, arrays_of
from layerport.tensor import Tensor
from layerport.training import Trainable

if TYPE_CHECKING:
    from layerport.format import Note
    from layerport.numpy_engine.profile import Profile
    from layerport.numpy_engine.runner import Runner
    from layerport.summary import Summary

BATCH = Dim("batch")
"""The number of samples."""


@dataclasses.dataclass(frozen=True, eq=False)
class Outlet:
    """One output of one call of a layer, to connect the next layer to."""

    call: Call
    index: int
    shape: Shape
    dtype: np.dtype[Any]

    @property
    def layer(self) -> Layer:
        """The layer that makes it."""
        return self.call.layer

    def __repr__(self) -> str:
        shape = declared_shape(self.shape)
        return f"Outlet({self.layer.name or type(self.layer).__name__}: {self.dtype}{shape})"


@dataclasses.dataclass(eq=False)
class Call:
    """One call of a layer: arguments as given, with Outlets as leaves, and what came out."""

    layer: Layer
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outlets: Any = ()

    @property
    def inputs(self) -> list[Outlet]:
        """The Outlets among the arguments, in order."""
        leaves = [*flat(self.args), *flat(tuple(self.kwargs.values()))]
        return [leaf for leaf in leaves if isinstance(leaf, Outlet)]

    @property
    def outputs(self) -> list[Outlet]:
        """The Outlets that came out, in order."""
        return [leaf for leaf in flat(self.outlets) if isinstance(leaf, Outlet)]


@dataclasses.dataclass(frozen=True)
class Port:
    """An input or output of a network: its name, shape (None for the batch) and dtype."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class InputLayer(Layer):
    """Where samples enter.

    Parameters
    ----------
    shape : of one sample; None for what varies, a name for what varies as in other inputs.
    batch_size : a fixed number of samples, or None.
    batched : False where `shape` is whole, without an axis for the samples before it.
    """

    shape: tuple[int | str | None, ...] = ()
    batch_size: int | None = None
    batched: bool = True

    def call(self, x: Any) -> Any:
        return x

    def extents(self, name: str) -> Shape:
        """The shape with the batch, symbolic where it varies."""
        given = enumerate(self.shape, int(self.batched))
        rest = [d if isinstance(d, int) else Dim(d or f"{name}_{i}") for i, d in given]
        if not self.batched:
            return tuple(rest)
        batch: Extent = BATCH if self.batch_size is None else self.batch_size
        return (batch, *rest)


def Input(  # noqa: N802 (Keras's name)
    shape: Sequence[int | None] | int,
    batch_size: int | None = None,
    dtype: Any = "float32",
    name: str = "",
) -> Outlet:
    """An input to connect layers to.

    Parameters
    ----------
    shape : of one sample, without the batch; None for extents that vary.
    batch_size : a fixed number of samples, or None.
    dtype : of the samples.
    name : of the input.
    """
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    layer = InputLayer(sizes, batch_size, name=name, dtype=np.dtype(dtype).name)
    return input_outlet(layer)


def input_outlet(layer: InputLayer) -> Outlet:
    """The outlet of an input layer."""
    call = Call(layer, (), {})
    extents = layer.extents(layer.name or f"input{id(layer)}")
    outlet = Outlet(call, 0, extents, np.dtype(layer.dtype))
    call.outlets = outlet
    return outlet


def is_outlet(thing: Any) -> bool:
    """Whether something is the result of connecting layers."""
    return isinstance(thing, Outlet)


def connect(layer: Layer, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Connect a layer to Outlets: declares its weights and finds out the shapes it makes."""
    recording = Recording(rewrite=False, float_dtype=layer.dtype)
    declared: dict[Outlet, Tensor] = {}

    def symbol(leaf: Any) -> Any:
        if not isinstance(leaf, Outlet):
            return leaf
        if leaf not in declared:
            name = f"input_{len(declared)}"
            declared[leaf] = recording.input(name, leaf.shape, leaf.dtype)
        return declared[leaf]

    symbols = map_leaves(symbol, tuple(args))
    options = {key: map_leaves(symbol, value) for key, value in kwargs.items()}
    made = recording.call(layer, symbols, options)
    call = Call(layer, tuple(args), dict(kwargs))
    count = iter(range(len(list(flat(made)))))
    call.outlets = map_leaves(lambda t: Outlet(call, next(count), t.shape, t.dtype), made)
    return call.outlets


def _sorted_calls(outputs: Iterable[Outlet]) -> list[Call]:
    """Every call that the outputs need, each after what it needs itself."""
    done: dict[Call, None] = {}
    open_calls: set[Call] = set()
    stack = [(outlet.call, False) for outlet in reversed(list(outputs))]
    while stack:
        call, leaving = stack.pop()
        if leaving:
            open_calls.discard(call)
            done.setdefault(call)
        elif call not in done:
            if call in open_calls:
                raise LayerportError(f"the layer {call.layer} depends on its own output")
            open_calls.add(call)
            stack.append((call, True))
            stack += [(o.call, False) for o in reversed(call.inputs) if o.call not in done]
    return list(done)


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
        calls = _sorted_calls([*inputs, *outputs])
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
        _name_layers(self.layers)

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
        names = self.output_names or _unique([o.layer.name for o in self.output_outlets])
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
            _check_port(port, leaf.shape)
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

    def predict(self, x: Any, batch_size: int | None = None) -> Any:
        """Compute the outputs.

        Parameters
        ----------
        x : an array, a list in the order of `inputs`, or a dict by name.
        batch_size : how many samples at once; None lets the engine choose.

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
            outputs = self._runner.predict(self.feeds(x), batch_size)
        return outputs[0] if len(outputs) == 1 else outputs

    def profile(self, x: Any, runs: int = 20) -> Profile:
        """Where the time of `predict` goes, by operator and layer: an object that prints.

        Parameters
        ----------
        x : as for `predict`; of many samples, the first that are computed at once are timed.
        runs : how often; medians are taken.
        """
        self.predict(x)
        assert self._runner is not None
        return self._runner.profile(self.feeds(x), runs)

    def _shape_from(self, x: Any) -> None:
        """A Sequential without an input shape takes it from the first data."""

    def feeds(self, x: Any) -> dict[str, NDArray]:
        """The arrays of `x` by the names of the inputs, checked and in the inputs' dtypes."""
        ports = self.inputs
        named = by_name(x, [port.name for port in ports])
        feeds = {}
        for port in ports:
            array = np.asarray(named[port.name])
            if array.dtype.kind not in "biuf":
                raise ShapeError(f"input {port.name!r}: cannot be made of {array.dtype} values")
            _check_port(port, array.shape)
            feeds[port.name] = array if array.dtype.name == port.dtype else array.astype(port.dtype)
        counted = {
            outlet.layer.name: len(feeds[outlet.layer.name])
            for outlet in self._input_outlets
            if outlet.shape and same_extent(outlet.shape[0], BATCH)
        }
        if len(set(counted.values())) > 1:
            sizes = ", ".join(f"{name}: {count}" for name, count in counted.items())
            raise ShapeError(f"the inputs have different numbers of samples ({sizes})")
        return feeds

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
        from layerport.format import load_weights

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


class Sequential(Network):
    """A chain of layers, the first an Input or not.

    Parameters
    ----------
    layers : in order. Without an Input at the start, the shape comes from the first data.
    name : of the network.
    """

    chain: Any = dataclasses.field(default=(), repr=False)

    def __init__(self, layers: Sequence[Layer | Outlet] = (), *, name: str = "",
                 trainable: bool = True, dtype: str = "float32") -> None:  # fmt: skip
        self.name, self.trainable, self.dtype = name, trainable, dtype
        self.inputs_given = self.outputs_given = ()
        self.output_names = None
        self.labels = self.origin = None
        self.chain = [_as_layer(layer) for layer in layers]
        self.__post_init__()
        self._connect()

    @property
    def layers(self) -> list[Layer]:
        """The layers without the input layer, as Keras has it."""
        return [layer for layer in self.chain if not isinstance(layer, InputLayer)]

    def add(self, layer: Layer | Outlet) -> None:
        """Append a layer."""
        self.chain = [*self.chain, _as_layer(layer)]
        self._connect()

    def pop(self) -> Layer:
        """Take the last layer away and return it."""
        if not self.chain:
            raise LayerportError("there is no layer to take away")
        last: Layer = self.chain[-1]
        self.chain = self.chain[:-1]
        self._connect()
        return last

    def _connect(self, input_layer: InputLayer | None = None) -> None:
        _name_layers(self.chain)
        chain = self.chain
        if chain and isinstance(chain[0], InputLayer):
            input_layer, chain = chain[0], chain[1:]
        if input_layer is None or not chain:
            self._calls = []
            return
        start = input_outlet(input_layer)
        outlet: Any = start
        for layer in chain:
            outlet = connect(layer, (outlet,), {})
            if not isinstance(outlet, Outlet):
                raise LayerportError(f"{layer} has several outputs; use the functional form")
        self._set([start], [outlet])

    def _shape_from(self, x: Any) -> None:
        if not self._calls:
            array = np.asarray(next(iter(x.values())) if isinstance(x, Mapping) else x)
            kind = array.dtype.name if array.dtype.kind in "iu" else self.dtype
            self._connect(InputLayer(array.shape[1:], name="input", dtype=kind))

    def ensure_built(self, input_shape: Any) -> None:
        if not self._calls:
            self._connect(InputLayer(tuple(input_shape[1:]), name="input", dtype=self.dtype))

    @classmethod
    def config_fields(cls) -> list[dataclasses.Field[Any]]:
        return [field for field in super().config_fields() if field.name != "chain"]


def _as_layer(thing: Layer | Outlet) -> Layer:
    if isinstance(thing, Outlet) and isinstance(thing.layer, InputLayer):
        return thing.layer
    if isinstance(thing, Layer):
        return thing
    raise LayerportError(f"{thing!r} is no layer")


def _as_outlets(given: Any, what: str) -> list[Outlet]:
    values = list(given.values()) if isinstance(given, Mapping) else list(flat((given,)))
    wrong = [item for item in values if not isinstance(item, Outlet)]
    if wrong or not values:
        raise LayerportError(f"{what} of a network are what Input and calls of layers return")
    return values


def _name_layers(layers: Iterable[Layer]) -> None:
    """Name the unnamed as Keras does; refuse two of the same name."""
    unique = list(dict.fromkeys(layers))
    taken = [layer.name for layer in unique if layer.name]
    twice = sorted({name for name in taken if taken.count(name) > 1})
    if twice:
        raise LayerportError(f"two layers of a network are called {', '.join(map(repr, twice))}")
    names = set(taken)
    for layer in unique:
        if not layer.name:
            base = "input" if isinstance(layer, InputLayer) else snake_case(type(layer).__name__)
            layer.name = _fresh(base, names)
            names.add(layer.name)


def _fresh(base: str, taken: set[str]) -> str:
    name, count = base, 0
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    return name


def _unique(names: Sequence[str]) -> list[str]:
    made: list[str] = []
    for name in names:
        made.append(_fresh(name, set(made)))
    return made


def by_name(x: Any, names: Sequence[str]) -> dict[str, Any]:
    """Data for the inputs of these names, given as an array, a list in order, or a dict."""
    if isinstance(x, Mapping):
        missing = [name for name in names if name not in x]
        extra = [str(name) for name in x if name not in names]
        if missing or extra:
            raise ShapeError(
                f"the inputs are {', '.join(names)}; "
                + "; ".join(
                    f"{what}: {', '.join(found)}"
                    for what, found in (("missing", missing), ("unknown", extra))
                    if found
                )
            )
        return dict(x)
    if len(names) == 1:
        alone = isinstance(x, (list, tuple)) and len(x) == 1 and isinstance(x[0], np.ndarray)
        return {names[0]: x[0] if alone else x}
    if not isinstance(x, (list, tuple)) or len(x) != len(names):
        count = len(x) if isinstance(x, (list, tuple)) else 1
        raise ShapeError(f"the network has the inputs {', '.join(names)}; {count} were given")
    return dict(zip(names, x, strict=True))


def _check_port(port: Port, shape: Sequence[Extent]) -> None:
    fits = len(shape) == len(port.shape) and all(
        want is None or isinstance(got, Dim) or want == got
        for want, got in zip(port.shape, shape, strict=True)
    )
    if not fits:
        raise ShapeError(
            f"input {port.name!r}: the shape {tuple(declared_shape(shape))} does not fit "
            f"{port.shape}"
        )
