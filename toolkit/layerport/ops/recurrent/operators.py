"""ONNX's RNN, GRU and LSTM."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.dim import Extent, Shape, same_extent, same_shape, static_shape
from layerport.errors import ShapeError
from layerport.op import OURS, NDArray, Op, TensorType
from layerport.ops.base import common_dtype
from layerport.ops.recurrent import gradients
from layerport.ops.recurrent.activations import Activation, parse
from layerport.ops.recurrent.cells import (
    Cell,
    GRUAfterCell,
    GRUCell,
    LSTMCell,
    RNNCell,
    laid_beside,
)
from layerport.ops.recurrent.emission import computed, emit_forward
from layerport.ops.shape import Transpose

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.index import Index
    from layerport.loops.nest import NestBuilder
    from layerport.numpy_engine.emit import Emitter

DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
LAYOUT = {"sequence": (1, 0, 2), "result": (2, 0, 1, 3), "state": (1, 0, 2)}
"""From layout 0 to layout 1, where the samples come first."""


@dataclasses.dataclass(frozen=True)
class Recurrent(Op):
    """What the three operators share. Operands and results are ONNX's; absent ones are None.

    Parameters
    ----------
    hidden_size : the number of units; 0 takes it from the weights.
    direction : "forward", "reverse" (from the last step to the first; results stay at the place of
        their step) or "bidirectional" (both, as two directions).
    activations, activation_alpha, activation_beta : one set a direction; () for ONNX's defaults.
    clip : bound on the absolute sums that go into the gates' activations.
    layout : 0 for (steps, samples, features), 1 for samples first.
    """

    hidden_size: int = 0
    direction: str = "forward"
    activations: tuple[str, ...] = ()
    activation_alpha: tuple[float, ...] = ()
    activation_beta: tuple[float, ...] = ()
    clip: float | None = None
    layout: int = 0

    gates: ClassVar[int]
    states: ClassVar[int] = 1
    defaults: ClassVar[tuple[str, ...]]

    def channel_axis(self, position: int, rank: int) -> int | None:
        return 1 if position in (1, 2) else None

    @property
    def directions(self) -> int:
        """1 or 2; raises `ShapeError` for a direction that there is not."""
        if self.direction not in DIRECTIONS:
            raise ShapeError(f"direction is {self.direction!r}, not one of {list(DIRECTIONS)}")
        return DIRECTIONS[self.direction]

    def cells(self) -> list[Cell]:
        """The recurrence of each direction."""
        count = len(self.defaults)
        names = self.activations or self.defaults * self.directions
        if len(names) != count * self.directions:
            raise ShapeError(f"{self.directions} directions need {count} activations each")
        clip = None if not self.clip else float(self.clip)
        parsed = parse(names, self.activation_alpha, self.activation_beta, clip)
        return [self.cell(parsed[d * count : (d + 1) * count]) for d in range(self.directions)]

    def cell(self, activations: tuple[Activation, ...]) -> Cell:
        """The recurrence with these activations."""
        raise NotImplementedError(self.name)

    def order(self, direction: int, steps: int) -> range:
        """In which order a direction takes the steps."""
        backwards = direction == 1 or self.direction == "reverse"
        return range(steps - 1, -1, -1) if backwards else range(steps)

    # Shapes -----------------------------------------------------------------------------

    def infer(
        self,
        x: Value,
        w: Value,
        r: Value,
        b: Value | None = None,
        lengths: Value | None = None,
        *states: Value | None,
    ) -> Sequence[TensorType]:
        steps, samples = self._check_operands(x, w, r, b, lengths)
        units = int(static_shape(r.shape)[2])
        state: Shape = (self.directions, samples, units)
        for value in states[: self.states]:
            if value is not None and not same_shape(value.shape, self._laid(state, "state")):
                raise ShapeError(f"the initial state {value.shape} should be {state}")
        result = self._laid((steps, self.directions, samples, units), "result")
        last = TensorType(self._laid(state, "state"), x.dtype)
        return [TensorType(result, x.dtype), *[last] * self.states]

    def _check_operands(
        self, x: Value, w: Value, r: Value, b: Value | None, lengths: Value | None
    ) -> tuple[Extent, Extent]:
        """Returns the extents of steps and samples."""
        if x.ndim != 3 or w.ndim != 3 or r.ndim != 3:
            raise ShapeError(f"X {x.shape}, W {w.shape} and R {r.shape} need three axes each")
        common_dtype(x, w, r, *([] if b is None else [b]))
        directions, rows, units = static_shape(r.shape)
        if directions != self.directions or rows != self.gates * units:
            raise ShapeError(
                f"R {r.shape} should be ({self.directions}, {self.gates} * units, units)"
            )
        if self.hidden_size not in (0, units):
            raise ShapeError(f"hidden_size is {self.hidden_size}, R {r.shape} is for {units} units")
        if not same_shape(w.shape, (directions, rows, x.shape[2])):
            raise ShapeError(f"W {w.shape} should be {(directions, rows, x.shape[2])}")
        if b is not None and not same_shape(b.shape, (directions, 2 * rows)):
            raise ShapeError(f"B {b.shape} should be {(directions, 2 * rows)}")
        steps, samples = x.shape[:2] if self.layout == 0 else (x.shape[1], x.shape[0])
        if lengths is not None and not (
            lengths.ndim == 1 and same_extent(lengths.shape[0], samples)
        ):
            raise ShapeError(f"sequence_lens {lengths.shape} should be ({samples},)")
        self.cells()
        return steps, samples

    def _laid(self, shape: Shape, kind: str) -> Shape:
        return tuple(shape[axis] for axis in LAYOUT[kind]) if self.layout else shape

    def simplify(self, build: Builder, *inputs: Value | None) -> Sequence[Value] | None:
        """Samples first: the other layout between transposes."""
        if not self.layout:
            return None

        def turned(value: Value | None, kind: str) -> Value | None:
            return None if value is None else build.one(Transpose(LAYOUT[kind]), value)

        x, w, r, *rest = inputs
        operands = [turned(x, "sequence"), w, r, *rest]
        for place in range(5, min(5 + self.states, len(operands))):
            operands[place] = turned(operands[place], "state")
        y, *others = build.add(dataclasses.replace(self, layout=0), *operands)
        found = [turned(y, "result")]
        found += [turned(value, "state") for value in others[: self.states]]
        found += others[self.states :]
        return [value for value in found if value is not None]

    # Running ----------------------------------------------------------------------------

    def evaluate(self, *operands: NDArray | None) -> tuple[NDArray, ...]:
        return computed(self, operands)

    def emit(
        self, emitter: Emitter, inputs: Sequence[NDArray | None], outputs: Sequence[NDArray]
    ) -> None:
        emit_forward(emitter, self, inputs, outputs)

    def loops(self, nest: NestBuilder) -> None:
        from layerport.ops.recurrent.nests import write_forward

        write_forward(self, nest)

    # Differentiating --------------------------------------------------------------------

    def traced(self) -> Op:
        return _TRACED[type(self)](**self.attributes)


@dataclasses.dataclass(frozen=True)
class RNN(Recurrent):
    """``h' = f(W x + R h + b)``. Operands X, W, R, B, sequence_lens, initial_h."""

    gates: ClassVar[int] = 1
    defaults: ClassVar[tuple[str, ...]] = ("Tanh",)

    def cell(self, activations: tuple[Activation, ...]) -> Cell:
        return RNNCell(activations)


@dataclasses.dataclass(frozen=True)
class GRU(Recurrent):
    """Gated recurrent unit; gates z, r, h. Operands X, W, R, B, sequence_lens, initial_h.

    Parameters
    ----------
    linear_before_reset : whether the reset gate applies behind the product with R.
    """

    linear_before_reset: int = 0

    gates: ClassVar[int] = 3
    defaults: ClassVar[tuple[str, ...]] = ("Sigmoid", "Tanh")

    def cell(self, activations: tuple[Activation, ...]) -> Cell:
        kind = GRUAfterCell if self.linear_before_reset else GRUCell
        return kind(activations)


@dataclasses.dataclass(frozen=True)
class LSTM(Recurrent):
    """Long short-term memory; gates i, o, f, c, peepholes i, o, f.

    Operands X, W, R, B, sequence_lens, initial_h, initial_c, P; results Y, Y_h, Y_c.

    Parameters
    ----------
    input_forget : whether the forget gate is 1 minus the input gate.
    """

    input_forget: int = 0

    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2
    defaults: ClassVar[tuple[str, ...]] = ("Sigmoid", "Tanh", "Tanh")

    def infer(
        self,
        x: Value,
        w: Value,
        r: Value,
        b: Value | None = None,
        lengths: Value | None = None,
        *states: Value | None,
    ) -> Sequence[TensorType]:
        peepholes = states[2] if len(states) > 2 else None
        if peepholes is not None:
            expected = (self.directions, 3 * r.shape[2])
            if not same_shape(peepholes.shape, expected):
                raise ShapeError(f"P {peepholes.shape} should be {expected}")
        return super().infer(x, w, r, b, lengths, *states[:2])

    def cell(self, activations: tuple[Activation, ...]) -> Cell:
        gate, candidate, squash = activations
        # The cell state is not clipped, as onnxruntime has it.
        squash = dataclasses.replace(squash, clip=None)
        return LSTMCell((gate, candidate, squash), bool(self.input_forget))


# As part of training --------------------------------------------------------------------


class _Traced(Recurrent):
    """Keeps what the gradient reads, as two more results.

    steps (directions, steps, samples, features + 1 + units): what is multiplied with the weights,
    without features where there are many; and trace (directions, steps, blocks, samples, units):
    see `cells`.
    """

    domain: ClassVar[str] = OURS

    def infer(self, x: Value, *operands: Value | None) -> Sequence[TensorType]:
        types = super().infer(x, *operands)  # type: ignore[arg-type]
        steps, samples = x.shape[:2] if self.layout == 0 else (x.shape[1], x.shape[0])
        r = operands[1]
        assert r is not None
        features, units = static_shape((x.shape[2], r.shape[2]))
        (cell, *_) = self.cells()
        kept: Shape = (self.directions, steps, samples, laid_beside(features) + 1 + units)
        trace: Shape = (self.directions, steps, cell.trace, samples, units)
        return [*types, TensorType(kept, x.dtype), TensorType(trace, x.dtype)]

    def gradient(self, dy: Any, y: Any, *operands: Any) -> Sequence[Any]:
        back = _BACK[type(self)](**self.attributes)
        return gradients.gradient(self, back, RecurrentWeightGrad(), dy, y, operands)

    def traced(self) -> Op:
        return self


class TracedRNN(_Traced, RNN):
    """`RNN` as part of training."""


class TracedGRU(_Traced, GRU):
    """`GRU` as part of training."""


class TracedLSTM(_Traced, LSTM):
    """`LSTM` as part of training."""


class RecurrentGrad(Recurrent):
    """The way back through time, step by step.

    Operands are R, the trace, sequence_lens, P, and the gradients of Y, Y_h and Y_c, any of these
    four and five absent. Results are the slopes (directions, steps, samples, gates * units), the
    gradients of the sums before the activations, and those of the initial states.
    """

    domain: ClassVar[str] = OURS

    def infer(self, *operands: Value | None, **kwargs: Any) -> Sequence[TensorType]:
        trace = operands[1]
        assert trace is not None
        directions, steps, _, samples, units = trace.shape
        (cell, *_) = self.cells()
        slopes: Shape = (directions, steps, samples, cell.gates * units)
        state = TensorType((directions, samples, units), trace.dtype)
        return [TensorType(slopes, trace.dtype), *[state] * self.states]

    def simplify(self, build: Builder, *inputs: Value | None) -> Sequence[Value] | None:
        return None

    def emit(
        self, emitter: Emitter, inputs: Sequence[NDArray | None], outputs: Sequence[NDArray]
    ) -> None:
        gradients.emit_backward(emitter, self, inputs, outputs)

    def loops(self, nest: NestBuilder) -> None:
        from layerport.ops.recurrent.nests import write_backward

        write_backward(self, nest)


@dataclasses.dataclass(frozen=True)
class RecurrentWeightGrad(Op):
    """The gradients (directions, n, m) of all weights of a recurrence.

    What was multiplied with them, steps (directions, steps, samples, n) or one sequence (steps,
    samples, n) for all directions, times slopes (directions, steps, samples, m).
    """

    domain: ClassVar[str] = OURS

    def infer(self, slopes: Value, steps: Value) -> Sequence[TensorType]:
        of_all = (slopes.shape[0], *steps.shape) if steps.ndim == 3 else steps.shape
        if slopes.ndim != 4 or not same_shape(of_all[:-1], slopes.shape[:-1]):
            raise ShapeError(f"{slopes.shape} and {steps.shape} have other steps or samples")
        shape = (slopes.shape[0], steps.shape[-1], slopes.shape[3])
        return [TensorType(shape, common_dtype(slopes, steps))]

    def evaluate(self, slopes: NDArray, steps: NDArray) -> NDArray:
        return np.asarray(np.matmul(_as_rows(steps).swapaxes(-1, -2), _as_rows(slopes)))

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        slopes, steps = (_as_rows(_dense(emitter, array)) for array in inputs)
        for direction, out in enumerate(outputs[0]):
            of_one = steps if steps.ndim == 2 else steps[direction]
            emitter.matmul(of_one.T, slopes[direction], out)

    def loops(self, nest: NestBuilder) -> None:
        slopes, steps = nest.operands

        def element(d: Index, n: Index, m: Index) -> Any:
            def term(t: Index, b: Index) -> Any:
                step = steps[t, b, n] if steps.ndim == 3 else steps[d, t, b, n]
                return step * slopes[d, t, b, m]

            return nest.sum(slopes.shape[1:3], term)

        nest.each(element)


def _as_rows(array: NDArray) -> NDArray:
    """(..., steps, samples, columns) -> (..., steps * samples, columns)."""
    *outer, steps, samples, columns = array.shape
    return array.reshape(*outer, steps * samples, columns)


def _dense(emitter: Emitter, array: NDArray) -> NDArray:
    """The array without gaps, copied where it must be."""
    if array.flags.c_contiguous:
        return array
    through = emitter.temp(array.shape, array.dtype)
    emitter.copy(through, array)
    return through


class RNNGrad(RecurrentGrad, RNN):
    """The gradient of `RNN`."""


class GRUGrad(RecurrentGrad, GRU):
    """The gradient of `GRU`."""


class LSTMGrad(RecurrentGrad, LSTM):
    """The gradient of `LSTM`."""


_TRACED: Mapping[type[Op], type[Recurrent]] = MappingProxyType(
    {RNN: TracedRNN, GRU: TracedGRU, LSTM: TracedLSTM}
)
_BACK: Mapping[type[Op], type[Recurrent]] = MappingProxyType(
    {TracedRNN: RNNGrad, TracedGRU: GRUGrad, TracedLSTM: LSTMGrad}
)
