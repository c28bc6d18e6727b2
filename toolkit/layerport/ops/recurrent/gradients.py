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
from layerport.ops.matmul import Gemm
from layerport.ops.recurrent.cells import BLOCK, Backward, Cell, GRUAfterCell, GRUCell, Segments
from layerport.ops.recurrent.emission import Sweep, emit_mask, padded

if TYPE_CHECKING:
    from layerport.numpy_engine.emit import Emitter
    from layerport.ops.recurrent.operators import Recurrent


def gradient(op: Recurrent, back: Op, dy: Any, y: Any, operands: Sequence[Any]) -> Sequence[Any]:
    """One gradient an operand, in NumPy on Tensors.

    Parameters
    ----------
    op : the traced operator; its layout is 0.
    back : the operator of the way back.
    """
    filled: list[Any] = [*operands, *[None] * (8 - len(operands))]
    x, w, r, b, lengths, *states = filled
    cells = op.cells()
    _check(op, cells)
    steps, trace = y[1 + op.states :]
    slopes, *initial = back(r, trace, lengths, states[2], dy[0], *dy[1 : 1 + op.states])
    parts = [
        _OneDirection(cell, slopes[d], steps[d], trace[d], x, w[d]) for d, cell in enumerate(cells)
    ]
    dx = sum((part.input() for part in parts[1:]), parts[0].input())
    found = [dx, *(np.stack(side) for side in zip(*(p.weights() for p in parts), strict=True))]
    found.append(None if b is None else np.stack([part.bias() for part in parts]))
    found.append(None)
    found += [None if s is None else ds for s, ds in zip(states, initial, strict=False)]
    if states[2] is not None:
        found.append(np.stack([part.peepholes() for part in parts]))
    return found[: len(operands)]


def _check(op: Recurrent, cells: Sequence[Cell]) -> None:
    for cell in cells:
        for activation in cell.activations:
            if activation.name in ("leakyrelu", "elu", "thresholdedrelu") and activation.alpha < 0:
                raise UnsupportedError(
                    f"{activation.name} with alpha {activation.alpha} is not monotonic, so its "
                    "derivative cannot be told from its result"
                )


class _OneDirection:
    """The gradients of one direction, from the slopes (rows, steps * samples)."""

    def __init__(self, cell: Cell, slopes: Any, steps: Any, trace: Any, x: Any, w: Any) -> None:
        self._cell, self._slopes, self._trace, self._x, self._w = cell, slopes, trace, x, w
        self._units = trace.shape[2]
        self._features = x.shape[2]
        self._products = Gemm(transB=1)(slopes, steps)

    def _rows(self, array: Any, block: int, count: int) -> Any:
        return array[block * self._units : (block + count) * self._units]

    def _by_gate(self, array: Any, segments: Segments) -> Any:
        """Blocks of rows in the order of ONNX's gates."""
        ordered = sorted(segments, key=lambda segment: segment[1])
        rows = [self._rows(array, block, count) for block, _, count in ordered]
        return rows[0] if len(rows) == 1 else np.concatenate(rows)

    def input(self) -> Any:
        """The gradient of X."""
        ordered = sorted(self._cell.inputs)
        rows = [self._rows(self._w, gate, count) for _, gate, count in ordered]
        w = rows[0] if len(rows) == 1 else np.concatenate(rows)
        slopes = self._slopes[: w.shape[0]]
        return Gemm(transA=1)(slopes, w).reshape(self._x.shape)

    def weights(self) -> tuple[Any, Any]:
        """The gradients of W and R."""
        dw = self._by_gate(self._products[:, : self._features], self._cell.inputs)
        dr = self._by_gate(self._products[:, self._features + 1 :], self._cell.recurrent)
        if isinstance(self._cell, GRUCell) and not isinstance(self._cell, GRUAfterCell):
            # The candidate multiplies R with the reset state.
            reset = np.swapaxes(self._trace[:, 3], 0, 1).reshape(self._units, -1)
            candidate = Gemm(transB=1)(self._rows(self._slopes, 0, 1), reset)
            dr = np.concatenate([dr, candidate])
        return dw, dr

    def bias(self) -> Any:
        """The gradient of both biases."""
        sums = self._products[:, self._features]
        cell = self._cell
        return np.concatenate(
            [self._by_gate(sums, cell.inputs), self._by_gate(sums, cell.recurrent_bias)]
        )

    def peepholes(self) -> Any:
        """The gradient of LSTM's peepholes."""
        steps, _, units, samples = self._trace.shape
        i, _, f, c, _, before = (self._trace[:, place] for place in range(6))
        cells = {0: before, 1: f * before + i * c, 2: before}
        found = []
        for block in range(3):
            slopes = self._rows(self._slopes, block, 1).reshape(units, steps, samples)
            found.append((slopes * np.swapaxes(cells[block], 0, 1)).sum(axis=(1, 2)))
        return np.concatenate(found)


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
        memory = _Memory(emitter, cell, trace[direction])
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
            memory.weights, memory.state, memory.factors, memory.scratch, incoming,
            memory.recurrent, columns, keep, drop,
        )  # fmt: skip
        memory.finish(outputs[0][direction], [state[direction] for state in outputs[1:]])


class _Memory:
    """The memory of one direction on the way back."""

    def __init__(self, emitter: Emitter, cell: Cell, trace: NDArray) -> None:
        self.emitter, self.cell = emitter, cell
        steps, _, self.units, samples = trace.shape
        self.trace = trace
        if not trace.flags.c_contiguous:
            self.trace = emitter.temp(trace.shape, trace.dtype)
            emitter.copy(self.trace, trace)
        self.slopes = self._temp(steps, cell.gates, self.units, samples)
        size = max(1, BLOCK // (cell.gates * self.units * samples))
        self.factors = self._temp(min(size, steps), 5, self.units, samples)
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
        if isinstance(self.cell, GRUCell) and not isinstance(self.cell, GRUAfterCell):
            self.recurrent = self._temp(units, units)
            self.emitter.copy(self.recurrent, r[2 * units :].T)

    def start(self, last: Sequence[NDArray | None]) -> None:
        """The gradients of the last states."""
        for state, given in zip(self.state, (*last, None), strict=False):
            if given is None:
                self.emitter.fill(state, 0)
            else:
                self.emitter.copy(state, given.T)

    def finish(self, slopes: NDArray, initial: Sequence[NDArray]) -> None:
        """Results where they belong."""
        steps, gates, units, samples = self.slopes.shape
        turned = self.slopes.transpose(1, 2, 0, 3)
        place = slopes.reshape(gates, units, steps, samples)
        if np.shares_memory(place, slopes):
            self.emitter.copy(place, turned)
        else:
            through = self._temp(gates, units, steps, samples)
            self.emitter.copy(through, turned)
            self.emitter.copy(slopes, through.reshape(slopes.shape))
        for state, place in zip(self.state, initial, strict=False):
            self.emitter.copy(place, state.T)
