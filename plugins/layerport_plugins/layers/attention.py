"""Attention: weighed means of values, the weights found by comparing queries with keys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from layerport import ops
from layerport.dim import size_of
from layerport.errors import ShapeError
from layerport.layer import Array, Initializer, InputShape, Layer, Regularizer, Weight, built

from layerport_plugins.layers.arguments import (
    check_choice,
    check_count,
    check_number,
    is_count,
    known_extent,
    named,
    refuse,
)
from layerport_plugins.layers.penalty import penalize
from layerport_plugins.layers.regularization import drop

FAR_BELOW = -1e9
"""The score of what must not be attended to."""


def both(one: Array, other: Array) -> Array:
    """Where two masks hold; None holds everywhere."""
    if one is None or other is None:
        return other if one is None else one
    return np.logical_and(one, other)


def causal_mask(queries: Array, keys: Array) -> Array:
    """(1, queries, keys): which keys are not later than a query. Operands (batch, steps, ...)."""
    rows = _positions(queries)[:1, :, None]
    return rows >= _positions(keys)[:1, None, :]


def _positions(x: Array) -> Array:
    """(batch, steps): 1, 2, 3..."""
    return ops.cumsum(np.ones_like(x[:, :, 0], dtype=np.int32), 1)


def weighed(scores: Array, mask: Array) -> Array:
    """Softmax along the last axis, over what the mask lets through."""
    return ops.softmax(scores if mask is None else np.where(mask, scores, FAR_BELOW))


class MultiHeadAttention(Layer):
    """Attention in several heads, each with projections of its own (Vaswani et al., 2017).

    Called with query, value and key (value where it is left out). Masks that the three carry apply.

    Parameters
    ----------
    num_heads : how many heads there are.
    key_dim, value_dim : extents of a head's queries and keys, and of its values (key_dim for None).
    dropout : share of the weights that fall in training.
    use_bias : whether projections have biases.
    output_shape : extents of the result in place of the query's last one.
    attention_axes : the axes that are attended over; None for all but batch and features.
    kernel_initializer, bias_initializer : see `Weight`; of all projections.
    kernel_regularizer, bias_regularizer : penalties on the weights.
    activity_regularizer : penalty on the result, divided by the number of samples.
    seed : kept for files; what falls is decided by the seed of the training run.

    Shapes
    ------
    query (batch, *steps, features), value and key (batch, *others, features) ->
    (batch, *steps, *output_shape); query_kernel, key_kernel (features, num_heads, key_dim),
    value_kernel (features, num_heads, value_dim),
    attention_output_kernel (num_heads, value_dim, *output_shape), biases without the first axes.
    """

    num_heads: int
    key_dim: int
    value_dim: int | None = None
    dropout: float = 0.0
    use_bias: bool = True
    output_shape: tuple[int, ...] | None = None
    attention_axes: tuple[int, ...] | None = None
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    activity_regularizer: Regularizer = None
    seed: int | None = None

    query_kernel: Array = built()
    query_bias: Array = built()
    key_kernel: Array = built()
    key_bias: Array = built()
    value_kernel: Array = built()
    value_bias: Array = built()
    attention_output_kernel: Array = built()
    attention_output_bias: Array = built()

    supports_masking: ClassVar[bool] = True

    def validate(self) -> None:
        check_count(self, "num_heads")
        check_count(self, "key_dim")
        if self.value_dim is not None:
            check_count(self, "value_dim")
        check_number(self, "dropout", least=0, most=1)
        for argument in ("output_shape", "attention_axes"):
            value = getattr(self, argument)
            if isinstance(value, int):
                value = (value,)
                setattr(self, argument, value)
            least = 1 if argument == "output_shape" else -16
            if value is not None and not (
                isinstance(value, tuple) and value and all(is_count(v, least) for v in value)
            ):
                refuse(self, argument, "an integer, several of them, or None")

    def build(self, input_shape: InputShape) -> Mapping[str, Weight]:
        shapes = [tuple(shape) for shape in input_shape if isinstance(shape, (tuple, list))]
        if len(shapes) < 2:
            raise ShapeError(f"{named(self)} is called with query and value, and key if it differs")
        query, value = shapes[:2]
        key = shapes[2] if len(shapes) > 2 else value
        heads, width = self.num_heads, self.value_dim or self.key_dim
        result = self.output_shape or (known_extent(self, query, -1),)
        kernels = {
            "query": (known_extent(self, query, -1), heads, self.key_dim),
            "key": (known_extent(self, key, -1), heads, self.key_dim),
            "value": (known_extent(self, value, -1), heads, width),
            "attention_output": (heads, width, *result),
        }
        weights = {}
        for name, shape in kernels.items():
            weights[f"{name}_kernel"] = Weight(
                shape, self.kernel_initializer, regularizer=self.kernel_regularizer
            )
            if self.use_bias:
                bias = result if name == "attention_output" else shape[1:]
                weights[f"{name}_bias"] = Weight(
                    bias, self.bias_initializer, regularizer=self.bias_regularizer
                )
        return weights

    def call(
        self,
        query: Array,
        value: Array,
        key: Array = None,
        query_mask: Array = None,
        value_mask: Array = None,
        key_mask: Array = None,
        attention_mask: Array = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
        *,
        training: bool = False,
    ) -> Any:
        mask = self._mask(query, value, key, query_mask, value_mask, key_mask)
        if use_causal_mask:
            mask = both(mask, causal_mask(query, value))
        mask = both(mask, attention_mask)
        axes = self._axes(query.ndim)
        q = self._heads(query, "query", axes) * (1 / math.sqrt(self.key_dim))
        k = self._heads(value if key is None else key, "key", axes)
        v = self._heads(value, "value", axes)
        scores = weighed(np.matmul(q, np.swapaxes(k, -1, -2)), self._spread(mask, q.ndim))
        kept = scores
        if training and self.dropout:
            kept = drop(self, scores, self.dropout, scores.shape, 1 / (1 - self.dropout))
        y = self._projected(self._joined(np.matmul(kept, v), query, axes))
        y = penalize(self, y, self.activity_regularizer)
        if not return_attention_scores:
            return y
        self.masked(y, self.mask_of(query))
        return y, scores

    def _mask(
        self, query: Array, value: Array, key: Array, query_mask: Array, value_mask: Array,
        key_mask: Array,
    ) -> Array:  # fmt: skip
        """(batch, queries, keys), from the masks given or carried; None where all count."""
        rows = self.mask_of(query) if query_mask is None else query_mask
        columns = self.mask_of(value) if value_mask is None else value_mask
        if key is not None:
            columns = both(columns, self.mask_of(key) if key_mask is None else key_mask)
        rows = None if rows is None else rows[:, :, None]
        return both(rows, None if columns is None else columns[:, None, :])

    def _axes(self, rank: int) -> list[int]:
        axes = self.attention_axes or tuple(range(1, rank - 1))
        found = sorted(axis % rank for axis in axes)
        if found[0] < 1 or found[-1] > rank - 2:
            raise ShapeError(f"{named(self)}: attention_axes {axes} do not fit {rank} axes")
        return found

    def _spread(self, mask: Array, rank: int) -> Array:
        """A mask with an axis for the heads, and for axes that are not attended over."""
        if mask is None or mask.ndim == rank:
            return mask
        new = (1,) * (rank - mask.ndim)
        return mask.reshape(mask.shape[0], *new, *mask.shape[1:])

    def _heads(self, x: Array, name: str, axes: list[int]) -> Array:
        """(batch, *free axes, heads, attended, width) of an input's projection."""
        kernel = self._arrays[f"{name}_kernel"]
        features, heads, width = kernel.shape
        y = np.matmul(x, kernel.reshape(features, heads * width))
        if self.use_bias:
            y = y + self._arrays[f"{name}_bias"].reshape(heads * width)
        y = y.reshape(*x.shape[:-1], heads, width)
        free = [axis for axis in range(1, x.ndim - 1) if axis not in axes]
        y = np.transpose(y, [0, *free, x.ndim - 1, *axes, x.ndim])
        return y.reshape(*y.shape[: 2 + len(free)], -1, width)

    def _joined(self, y: Array, query: Array, axes: list[int]) -> Array:
        """The heads side by side: (batch, *steps, heads * width)."""
        rank = query.ndim
        free = [axis for axis in range(1, rank - 1) if axis not in axes]
        heads, width = y.shape[-3], y.shape[-1]
        y = y.reshape(*y.shape[: 2 + len(free)], *(query.shape[axis] for axis in axes), width)
        order = [0, *free, rank - 1, *axes, rank]
        y = np.transpose(y, [order.index(axis) for axis in range(rank + 1)])
        return y.reshape(*query.shape[:-1], heads * width)

    def _projected(self, y: Array) -> Array:
        kernel = self.attention_output_kernel
        result = kernel.shape[2:]
        rows = size_of(kernel.shape[:2])
        z = np.matmul(y, kernel.reshape(rows, size_of(result)))
        if len(result) > 1:
            z = z.reshape(*y.shape[:-1], *result)
        return z + self.attention_output_bias if self.use_bias else z


class _Attention(Layer):
    """Base class: called with a list of query, value, and key (value where it is left out)."""

    def build(self, input_shape: InputShape) -> Mapping[str, Weight]:
        if not isinstance(input_shape, (list, tuple)) or len(input_shape) not in (2, 3):
            raise ShapeError(f"{named(self)} takes a list: [query, value] or [query, value, key]")
        return self.declare(input_shape)

    def declare(self, shapes: Sequence[Any]) -> Mapping[str, Weight]:
        """The weights for query, value and key of these shapes."""
        raise NotImplementedError(type(self).__name__)

    def scores(self, query: Array, key: Array) -> Array:
        """(batch, queries, keys), before softmax."""
        raise NotImplementedError(type(self).__name__)

    def call(
        self,
        inputs: Sequence[Array],
        mask: Any = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
        *,
        training: bool = False,
    ) -> Any:
        query, value = inputs[:2]
        key = inputs[2] if len(inputs) > 2 else value
        rows, columns = (mask or [self.mask_of(query), self.mask_of(value)])[:2]
        allowed = None if columns is None else columns[:, None, :]
        if use_causal_mask:
            allowed = both(allowed, causal_mask(query, value))
        weights = weighed(self.scores(query, key), allowed)
        kept = weights
        if training and self.dropout:
            kept = drop(self, weights, self.dropout, weights.shape, 1 / (1 - self.dropout))
        y = np.matmul(kept, value)
        if rows is not None:
            y = self.masked(y * rows[:, :, None].astype(y.dtype), rows)
        return (y, weights) if return_attention_scores else y


class Attention(_Attention):
    """Attention by products of queries with keys (Luong et al., 2015).

    Parameters
    ----------
    use_scale : whether scores are multiplied by a learned number.
    score_mode : "dot" for products; "concat" for the sum of tanh(query + key), times a number.
    dropout : share of the weights that fall in training.
    seed : kept for files; what falls is decided by the seed of the training run.

    Shapes
    ------
    [query (batch, queries, features), value (batch, keys, width), key (batch, keys, features)] ->
    (batch, queries, width); scale and concat_score_weight ().
    """

    use_scale: bool = False
    score_mode: str = "dot"
    dropout: float = 0.0
    seed: int | None = None

    scale: Array = built()
    concat_score_weight: Array = built()

    def validate(self) -> None:
        check_choice(self, "score_mode", ("dot", "concat"))
        check_number(self, "dropout", least=0, most=1)

    def declare(self, shapes: Sequence[Any]) -> Mapping[str, Weight]:
        weights = {}
        if self.use_scale:
            weights["scale"] = Weight((), "ones")
        if self.score_mode == "concat":
            weights["concat_score_weight"] = Weight((), "ones")
        return weights

    def scores(self, query: Array, key: Array) -> Array:
        if self.score_mode == "dot":
            found = np.matmul(query, np.swapaxes(key, 1, 2))
            return found * self.scale if self.use_scale else found
        total = query[:, :, None, :] + key[:, None, :, :]
        bent = np.tanh(total * self.scale if self.use_scale else total)
        return self.concat_score_weight * np.sum(bent, axis=-1)


class AdditiveAttention(_Attention):
    """Attention by the sum of tanh(query + key) over features (Bahdanau et al., 2015).

    Parameters
    ----------
    use_scale : whether each feature has a learned weight in the sum.
    dropout : share of the weights that fall in training.
    seed : kept for files; what falls is decided by the seed of the training run.

    Shapes
    ------
    As for `Attention`; scale (features,).
    """

    use_scale: bool = True
    dropout: float = 0.0
    seed: int | None = None

    scale: Array = built()

    def validate(self) -> None:
        check_number(self, "dropout", least=0, most=1)

    def declare(self, shapes: Sequence[Any]) -> Mapping[str, Weight]:
        extent = known_extent(self, shapes[0], -1)
        return {"scale": Weight((extent,), "glorot_uniform")} if self.use_scale else {}

    def scores(self, query: Array, key: Array) -> Array:
        bent = np.tanh(query[:, :, None, :] + key[:, None, :, :])
        return np.sum(bent * self.scale if self.use_scale else bent, axis=-1)
