"""The recurrences, step by step, as calls on preallocated arrays.

In all arrays the samples are the last axis: each gate of a step is then one block of memory, and
every call runs over a block. For one direction, with T steps, H units, B samples, K = F + 1 + H:

    steps     (T, K, B)      what each step multiplies with the weights: input, 1, state before it;
                             no input where there are many features: see `WIDE`
    trace     (T, S, H, B)   gates and what else the gradient reads, `Cell.trace` blocks a step
    slopes    (G * H, T, B)  gradients of the `Cell.gates` blocks of sums before the activations

Where sequences have lengths of their own, `keep` is 1 within them and 0 behind, `drop` 1 - keep.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import ClassVar, TypeAlias

import numpy as np

from layerport.op import NDArray
from layerport.ops.recurrent.activations import Activation, apply, slopes
from layerport.ops.recurrent.tape import Tape

WIDE = 32
"""Features from which on inputs are multiplied for all steps at once, before the recurrence. Fewer
are laid beside the states, as one product a step costs less than two."""

Segments: TypeAlias = "tuple[tuple[int, int, int], ...]"
"""(first block of sums, first of ONNX's gates, how many), for neighbours."""

PREPARED, GATHERED = 1 << 13, 1 << 16
"""Elements of slopes that are prepared at once, and that are brought to their places at once: so
many that calls are worth their cost, so few that they stay in the caches of first and second level.
"""


@dataclasses.dataclass(frozen=True)
class Forward:
    """What a run through one direction works on.

    Attributes
    ----------
    weights : (G * H, K), scaled for the activations.
    trace : of all steps, or of two that take turns.
    projected : (T, rows, B), the products of the inputs with the first gates' weights, where
        they are not beside the states.
    last : (2, H, B): the state behind the last step, hidden and cell.
    recurrent : (H, H), the weights of the candidate for GRU's reset state; else None.
    peepholes : (3, H, 1), scaled; or None.
    """

    order: Sequence[int]
    steps: NDArray
    trace: NDArray
    weights: NDArray
    last: NDArray
    scratch: NDArray
    projected: NDArray | None = None
    recurrent: NDArray | None = None
    peepholes: NDArray | None = None
    keep: NDArray | None = None
    drop: NDArray | None = None

    def traced(self, place: int) -> NDArray:
        """The trace of the step at a place in the order."""
        return self.trace[self.order[place] % len(self.trace)]  # type: ignore[no-any-return]

    def add_products(self, tape: Tape, step: int, gates: NDArray) -> None:
        """Record the sums of a step: inputs, biases and states times weights."""
        tape.add(np.dot, self.weights, self.steps[step], gates)
        if self.projected is not None:
            inputs = self.projected[step]
            tape.add(np.add, gates[: len(inputs)], inputs, gates[: len(inputs)])


@dataclasses.dataclass(frozen=True)
class Backward:
    """What a run back through one direction works on.

    Attributes
    ----------
    weights : (H, rows), the recurrent weights transposed.
    state : (2, H, B): gradients of the last hidden and cell state; in the end of the first.
    factors : (n, 5, H, B), for n steps that are prepared together.
    block : (m, G, H, B), for the slopes of m steps, a multiple of n.
    incoming : (T, H, B) gradients of the states of all steps, or None.
    """

    order: Sequence[int]
    trace: NDArray
    slopes: NDArray
    weights: NDArray
    state: NDArray
    factors: NDArray
    block: NDArray
    scratch: NDArray
    incoming: NDArray | None = None
    recurrent: NDArray | None = None
    peepholes: NDArray | None = None
    keep: NDArray | None = None
    drop: NDArray | None = None

    def blocks(self, start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
        """Some steps, `size` neighbours at a time, in the order of the run back."""
        starts = range(start, stop, size)
        for first in starts if self.order[0] > self.order[-1] else reversed(starts):
            yield first, min(first + size, stop)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One kind of recurrence. Subclasses say how many blocks there are, and what a step does.

    Attributes
    ----------
    activations : in ONNX's order.
    """

    gates: ClassVar[int]
    trace: ClassVar[int]
    spare: ClassVar[int] = 1
    """How many blocks of scratch memory a step forward or back takes."""

    multiplies_reset: ClassVar[bool] = False
    """Whether the candidate multiplies its part of R with the reset state, trace block 3."""

    cell_block: ClassVar[int | None] = None
    """The block of a step's trace that is the cell state before it, where there is one."""

    inputs: ClassVar[Segments]
    recurrent: ClassVar[Segments]
    recurrent_bias: ClassVar[Segments]
    """Which of ONNX's gates are which blocks of sums: in W and its bias, in R, in R's bias."""

    activations: tuple[Activation, ...]

    @property
    def scales(self) -> tuple[float, ...]:
        """What the weights of each gate are multiplied with."""
        raise NotImplementedError(type(self).__name__)

    def forward(self, tape: Tape, run: Forward) -> None:
        """Record all steps."""
        units = run.last.shape[1]
        for place, step in enumerate(run.order):
            before = run.steps[step][-units:]
            following = place + 1 < len(run.order)
            after = run.steps[run.order[place + 1]][-units:] if following else run.last[0]
            self.step(tape, run, place, before, after)
            if run.keep is not None and run.drop is not None:
                keep, drop, spare = run.keep[step], run.drop[step], run.scratch[0]
                tape.add(np.multiply, before, drop, spare)
                tape.add(np.multiply, after, keep, after)
                tape.add(np.add, after, spare, after)

    def step(self, tape: Tape, run: Forward, place: int, before: NDArray, after: NDArray) -> None:
        """Record one step: `before` and `after` are hidden states."""
        raise NotImplementedError(type(self).__name__)

    def backward(self, tape: Tape, run: Backward) -> None:
        """Record all steps back."""
        for start, stop in run.blocks(0, len(run.trace), len(run.block)):
            for first, end in run.blocks(start, stop, len(run.factors)):
                self.prepare(tape, run.trace[first:end], run.factors[: end - first])
                steps = range(first, end)
                for step in steps if run.order[0] > run.order[-1] else reversed(steps):
                    factors, slopes = run.factors[step - first], run.block[step - start]
                    self._masked_step_back(tape, run, step, factors, slopes)
            made = run.block[: stop - start].reshape(stop - start, len(run.slopes), -1)
            tape.add(np.copyto, run.slopes[:, start:stop], made.swapaxes(0, 1))

    def _masked_step_back(
        self, tape: Tape, run: Backward, step: int, factors: NDArray, slopes: NDArray
    ) -> None:
        dh, passed = run.state[0], run.scratch[-1]
        if run.incoming is not None:
            tape.add(np.add, dh, run.incoming[step], dh)
        if run.keep is not None and run.drop is not None:
            tape.add(np.multiply, dh, run.drop[step], passed)
            tape.add(np.multiply, dh, run.keep[step], dh)
        self.step_back(tape, run, step, factors, slopes)
        if run.keep is not None:
            tape.add(np.add, dh, passed, dh)

    def prepare(self, tape: Tape, trace: NDArray, factors: NDArray) -> None:
        """Record what the slopes of some steps need beside the gradients that flow back."""
        raise NotImplementedError(type(self).__name__)

    def step_back(
        self, tape: Tape, run: Backward, step: int, factors: NDArray, slopes: NDArray
    ) -> None:
        """Record one step back: its slopes, and the gradient of the state before in `run.state`."""
        raise NotImplementedError(type(self).__name__)


def laid_beside(features: int) -> int:
    """How many features are laid beside the states: all, or none where there are many."""
    return features if features < WIDE else 0


def _flat(blocks: NDArray) -> NDArray:
    """(n, H, B) -> (n * H, B)."""
    return blocks.reshape(-1, blocks.shape[-1])


@dataclasses.dataclass(frozen=True)
class RNNCell(Cell):
    """``h' = f(W x + R h + b)``. Trace: h'."""

    gates: ClassVar[int] = 1
    trace: ClassVar[int] = 1
    inputs: ClassVar[Segments] = ((0, 0, 1),)
    recurrent: ClassVar[Segments] = ((0, 0, 1),)
    recurrent_bias: ClassVar[Segments] = ((0, 0, 1),)

    @property
    def scales(self) -> tuple[float, ...]:
        return (self.activations[0].scale,)

    def step(self, tape: Tape, run: Forward, place: int, before: NDArray, after: NDArray) -> None:
        step = run.order[place]
        result = run.traced(place)[0]
        run.add_products(tape, step, result)
        apply(tape, [(self.activations[0], result)], result)
        tape.add(np.positive, result, after)

    def prepare(self, tape: Tape, trace: NDArray, factors: NDArray) -> None:
        self.activations[0].slope(tape, trace[:, 0], factors[:, 0])

    def step_back(
        self, tape: Tape, run: Backward, step: int, factors: NDArray, slopes: NDArray
    ) -> None:
        dh = run.state[0]
        tape.add(np.multiply, dh, factors[0], slopes[0])
        tape.add(np.dot, run.weights, slopes[0], dh)


@dataclasses.dataclass(frozen=True)
class GRUCell(Cell):
    """Gates: candidate n, update z, reset r. Trace: n, z, r, r * h, h - n.

    ``h' = n + z (h - n)`` with ``n = g(W x + R (r * h) + b)``.
    """

    gates: ClassVar[int] = 3
    trace: ClassVar[int] = 5
    spare: ClassVar[int] = 3
    multiplies_reset: ClassVar[bool] = True
    inputs: ClassVar[Segments] = ((0, 2, 1), (1, 0, 2))
    recurrent: ClassVar[Segments] = ((1, 0, 2),)
    recurrent_bias: ClassVar[Segments] = ((0, 2, 1), (1, 0, 2))

    @property
    def scales(self) -> tuple[float, ...]:
        gate, candidate = self.activations
        return (candidate.scale, gate.scale, gate.scale)

    def step(self, tape: Tape, run: Forward, place: int, before: NDArray, after: NDArray) -> None:
        step = run.order[place]
        trace = run.traced(place)
        n, z, r, reset, difference = trace
        run.add_products(tape, step, _flat(trace[:3]))
        apply(tape, [(self.activations[0], _flat(trace[1:3]))], _flat(trace[1:3]))
        tape.add(np.multiply, r, before, reset)
        tape.add(np.dot, run.recurrent, reset, difference)
        tape.add(np.add, n, difference, n)
        self.mix(tape, n, z, before, after, difference)

    def mix(
        self, tape: Tape, n: NDArray, z: NDArray, before: NDArray, after: NDArray,
        difference: NDArray,
    ) -> None:  # fmt: skip
        """From the candidate's sum on."""
        apply(tape, [(self.activations[1], n)], n)
        tape.add(np.subtract, before, n, difference)
        tape.add(np.multiply, z, difference, after)
        tape.add(np.add, after, n, after)

    def prepare(self, tape: Tape, trace: NDArray, factors: NDArray) -> None:
        n, z, r, _, difference = (trace[:, place] for place in range(5))
        self._mixing(tape, n, z, difference, factors)
        self.activations[0].slope(tape, r, factors[:, 2])
        # The state before: h = n + (h - n).
        tape.add(np.add, n, difference, factors[:, 3])
        tape.add(np.multiply, factors[:, 2], factors[:, 3], factors[:, 2])

    def _mixing(
        self, tape: Tape, n: NDArray, z: NDArray, difference: NDArray, factors: NDArray
    ) -> None:
        gate, candidate = self.activations
        candidate.slope(tape, n, factors[:, 0])
        tape.add(np.subtract, tape.number(1.0, z), z, factors[:, 1])
        tape.add(np.multiply, factors[:, 0], factors[:, 1], factors[:, 0])
        gate.slope(tape, z, factors[:, 1])
        tape.add(np.multiply, factors[:, 1], difference, factors[:, 1])

    def step_back(
        self, tape: Tape, run: Backward, step: int, factors: NDArray, slopes: NDArray
    ) -> None:
        (dn, dz, dr), (_, z, r, _, _) = slopes, run.trace[step]
        dh, spare, flow = run.state[0], run.scratch[0], run.scratch[1]
        tape.add(np.multiply, dh, factors[0], dn)
        tape.add(np.multiply, dh, factors[1], dz)
        tape.add(np.multiply, dh, z, dh)
        tape.add(np.dot, run.recurrent, dn, spare)
        tape.add(np.multiply, spare, factors[2], dr)
        tape.add(np.multiply, spare, r, spare)
        tape.add(np.add, dh, spare, dh)
        tape.add(np.dot, run.weights, _flat(slopes[1:]), flow)
        tape.add(np.add, dh, flow, dh)


@dataclasses.dataclass(frozen=True)
class GRUAfterCell(GRUCell):
    """Reset after the product: ``n = g(W x + r * q)``, ``q = R h + b``. Trace: n, z, r, q, h - n.

    q is a fourth block of sums, behind the gates.
    """

    gates: ClassVar[int] = 4
    multiplies_reset: ClassVar[bool] = False
    recurrent: ClassVar[Segments] = ((1, 0, 2), (3, 2, 1))
    recurrent_bias: ClassVar[Segments] = ((1, 0, 2), (3, 2, 1))

    @property
    def scales(self) -> tuple[float, ...]:
        gate, candidate = self.activations
        return (candidate.scale, gate.scale, gate.scale, candidate.scale)

    def step(self, tape: Tape, run: Forward, place: int, before: NDArray, after: NDArray) -> None:
        step = run.order[place]
        trace = run.traced(place)
        n, z, r, q, difference = trace
        run.add_products(tape, step, _flat(trace[:4]))
        apply(tape, [(self.activations[0], _flat(trace[1:3]))], _flat(trace[1:3]))
        tape.add(np.multiply, r, q, difference)
        tape.add(np.add, n, difference, n)
        self.mix(tape, n, z, before, after, difference)

    def prepare(self, tape: Tape, trace: NDArray, factors: NDArray) -> None:
        n, z, r, q, difference = (trace[:, place] for place in range(5))
        self._mixing(tape, n, z, difference, factors)
        gate, candidate = self.activations
        gate.slope(tape, r, factors[:, 2])
        tape.add(np.multiply, factors[:, 2], q, factors[:, 2])
        if candidate.scale != 1:  # q in the trace is scaled
            back = tape.number(1 / candidate.scale, q)
            tape.add(np.multiply, factors[:, 2], back, factors[:, 2])

    def step_back(
        self, tape: Tape, run: Backward, step: int, factors: NDArray, slopes: NDArray
    ) -> None:
        (dn, dz, dr, dq), (_, z, r, _, _) = slopes, run.trace[step]
        dh, flow = run.state[0], run.scratch[0]
        tape.add(np.multiply, dh, factors[0], dn)
        tape.add(np.multiply, dh, factors[1], dz)
        tape.add(np.multiply, dn, factors[2], dr)
        tape.add(np.multiply, dn, r, dq)
        tape.add(np.multiply, dh, z, dh)
        tape.add(np.dot, run.weights, _flat(slopes[1:]), flow)
        tape.add(np.add, dh, flow, dh)


@dataclasses.dataclass(frozen=True)
class LSTMCell(Cell):
    """Gates: output o, input i, forget f, candidate c. Trace: o, i, f, c, C, h(C').

    ``C' = f C + i c``, ``h' = o h(C')``. With `coupled`, f is 1 - i.
    """

    gates: ClassVar[int] = 4
    trace: ClassVar[int] = 6
    spare: ClassVar[int] = 3
    cell_block: ClassVar[int | None] = 4
    inputs: ClassVar[Segments] = ((0, 1, 1), (1, 0, 1), (2, 2, 2))
    recurrent: ClassVar[Segments] = ((0, 1, 1), (1, 0, 1), (2, 2, 2))
    recurrent_bias: ClassVar[Segments] = ((0, 1, 1), (1, 0, 1), (2, 2, 2))

    coupled: bool = False

    @property
    def scales(self) -> tuple[float, ...]:
        gate, candidate, _ = self.activations
        return (gate.scale, gate.scale, gate.scale, candidate.scale)

    def step(self, tape: Tape, run: Forward, place: int, before: NDArray, after: NDArray) -> None:
        step = run.order[place]
        following = place + 1 < len(run.order)
        cell = run.traced(place + 1)[self.cell_block] if following else run.last[1]
        trace = run.traced(place)
        o, i, f, c, previous, squashed = trace
        run.add_products(tape, step, _flat(trace[:4]))
        self._apply_gates(tape, run, trace)
        if self.coupled:
            tape.add(np.subtract, tape.number(1.0, i), i, f)
        tape.add(np.multiply, i, c, squashed)
        tape.add(np.multiply, f, previous, cell)
        tape.add(np.add, cell, squashed, cell)
        if run.keep is not None and run.drop is not None:
            tape.add(np.multiply, previous, run.drop[step], squashed)
            tape.add(np.multiply, cell, run.keep[step], cell)
            tape.add(np.add, cell, squashed, cell)
        if run.peepholes is not None:
            self._peep(tape, run.peepholes[1], cell, o, run.scratch[0])
            apply(tape, [(self.activations[0], o)], o)
        self._squash(tape, cell, squashed)
        tape.add(np.multiply, o, squashed, after)

    def _apply_gates(self, tape: Tape, run: Forward, trace: NDArray) -> None:
        gate, candidate, _ = self.activations
        if run.peepholes is None:
            parts = [(gate, _flat(trace[:3])), (candidate, trace[3])]
            apply(tape, parts, _flat(trace[:4]))
            return
        for peephole, block in ((0, 1), (2, 2)):
            weights = run.peepholes[peephole]
            self._peep(tape, weights, trace[4], trace[block], run.scratch[0])
        apply(tape, [(gate, _flat(trace[1:3])), (candidate, trace[3])], _flat(trace[1:4]))

    def _peep(
        self, tape: Tape, weights: NDArray, cell: NDArray, gate: NDArray, spare: NDArray
    ) -> None:
        tape.add(np.multiply, weights, cell, spare)
        tape.add(np.add, gate, spare, gate)

    def _squash(self, tape: Tape, cell: NDArray, out: NDArray) -> None:
        squash = self.activations[2]
        if squash.name == "tanh":
            tape.add(np.tanh, cell, out)
            return
        tape.add(np.multiply, cell, tape.number(squash.scale, cell), out)
        apply(tape, [(squash, out)], out)

    def prepare(self, tape: Tape, trace: NDArray, factors: NDArray) -> None:
        """Factors: of o, i, f, c, and of C' from h'."""
        gate, candidate, squash = self.activations
        parts = [
            (gate, trace[:, :3], factors[:, :3]),
            (candidate, trace[:, 3], factors[:, 3]),
        ]
        slopes(tape, parts, trace[:, :4], factors[:, :4])
        squash.slope(tape, trace[:, 5], factors[:, 4])
        tape.add(np.multiply, factors[:, 4], trace[:, 0], factors[:, 4])

    def step_back(
        self, tape: Tape, run: Backward, step: int, factors: NDArray, slopes: NDArray
    ) -> None:
        dh, dc = run.state
        spare, passed = run.scratch[0], run.scratch[1]
        _, i, f, _, _, squashed = trace = run.trace[step]
        tape.add(np.multiply, dh, factors[4], spare)
        if run.keep is not None and run.drop is not None:
            tape.add(np.multiply, dc, run.drop[step], passed)
            tape.add(np.multiply, dc, run.keep[step], dc)
        tape.add(np.add, dc, spare, dc)
        tape.add(np.multiply, dh, squashed, slopes[0])
        if run.peepholes is not None:
            tape.add(np.multiply, slopes[0], factors[0], spare)
            self._peep(tape, run.peepholes[1], spare, dc, spare)
        tape.add(np.multiply, dc, trace[3:5], slopes[1:3])
        if self.coupled:
            tape.add(np.subtract, slopes[1], slopes[2], slopes[1])
            tape.add(np.ndarray.fill, slopes[2], 0)
        tape.add(np.multiply, dc, i, slopes[3])
        tape.add(np.multiply, slopes, factors[:4], slopes)
        tape.add(np.multiply, dc, f, dc)
        if run.peepholes is not None:
            self._peep(tape, run.peepholes[0], slopes[1], dc, spare)
            self._peep(tape, run.peepholes[2], slopes[2], dc, spare)
        if run.keep is not None:
            tape.add(np.add, dc, passed, dc)
        tape.add(np.dot, run.weights, _flat(slopes), dh)
