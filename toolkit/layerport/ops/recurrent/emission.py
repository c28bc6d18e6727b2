"""The forward run as NumPy calls on preallocated arrays: packing, the recurrence, unpacking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from layerport.dim import static_shape
from layerport.op import NDArray
from layerport.ops.recurrent.cells import Backward, Cell, Forward, Segments, laid_beside
from layerport.ops.recurrent.tape import Tape

if TYPE_CHECKING:
    from layerport.numpy_engine.emit import Emitter
    from layerport.ops.recurrent.operators import Recurrent


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
        places = [place[direction] for place in kept] or [None, None]
        run = _Direction(emitter, op, cell, direction, x, r.shape[2])
        run.work_in(*places)
        run.pack_weights(w[direction], r[direction], None if b is None else b[direction])
        run.pack_input(x, w[direction], drop)
        run.start([None if s is None else s[direction] for s in states[: op.states]])
        peepholes = run.peepholes(None if states[2] is None else states[2][direction])
        emitter.call(
            Sweep(cell, Forward, run.order), run.steps, run.trace, run.weights, run.last,
            run.scratch, run.projected, run.recurrent, peepholes, keep, drop,
        )  # fmt: skip
        run.finish(y[:, direction], [s[direction] for s in last], keep)
        for place, made in zip(places, (run.steps, run.trace), strict=True):
            if place is not None and place is not made:
                emitter.copy(place, made)


def emit_mask(
    emitter: Emitter, lengths: NDArray | None, shape: tuple[int, ...], dtype: Any
) -> tuple[NDArray | None, NDArray | None]:
    """(steps, samples, 1): 1 within a sequence, and 1 behind it; None where all are whole."""
    if lengths is None:
        return None, None
    keep, drop = (emitter.temp((*shape, 1), dtype) for _ in range(2))
    emitter.call(_mask, lengths, keep, drop)
    return keep, drop


def _mask(lengths: NDArray, keep: NDArray, drop: NDArray) -> None:
    within = np.arange(len(keep))[:, None] < lengths
    keep[..., 0] = within
    drop[..., 0] = ~within


def _clear(x: NDArray, drop: NDArray) -> None:
    """Zeros behind the sequences, as what stands there may be anything."""
    np.copyto(x, 0, where=drop != 0)


class _Direction:
    """The memory of one direction, and how it is filled and read."""

    def __init__(
        self, emitter: Emitter, op: Recurrent, cell: Cell, direction: int, x: NDArray, units: int
    ) -> None:
        self.emitter, self.cell = emitter, cell
        self.count, self.samples, features = x.shape
        self.features = laid_beside(features)
        self.units, self.dtype = units, x.dtype
        self.order = op.order(direction, self.count)
        self.width = self.features + 1 + units
        self.weights = self._matrices(cell.gates, self.width)
        self.last = self._temp(2, self.samples, units)
        self.scratch = self._temp(cell.spare, self.samples, units)
        self.steps = self.trace = self.scratch
        self.projected: NDArray | None = None
        self.recurrent: NDArray | None = None

    def _temp(self, *shape: int) -> NDArray:
        return self.emitter.temp(shape, self.dtype)

    def _matrices(self, blocks: int, rows: int) -> NDArray:
        """(blocks, rows, units), side by side as one matrix where there is one sample."""
        if self.samples == 1:
            return self._temp(rows, blocks, self.units).swapaxes(0, 1)
        return self._temp(blocks, rows, self.units)

    # Before -----------------------------------------------------------------------------

    def work_in(self, steps: NDArray | None, trace: NDArray | None) -> None:
        """Memory for steps and trace: where they are wanted, if the recurrence can work there."""
        traced = self.count if trace is not None else min(self.count, 2)
        shape = (traced, self.cell.trace, self.samples, self.units)
        self.steps = self._place(steps, (self.count, self.samples, self.width))
        self.trace = self._place(trace, shape)

    def _place(self, wanted: NDArray | None, shape: tuple[int, ...]) -> NDArray:
        fits = wanted is not None and wanted.flags.c_contiguous
        return wanted if wanted is not None and fits else self._temp(*shape)

    def pack_weights(self, w: NDArray, r: NDArray, b: NDArray | None) -> None:
        """W, biases and R one above the other, a matrix for each gate, scaled."""
        cell = self.cell
        if b is None or cell.recurrent != cell.inputs:
            self.emitter.fill(self.weights, 0)
        if self.features:
            self._pack(w, cell.inputs, self.weights[:, : self.features])
        self._pack(r, cell.recurrent, self.weights[:, self.features + 1 :])
        if b is not None:
            self._pack_biases(b.reshape(2, -1, self.units), self.weights[:, self.features])
        if cell.multiplies_reset:
            self.recurrent = self._temp(self.units, self.units)
            self._scaled(self.recurrent, r[2 * self.units :].T, cell.scales[0])

    def _pack(self, weights: NDArray, segments: Segments, place: NDArray) -> None:
        """Weights (gates * units, columns) as blocks (columns, units)."""
        by_gate = weights.reshape(-1, self.units, weights.shape[1]).swapaxes(1, 2)
        for block, gate, count in segments:
            source, scale = by_gate[gate : gate + count], self.cell.scales[block]
            self._scaled(place[block : block + count], source, scale)

    def _pack_biases(self, biases: NDArray, place: NDArray) -> None:
        """Biases of inputs and states (2, gates, units) as one row a block."""
        cell, spare = self.cell, self._temp(*biases.shape[1:])
        for block, gate, count in cell.inputs:
            target, scale = place[block : block + count], cell.scales[block]
            self._scaled(target, biases[0, gate : gate + count], scale)
        for block, gate, count in cell.recurrent_bias:
            target, scale, more = place[block : block + count], cell.scales[block], spare[:count]
            self._scaled(more, biases[1, gate : gate + count], scale)
            self.emitter.ufunc(np.add, [target, more], target)

    def _scaled(self, place: NDArray, array: NDArray, scale: float) -> None:
        if scale == 1:
            self.emitter.copy(place, array)
        else:
            factor = self.emitter.constant(scale, self.dtype)
            self.emitter.ufunc(np.multiply, [array, factor], place)

    def pack_input(self, x: NDArray, w: NDArray, drop: NDArray | None) -> None:
        """The inputs of all steps or their products with W, and ones for the bias."""
        self.emitter.fill(self.steps[:, :, self.features], 1)
        if not self.features:
            self._project(x, w, drop)
            return
        place = self.steps[:, :, : self.features]
        self.emitter.copy(place, x)
        if drop is not None:
            self.emitter.call(_clear, place, drop)

    def _project(self, x: NDArray, w: NDArray, drop: NDArray | None) -> None:
        """The products of the inputs of all steps with W."""
        emitter, features = self.emitter, x.shape[2]
        blocks = sum(count for _, _, count in self.cell.inputs)
        weights = self._matrices(blocks, features)
        self._pack(w, self.cell.inputs, weights)
        if drop is not None or not x.flags.c_contiguous:
            packed = self._temp(*x.shape)
            emitter.copy(packed, x)
            x = packed
            if drop is not None:
                emitter.call(_clear, x, drop)
        self.projected = self._temp(self.count, blocks, self.samples, self.units)
        if self.samples == 1:
            rows = weights.swapaxes(0, 1).reshape(features, -1)
            emitter.matmul(x[:, 0], rows, self.projected.reshape(self.count, -1))
        else:
            emitter.call(np.matmul, x[:, None], weights, out=self.projected)

    def start(self, states: Sequence[NDArray | None]) -> None:
        """The initial states, where the first step reads them."""
        whole = bool(len(self.order))
        places = [self.steps[self.order[0], :, self.features + 1 :] if whole else self.last[0]]
        if self.cell.cell_block is not None:
            block = self.cell.cell_block
            first = self.trace[self.order[0] % len(self.trace), block] if whole else self.last[1]
            places.append(first)
        for place, state in zip(places, states, strict=True):
            if state is None:
                self.emitter.fill(place, 0)
            else:
                self.emitter.copy(place, state)

    def peepholes(self, given: NDArray | None) -> NDArray | None:
        """Peepholes as rows, scaled."""
        if given is None:
            return None
        rows = self._temp(3, 1, self.units)
        self._scaled(rows, given.reshape(3, 1, self.units), self.cell.scales[0])
        return rows

    # Behind -----------------------------------------------------------------------------

    def finish(self, y: NDArray, last: Sequence[NDArray], keep: NDArray | None) -> None:
        """Results where they belong: `y` (steps, samples, units), `last` (samples, units)."""
        for state, place in zip(self.last, last, strict=False):
            self.emitter.copy(place, state)
        if not len(self.order):
            return
        states = self.steps[:, :, self.features + 1 :]
        forward = self.order.step > 0
        if len(self.order) > 1:
            self.emitter.copy(y[:-1] if forward else y[1:], states[1:] if forward else states[:-1])
        self.emitter.copy(y[self.order[-1]], self.last[0])
        if keep is not None:
            self.emitter.ufunc(np.multiply, [y, keep], y)
