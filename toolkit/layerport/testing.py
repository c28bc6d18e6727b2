"""Checks for authors of plugins: does what I wrote keep the rules that everything relies on?

Each check raises `AssertionError` with what differs. They need no test framework.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np

from layerport.dim import Dim, Extent, Shape, bind_shape, same_shape, static_shape
from layerport.gradient import gradient
from layerport.graph import Builder, Graph, Value, verify
from layerport.layer_checks import check_layer
from layerport.numpy_engine.reference import evaluate
from layerport.op import NDArray, Op, TensorType
from layerport.ops.elementwise import Add
from layerport.ops.matmul import MatMul
from layerport.ops.shape import Reshape

__all__ = ["check_layer", "check_op"]


def check_op(
    op: Op,
    *operands: NDArray | None,
    expected: NDArray | Sequence[NDArray] | None = None,
    differentiate: bool | Sequence[int] = True,
    dims: Sequence[Sequence[int | str] | None] | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    seed: int = 0,
) -> None:
    """Check the rules of an operator against one another on some operands.

    The kernel must give the shapes and dtypes of the shape rule; `view` and `simplify` must give
    what the kernel gives; and the gradient must be that of central differences in float64.

    Parameters
    ----------
    op : the operator, attributes included.
    operands : arrays; None for one that is left out.
    expected : what it must compute, from a source other than itself.
    differentiate : whether to check the gradient: for all operands of floats, or for those at the
        places given. The operator must be smooth around the operands.
    dims : symbolic shapes of the operands, names for unknown extents; the shape rule must give
        the same with them once they are bound.
    rtol, atol : of the comparison with `expected`.
    seed : of the random numbers that weigh the outputs for the gradient, and choose elements.
    """
    types = list(op.infer(*[_value(array) for array in operands]))
    results = _computed(op, operands)
    _check_types(op, types, results)
    if expected is not None:
        wanted = [expected] if isinstance(expected, np.ndarray) else list(expected)
        _check_close(f"{op}", results, wanted, rtol, atol)
    _check_view(op, operands, results)
    for rewrite in (False, True):
        graph = _graph(op, operands, rewrite=rewrite)
        verify(graph)
        outputs, _ = evaluate(graph, _feeds(operands), {})
        _check_close(f"{op} in a graph (rewrite={rewrite})", outputs, results, 1e-6, 1e-6)
    if dims is not None:
        _check_symbolic(op, operands, dims, types)
    if differentiate:
        places = None if differentiate is True else tuple(differentiate)
        _check_gradient(op, operands, places, np.random.default_rng(seed))


def _value(array: NDArray | None) -> Value | None:
    return None if array is None else Value(array.shape, array.dtype)


def _computed(op: Op, operands: Sequence[NDArray | None]) -> list[NDArray]:
    before = [None if array is None else array.copy() for array in operands]
    with np.errstate(all="ignore"):
        made = op.evaluate(*operands)
    for old, array in zip(before, operands, strict=True):
        if old is not None and array is not None and not np.array_equal(old, array, equal_nan=True):
            raise AssertionError(f"{op}: evaluate changes its operands")
    return list(made) if isinstance(made, tuple) else [made]


def _check_types(op: Op, types: Sequence[TensorType], results: Sequence[NDArray]) -> None:
    if len(types) != len(results):
        raise AssertionError(f"{op}: {len(types)} outputs inferred, {len(results)} computed")
    for stated, array in zip(types, results, strict=True):
        if not same_shape(stated.shape, array.shape) or stated.dtype != array.dtype:
            raise AssertionError(
                f"{op}: inferred {stated.dtype}{stated.shape}, computed {array.dtype}{array.shape}"
            )


def _check_close(
    what: str, found: Sequence[NDArray], wanted: Sequence[NDArray], rtol: float, atol: float
) -> None:
    for place, (array, right) in enumerate(zip(found, wanted, strict=True)):
        if array.shape != right.shape or array.dtype != right.dtype:
            raise AssertionError(
                f"{what}, output {place}: {array.dtype}{array.shape} instead of "
                f"{right.dtype}{right.shape}"
            )
        np.testing.assert_allclose(
            array, right, rtol=rtol, atol=atol, err_msg=f"{what}, output {place}"
        )


def _check_view(op: Op, operands: Sequence[NDArray | None], results: Sequence[NDArray]) -> None:
    if not operands or operands[0] is None:
        return
    view = op.view(operands[0])
    if view is None:
        return
    if view.size and not np.shares_memory(view, operands[0]):
        raise AssertionError(f"{op}: the view is a copy")
    _check_close(f"the view of {op}", [view], results[:1], 0, 0)


# Graphs ---------------------------------------------------------------------------------


def _feeds(operands: Sequence[NDArray | None]) -> dict[str, NDArray]:
    return {f"x{place}": array for place, array in enumerate(operands) if array is not None}


def _recorded(
    op: Op, operands: Sequence[NDArray | None], build: Builder
) -> tuple[list[Value | None], tuple[Value, ...]]:
    inputs = [
        None if array is None else build.input(f"x{place}", array.shape, array.dtype)
        for place, array in enumerate(operands)
    ]
    return inputs, build.add(op, *inputs)


def _graph(op: Op, operands: Sequence[NDArray | None], *, rewrite: bool) -> Graph:
    build = Builder(rewrite=rewrite)
    return build.finish(_recorded(op, operands, build)[1])


def _check_symbolic(
    op: Op,
    operands: Sequence[NDArray | None],
    dims: Sequence[Sequence[int | str] | None],
    types: Sequence[TensorType],
) -> None:
    sizes: dict[str, Extent] = {}
    values: list[Value | None] = []
    for array, names in zip(operands, dims, strict=True):
        if array is None or names is None:
            values.append(_value(array))
            continue
        sizes.update({n: s for n, s in zip(names, array.shape, strict=True) if isinstance(n, str)})
        shape: Shape = tuple(Dim(n) if isinstance(n, str) else n for n in names)
        values.append(Value(shape, array.dtype))
    for symbolic, stated in zip(op.infer(*values), types, strict=True):
        if not same_shape(bind_shape(symbolic.shape, sizes), stated.shape):
            raise AssertionError(f"{op}: {symbolic.shape} with {sizes} is not {stated.shape}")


# Gradients ------------------------------------------------------------------------------


def _check_gradient(
    op: Op,
    operands: Sequence[NDArray | None],
    places: Sequence[int] | None,
    random: np.random.Generator,
) -> None:
    if places is None:
        floats = [array is not None and array.dtype.kind == "f" for array in operands]
        places = [place for place, is_float in enumerate(floats) if is_float]
    # In the operands' own precision only shapes and dtypes are of interest.
    _differentiated(op, operands, places, random)
    precise = [_precise(array) for array in operands]
    graph, slopes = _differentiated(op, precise, places, random)
    (_, *found), _ = evaluate(slopes, _feeds(precise), {})
    for place, slope in zip(places, found, strict=True):
        array = precise[place]
        if array is None:
            continue
        for index in _some(array, random):
            numeric = _difference(graph, precise, place, index)
            np.testing.assert_allclose(
                slope[index],
                numeric,
                rtol=1e-6,
                atol=1e-6,
                err_msg=f"{op}: gradient in operand {place} at {index}",
            )


def _differentiated(
    op: Op,
    operands: Sequence[NDArray | None],
    places: Sequence[int],
    random: np.random.Generator,
) -> tuple[Graph, Graph]:
    """A weighed sum of the outputs, and the same with its gradients."""
    build = Builder()
    inputs, outputs = _recorded(op, operands, build)
    loss = _weighed(build, [value for value in outputs if value.dtype.kind == "f"], random)
    graph = build.finish([loss])
    wrt = [value for value in (inputs[place] for place in places) if value is not None]
    slopes = gradient(graph, loss, wrt)
    verify(slopes)
    return graph, slopes


def _precise(array: NDArray | None) -> NDArray | None:
    floats = array is not None and array.dtype.kind == "f"
    return array.astype(np.float64) if array is not None and floats else array


def _weighed(build: Builder, outputs: Sequence[Value], random: np.random.Generator) -> Value:
    """A scalar that depends on all outputs, with random weights."""
    sums = []
    for value in outputs:
        size = int(np.prod(static_shape(value.shape)))
        weights = build.constant(random.standard_normal(size), value.dtype)
        sums.append(build.one(MatMul(), build.one(Reshape((size,)), value), weights))
    return reduce(lambda a, b: build.one(Add(), a, b), sums)


def _some(array: NDArray, random: np.random.Generator, limit: int = 40) -> Iterator[Any]:
    """Indices of all elements, or of some at random where there are many."""
    chosen = random.permutation(array.size)[:limit]
    return zip(*np.unravel_index(chosen, array.shape), strict=True) if array.ndim else iter([()])


def _difference(
    graph: Graph, operands: Sequence[NDArray | None], place: int, index: Any, step: float = 1e-5
) -> float:
    """The central difference of the graph's only output in one element of an operand."""
    losses = []
    for sign in (1, -1):
        moved = [None if array is None else array.copy() for array in operands]
        moved[place][index] += sign * step  # type: ignore[index]
        (loss,), _ = evaluate(graph, _feeds(moved), {})
        losses.append(float(loss))
    return (losses[0] - losses[1]) / (2 * step)
