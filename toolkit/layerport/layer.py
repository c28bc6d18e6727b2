"""What a layer is: config fields, weights declared by `build`, and `call` in plain NumPy.

::

    class Scale(lp.Layer):
        gamma: lp.Array = lp.built()       # a weight that `build` declares

        def build(self, input_shape):      # (None, ..., features)
            return {"gamma": lp.Weight(input_shape[-1:], initializer="ones")}

        def call(self, x):
            return x * self.gamma

A subclass is a dataclass: its annotated fields are its config, in the order in which they can be
given. While a network is recorded, `call` runs on a copy of the layer whose weights are Tensors.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, dataclass_transform

import numpy as np

from layerport.dim import Dim, Extent
from layerport.errors import LayerportError, ShapeError, UnsupportedError
from layerport.op import NDArray
from layerport.registry import Registry, default_registry
from layerport.tensor import Tensor

if TYPE_CHECKING:
    from layerport.recording import Random, Recording

    Array: TypeAlias = Any
else:

    class Array:
        """What a layer's code sees: a Tensor while it is recorded, an ndarray otherwise.

        As the annotation of a field it marks a weight, which `Layer.build` declares.
        """


InputShape: TypeAlias = Any
"""What `build` gets: a tuple with None for what is unknown; a list of them for a list of inputs."""

Initializer: TypeAlias = "str | Mapping[str, Any] | Callable[..., Any]"
Regularizer: TypeAlias = "str | Mapping[str, Any] | Callable[..., Any] | None"


@dataclasses.dataclass(frozen=True)
class Weight:
    """The declaration of a weight.

    Parameters
    ----------
    shape : of the array, in the orientation that Keras uses.
    initializer : a name ("glorot_uniform"), a config as Keras writes it, a function of
        (shape, rng, dtype), or an array.
    trainable : whether training changes it. State such as moving averages is not trainable.
    dtype : None for the layer's own.
    regularizer : a name ("l2"), a config, or a function of the weight; None for none.
    """

    shape: tuple[int, ...]
    initializer: Any = "glorot_uniform"
    trainable: bool = True
    dtype: Any = None
    regularizer: Regularizer = None

    def __post_init__(self) -> None:
        unknown = [d for d in self.shape if d is None or isinstance(d, Dim)]
        if unknown:
            raise ShapeError(
                f"a weight cannot have the shape {self.shape}: the extents that decide it must be "
                "known; give the Input a full shape"
            )
        object.__setattr__(self, "shape", tuple(int(d) for d in self.shape))


def built(*, init: Literal[False] = False) -> Any:
    """Field specifier of a weight that `Layer.build` declares: it is no argument of `__init__`."""
    return dataclasses.field(init=init, repr=False, metadata={"weight": True})


@dataclass_transform(field_specifiers=(built, dataclasses.field))
class Configured:
    """A class whose subclasses are dataclasses, without asking for it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for field, annotation in inspect.get_annotations(cls).items():
            is_array = annotation is Array or str(annotation).rsplit(".", 1)[-1] == "Array"
            if is_array and field not in cls.__dict__:
                setattr(cls, field, built())
        if cls.__doc__ is None:  # layers of one family share what is said of it
            cls.__doc__ = inspect.getdoc(cls)
        dataclasses.dataclass(eq=False, repr=False)(cls)


class Layer(Configured):
    """Base class of the layers.

    Parameters
    ----------
    name : unique inside a network; the network gives one ("dense", "dense_1") where it is empty.
    trainable : False freezes the weights.
    dtype : of the weights and of Python floats in `call`.
    """

    name: str = dataclasses.field(default="", kw_only=True)
    trainable: bool = dataclasses.field(default=True, kw_only=True)
    dtype: str = dataclasses.field(default="float32", kw_only=True)

    if TYPE_CHECKING:  # not fields: `__new__` makes them
        _declared: dict[str, Weight] = dataclasses.field(init=False)
        _arrays: dict[str, Any] = dataclasses.field(init=False)
        _recording: Recording | None = dataclasses.field(init=False)
        _is_built: bool = dataclasses.field(init=False)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        layer = super().__new__(cls)
        layer.__dict__.update(_declared={}, _arrays={}, _recording=None, _is_built=False)
        return layer

    def __post_init__(self) -> None:
        for field in self.config_fields():
            value = getattr(self, field.name)
            if isinstance(value, list):
                setattr(self, field.name, _as_tuple(value))
            elif isinstance(field.default, float) and isinstance(value, int):
                setattr(self, field.name, float(value))
        self.validate()

    # What a subclass writes -------------------------------------------------------------

    def build(self, input_shape: InputShape) -> Mapping[str, Weight]:
        """Declare the weights for an input of this shape, in the order in which Keras has them."""
        return {}

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The function of the layer, in NumPy. Takes `training` if it behaves differently then."""
        raise UnsupportedError(f"{type(self).__name__} defines no call method")

    def validate(self) -> None:
        """Check the config; raise `LayerportError` naming the argument that is wrong."""

    # What `call` can use ----------------------------------------------------------------

    @property
    def random(self) -> Random:
        """Random numbers that depend on seed, step, sample and element alone."""
        return self._recorded("random").random()

    def update(self, name: str, value: Any) -> None:
        """Say what the weight `name` (a moving average...) becomes after a training step."""
        self._recorded("update").update(self, name, value)

    def add_loss(self, value: Any) -> None:
        """Add a scalar to the loss that training minimises."""
        self._recorded("add_loss").losses.append(value)

    def _recorded(self, what: str) -> Recording:
        if self._recording is None:
            raise LayerportError(f"{type(self).__name__}.{what} can be used inside call only")
        return self._recording

    supports_masking: ClassVar[bool] = False
    """Whether a result has the steps of the first input, and so keeps that input's mask."""

    def mask_of(self, x: Any) -> Any:
        """Which steps of an input count, (batch, steps) of bools; None where all do.

        Layers such as `Masking` say so, and layers that keep the steps pass it on.
        """
        return self._recorded("mask_of").mask_of(x)

    def masked(self, x: Any, mask: Any) -> Any:
        """Say which steps of a result count (None: all); returns the result."""
        self._recorded("masked").set_mask(x, mask)
        return x

    @property
    def registry(self) -> Registry:
        """Where names of activations, initializers... are looked up."""
        return default_registry() if self._recording is None else self._recording.registry

    def activate(self, x: Any, activation: str | Callable[..., Any] | None) -> Any:
        """Apply an activation given by name, function or layer; None is the identity."""
        if activation is None:
            return x
        if callable(activation):
            return activation(x)
        return self.registry.activation(activation)(x)

    # Calling ----------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Connect (to the result of `Input`), record (Tensors) or compute (arrays)."""
        from layerport.connections import connect, is_outlet
        from layerport.recording import compute

        leaves = list(flat(args)) + list(flat(tuple(kwargs.values())))
        if any(is_outlet(leaf) for leaf in leaves):
            return connect(self, args, kwargs)
        tensor = next((leaf for leaf in leaves if isinstance(leaf, Tensor)), None)
        if tensor is None:
            return compute(self, args, kwargs)
        recording: Recording = tensor.builder.recording
        return recording.call(self, args, kwargs)

    @classmethod
    def takes_training(cls) -> bool:
        """Whether `call` has a `training` argument."""
        return "training" in inspect.signature(cls.call).parameters

    # Weights ----------------------------------------------------------------------------

    def ensure_built(self, input_shape: InputShape) -> None:
        """Declare the weights, unless that was done before."""
        if self._is_built:
            return
        declared = dict(self.build(input_shape))
        for name, weight in declared.items():
            if not isinstance(weight, Weight):
                raise LayerportError(
                    f"{type(self).__name__}.build returned {weight!r} for {name!r}, not a Weight"
                )
        self.__dict__["_declared"] = declared
        self.__dict__["_is_built"] = True

    @property
    def is_built(self) -> bool:
        """Whether the weights are declared."""
        return self._is_built

    @property
    def declared_weights(self) -> Mapping[str, Weight]:
        """The declarations of the layer's own weights, by name."""
        return self._declared

    def initialize(self, seed: int | Sequence[int] | None = None) -> None:
        """Give every weight of this layer a new initial value.

        Parameters
        ----------
        seed : makes the values repeatable; None draws fresh ones.
        """
        for index, name in enumerate(self._declared):
            self._arrays[name] = self._initial(name, seed, index)

    def _initial(self, name: str, seed: int | Sequence[int] | None, index: int) -> NDArray:
        weight = self._declared[name]
        entropy = None if seed is None else [*np.atleast_1d(seed), index]
        dtype = np.dtype(self.dtype if weight.dtype is None else weight.dtype)
        make = self.registry.initializer(weight.initializer)
        array = np.asarray(make(weight.shape, np.random.default_rng(entropy), dtype), dtype)
        if array.shape != weight.shape:
            raise ShapeError(f"{name} of {self}: initial value {array.shape}, not {weight.shape}")
        return np.array(array)

    def initialize_missing(self, seed: int | Sequence[int] | None = None) -> None:
        """Give an initial value to the weights that have none yet."""
        for index, name in enumerate(self._declared):
            if name not in self._arrays:
                self._arrays[name] = self._initial(name, seed, index)

    @property
    def own_weights(self) -> dict[str, NDArray]:
        """The layer's own arrays by name, those of layers inside it left out."""
        self.initialize_missing()
        return {name: self._arrays[name] for name in self._declared}

    def place(self, name: str, array: NDArray) -> None:
        """Make `array` itself (not a copy) the weight: how a trainer lays weights together."""
        self._arrays[name] = array

    def sublayers(self) -> Iterator[tuple[str, Layer]]:
        """Layers inside this one, with the name of the field that holds them."""
        for field in self.config_fields():
            value = getattr(self, field.name)
            if isinstance(value, Layer):
                yield field.name, value

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """This layer and all inside it, with their paths."""
        yield prefix, self
        for name, layer in self.sublayers():
            yield from layer.walk(f"{prefix}/{name}" if prefix else name)

    @property
    def weights(self) -> Mapping[str, NDArray]:
        """Every array by name, trainable or not, inner layers' as ``inner/kernel``."""
        found: dict[str, NDArray] = {}
        for path, layer in self.walk():
            for name, array in layer.own_weights.items():
                found[f"{path}/{name}" if path else name] = array
        return found

    def get_weights(self) -> list[NDArray]:
        """Copies of the arrays, in the order of `weights`."""
        return [array.copy() for array in self.weights.values()]

    def set_weights(self, arrays: Sequence[Any]) -> None:
        """Write arrays in the order of `weights`.

        Raises
        ------
        ShapeError : when their number or a shape differs; then nothing is written.
        """
        targets = self.weights
        if len(arrays) != len(targets):
            raise ShapeError(
                f"{self} has {len(targets)} weights ({', '.join(targets) or 'none'}), "
                f"{len(arrays)} arrays were given"
            )
        given = [np.asarray(array) for array in arrays]
        wrong = [
            f"{name} has the shape {target.shape}, not {array.shape}"
            for (name, target), array in zip(targets.items(), given, strict=True)
            if target.shape != array.shape
        ]
        if wrong:
            raise ShapeError("; ".join(wrong))
        for target, array in zip(targets.values(), given, strict=True):
            target[...] = array

    def set_flat_weights(self, flat: Any) -> None:
        """Write all weights from one vector, as exported C gives it.

        Parameters
        ----------
        flat : the elements of all weights in the order of `weights`, each row-major; from a file
            for example ``np.fromfile(path, "<f4")``.

        Raises
        ------
        ShapeError : when it has another number of elements; then nothing is written.
        """
        values = np.asarray(flat).reshape(-1)
        if values.size != self.count_params():
            raise ShapeError(
                f"{self} has {self.count_params()} elements of weights, {values.size} were given"
            )
        start = 0
        for array in self.weights.values():
            array[...] = values[start : start + array.size].reshape(array.shape)
            start += array.size

    def count_params(self) -> int:
        """The number of elements of all weights."""
        return sum(array.size for array in self.weights.values())

    def astype(self, dtype: Any) -> None:
        """Change the dtype of this layer and of all inside it, weights included, in place."""
        wanted = np.dtype(dtype)
        for _, layer in self.walk():
            layer.dtype = wanted.name
            for name, array in layer._arrays.items():
                if array.dtype.kind == "f" and layer._declared[name].dtype is None:
                    layer._arrays[name] = array.astype(wanted)

    def __getattr__(self, name: str) -> Any:
        # Reached only for what is no attribute: weights, which live in a table of their own so
        # that a recording can put Tensors in their place.
        arrays = self.__dict__.get("_arrays", {})
        if name in arrays:
            return arrays[name]
        if name in self.__dict__.get("_declared", {}):
            self.initialize_missing()
            return arrays[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._declared:
            raise LayerportError(
                f"{name} is a weight of {self}: layer.{name}[...] = array or set_weights changes "
                "it; inside call, use self.update(name, value)"
            )
        object.__setattr__(self, name, value)

    def bound_to(self, recording: Recording, weights: Mapping[str, Any]) -> Layer:
        """A copy whose weights are these Tensors, for the time of one call."""
        bound = copy.copy(self)
        bound.__dict__.update(_arrays=dict(weights), _recording=recording)
        bound.__dict__["trainable"] = self.trainable and self not in recording.frozen
        return bound

    # Config -----------------------------------------------------------------------------

    @classmethod
    def config_fields(cls) -> list[dataclasses.Field[Any]]:
        """The fields that are arguments of `__init__`, those with a place before the named ones."""
        fields = [field for field in dataclasses.fields(cls) if field.init]
        return sorted(fields, key=lambda field: bool(field.kw_only))

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal layer, as JSON can hold them."""
        return {f.name: plain(getattr(self, f.name), self) for f in self.config_fields()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], registry: Registry | None = None) -> Layer:
        """A layer made of the result of `get_config`.

        Raises
        ------
        LayerportError : naming every argument that the layer does not have.
        """
        known = {field.name for field in cls.config_fields()}
        unknown = sorted(set(config) - known)
        if unknown:
            raise LayerportError(f"{cls.__name__} has no argument {', '.join(unknown)}")
        table = default_registry() if registry is None else registry
        layer: Layer = cls(**{key: _revive(value, table) for key, value in config.items()})
        return layer

    def __repr__(self) -> str:
        shown = []
        for field in self.config_fields():
            value = getattr(self, field.name)
            if field.name != "name" and value is not field.default and value != field.default:
                shown.append(f"{field.name}={value!r}")
        if self.name:
            shown.append(f"name={self.name!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def flat(thing: Any) -> Iterator[Any]:
    """The leaves of nested tuples and lists."""
    if isinstance(thing, (tuple, list)):
        for item in thing:
            yield from flat(item)
    else:
        yield thing


def map_leaves(function: Callable[[Any], Any], thing: Any) -> Any:
    """The same nesting with `function` of each leaf."""
    if isinstance(thing, (tuple, list)):
        return type(thing)(map_leaves(function, item) for item in thing)
    return function(thing)


def declared_shape(shape: Sequence[Extent]) -> tuple[int | None, ...]:
    """A shape with None for what is symbolic, as `build` and users see it."""
    return tuple(None if isinstance(d, Dim) else int(d) for d in shape)


def snake_case(name: str) -> str:
    """`Conv2D` -> `conv2d`, `PReLU` -> `p_re_lu`: how Keras names layers after their class."""
    spaced = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", spaced).lower()


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(v) for v in value) if isinstance(value, list) else value


def plain(value: Any, owner: Any) -> Any:
    """A config value as JSON can hold it."""
    if isinstance(value, Layer) or hasattr(value, "get_config"):
        return {"class_name": type(value).__name__, "config": value.get_config()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list)):
        return [plain(item, owner) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item, owner) for key, item in value.items()}
    if callable(value):
        name = owner.registry.name_of(value)
        if name is None:
            raise UnsupportedError(
                f"{owner} holds the function {value!r}, which has no name that a file could keep",
                hint="write it as a layer, or offer it as an activation through a plugin",
            )
        return name
    return value


def _revive(value: Any, registry: Registry) -> Any:
    if isinstance(value, Mapping) and set(value) == {"class_name", "config"}:
        kind = registry.layers.get(value["class_name"])
        if kind is not None:
            return kind.from_config(value["config"], registry)
    return value
