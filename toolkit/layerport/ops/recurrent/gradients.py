"""Gradients of the recurrent operators.

Only the way back through time needs an operator of its own. It gives the gradients of the sums
before the activations of all steps; those of weights, biases and inputs are products with them, one
for all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from layerport.errors import UnsupportedError
from layerport.op import NDArray, Op
from layerport.ops.recurrent.cells import (
    PREPARED,
    Backward,
    Cell,
    Segments,
    laid_beside,
)
from layerport.ops.recurrent.emission import Sweep, emit_mask, padded

if TYPE_CHECKING:
    from layerport.numpy_engine.emit import Emitter
    from layerport.ops.recurrent.operators import Recurrent


def gradient(
    op: Recurrent, back: Op, product: Op, dy: Any, y: Any, operands: Sequence[Any]
) -> Sequence[Any]:
    """One gradient an operand, in NumPy on Tensors.

    Parameters
    ----------
    op : the traced operator; its layout is 0.
    back : the operator of the way back.
    product : the operator that multiplies slopes and steps.
    """
    filled: list[Any] = [*operands, *[None] * (8 - len(operands))]
    x, w, r, b, lengths, *states = filled
    cells = op.cells()
    _check(op, cells)
    steps, trace = y[1 + op.states :]
    slopes, *initial = back(r, trace, lengths, states[2], dy[0], *dy[1 : 1 + op.states])
    columns = _Columns(cells[0], r.shape[2])
    products = product(slopes, steps)
    features = laid_beside(x.shape[2])
    inputs = products[:, :features] if features else product(slopes, x)
    states_from = features + 1
    dr = products[:, states_from : states_from + r.shape[2]]
    dr = columns.by_gate(dr, columns.cell.recurrent)
    if columns.cell.multiplies_reset:
        reset = product(columns.block(slopes, 0, 1), trace[:, :, 3])
        dr = np.concatenate([dr, reset], axis=-1)
    found: list[Any] = [
        columns.input(slopes, w, x.shape),
        np.swapaxes(columns.by_gate(inputs, columns.cell.inputs), 1, 2),
        np.swapaxes(dr, 1, 2),
        None if b is None else columns.bias(products[:, features]),
        None,
        *(None if s is None else ds for s, ds in zip(states, initial, strict=False)),
    ]
    if states[2] is not None:
        found.append(columns.peepholes(slopes, trace))
    return found[: len(operands)]


def _check(op: Recurrent, cells: Sequence[Cell]) -> None:
    for cell in cells:
        for activation in cell.activations:
            if activation.name in ("leakyrelu", "elu", "thresholdedrelu") and activation.alpha < 0:
                raise UnsupportedError(
                    f"{activation.name} with alpha {activation.alpha} is not monotonic, so its "
                    "derivative cannot be told from its result"
                )


class _Columns:
    """Columns of slopes (directions, ..., columns), by blocks of one gate each."""

    def __init__(self, cell: Cell, units: int) -> None:
        self.cell, self._units = cell, units

    def block(self, array: Any, first: int, count: int) -> Any:
        """Some blocks of the last axis."""
        return array[..., first * self._units : (first + count) * self._units]

    def _joined(self, array: Any, firsts: Sequence[tuple[int, int]]) -> Any:
        found = [self.block(array, first, count) for first, count in firsts]
        return found[0] if len(found) == 1 else np.concatenate(found, axis=-1)

    def by_gate(self, array: Any, segments: Segments) -> Any:
        """Blocks in the order of ONNX's gates."""
        ordered = sorted(segments, key=lambda segment: segment[1])
        return self._joined(array, [(block, count) for block, _, count in ordered])

    def input(self, slopes: Any, w: Any, shape: Sequence[Any]) -> Any:
        """The gradient of X: of all directions at once, side by side."""
        ordered = sorted(self.cell.inputs)
        blocks = sum(count for _, _, count in ordered)
        weights = self._joined(np.swapaxes(w, 1, 2), [(gate, count) for _, gate, count in ordered])
        directions, features, columns = weights.shape
        beside = self.block(slopes, 0, blocks).transpose(1, 2, 0, 3)
        beside = beside.reshape(*shape[:2], directions * columns)
        below = np.swapaxes(weights, 1, 2).reshape(directions * columns, features)
        return np.matmul(beside, below)

    def bias(self, sums: Any) -> Any:
        """The gradient of both biases."""
        cell = self.cell
        both = [self.by_gate(sums, cell.inputs), self.by_gate(sums, cell.recurrent_bias)]
        return np.concatenate(both, axis=-1)

    def peepholes(self, slopes: Any, trace: Any) -> Any:
        """The gradient of LSTM's peepholes."""
        _, _, f, i, c, before = (trace[:, :, place] for place in range(6))
        cells = {2: before, 0: f * before + i * c, 1: before}  # ONNX has them as i, o, f
        found = [
            (self.block(slopes, block, 1) * cell).sum(axis=(1, 2)) for block, cell in cells.items()
        ]
        return np.concatenate(found, axis=-1)


# The way back -----------------------------------------------------------------------------


def emit_backward(
    emitter: Emitter,
    op: Recurrent,
    inputs: Sequence[NDArray | None],
    outputs: Sequence[NDArray],
) -> None:
    """Emit all directions of a run back."""
    r, trace, lengths, peepholes, dy, *last = padded(inputs, 5 + op.states)
    assert r is not None
    assert trace is not None
    _, steps, _, samples, units = trace.shape
    keep, drop = emit_mask(emitter, lengths, (steps, samples), trace.dtype)
    for direction, cell in enumerate(op.cells()):
        memory = _Memory(emitter, cell, trace[direction], outputs[0][direction])
        memory.pack_weights(r[direction])
        memory.start([None if state is None else state[direction] for state in last])
        incoming = None
        if dy is not None:
            incoming = emitter.temp((steps, samples, units), trace.dtype)
            emitter.copy(incoming, dy[:, direction])
            if keep is not None:  # results behind a sequence are 0 whatever the state is
                emitter.ufunc(np.multiply, [incoming, keep], incoming)
        peeping = None
        if peepholes is not None:
            peeping = emitter.temp((3, 1, units), trace.dtype)
            emitter.copy(peeping, peepholes[direction].reshape(3, 1, units))
        emitter.call(
            Sweep(cell, Backward, op.order(direction, steps)), memory.trace, memory.slopes,
            memory.weights, memory.state, memory.factors, memory.scratch, incoming,
            memory.recurrent, peeping, keep, drop,
        )  # fmt: skip
        memory.finish([state[direction] for state in outputs[1:]])


class _Memory:
    """The memory of one direction on the way back."""

    def __init__(self, emitter: Emitter, cell: Cell, trace: NDArray, slopes: NDArray) -> None:
        self.emitter, self.cell = emitter, cell
        steps, _, samples, self.units = trace.shape
        self.trace, self.slopes = trace, slopes
        if not trace.flags.c_contiguous:
            self.trace = emitter.temp(trace.shape, trace.dtype)
            emitter.copy(self.trace, trace)
        prepared = max(1, PREPARED // max(1, cell.gates * self.units * samples))
        self.factors = self._temp(min(prepared, steps), cell.factors, samples, self.units)
        self.scratch = self._temp(cell.spare, samples, self.units)
        self.state = self._temp(2, samples, self.units)
        self.recurrent: NDArray | None = None
        self.weights = self.state

    def _temp(self, *shape: int) -> NDArray:
        return self.emitter.temp(shape, self.trace.dtype)

    def pack_weights(self, r: NDArray) -> None:
        """R as blocks follow each other, without what is not multiplied with the state itself."""
        units, segments = self.units, self.cell.recurrent
        self.weights = self._temp(units * sum(count for _, _, count in segments), units)
        place = 0
        for _, gate, count in segments:
            rows = r[gate * units : (gate + count) * units]
            self.emitter.copy(self.weights[place : place + len(rows)], rows)
            place += len(rows)
        if self.cell.multiplies_reset:
            self.recurrent = self._temp(units, units)
            self.emitter.copy(self.recurrent, r[2 * units :])

    def start(self, last: Sequence[NDArray | None]) -> None:
        """The gradients of the last states."""
        for state, given in zip(self.state, (*last, None), strict=False):
            if given is None:
                self.emitter.fill(state, 0)
            else:
                self.emitter.copy(state, given)

    def finish(self, initial: Sequence[NDArray]) -> None:
        """The gradients of the initial states where they belong."""
        for state, place in zip(self.state, initial, strict=False):
            self.emitter.copy(place, state)
