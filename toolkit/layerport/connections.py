"""What networks are made of: inputs, calls of layers, and the outlets that connect them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from layerport.dim import Dim, Extent, Shape
from layerport.errors import LayerportError, ShapeError
from layerport.layer import Layer, declared_shape, flat, map_leaves, snake_case
from layerport.recording import Recording
from layerport.tensor import Tensor

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


def sorted_calls(outputs: Iterable[Outlet]) -> list[Call]:
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


def name_layers(layers: Iterable[Layer]) -> None:
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


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, those that come again with numbers."""
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


def check_port(port: Port, shape: Sequence[Extent]) -> None:
    """Raise `ShapeError` where data of a shape do not fit a port."""
    fits = len(shape) == len(port.shape) and all(
        want is None or isinstance(got, Dim) or want == got
        for want, got in zip(port.shape, shape, strict=True)
    )
    if not fits:
        raise ShapeError(
            f"input {port.name!r}: the shape {tuple(declared_shape(shape))} does not fit "
            f"{port.shape}"
        )
