"""Sums of gradients, put together so that they cost little.

A value that is read several times gets a gradient from each reader. Gradients of slices that do
not overlap are one Concat, products of matrices one longer product; the rest is added.
"""

from __future__ import annotations

from collections.abc import Sequence

from layerport.dim import Extent, Shape, is_extent, same_extent
from layerport.graph import Builder, Value
from layerport.ops.arrange import Concat
from layerport.ops.elementwise import Add
from layerport.ops.indexing import Slice, SliceGrad, Span
from layerport.ops.matmul import Gemm
from layerport.ops.shape import Expand, Reshaping, Transpose


def total(build: Builder, parts: Sequence[Value]) -> Value:
    """The sum of values of one shape and dtype."""
    parts = _join_slices(build, parts)
    parts = _join_products(build, parts)
    result = parts[0]
    for part in parts[1:]:
        result = build.one(Add(), result, part)
    return result


# Slices ---------------------------------------------------------------------------------


def _join_slices(build: Builder, parts: Sequence[Value]) -> list[Value]:
    """Add up the gradients of the same slice, and make one Concat of slices side by side."""
    others: list[Value] = []
    slices: dict[SliceGrad, list[Value]] = {}
    for part in parts:
        node = part.node
        if node is not None and isinstance(node.op, SliceGrad) and node.inputs[0] is not None:
            slices.setdefault(node.op, []).append(node.inputs[0])
        else:
            others.append(part)
    if sum(map(len, slices.values())) < 2:
        return list(parts)
    sums = {op: total(build, values) for op, values in slices.items()}
    joined = _concatenated(build, sums)
    if joined is not None:
        return [*others, joined]
    return [*others, *(build.one(op, value) for op, value in sums.items())]


def _concatenated(build: Builder, pieces: dict[SliceGrad, Value]) -> Value | None:
    """The pieces and zeros between them as one Concat, if they lie along one axis."""
    shape = next(iter(pieces)).shape
    axes = {_sliced_axis(op.spans(shape), shape) for op in pieces}
    axis = axes.pop()
    if axes or axis is None:
        return None
    spans = {op: op.spans(shape)[axis] for op in pieces}
    row: list[Value] = []
    place: Extent = 0
    left = dict(spans)
    while left:
        op = _next(left, place)
        if op is None:
            return None
        span = left.pop(op)
        if not same_extent(span.start, place):
            row.append(_zeros(build, pieces[op], axis, span.start - place))
        row.append(pieces[op])
        place = span.start + span.length
    if not same_extent(place, shape[axis]):
        row.append(_zeros(build, row[-1], axis, shape[axis] - place))
    return build.one(Concat(axis), *row)


def _sliced_axis(spans: Sequence[Span], shape: Shape) -> int | None:
    """The only axis along which not everything is selected, without gaps and forwards."""
    partial = [
        axis
        for axis, (span, extent) in enumerate(zip(spans, shape, strict=True))
        if span.step != 1 or not (is_extent(span.start, 0) and same_extent(span.length, extent))
    ]
    if len(partial) != 1 or spans[partial[0]].step != 1:
        return None
    return partial[0]


def _next(spans: dict[SliceGrad, Span], place: Extent) -> SliceGrad | None:
    """The span that begins at `place`, or else the first behind it where that is known."""
    for op, span in spans.items():
        if same_extent(span.start, place):
            return op
    starts = {op: span.start for op, span in spans.items() if isinstance(span.start, int)}
    if len(starts) < len(spans) or not isinstance(place, int):
        return None
    first = min(starts, key=lambda op: starts[op])
    return first if starts[first] > place else None


def _zeros(build: Builder, like: Value, axis: int, extent: Extent) -> Value:
    shape = (*like.shape[:axis], extent, *like.shape[axis + 1 :])
    return build.one(Expand(shape), build.constant(0, like.dtype))


# Products -------------------------------------------------------------------------------


def _join_products(build: Builder, parts: Sequence[Value]) -> list[Value]:
    """``A @ B + C @ D`` as ``[A C] @ [B; D]``, where nothing but activations is copied for it."""
    groups: dict[Gemm, list[tuple[Value, Value]]] = {}
    others: list[Value] = []
    for part in parts:
        factors = _factors(build, part)
        if factors is None:
            others.append(part)
        else:
            op, a, b = factors
            groups.setdefault(op, []).append((a, b))
    for op, pairs in groups.items():
        if len(pairs) == 1:
            others.append(build.one(op, *pairs[0]))
            continue
        a = build.one(Concat(0 if op.transA else 1), *(a for a, _ in pairs))
        b = build.one(Concat(1 if op.transB else 0), *(b for _, b in pairs))
        others.append(build.one(op, a, b))
    return others


def _factors(build: Builder, value: Value) -> tuple[Gemm, Value, Value] | None:
    node = value.node
    if node is None or not isinstance(node.op, Gemm) or len(node.inputs) > 2:
        return None
    a, b = node.inputs
    if a is None or b is None or _is_weight(build, a) or _is_weight(build, b):
        return None
    return node.op, a, b


def _is_weight(build: Builder, value: Value) -> bool:
    """Whether a value is a parameter or constant, or part of one: large, and read in place."""
    while value.node is not None:
        origin = value.node.inputs[0] if value.node.inputs else None
        if origin is None or not isinstance(value.node.op, Reshaping | Transpose | Slice):
            return False
        value = origin
    return value.constant is not None or build.parameters.get(value.name) is value
