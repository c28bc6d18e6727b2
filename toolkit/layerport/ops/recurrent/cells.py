"""The recurrences, step by step, as calls on preallocated arrays.

In all arrays the units are the last axis, the samples the one before it: each gate of a step is one
block of memory, and every call runs over blocks. Products fill whole vectors with units, however
few samples there are. For one direction, with T steps, H units, B samples, K = F + 1 + H:

    steps     (T, B, K)      what each step multiplies with the weights: input, 1, state before it;
                             no input where there are many features: see `WIDE`
    trace     (T, S, B, H)   gates and what else the gradient reads, `Cell.trace` blocks a step
    slopes    (T, B, G * H)  gradients of the `Cell.gates` blocks of sums before the activations

Steps and slopes are matrices of T * B rows, so all weights get their gradients from one product.
Where sequences have lengths of their own, `keep` is 1 within them and 0 behind, `drop` 1 - keep.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar, TypeAlias

import numpy as np

from layerport.op import NDArray
from layerport.ops.recurrent.activations import Activation, apply, slopes
from layerport.ops.recurrent.tape import Tape

WIDE = 96
"""Features from which on inputs are multiplied for all steps at once, before the recurrence. Fewer
are laid beside the states, as one product a step costs less than two."""

Segments: TypeAlias = "tuple[tuple[int, int, int], ...]"
"""(first block of sums, first of ONNX's gates, how many), for neighbours of one activation."""

PREPARED = 1 << 16
"""Elements of slopes that are prepared at once: so many that calls are worth their cost, so few
that they stay in the cache of second level."""


@dataclasses.dataclass(frozen=True)
class Forward:
    """What a run through one direction works on.

    Attributes
    ----------
    weights : (G, K, H), scaled for the activations; one row of all gates behind the other where
        there is one sample.
    trace : of all steps, or of two that take turns.
    projected : (T, blocks, B, H), the products of the inputs with the first gates' weights, where
        they are not beside the states.
    last : (2, B, H): the state behind the last step, hidden and cell.
    recurrent : (H, H), the weights of the candidate for GRU's reset state; else None.
    peepholes : (3, 1, H), scaled; or None.
    keep, drop : (T, B, 1), or None.
    """

    order: range
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
        count, samples, units = gates.shape
        if 1 in (count, samples):  # one matrix: a dot costs less than a matmul
            weights = self.weights.swapaxes(0, 1).reshape(-1, count * units)
            tape.add(np.dot, self.steps[step], weights, gates.reshape(samples, -1))
        else:
            tape.add(np.matmul, self.steps[step], self.weights, gates)
        if self.projected is not None:
            inputs = self.projected[step]
            tape.add(np.add, gates[: len(inputs)], inputs, gates[: len(inputs)])


@dataclasses.dataclass(frozen=True)
class Backward:
    """What a run back through one direction works on.

    Attributes
    ----------
    weights : (rows, H), the recurrent weights.
    state : (2, B, H): gradients of the last hidden and cell state; in the end of the first.
    factors : (n, `Cell.factors`, B, H), for n steps that are prepared together.
    incoming : (T, B, H) gradients of the states of all steps, or None.
    """

    order: range
    trace: NDArray
    slopes: NDArray
    weights: NDArray
    state: NDArray
    factors: NDArray
    scratch: NDArray
    incoming: NDArray | None = None
    recurrent: NDArray | None = None
    peepholes: NDArray | None = None
    keep: NDArray | None = None
    drop: NDArray | None = None

    def by_gate(self, step: int) -> NDArray:
        """The slopes of a step, (G, B, H)."""
        rows = self.slopes[step]
        by_sample = rows.reshape(len(rows), -1, self.state.shape[2])
        return by_sample.swapaxes(0, 1)  # type: ignore[no-any-return]

    def blocks(self, size: int) -> Iterator[range]:
        """All steps in the order of the run back, `size` neighbours at a time."""
        backwards = self.order[::-1]
        for first in range(0, len(backwards), size):
            yield backwards[first : first + size]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One kind of recurrence. Subclasses say how many blocks there are, and what a step does.

    Attributes
    ----------
    activations : in ONNX's order.
    """

    gates: ClassVar[int]
    trace: ClassVar[int]
    factors: ClassVar[int]
    """How many blocks `prepare` fills for each step."""

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
        units = run.last.shape[2]
        for place, step in enumerate(run.order):
            before = run.steps[step][:, -units:]
            following = place + 1 < len(run.order)
            after = run.steps[run.order[place + 1]][:, -units:] if following else run.last[0]
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
        for steps in run.blocks(len(run.factors)):
            first = min(steps)
            self.prepare(tape, run.trace[first : max(steps) + 1], run.factors[: len(steps)])
            for step in steps:
                self._masked_step_back(tape, run, step, run.factors[step - first])

    def _masked_step_back(self, tape: Tape, run: Backward, step: int, factors: NDArray) -> None:
        dh, passed = run.state[0], run.scratch[-1]
        if run.incoming is not None:
            tape.add(np.add, dh, run.incoming[step], dh)
        if run.keep is not None and run.drop is not None:
            tape.add(np.multiply, dh, run.drop[step], passed)
            tape.add(np.multiply, dh, run.keep[step], dh)
        self.step_back(tape, run, step, factors)
        if run.keep is not None:
            tape.add(np.add, dh, passed, dh)

    def prepare(self, tape: Tape, trace: NDArray, factors: NDArray) -> None:
        """Record what the slopes of some steps are, but for the gradients that flow back."""
        raise NotImplementedError(type(self).__name__)

    def step_back(self, tape: Tape, run: Backward, step: int, factors: NDArray) -> None:
        """Record one step back: its slopes, and the gradient of the state before in `run.state`."""
        raise NotImplementedError(type(self).__name__)


def laid_beside(features: int) -> int:
    """How many features are laid beside the states: all, or none where there are many."""
    return features if features < WIDE else 0


def _flat(blocks: NDArray) -> NDArray:
    """Neighbouring blocks as one."""
    return blocks.reshape(-1, blocks.shape[-1])


@dataclasses.dataclass(frozen=True)
class RNNCell(Cell):
    """``h' = f(W x + R h + b)``. Trace: h'."""

    gates: ClassVar[int] = 1
    trace: ClassVar[int] = 1
    factors: ClassVar[int] = 1
    inputs: ClassVar[Segments] = ((0, 0, 1),)
    recurrent: ClassVar[Segments] = ((0, 0, 1),)
    recurrent_bias: ClassVar[Segments] = ((0, 0, 1),)

    @property
    def scales(self) -> tuple[float, ...]:
        return (self.activations[0].scale,)

    def step(self, tape: Tape, run: Forward, place: int, before: NDArray, after: NDArray) -> None:
        trace = run.traced(place)
        run.add_products(tape, run.order[place], trace)
        apply(tape, [(self.activations[0], trace[0])], trace[0])
        tape.add(np.positive, trace[0], after)

    def prepare(self, tape: Tape, trace: NDArray, factors: NDArray) -> None:
        self.activations[0].slope(tape, trace, factors)

    def step_back(self, tape: Tape, run: Backward, step: int, factors: NDArray) -> None:
        dh, slopes = run.state[0], run.slopes[step]
        tape.add(np.multiply, dh, factors[0], slopes)
        tape.add(np.dot, slopes, run.weights, dh)


@dataclasses.dataclass(frozen=True)
class GRUCell(Cell):
    """Gates: candidate n, update z, reset r. Trace: n, z, r, r * h, h - n.

    ``h' = n + z (h - n)`` with ``n = g(W x + R (r * h) + b)``.
    """

    gates: ClassVar[int] = 3
    trace: ClassVar[int] = 5
    factors: ClassVar[int] = 4
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
        trace = run.traced(place)
        n, z, r, reset, difference = trace
        run.add_products(tape, run.order[place], trace[:3])
        apply(tape, [(self.activations[0], _flat(trace[1:3]))], _flat(trace[1:3]))
        tape.add(np.multiply, r, before, reset)
        tape.add(np.dot, reset, run.recurrent, difference)
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
        """Factors: of n and z from h', of r from r * h."""
        n, difference, before = trace[:, 0], trace[:, 4], factors[:, 3]
        self._mixing(tape, trace, factors)
        tape.add(np.multiply, factors[:, 1], difference, factors[:, 1])
        tape.add(np.add, n, difference, before)
        tape.add(np.multiply, factors[:, 2], before, factors[:, 2])

    def _mixing(self, tape: Tape, trace: NDArray, factors: NDArray) -> None:
        """The factor of n, and the derivatives of z and r; block 3 is lost."""
        gate, candidate = self.activations
        candidate.slope(tape, trace[:, 0], factors[:, 0])
        gate.slope(tape, trace[:, 1:3], factors[:, 1:3])
        tape.add(np.subtract, tape.number(1.0, trace), trace[:, 1], factors[:, 3])
        tape.add(np.multiply, factors[:, 0], factors[:, 3], factors[:, 0])

    def step_back(self, tape: Tape, run: Backward, step: int, factors: NDArray) -> None:
        dh, spare, flow = run.state[0], run.scratch[0], run.scratch[1]
        slopes, rows, units = run.by_gate(step), run.slopes[step], dh.shape[1]
        _, z, r, _, _ = run.trace[step]
        tape.add(np.multiply, dh, factors[:2], slopes[:2])
        tape.add(np.multiply, dh, z, dh)
        tape.add(np.matmul, rows[:, :units], run.recurrent, spare)
        tape.add(np.multiply, spare, factors[2], slopes[2])
        tape.add(np.multiply, spare, r, spare)
        tape.add(np.add, dh, spare, dh)
        tape.add(np.matmul, rows[:, units:], run.weights, flow)
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
        trace = run.traced(place)
        n, z, r, q, difference = trace
        run.add_products(tape, run.order[place], trace[:4])
        apply(tape, [(self.activations[0], _flat(trace[1:3]))], _flat(trace[1:3]))
        tape.add(np.multiply, r, q, difference)
        tape.add(np.add, n, difference, n)
        self.mix(tape, n, z, before, after, difference)

    def prepare(self, tape: Tape, trace: NDArray, factors: NDArray) -> None:
        """Factors: of n, z, r, q, all from h'."""
        self._mixing(tape, trace, factors)
        tape.add(np.multiply, factors[:, 1:3], trace[:, 4:2:-1], factors[:, 1:3])
        tape.add(np.multiply, factors[:, 2], factors[:, 0], factors[:, 2])
        scale = self.activations[1].scale
        if scale != 1:  # q in the trace is scaled
            tape.add(np.multiply, factors[:, 2], tape.number(1 / scale, trace), factors[:, 2])
        tape.add(np.multiply, factors[:, 0], trace[:, 2], factors[:, 3])

    def step_back(self, tape: Tape, run: Backward, step: int, factors: NDArray) -> None:
        dh, flow = run.state[0], run.scratch[0]
        tape.add(np.multiply, dh, factors, run.by_gate(step))
        tape.add(np.multiply, dh, run.trace[step][1], dh)
        tape.add(np.matmul, run.slopes[step][:, dh.shape[1] :], run.weights, flow)
        tape.add(np.add, dh, flow, dh)


@dataclasses.dataclass(frozen=True)
class LSTMCell(Cell):
    """Gates: output o, forget f, input i, candidate c. Trace: h(C'), o, f, i, c, C.

    ``C' = f C + i c``, ``h' = o h(C')``. With `coupled`, f is 1 - i.
    """

    gates: ClassVar[int] = 4
    trace: ClassVar[int] = 6
    factors: ClassVar[int] = 5
    spare: ClassVar[int] = 3
    cell_block: ClassVar[int | None] = 5
    inputs: ClassVar[Segments] = ((0, 1, 2), (2, 0, 1), (3, 3, 1))
    recurrent: ClassVar[Segments] = ((0, 1, 2), (2, 0, 1), (3, 3, 1))
    recurrent_bias: ClassVar[Segments] = ((0, 1, 2), (2, 0, 1), (3, 3, 1))

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
        squashed, o, f, i, c, previous = trace
        run.add_products(tape, step, trace[1:5])
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
            parts = [(gate, _flat(trace[1:4])), (candidate, trace[4])]
            apply(tape, parts, _flat(trace[1:5]))
            return
        _, _, f, i, c, previous = trace
        self._peep(tape, run.peepholes[0], previous, i, run.scratch[0])
        self._peep(tape, run.peepholes[2], previous, f, run.scratch[0])
        apply(tape, [(gate, _flat(trace[2:4])), (candidate, c)], _flat(trace[2:5]))

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
        """Factors: of C' and o from h', of f, i, c from C'."""
        gate, candidate, squash = self.activations
        parts = [
            (squash, trace[:, 0], factors[:, 0]),
            (gate, trace[:, 1:4], factors[:, 1:4]),
            (candidate, trace[:, 4], factors[:, 4]),
        ]
        slopes(tape, parts, trace[:, :5], factors)
        if self.coupled:
            tape.add(np.copyto, factors[:, 2], factors[:, 3])
        # Each times what it is multiplied with: h(C') and o, C for f, c for i, i for c.
        tape.add(np.multiply, factors[:, :2], trace[:, 1::-1], factors[:, :2])
        tape.add(np.multiply, factors[:, 2:], trace[:, :2:-1], factors[:, 2:])
        if self.coupled:
            tape.add(np.subtract, factors[:, 3], factors[:, 2], factors[:, 3])
            tape.add(np.ndarray.fill, factors[:, 2], 0)

    def step_back(self, tape: Tape, run: Backward, step: int, factors: NDArray) -> None:
        (dh, dc), (spare, passed, _) = run.state, run.scratch
        slopes = run.by_gate(step)
        if run.keep is not None and run.drop is not None:
            tape.add(np.multiply, dc, run.drop[step], passed)
            tape.add(np.multiply, dc, run.keep[step], dc)
        tape.add(np.multiply, dh, factors[0], spare)
        tape.add(np.add, dc, spare, dc)
        tape.add(np.multiply, dh, factors[1], slopes[0])
        if run.peepholes is not None:
            self._peep(tape, run.peepholes[1], slopes[0], dc, spare)
        tape.add(np.multiply, dc, factors[2:], slopes[1:])
        tape.add(np.multiply, dc, run.trace[step][2], dc)
        if run.peepholes is not None:
            self._peep(tape, run.peepholes[2], slopes[1], dc, spare)
            self._peep(tape, run.peepholes[0], slopes[2], dc, spare)
        if run.keep is not None:
            tape.add(np.add, dc, passed, dc)
        tape.add(np.dot, run.slopes[step], run.weights, dh)
