"""One recording of layers into a graph: which Tensors stand for which weights, and what else
layers say while they are called (updates, extra losses, random numbers)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any

import numpy as np

from layerport import ops
from layerport.dim import Extent, Shape, same_shape, size_of
from layerport.errors import LayerportError, ShapeError
from layerport.graph import Builder, Graph, Value
from layerport.layer import Layer, Weight, declared_shape, flat, map_leaves
from layerport.op import NDArray
from layerport.registry import Registry, default_registry
from layerport.tensor import Tensor

RANDOM_INPUTS = ("random/seed", "random/step", "random/sample")
"""Graph inputs (uint32 scalars) of recordings that use random numbers: the seed of the run, the
number of the step, and the number of the first sample of the batch that this run handles."""


class Recording:
    """A graph under construction together with what the layers in it declare.

    Parameters
    ----------
    training : whether layers are called with ``training=True``.
    rewrite : see `Builder`.

    Attributes
    ----------
    builder : where operators go.
    losses : scalars that layers add to the loss.
    frozen : layers that are not trainable because something around them is not.
    """

    def __init__(
        self,
        *,
        training: bool = False,
        rewrite: bool = True,
        registry: Registry | None = None,
        float_dtype: Any = np.float32,
    ) -> None:
        self.builder = Builder(rewrite=rewrite, float_dtype=float_dtype)
        self.builder.recording = self
        self.training = training
        self.registry = default_registry() if registry is None else registry
        self.losses: list[Any] = []
        self.frozen: Set[Layer] = frozenset()
        self.parameters: dict[str, tuple[Layer, str]] = {}
        self._weights: dict[Layer, dict[str, Tensor]] = {}
        self._paths: dict[Layer, str] = {}
        self._updates: dict[str, Tensor] = {}
        self._masks: dict[Value, Tensor] = {}
        self._streams = 0
        self.folded: Shape = ()
        """Extents of the axes that lie within the axis of samples, behind the samples, where a
        layer is called on all steps at once."""

    def input(self, name: str, shape: Sequence[Extent], dtype: Any) -> Tensor:
        """A new input of the graph."""
        return Tensor(self.builder, self.builder.input(name, shape, dtype))

    def name_layers(self, layer: Layer, path: str) -> None:
        """Say under which path the weights of a layer, and of all inside it, are known."""
        for inner_path, inner in layer.walk(path):
            self._paths.setdefault(inner, inner_path)

    def call(self, layer: Layer, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record a call of a layer on Tensors."""
        shapes = [map_leaves(_shape_of, arg) for arg in args]
        with self._inside(layer):
            layer.ensure_built(shapes[0] if len(shapes) == 1 else shapes)
            bound = layer.bound_to(self, self.weights_of(layer))
            options = dict(kwargs)
            if layer.takes_training():
                options.setdefault("training", self.training)
            result = bound.call(*args, **options)
        if layer.supports_masking and isinstance(result, Tensor):
            first = next((leaf for leaf in flat(tuple(args)) if isinstance(leaf, Tensor)), None)
            self.set_mask(result, None if first is None else self.mask_of(first))
        return result

    @contextmanager
    def _inside(self, layer: Layer) -> Iterator[None]:
        builder, dtype = self.builder, self.builder.float_dtype
        path = self.path_of(layer)
        before, builder.scope_name = builder.scope_name, path or builder.scope_name
        builder.float_dtype = np.dtype(layer.dtype)
        try:
            yield
        finally:
            builder.scope_name, builder.float_dtype = before, dtype

    def path_of(self, layer: Layer) -> str:
        """The path of a layer; one that no network named goes by its name or class."""
        if layer not in self._paths:
            self.name_layers(layer, layer.name or type(layer).__name__)
        return self._paths[layer]

    def weights_of(self, layer: Layer) -> dict[str, Tensor]:
        """The Tensors that stand for a layer's own weights; made at the first call."""
        if layer not in self._weights:
            path = self.path_of(layer)
            made = {}
            for name, weight in layer.declared_weights.items():
                full = f"{path}/{name}" if path else name
                value = self.builder.parameter(full, weight.shape, _dtype_of(layer, weight))
                made[name] = Tensor(self.builder, value)
                self.parameters[full] = (layer, name)
            self._weights[layer] = made
        return self._weights[layer]

    def update(self, layer: Layer, name: str, value: Any) -> None:
        """Record what a weight becomes after the step."""
        # `layer` is the copy that a call works on; the path finds the weight.
        if name not in layer.declared_weights:
            raise LayerportError(f"{layer} updates {name!r}, which its build does not declare")
        target: Tensor = layer._arrays[name]
        if not same_shape(target.shape, value.shape):
            raise ShapeError(f"{layer} updates {name} of shape {target.shape} with {value}")
        self._updates[target.value.name] = value.astype(target.dtype)

    def mask_of(self, tensor: Tensor) -> Tensor | None:
        """Which steps of a tensor count, (batch, steps) of bools; None where all do."""
        return self._masks.get(tensor.value)

    def set_mask(self, tensor: Tensor, mask: Tensor | None) -> None:
        """Say which steps of a tensor count, unless that is known."""
        if mask is not None:
            self._masks.setdefault(tensor.value, mask)

    def random(self) -> Random:
        """A new stream of random numbers."""
        names = RANDOM_INPUTS
        if names[0] not in self.builder.inputs:
            for name in names:
                self.builder.input(name, (), np.uint32)
        counters = [Tensor(self.builder, self.builder.inputs[name]) for name in names]
        self._streams += 1
        return Random(counters, self._streams - 1, self.folded)

    def finish(self, outputs: Sequence[Tensor], output_names: Sequence[str] = ()) -> Graph:
        """The graph of these outputs and of the updates recorded."""
        updates = [(self.builder.parameters[k], t.value) for k, t in self._updates.items()]
        return self.builder.finish(
            [t.value for t in outputs], updates=updates, output_names=output_names
        )


class Random:
    """Random numbers of one stream, a pure function of seed, step, sample and element.

    They do not depend on how a batch is split or on threads, and are the same in every language.
    """

    def __init__(self, counters: Sequence[Tensor], stream: int, folded: Shape = ()) -> None:
        self._counters = counters
        self._stream = stream
        self._folded = folded

    def uniform(self, shape: Shape, dtype: Any = None) -> Any:
        """Uniform numbers in [0, 1). The first axis of `shape` counts the samples."""
        kind = self._counters[0].builder.float_dtype if dtype is None else np.dtype(dtype)
        op = ops.RandomUniform(self._unfolded(shape), self._stream, kind.name)
        made: Tensor = self._counters[0].record(op, *self._counters)
        return made.reshape(shape) if self._folded else made

    def normal(self, shape: Shape, dtype: Any = None) -> Any:
        """Standard normal numbers. The first axis of `shape` counts the samples."""
        kind = self._counters[0].builder.float_dtype if dtype is None else np.dtype(dtype)
        made = ops.random_normal(*self._counters, shape=self._unfolded(shape),
                                 stream=self._stream, dtype=kind.name)  # fmt: skip
        return made.reshape(shape) if self._folded else made

    def _unfolded(self, shape: Shape) -> Shape:
        """The shape with the steps that lie among the samples as axes of their own."""
        if not self._folded:
            return tuple(shape)
        return (shape[0] // size_of(self._folded), *self._folded, *shape[1:])


def _shape_of(leaf: Any) -> Any:
    return declared_shape(leaf.shape) if hasattr(leaf, "shape") else None


def _dtype_of(layer: Layer, weight: Weight) -> Any:
    return np.dtype(layer.dtype if weight.dtype is None else weight.dtype)


def arrays_of(recording: Recording) -> dict[str, NDArray]:
    """The arrays of the layers for every parameter of a recording."""
    return {full: layer.own_weights[name] for full, (layer, name) in recording.parameters.items()}


def compute(layer: Layer, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call a layer on arrays: the same recording, evaluated at once.

    Going through the recording keeps dtypes the same as in a network (float32 in, float32 out).
    """
    from layerport.numpy_engine.reference import evaluate

    training = bool(kwargs.get("training", False))
    recording = Recording(training=training, float_dtype=layer.dtype)
    feeds: dict[str, NDArray] = {}

    def declare(leaf: Any) -> Any:
        if leaf is None or isinstance(leaf, (bool, int, str)):
            return leaf
        array = np.asarray(leaf)
        if array.dtype == np.float64:
            array = array.astype(layer.dtype)
        name = f"input_{len(feeds)}"
        feeds[name] = array
        return recording.input(name, array.shape, array.dtype)

    def declare_array(leaf: Any) -> Any:
        return declare(leaf) if isinstance(leaf, np.ndarray) else leaf

    tensors = map_leaves(declare, tuple(args))
    options = {key: map_leaves(declare_array, value) for key, value in kwargs.items()}
    result = recording.call(layer, tensors, options)
    leaves = [leaf for leaf in flat(result) if isinstance(leaf, Tensor)]
    graph = recording.finish(leaves)
    for value in graph.inputs:
        if value.name in RANDOM_INPUTS:
            feeds[value.name] = np.zeros((), np.uint32)
    outputs, _ = evaluate(graph, feeds, arrays_of(recording))
    found = iter(outputs)
    return map_leaves(lambda leaf: next(found) if isinstance(leaf, Tensor) else leaf, result)
