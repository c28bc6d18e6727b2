"""The forward run as NumPy calls on preallocated arrays: packing, the recurrence, unpacking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from layerport.dim import static_shape
from layerport.op import NDArray
from layerport.ops.recurrent.cells import Backward, Cell, Forward, laid_beside
from layerport.ops.recurrent.tape import Tape

if TYPE_CHECKING:
    from layerport.numpy_engine.emit import Emitter
    from layerport.ops.recurrent.operators import Recurrent


MANY = 16
"""Samples from which on the inputs of each step fill a product of their own."""


class Sweep:
    """Runs a recurrence over arrays whose places do not change; records it at the first call."""

    keeps_arrays = True

    def __init__(self, cell: Cell, kind: type[Forward | Backward], order: range) -> None:
        self._cell = cell
        self._kind = kind
        self._order = order
        self._tape: Tape | None = None

    def __call__(self, *arrays: NDArray | None) -> None:
        if self._tape is None:
            self._tape = Tape()
            run: Any = self._kind(self._order, *arrays)  # type: ignore[arg-type]
            record = self._cell.forward if self._kind is Forward else self._cell.backward
            record(self._tape, run)
        self._tape()


def computed(op: Recurrent, operands: Sequence[NDArray | None]) -> tuple[NDArray, ...]:
    """What `op.emit` computes, at once and in new arrays."""
    from layerport.graph import Value
    from layerport.numpy_engine.emit import Emitter
    from layerport.numpy_engine.storage import Storages

    values = [None if a is None else Value(a.shape, a.dtype) for a in operands]
    outputs = [np.empty(static_shape(t.shape), t.dtype) for t in op.infer(*values)]  # type: ignore[arg-type]
    emitter = Emitter(Storages())
    op.emit(emitter, operands, outputs)
    for call in emitter.calls:
        call.function(*call.args, **call.keywords)
    return tuple(outputs)


def padded(operands: Sequence[NDArray | None], count: int) -> list[NDArray | None]:
    """Operands with None for those left out at the end."""
    return [*operands, *[None] * (count - len(operands))]


def emit_forward(
    emitter: Emitter,
    op: Recurrent,
    inputs: Sequence[NDArray | None],
    outputs: Sequence[NDArray],
) -> None:
    """Emit all directions of a forward run."""
    x, w, r, b, lengths, *states = padded(inputs, 8)
    assert x is not None
    assert w is not None
    assert r is not None
    y, *last = outputs[: 1 + op.states]
    kept = outputs[1 + op.states :]
    if op.layout:
        x, y = x.transpose(1, 0, 2), y.transpose(1, 2, 0, 3)
        states[:2] = [None if s is None else s.transpose(1, 0, 2) for s in states[:2]]
        last = [s.transpose(1, 0, 2) for s in last]
    keep, drop = emit_mask(emitter, lengths, x.shape[:2], x.dtype)
    for direction, cell in enumerate(op.cells()):
        run = _Direction(emitter, op, cell, direction, x, r.shape[2])
        run.pack_weights(w[direction], r[direction], None if b is None else b[direction])
        run.trace_into(kept[1][direction] if kept else None)
        run.pack_input(x, w[direction], drop)
        run.start([None if s is None else s[direction] for s in states[: op.states]])
        peepholes = run.peepholes(None if states[2] is None else states[2][direction])
        emitter.call(
            Sweep(cell, Forward, run.order), run.steps, run.trace, run.weights, run.last,
            run.scratch, run.projected, run.recurrent, peepholes, keep, drop,
        )  # fmt: skip
        run.finish(y[:, direction], [s[direction] for s in last], keep)
        if kept:
            run.keep_steps(kept[0][direction], kept[1][direction])


def emit_mask(
    emitter: Emitter, lengths: NDArray | None, shape: tuple[int, ...], dtype: Any
) -> tuple[NDArray | None, NDArray | None]:
    """(steps, samples): 1 within a sequence, and 1 behind it; None where all are whole."""
    if lengths is None:
        return None, None
    keep, drop = (emitter.temp(shape, dtype) for _ in range(2))
    emitter.call(_mask, lengths, keep, drop)
    return keep, drop


def _mask(lengths: NDArray, keep: NDArray, drop: NDArray) -> None:
    within = np.arange(len(keep))[:, None] < lengths
    keep[...] = within
    drop[...] = ~within


def _clear(x: NDArray, drop: NDArray) -> None:
    """Zeros behind the sequences, as what stands there may be anything."""
    np.copyto(x, 0, where=drop[:, None, :] != 0)


class _Direction:
    """The memory of one direction, and how it is filled and read."""

    def __init__(
        self, emitter: Emitter, op: Recurrent, cell: Cell, direction: int, x: NDArray, units: int
    ) -> None:
        self.emitter, self.cell = emitter, cell
        count, self.samples, features = x.shape
        self.features = laid_beside(features)
        self.units, self.dtype = units, x.dtype
        self.order = op.order(direction, count)
        width = self.features + 1 + units
        self.steps = self._temp(count, width, self.samples)
        self.weights = self._temp(cell.gates * units, width)
        self.last = self._temp(2, units, self.samples)
        self.scratch = self._temp(cell.spare, units, self.samples)
        self.trace = self.scratch
        self.projected: NDArray | None = None
        self.recurrent: NDArray | None = None

    def _temp(self, *shape: int) -> NDArray:
        return self.emitter.temp(shape, self.dtype)

    def _rows(self, block: int, count: int) -> slice:
        return slice(block * self.units, (block + count) * self.units)

    # Before -----------------------------------------------------------------------------

    def pack_weights(self, w: NDArray, r: NDArray, b: NDArray | None) -> None:
        """W, biases and R side by side, one row a gate and unit, scaled."""
        emitter, cell, packed = self.emitter, self.cell, self.weights
        bias, inner = packed[:, self.features], packed[:, self.features + 1 :]
        if b is None or cell.recurrent != cell.inputs:
            emitter.fill(packed, 0)
        for block, gate, count in cell.inputs:
            rows, gates = self._rows(block, count), self._rows(gate, count)
            if self.features:
                emitter.copy(packed[rows, : self.features], w[gates])
            if b is not None:
                emitter.copy(bias[rows], b[gates])
        for block, gate, count in cell.recurrent:
            emitter.copy(inner[self._rows(block, count)], r[self._rows(gate, count)])
        for block, gate, count in cell.recurrent_bias if b is not None else ():
            assert b is not None
            rows = self._rows(block, count)
            more = b[len(b) // 2 :][self._rows(gate, count)]
            emitter.ufunc(np.add, [bias[rows], more], bias[rows])
        for rows, scale in _scaled_rows(cell.scales, self.units):
            self._scale(packed[rows], scale)
        if cell.multiplies_reset:
            self.recurrent = self._temp(self.units, self.units)
            emitter.copy(self.recurrent, r[self._rows(2, 1)])
            self._scale(self.recurrent, cell.scales[0])

    def _scale(self, array: NDArray, scale: float) -> None:
        if scale != 1:
            factor = self.emitter.constant(scale, self.dtype)
            self.emitter.ufunc(np.multiply, [array, factor], array)

    def pack_input(self, x: NDArray, w: NDArray, drop: NDArray | None) -> None:
        """The inputs of all steps or their products with W, and ones for the bias."""
        self.emitter.fill(self.steps[:, self.features], 1)
        if not self.features:
            self._project(x, w, drop)
            return
        place = self.steps[:, : self.features]
        self.emitter.copy(place, x.transpose(0, 2, 1))
        if drop is not None:
            self.emitter.call(_clear, place, drop)

    def _project(self, x: NDArray, w: NDArray, drop: NDArray | None) -> None:
        """The products of the inputs of all steps with W."""
        emitter, cell = self.emitter, self.cell
        count, samples, features = x.shape
        gates = sum(count for _, _, count in cell.inputs)
        weights = self._temp(gates * self.units, features)
        for block, gate, several in cell.inputs:
            emitter.copy(weights[self._rows(block, several)], w[self._rows(gate, several)])
        for rows, scale in _scaled_rows(cell.scales[:gates], self.units):
            self._scale(weights[rows], scale)
        if drop is not None or samples < MANY:
            packed = self._temp(count, samples, features)
            emitter.copy(packed, x)
            x = packed
            if drop is not None:
                emitter.call(_clear, x.transpose(0, 2, 1), drop)
        if samples == 1:
            products = self._temp(count, gates * self.units)
            emitter.matmul(x.reshape(-1, features), weights.T, products)
            self.projected = products[:, :, None]
            return
        self.projected = self._temp(count, gates * self.units, samples)
        if samples >= MANY:
            emitter.call(np.matmul, weights, x.transpose(0, 2, 1), out=self.projected)
            return
        columns = self._temp(gates * self.units, count * samples)
        emitter.matmul(weights, x.reshape(-1, features).T, columns)
        by_step = columns.reshape(-1, count, samples).transpose(1, 0, 2)
        emitter.copy(self.projected, by_step)

    def trace_into(self, place: NDArray | None) -> None:
        """Memory for the trace: where it is wanted, if the recurrence can work there."""
        fits = place is not None and place.flags.c_contiguous
        count = len(self.order) if place is not None else min(len(self.order), 2)
        shape = (count, self.cell.trace, self.units, self.samples)
        self.trace = place if place is not None and fits else self._temp(*shape)

    def start(self, states: Sequence[NDArray | None]) -> None:
        """The initial states, where the first step reads them."""
        whole = bool(len(self.order))
        places = [self.steps[self.order[0], self.features + 1 :] if whole else self.last[0]]
        if self.cell.cell_block is not None:
            block = self.cell.cell_block
            first = self.trace[self.order[0] % len(self.trace), block] if whole else self.last[1]
            places.append(first)
        for place, state in zip(places, states, strict=True):
            if state is None:
                self.emitter.fill(place, 0)
            else:
                self.emitter.copy(place, state.T)

    def peepholes(self, given: NDArray | None) -> NDArray | None:
        """Peepholes as columns, scaled."""
        if given is None:
            return None
        columns = self._temp(3, self.units, 1)
        self.emitter.copy(columns, given.reshape(3, self.units, 1))
        self._scale(columns, self.cell.scales[0])
        return columns

    # Behind -----------------------------------------------------------------------------

    def finish(self, y: NDArray, last: Sequence[NDArray], keep: NDArray | None) -> None:
        """Results where they belong: `y` (steps, samples, units), `last` (samples, units)."""
        for state, place in zip(self.last, last, strict=False):
            self.emitter.copy(place, state.T)
        if not len(self.order):
            return
        states = self.steps[:, self.features + 1 :].transpose(0, 2, 1)
        forward = self.order.step > 0
        if len(self.order) > 1:
            self.emitter.copy(y[:-1] if forward else y[1:], states[1:] if forward else states[:-1])
        self.emitter.copy(y[self.order[-1]], self.last[0].T)
        if keep is not None:
            self.emitter.ufunc(np.multiply, [y, keep[:, :, None]], y)

    def keep_steps(self, steps: NDArray, trace: NDArray) -> None:
        """Results that are kept for the gradient."""
        width = self.steps.shape[1]
        self.emitter.copy(steps[:width], self.steps.transpose(1, 0, 2))
        if width < len(steps):
            self.emitter.fill(steps[width:], 0)
        if self.trace is not trace:
            self.emitter.copy(trace, self.trace)


def _scaled_rows(scales: Sequence[float], units: int) -> list[tuple[slice, float]]:
    """Neighbouring gates of one scale, as rows."""
    found: list[tuple[slice, float]] = []
    for place, scale in enumerate(scales):
        rows = slice(place * units, (place + 1) * units)
        if found and found[-1][1] == scale:
            rows = slice(found.pop()[0].start, rows.stop)
        found.append((rows, scale))
    return found
