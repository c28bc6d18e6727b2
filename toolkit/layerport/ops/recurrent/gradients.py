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
    GATHERED,
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
    rows = _Rows(cells[0], r.shape[2])
    products = product(slopes, steps)
    features = laid_beside(x.shape[2])
    inputs = products[:, :, :features] if features else product(slopes, x)
    states_from = features + 1
    dr = products[:, :, states_from : states_from + r.shape[2]]
    dr = rows.by_gate(dr, rows.cell.recurrent)
    if rows.cell.multiplies_reset:
        reset = np.swapaxes(trace[:, :, 3], 1, 2)
        dr = np.concatenate([dr, product(rows.block(slopes, 0, 1), reset)], axis=1)
    found: list[Any] = [
        rows.input(slopes, w, x.shape),
        rows.by_gate(inputs, rows.cell.inputs),
        dr,
        None if b is None else rows.bias(products[:, :, features]),
        None,
        *(None if s is None else ds for s, ds in zip(states, initial, strict=False)),
    ]
    if states[2] is not None:
        found.append(rows.peepholes(slopes, trace))
    return found[: len(operands)]


def _check(op: Recurrent, cells: Sequence[Cell]) -> None:
    for cell in cells:
        for activation in cell.activations:
            if activation.name in ("leakyrelu", "elu", "thresholdedrelu") and activation.alpha < 0:
                raise UnsupportedError(
                    f"{activation.name} with alpha {activation.alpha} is not monotonic, so its "
                    "derivative cannot be told from its result"
                )


class _Rows:
    """Rows of slopes (directions, rows, ...), by blocks of one gate each."""

    def __init__(self, cell: Cell, units: int) -> None:
        self.cell, self._units = cell, units

    def block(self, array: Any, first: int, count: int) -> Any:
        """Some blocks of axis 1."""
        return array[:, first * self._units : (first + count) * self._units]

    def _joined(self, array: Any, firsts: Sequence[tuple[int, int]]) -> Any:
        rows = [self.block(array, first, count) for first, count in firsts]
        return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)

    def by_gate(self, array: Any, segments: Segments) -> Any:
        """Blocks in the order of ONNX's gates."""
        ordered = sorted(segments, key=lambda segment: segment[1])
        return self._joined(array, [(block, count) for block, _, count in ordered])

    def input(self, slopes: Any, w: Any, shape: Sequence[Any]) -> Any:
        """The gradient of X: of all directions at once, side by side."""
        ordered = sorted(self.cell.inputs)
        weights = self._joined(w, [(gate, count) for _, gate, count in ordered])
        directions, rows, features = weights.shape
        columns = slopes[:, :rows].transpose(2, 3, 0, 1)
        columns = columns.reshape(*shape[:2], directions * rows)
        return np.matmul(columns, weights.reshape(directions * rows, features))

    def bias(self, sums: Any) -> Any:
        """The gradient of both biases."""
        cell = self.cell
        both = [self.by_gate(sums, cell.inputs), self.by_gate(sums, cell.recurrent_bias)]
        return np.concatenate(both, axis=1)

    def peepholes(self, slopes: Any, trace: Any) -> Any:
        """The gradient of LSTM's peepholes."""
        _, i, f, c, before, _ = (trace[:, :, place] for place in range(6))
        cells = {1: before, 0: f * before + i * c, 2: before}  # ONNX has them as i, o, f
        found = [
            (self.block(slopes, block, 1) * np.swapaxes(cell, 1, 2)).sum(axis=(2, 3))
            for block, cell in cells.items()
        ]
        return np.concatenate(found, axis=1)


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
    _, steps, _, units, samples = trace.shape
    keep, drop = emit_mask(emitter, lengths, (steps, samples), trace.dtype)
    for direction, cell in enumerate(op.cells()):
        memory = _Memory(emitter, cell, trace[direction], outputs[0][direction])
        memory.pack_weights(r[direction])
        memory.start([None if state is None else state[direction] for state in last])
        incoming = None
        if dy is not None:
            incoming = emitter.temp((steps, units, samples), trace.dtype)
            emitter.copy(incoming, dy[:, direction].transpose(0, 2, 1))
            if keep is not None:  # results behind a sequence are 0 whatever the state is
                emitter.ufunc(np.multiply, [incoming, keep[:, None]], incoming)
        columns = None
        if peepholes is not None:
            columns = emitter.temp((3, units, 1), trace.dtype)
            emitter.copy(columns, peepholes[direction].reshape(3, units, 1))
        emitter.call(
            Sweep(cell, Backward, op.order(direction, steps)), memory.trace, memory.slopes,
            memory.weights, memory.state, memory.factors, memory.block, memory.scratch, incoming,
            memory.recurrent, columns, keep, drop,
        )  # fmt: skip
        memory.finish([state[direction] for state in outputs[1:]])


class _Memory:
    """The memory of one direction on the way back."""

    def __init__(self, emitter: Emitter, cell: Cell, trace: NDArray, slopes: NDArray) -> None:
        self.emitter, self.cell = emitter, cell
        steps, _, self.units, samples = trace.shape
        self.trace = trace
        if not trace.flags.c_contiguous:
            self.trace = emitter.temp(trace.shape, trace.dtype)
            emitter.copy(self.trace, trace)
        self.slopes = slopes
        elements = cell.gates * self.units * samples
        prepared = max(1, PREPARED // elements)
        gathered = prepared * max(1, GATHERED // (elements * prepared))
        self.factors = self._temp(min(prepared, steps), 5, self.units, samples)
        self.block = self._temp(min(gathered, steps), cell.gates, self.units, samples)
        self.scratch = self._temp(cell.spare, self.units, samples)
        self.state = self._temp(2, self.units, samples)
        self.recurrent: NDArray | None = None
        self.weights = self.state

    def _temp(self, *shape: int) -> NDArray:
        return self.emitter.temp(shape, self.trace.dtype)

    def pack_weights(self, r: NDArray) -> None:
        """R transposed, without what is not multiplied with the state itself."""
        units, segments = self.units, self.cell.recurrent
        self.weights = self._temp(units, units * sum(count for _, _, count in segments))
        place = 0
        for _, gate, count in segments:
            columns = slice(place * units, (place + count) * units)
            rows = r[gate * units : (gate + count) * units]
            self.emitter.copy(self.weights[:, columns], rows.T)
            place += count
        if self.cell.multiplies_reset:
            self.recurrent = self._temp(units, units)
            self.emitter.copy(self.recurrent, r[2 * units :].T)

    def start(self, last: Sequence[NDArray | None]) -> None:
        """The gradients of the last states."""
        for state, given in zip(self.state, (*last, None), strict=False):
            if given is None:
                self.emitter.fill(state, 0)
            else:
                self.emitter.copy(state, given.T)

    def finish(self, initial: Sequence[NDArray]) -> None:
        """The gradients of the initial states where they belong."""
        for state, place in zip(self.state, initial, strict=False):
            self.emitter.copy(place, state.T)
