"""For each operator that reads samples, where its results have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import Any, TypeAlias

from layerport.dim import Dim, Extent, is_extent, is_static, same_extent, static_shape
from layerport.graph import Node
from layerport.numpy_engine.sample_axes import Along, Kind, State, width_of
from layerport.ops.arrange import Concat, Pad, PadGrad, Split, Tile
from layerport.ops.axes import normalize_axis
from layerport.ops.conv import Conv, ConvInputGrad, ConvTranspose, ConvWeightGrad
from layerport.ops.elements import CumSum, GatherElements, ScatterElements
from layerport.ops.global_pool import GlobalAveragePool, GlobalMaxPool
from layerport.ops.indexing import Gather, GatherGrad, OneHot, Slice, SliceGrad, Trilu
from layerport.ops.loss import SoftmaxCrossEntropy, SparseSoftmaxCrossEntropy
from layerport.ops.matmul import Gemm, MatMul
from layerport.ops.moments import Moments
from layerport.ops.normalization import LRN, BatchNormalization, LayerNormalization
from layerport.ops.pool import (
    AveragePool,
    AveragePoolGrad,
    MaxPool,
    MaxPoolGrad,
)
from layerport.ops.recurrent import Recurrent, RecurrentGrad, RecurrentWeightGrad
from layerport.ops.reduce import ArgMax, Count, ReduceSum, Reduction
from layerport.ops.resize import Resize, ResizeGrad
from layerport.ops.shape import Expand, Identity, Reshaping, Shape, Transpose
from layerport.ops.softmax import AlongAxis

Rule: TypeAlias = Callable[[Node, Sequence[State]], "State | Sequence[State]"]


def _shape(node: Node, place: int = 0) -> tuple[Extent, ...]:
    value = node.inputs[place]
    return () if value is None else value.shape


def _mixed(node: Node, operands: Sequence[State]) -> State:
    return Kind.MIXED


def _elementwise(node: Node, operands: Sequence[State]) -> State:
    """Broadcast against one another, all samples must lie along the same axis."""
    rank = node.outputs[0].ndim
    found = {
        state.at(state.axis + rank - len(_shape(node, place)))
        for place, state in enumerate(operands)
        if isinstance(state, Along)
    }
    return found.pop() if len(found) == 1 else Kind.MIXED


def _first(node: Node, operands: Sequence[State]) -> State:
    """Samples along the first axis of the first operand, all others shared or alike."""
    apart = {state for state in operands if isinstance(state, Along)}
    first = operands[0]
    alike = isinstance(first, Along) and first.axis == 0 and apart == {first}
    return first if alike else Kind.MIXED


def _max_pool(node: Node, operands: Sequence[State]) -> State:
    """Indices of maxima count through the whole batch."""
    return Kind.MIXED if len(node.outputs) > 1 else _first(node, operands)


def _first_of_shared(node: Node, operands: Sequence[State]) -> State:
    """As `_first`, with nothing but shared operands besides."""
    others_shared = all(state is Kind.SHARED for state in operands[1:])
    return _first(node, operands) if others_shared else Kind.MIXED


def _untouched(axes_of: Callable[[Any, Node, int], Sequence[int]]) -> Rule:
    """A rule for operators that keep all axes and work along some, given by rank."""

    def rule(node: Node, operands: Sequence[State]) -> State:
        state = operands[0]
        if not isinstance(state, Along) or set(operands[1:]) - {Kind.SHARED}:
            return Kind.MIXED
        touched = axes_of(node.op, node, len(_shape(node)))
        return Kind.MIXED if state.axis in touched else state

    return rule


def _own_axis(op: Any, node: Node, rank: int) -> Sequence[int]:
    return (normalize_axis(op.axis, rank),)


def _cut_axes(op: Any, node: Node, rank: int) -> Sequence[int]:
    """The axes along which not everything is taken."""
    shape = node.outputs[0].shape if isinstance(op, SliceGrad) else _shape(node)
    spans = op.spans(shape)
    whole = [
        span.step == 1 and is_extent(span.start, 0) and str(span.length) == str(extent)
        for span, extent in zip(spans, shape, strict=True)
    ]
    return [axis for axis, is_whole in enumerate(whole) if not is_whole]


def _padded_axes(op: Any, node: Node, rank: int) -> Sequence[int]:
    widths = op.widths(rank)
    return [a for a, pair in enumerate(widths) if not all(is_extent(w, 0) for w in pair)]


def _repeated_axes(op: Any, node: Node, rank: int) -> Sequence[int]:
    return [axis for axis, times in enumerate(op.repeats) if not is_extent(times, 1)]


def _last_two(op: Any, node: Node, rank: int) -> Sequence[int]:
    return (rank - 2, rank - 1)


def _normalized_axes(op: Any, node: Node, rank: int) -> Sequence[int]:
    return range(normalize_axis(op.axis, rank), rank)


def _resized_axes(op: Any, node: Node, rank: int) -> Sequence[int]:
    return [a for a in range(rank) if str(_shape(node)[a]) != str(node.outputs[0].shape[a])]


def _expand(node: Node, operands: Sequence[State]) -> State:
    state = operands[0]
    if not isinstance(state, Along):
        return Kind.MIXED
    return state.at(state.axis + node.outputs[0].ndim - len(_shape(node)))


def _transpose(node: Node, operands: Sequence[State]) -> State:
    state, op = operands[0], node.op
    if not isinstance(state, Along) or not isinstance(op, Transpose):
        return Kind.MIXED
    return state.at(op.order(len(_shape(node))).index(state.axis))


def _reshape(node: Node, operands: Sequence[State]) -> State:
    """What lies before the samples, and inside them, is divided among the axes anew."""
    state, before, after = operands[0], _shape(node), node.outputs[0].shape
    if not isinstance(state, Along):
        return Kind.MIXED
    kept = 0
    while kept < min(state.axis, len(after)) and same_extent(before[kept], after[kept]):
        kept += 1
    divided = before[kept : state.axis]
    if not is_static(divided):
        return Kind.MIXED
    outside = prod(static_shape(divided)) * state.rounds
    seen = 1
    for axis, extent in enumerate(after[kept:], kept):
        whole = width_of(extent)
        if whole is not None:
            rounds, rest = divmod(outside, seen)
            fits = not rest and not whole % rounds
            return Along(axis, whole // rounds, rounds) if fits else Kind.MIXED
        if isinstance(extent, Dim):
            return Kind.MIXED
        seen *= extent
    return Kind.MIXED


def _reduction(node: Node, operands: Sequence[State]) -> State:
    state, op = operands[0], node.op
    if not isinstance(state, Along) or not isinstance(op, Reduction):
        return Kind.MIXED
    gone = op.over(len(_shape(node)))
    if state.axis in gone:
        return Kind.TOTAL if isinstance(op, ReduceSum) else Kind.MIXED
    return state.at(state.axis - _gone_before(state.axis, gone, op.keepdims))


def _moments(node: Node, operands: Sequence[State]) -> State:
    """Moments of parts can be put together, but not by adding them up."""
    state, op = operands[0], node.op
    if not isinstance(state, Along) or not isinstance(op, Moments):
        return Kind.MIXED
    return Kind.LATE if state.axis in op.over(len(_shape(node))) else state


def _gone_before(axis: int, gone: Sequence[int], keepdims: bool) -> int:
    return 0 if keepdims else sum(other < axis for other in gone)


def _argmax(node: Node, operands: Sequence[State]) -> State:
    state, op = operands[0], node.op
    if not isinstance(state, Along) or not isinstance(op, ArgMax):
        return Kind.MIXED
    gone = (normalize_axis(op.axis, len(_shape(node))),)
    if state.axis in gone:
        return Kind.MIXED
    return state.at(state.axis - _gone_before(state.axis, gone, op.keepdims))


def _product(node: Node, operands: Sequence[State], turned: tuple[bool, bool]) -> State:
    """A matrix product; `turned` says whose matrices are read transposed."""
    rank = node.outputs[0].ndim
    roles: list[Along | Kind] = []
    for place, state in enumerate(operands[:2]):
        shape = _shape(node, place)
        if not isinstance(state, Along):
            roles.append(state)
            continue
        if len(shape) < 2:
            return Kind.MIXED
        axis = state.axis - len(shape)
        roles.append(state.at(-3 - axis if axis >= -2 and turned[place] else axis))
    summed = [
        isinstance(role, Along) and role.axis == inner
        for role, inner in zip(roles, (-1, -2), strict=True)
    ]
    if all(summed):
        alike = roles[0][1:] == roles[1][1:]  # type: ignore[index]
        return Kind.TOTAL if alike else Kind.MIXED
    if any(summed):
        return Kind.MIXED
    found = {role for role in roles if isinstance(role, Along)}
    if len(found) != 1 or (rank == 2 and roles[0] == roles[1]):
        return Kind.MIXED
    role = found.pop()
    return role.at(rank + role.axis)


def _matmul(node: Node, operands: Sequence[State]) -> State:
    return _product(node, operands, (False, False))


def _gemm(node: Node, operands: Sequence[State]) -> State:
    op = node.op
    if not isinstance(op, Gemm):
        return Kind.MIXED
    made = _product(node, operands, (bool(op.transA), bool(op.transB)))
    if len(operands) < 3 or node.inputs[2] is None:
        return made
    if not isinstance(made, Along):
        return Kind.MIXED
    return made if operands[2] in (Kind.SHARED, made) else Kind.MIXED


def _concat(node: Node, operands: Sequence[State]) -> State:
    found = {state for state in operands if isinstance(state, Along)}
    axis = _own_axis(node.op, node, node.outputs[0].ndim)[0]
    if len(found) != 1 or Kind.SHARED in operands:
        return Kind.MIXED
    state = found.pop()
    # Samples behind samples are as many rounds more.
    return state._replace(rounds=state.rounds * len(operands)) if state.axis == axis else state


def _gather(node: Node, operands: Sequence[State]) -> State:
    axis = _own_axis(node.op, node, len(_shape(node)))[0]
    data, indices = operands
    if isinstance(indices, Along) and data is Kind.SHARED:
        return indices.at(axis + indices.axis)
    if isinstance(data, Along) and indices is Kind.SHARED and data.axis != axis:
        shift = len(_shape(node, 1)) - 1 if data.axis > axis else 0
        return data.at(data.axis + shift)
    return Kind.MIXED


def _gather_grad(node: Node, operands: Sequence[State]) -> State:
    axis = _own_axis(node.op, node, node.outputs[0].ndim)[0]
    dy, indices = operands
    if not isinstance(dy, Along) or not isinstance(indices, Along):
        return Kind.MIXED
    return Kind.TOTAL if dy == indices.at(axis + indices.axis) else Kind.MIXED


def _one_hot(node: Node, operands: Sequence[State]) -> State:
    state, rank = operands[0], node.outputs[0].ndim
    if not isinstance(state, Along) or operands[1] is not Kind.SHARED:
        return Kind.MIXED
    new = _own_axis(node.op, node, rank)[0]
    return state.at(state.axis + (new <= state.axis))


def _weight_grad(node: Node, operands: Sequence[State]) -> State:
    x, dy = operands
    return Kind.TOTAL if isinstance(x, Along) and x.axis == 0 and x == dy else Kind.MIXED


def _along_axis(node: Node, operands: Sequence[State]) -> State:
    """Operands of one shape, all with the same samples, along another axis than the operator's."""
    (axis,) = _own_axis(node.op, node, len(_shape(node)))
    found = set(operands)
    state = found.pop()
    return state if not found and isinstance(state, Along) and state.axis != axis else Kind.MIXED


_SEQUENCE, _STATE, _RESULTS = Along(1), Along(1), Along(2)
_STEPS, _TRACE = Along(2), Along(3)
"""Where recurrent operators, in layout 0, have the samples."""


def _recurrence(node: Node, operands: Sequence[State]) -> State | list[State]:
    x, *weights = operands[:4]
    lengths, *states = operands[4:7] if len(operands) > 4 else [Kind.SHARED]
    op = node.op
    if not isinstance(op, Recurrent) or op.layout or x != _SEQUENCE:
        return Kind.MIXED
    fits = set(weights) == {Kind.SHARED} and lengths in (Kind.SHARED, Along(0))
    if not fits or not set(states) <= {Kind.SHARED, _STATE} or set(operands[7:]) - {Kind.SHARED}:
        return Kind.MIXED
    made: list[State] = [_RESULTS, *[_STATE] * op.states, _STEPS, _TRACE]
    return made[: len(node.outputs)]


def _recurrence_grad(node: Node, operands: Sequence[State]) -> State | list[State]:
    r, trace, lengths, peepholes, dy, *last = operands
    fits = (
        (r, trace, peepholes) == (Kind.SHARED, _TRACE, Kind.SHARED)
        and lengths in (Kind.SHARED, Along(0))
        and dy in (Kind.SHARED, _RESULTS)
        and set(last) <= {Kind.SHARED, _STATE}
    )
    return [_STEPS, *[_STATE] * (len(node.outputs) - 1)] if fits else Kind.MIXED


def _recurrent_weight_grad(node: Node, operands: Sequence[State]) -> State:
    slopes, steps = operands
    sequence = len(_shape(node, 1)) == 3
    alike = (slopes, steps) == (_STEPS, _SEQUENCE if sequence else _STEPS)
    return Kind.TOTAL if alike else Kind.MIXED


def _cross_entropy(node: Node, operands: Sequence[State]) -> State | list[State]:
    logits, targets = operands
    axis = _own_axis(node.op, node, len(_shape(node)))[0]
    if not isinstance(logits, Along) or logits.axis == axis:
        return Kind.MIXED
    loss = logits.at(logits.axis - (axis < logits.axis))
    wanted = loss if isinstance(node.op, SparseSoftmaxCrossEntropy) else logits
    return [loss, logits] if targets == wanted else Kind.MIXED


_RULES: Mapping[type[Any], Rule] = MappingProxyType(
    {
        AlongAxis: _untouched(_own_axis),
        ArgMax: _argmax,
        AveragePool: _first,
        AveragePoolGrad: _first,
        BatchNormalization: _first_of_shared,
        Concat: _concat,
        Conv: _first_of_shared,
        ConvInputGrad: _first_of_shared,
        ConvTranspose: _first_of_shared,
        ConvWeightGrad: _weight_grad,
        Count: lambda node, operands: Kind.SHARED,
        CumSum: _untouched(_own_axis),
        Expand: _expand,
        Gather: _gather,
        GatherElements: _along_axis,
        GatherGrad: _gather_grad,
        Gemm: _gemm,
        GlobalAveragePool: _first,
        GlobalMaxPool: _first,
        Identity: _elementwise,
        LRN: _first,
        LayerNormalization: _untouched(_normalized_axes),
        MatMul: _matmul,
        MaxPool: _max_pool,
        MaxPoolGrad: _first,
        Moments: _moments,
        OneHot: _one_hot,
        Pad: _untouched(_padded_axes),
        PadGrad: _untouched(_padded_axes),
        Recurrent: _recurrence,
        RecurrentGrad: _recurrence_grad,
        RecurrentWeightGrad: _recurrent_weight_grad,
        Reduction: _reduction,
        Reshaping: _reshape,
        Resize: _untouched(_resized_axes),
        ResizeGrad: _untouched(_resized_axes),
        ScatterElements: _along_axis,
        Shape: lambda node, operands: Kind.SHARED,
        Slice: _untouched(_cut_axes),
        SliceGrad: _untouched(_cut_axes),
        SoftmaxCrossEntropy: _cross_entropy,
        SparseSoftmaxCrossEntropy: _cross_entropy,
        Split: _untouched(_own_axis),
        Tile: _untouched(_repeated_axes),
        Transpose: _transpose,
        Trilu: _untouched(_last_two),
    }
)
"""For an operator, or for all operators that derive from a class."""


def rule_for(node: Node) -> Rule:
    if node.op.elementwise:
        return _elementwise
    for kind in type(node.op).__mro__:
        if kind in _RULES:
            return _RULES[kind]
    return _mixed
