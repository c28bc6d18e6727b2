"""The loop nests of recurrent operators: a loop over the steps, and in it products and gates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from layerport.loops.functions import less, select
from layerport.loops.index import Index, Size
from layerport.loops.ir import Operand
from layerport.loops.views import static_extents
from layerport.ops.recurrent.cells import Cell, GRUAfterCell, GRUCell, LSTMCell, laid_beside
from layerport.ops.recurrent.expressions import activated, derivative

if TYPE_CHECKING:
    from layerport.loops.nest import NestBuilder
    from layerport.loops.sources import Scratch, Source
    from layerport.ops.recurrent.operators import Recurrent

Element = Callable[[Index, Index], Operand]
"""A value for a sample and a unit."""


def write_forward(op: Recurrent, nest: NestBuilder) -> None:
    """The nest of a forward run, traced or not."""
    for direction, cell in enumerate(op.cells()):
        _Forward(op, nest, direction, cell).write()


def write_backward(op: Recurrent, nest: NestBuilder) -> None:
    """The nest of a run back."""
    for direction, cell in enumerate(op.cells()):
        _Backward(op, nest, direction, cell).write()


class _Run:
    """What runs in both directions of time share."""

    def __init__(
        self, op: Recurrent, nest: NestBuilder, direction: int, cell: Cell, lengths: Source | None
    ) -> None:
        self.op, self.nest, self.direction, self.cell = op, nest, direction, cell
        self.lengths = lengths
        self.samples: Size = 0
        self.units = self.count = 0
        self.time: Index | int = 0

    def scratch(self, *columns: int) -> Scratch:
        """Memory (samples, columns)."""
        return self.nest.temporary((self.samples, *columns))

    @contextmanager
    def each(self) -> Iterator[tuple[Index, Index]]:
        """Parallel loops over samples and units."""
        with self.nest.loops((self.samples, self.units), parallel=True) as (n, j):
            yield n, j

    def fill(self, target: Scratch, value: Element) -> None:
        """Write all elements of some memory (samples, units)."""
        with self.each() as (n, j):
            target[n, j] = value(n, j)

    @contextmanager
    def steps(self, *, reverse: bool) -> Iterator[None]:
        """A loop over the steps in the order of this direction, or in the reverse."""
        forward = self.op.order(self.direction, 2)[0] == 0
        with self.nest.loop(self.count) as place:
            self.time = place if forward != reverse else self.count - 1 - place
            yield

    def inside(self, n: Index, new: Operand, old: Operand) -> Operand:
        """The first within the sequence, the second behind it."""
        if self.lengths is None:
            return new
        within = less(self.nest.as_number(self.time), self.lengths[n])
        return select(within, new, old)


class _Forward(_Run):
    """One direction of a forward run."""

    def __init__(self, op: Recurrent, nest: NestBuilder, direction: int, cell: Cell) -> None:
        super().__init__(op, nest, direction, cell, nest.optional(4))
        self.x, self.w, self.r = nest.operands[:3]
        self.b, self.peepholes = nest.optional(3), nest.optional(7)
        self.states = [nest.optional(5 + place) for place in range(op.states)]
        self.y, *self.last = nest.outputs[: 1 + op.states]
        self.kept = nest.outputs[1 + op.states :]
        self.count, _, self.samples, self.units = self.y.shape  # type: ignore[assignment]
        (self.features,) = static_extents(self.x.shape[2:])
        self.beside = laid_beside(self.features)

    def write(self) -> None:
        """All statements."""
        self.hidden = self.scratch(self.units)
        self.sums = self.scratch(self.op.gates * self.units)
        memory = [self.hidden, *(self.scratch(self.units) for _ in self.states[1:])]
        for target, state in zip(memory, self.states, strict=True):
            self.fill(target, self._initial(state))
        with self.steps(reverse=False):
            self._keep_state()
            if isinstance(self.cell, LSTMCell):
                self._lstm(memory[1], self.cell)
            elif isinstance(self.cell, GRUCell):
                self._gru(self.cell)
            else:
                self._rnn()
        for source, result in zip(memory, self.last, strict=True):
            with self.each() as (n, j):
                result[self.direction, n, j] = source[n, j]
        self._keep_inputs()

    def _initial(self, state: Source | None) -> Element:
        if state is None:
            return lambda n, j: 0.0
        return lambda n, j: state[self.direction, n, j]

    def _sum(
        self,
        target: Scratch,
        gate: int,
        count: int,
        *,
        inputs: bool = True,
        state: Scratch | None = None,
        biases: tuple[int, ...] = (0, 1),
        start: Scratch | None = None,
        column: int | None = None,
    ) -> None:
        """Sums for some of ONNX's gates: of inputs and states times weights, and biases."""
        nest, d, units = self.nest, self.direction, self.units
        place = gate if column is None else column
        with nest.loops((self.samples, count * units), parallel=True) as (n, i):
            row = i + gate * units
            first: Any = start[n, place * units + i] if start is not None else 0.0
            for which in biases if self.b is not None else ():
                assert self.b is not None
                first = first + self.b[d, row + which * self.op.gates * units]
            total = nest.local(first)
            if inputs:
                with nest.loop(self.features) as k:
                    total += self.x[self.time, n, k] * self.w[d, row, k]
            if state is not None:
                with nest.loop(units) as k:
                    total += state[n, k] * self.r[d, row, k]
            target[n, place * units + i] = total

    def _finish(self, n: Index, j: Index, new: Operand) -> None:
        """The new hidden state of a unit."""
        nest = self.nest
        value = nest.let(self.inside(n, new, self.hidden[n, j]))
        self.hidden[n, j] = value
        self.y[self.time, self.direction, n, j] = self.inside(n, value, 0.0)

    def _trace(self, n: Index, j: Index, *values: Operand) -> None:
        if self.kept:
            for block, value in enumerate(values):
                self.kept[1][self.direction, self.time, block, n, j] = value

    def _rnn(self) -> None:
        self._sum(self.sums, 0, 1, state=self.hidden)
        with self.each() as (n, j):
            new = self.nest.let(activated(self.cell.activations[0], self.sums[n, j]))
            self._trace(n, j, new)
            self._finish(n, j, new)

    def _gru(self, cell: GRUCell) -> None:
        nest, units, sums = self.nest, self.units, self.sums
        gate, candidate = cell.activations
        self._sum(sums, 0, 2, state=self.hidden)
        third = self.scratch(units)  # q where the reset comes after the product, else r * h
        if isinstance(cell, GRUAfterCell):
            self._sum(sums, 2, 1, biases=(0,))
            self._sum(third, 2, 1, inputs=False, state=self.hidden, biases=(1,), column=0)
        else:
            self.fill(third, lambda n, j: activated(gate, sums[n, units + j]) * self.hidden[n, j])
            self._sum(sums, 2, 1, state=third)
        with self.each() as (n, j):
            z = nest.let(activated(gate, sums[n, j]))
            r = nest.let(activated(gate, sums[n, units + j]))
            other = nest.let(third[n, j])
            total: Any = sums[n, 2 * units + j]
            if isinstance(cell, GRUAfterCell):
                total = total + r * other
            made = nest.let(activated(candidate, total))
            difference = nest.let(self.hidden[n, j] - made)
            self._trace(n, j, made, z, r, other, difference)
            self._finish(n, j, made + z * difference)

    def _lstm(self, cells: Scratch, cell: LSTMCell) -> None:
        nest, units, sums, d = self.nest, self.units, self.sums, self.direction
        gate, candidate, squash = cell.activations
        peepholes = self.peepholes
        self._sum(sums, 0, 4, state=self.hidden)

        def peep(place: int, j: Index, state: Operand) -> Operand:
            return 0.0 if peepholes is None else peepholes[d, place * units + j] * state

        with self.each() as (n, j):
            before = nest.let(cells[n, j])
            i = nest.let(activated(gate, sums[n, j] + peep(0, j, before)))
            f: Any = 1.0 - i
            if not cell.coupled:
                f = activated(gate, sums[n, 2 * units + j] + peep(2, j, before))
            f = nest.let(f)
            c = nest.let(activated(candidate, sums[n, 3 * units + j]))
            after = nest.let(self.inside(n, f * before + i * c, before))
            o = nest.let(activated(gate, sums[n, units + j] + peep(1, j, after)))
            squashed = nest.let(activated(squash, after))
            cells[n, j] = after
            self._trace(n, j, squashed, o, f, i, c, before)
            self._finish(n, j, o * squashed)

    def _keep_state(self) -> None:
        """The state before a step, for the gradients of weights."""
        if self.kept:
            with self.each() as (n, j):
                column = self.beside + 1 + j
                self.kept[0][self.direction, self.time, n, column] = self.hidden[n, j]

    def _keep_inputs(self) -> None:
        """The inputs, and ones for the bias."""
        if not self.kept:
            return
        nest, d, kept = self.nest, self.direction, self.kept[0]
        with nest.loop(self.count) as time, nest.loop(self.samples, parallel=True) as n:
            self.time = time
            if self.beside:
                with nest.loop(self.beside, parallel=True) as k:
                    kept[d, time, n, k] = self.inside(n, self.x[time, n, k], 0.0)
            kept[d, time, n, self.beside] = 1.0


class _Backward(_Run):
    """One direction of a run back."""

    def __init__(self, op: Recurrent, nest: NestBuilder, direction: int, cell: Cell) -> None:
        super().__init__(op, nest, direction, cell, nest.optional(2))
        self.r, self.trace = nest.operands[:2]
        self.peepholes, self.dy = nest.optional(3), nest.optional(4)
        self.last = [nest.optional(5 + place) for place in range(op.states)]
        self.slopes, *self.initial = nest.outputs
        _, self.count, _, self.samples, self.units = self.trace.shape  # type: ignore[assignment]

    def write(self) -> None:
        """All statements."""
        memory = [self.scratch(self.units) for _ in self.last]
        for target, state in zip(memory, self.last, strict=True):
            self.fill(target, self._final(state))
        self.sums = self.scratch(self.cell.gates * self.units)
        self.passed = self.scratch(self.units)
        with self.steps(reverse=True):
            if isinstance(self.cell, LSTMCell):
                self._lstm(memory[0], memory[1], self.cell)
            elif isinstance(self.cell, GRUCell):
                self._gru(memory[0], self.cell)
            else:
                self._rnn(memory[0])
        for source, result in zip(memory, self.initial, strict=True):
            with self.each() as (n, j):
                result[self.direction, n, j] = source[n, j]

    def _final(self, state: Source | None) -> Element:
        if state is None:
            return lambda n, j: 0.0
        return lambda n, j: state[self.direction, n, j]

    def _block(self, block: int, n: Index, j: Index) -> Any:
        return self.nest.let(self.trace[self.direction, self.time, block, n, j])

    def _incoming(self, dh: Scratch, n: Index, j: Index) -> tuple[Any, Any]:
        """The gradient of the new state, and what of it passes a step that does not count."""
        total: Any = dh[n, j]
        if self.dy is not None:
            total = total + self.inside(n, self.dy[self.time, self.direction, n, j], 0.0)
        whole = self.nest.let(total)
        passed = 0.0 if self.lengths is None else self.inside(n, 0.0, whole)
        return self.nest.let(self.inside(n, whole, 0.0)), passed

    def _store(self, n: Index, j: Index, *values: Operand) -> None:
        for block, value in enumerate(values):
            new = self.nest.let(value)
            self.sums[n, block * self.units + j] = new
            self.slopes[self.direction, self.time, n, block * self.units + j] = new

    def _flow_back(self, dh: Scratch) -> None:
        """The gradient of the state before: slopes times R, and what passed."""
        nest, units = self.nest, self.units
        with self.each() as (n, k):
            total = nest.local(self.passed[n, k])
            for block, gate, count in self.cell.recurrent:
                with nest.loop(count * units) as row:
                    slope = self.sums[n, row + block * units]
                    total += slope * self.r[self.direction, row + gate * units, k]
            dh[n, k] = total

    def _rnn(self, dh: Scratch) -> None:
        with self.each() as (n, j):
            slope, passed = self._incoming(dh, n, j)
            self.passed[n, j] = passed
            result = self._block(0, n, j)
            self._store(n, j, slope * derivative(self.cell.activations[0], result))
        self._flow_back(dh)

    def _gru(self, dh: Scratch, cell: GRUCell) -> None:
        nest, units = self.nest, self.units
        gate, candidate = cell.activations
        with self.each() as (n, j):
            slope, passed = self._incoming(dh, n, j)
            made, z, r, other, difference = (self._block(b, n, j) for b in range(5))
            dn = nest.let(slope * (1.0 - z) * derivative(candidate, made))
            dz = slope * difference * derivative(gate, z)
            self.passed[n, j] = passed + slope * z
            if isinstance(cell, GRUAfterCell):
                self._store(n, j, dn, dz, dn * other * derivative(gate, r), dn * r)
            else:
                self._store(n, j, dn, dz)
        if not isinstance(cell, GRUAfterCell):
            with self.each() as (n, k):
                total = nest.local(0.0)
                with nest.loop(units) as row:
                    total += self.sums[n, row] * self.r[self.direction, row + 2 * units, k]
                made, r, difference = (self._block(b, n, k) for b in (0, 2, 4))
                slope = nest.let(total * (made + difference) * derivative(gate, r))
                self.sums[n, 2 * units + k] = slope
                self.slopes[self.direction, self.time, n, 2 * units + k] = slope
                self.passed[n, k] = self.passed[n, k] + total * r
        self._flow_back(dh)

    def _lstm(self, dh: Scratch, dc: Scratch, cell: LSTMCell) -> None:
        nest, units, d = self.nest, self.units, self.direction
        gate, candidate, squash = cell.activations
        peepholes = self.peepholes

        def peep(place: int, j: Index, slope: Operand) -> Operand:
            return 0.0 if peepholes is None else peepholes[d, place * units + j] * slope

        with self.each() as (n, j):
            slope, passed = self._incoming(dh, n, j)
            self.passed[n, j] = passed
            squashed, o, f, i, c, before = (self._block(b, n, j) for b in range(6))
            do = nest.let(slope * squashed * derivative(gate, o))
            old = nest.let(dc[n, j])
            total = self.inside(n, old, 0.0) + slope * o * derivative(squash, squashed)
            flow = nest.let(total + peep(1, j, do))
            part: Any = c - before if cell.coupled else c
            di = nest.let(flow * part * derivative(gate, i))
            df: Any = 0.0
            if not cell.coupled:
                df = nest.let(flow * before * derivative(gate, f))
            self._store(n, j, do, df, di, flow * i * derivative(candidate, c))
            back = flow * f + peep(0, j, di) + peep(2, j, df)
            dc[n, j] = back if self.lengths is None else back + self.inside(n, 0.0, old)
        self._flow_back(dh)
