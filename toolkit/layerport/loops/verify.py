"""Checking loop programs: types, bounds, and that nothing is read before it was written.

The check does not run the program: it follows every access over the ranges of the loops around it,
for several batch sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from layerport.loops.clamp import clamp_of
from layerport.loops.index import Index
from layerport.loops.interpret import ProgramError
from layerport.loops.intervals import FULL, Interval, Intervals
from layerport.loops.ir import (
    OPERATIONS,
    Body,
    Buffer,
    Call,
    DType,
    Expr,
    For,
    Function,
    Let,
    Load,
    Operation,
    Position,
    Program,
    Set,
    Store,
    Var,
)
from layerport.loops.walk import loads, statements, subexpressions
from layerport.op import NDArray


def verify(program: Program, batches: Iterable[int] | None = None) -> None:
    """Check a program.

    Parameters
    ----------
    batches : the batch sizes to check for; None takes small ones and the largest.

    Raises
    ------
    ProgramError : saying what is wrong where.
    """
    known: dict[str, Function] = {}
    for function in program.functions:
        _Types(function, known).check()
        known[function.name] = function
    usual = {1, 2, 3, 5, program.batch - 1, program.batch}
    for batch in sorted(batches if batches is not None else usual):
        if 1 <= batch <= program.batch:
            _Memory(program, batch).check()


class _Types:
    """Names are declared once and before they are used; operations fit their arguments."""

    def __init__(self, function: Function, known: Mapping[str, Function]) -> None:
        self._function = function
        self._known = known

    def check(self) -> None:
        scope: dict[str, tuple[DType, int]] = {}
        scope.update(dict.fromkeys(self._function.parameters, ("i32", 1)))
        self._body(self._function.body, scope)

    def _fail(self, problem: str) -> ProgramError:
        return ProgramError(f"{self._function.name}: {problem}")

    def _body(self, body: Body, outer: Mapping[str, tuple[DType, int]]) -> None:
        scope = dict(outer)
        for statement in body:
            if isinstance(statement, Let):
                kind = self._expr(statement.value, scope)
                if statement.name in scope:
                    raise self._fail(f"{statement.name} is declared twice")
                scope[statement.name] = kind
            elif isinstance(statement, Set):
                if scope.get(statement.name) != self._expr(statement.value, scope):
                    raise self._fail(f"{statement.name} is not declared, or of another type")
            elif isinstance(statement, Store):
                self._index(statement.index, scope)
                if self._expr(statement.value, scope)[0] != statement.buffer.dtype:
                    raise self._fail(f"{statement.buffer.name} holds another type")
            elif isinstance(statement, For):
                self._index(statement.start, scope)
                self._index(statement.stop, scope)
                if statement.variable in scope:
                    raise self._fail(f"{statement.variable} is declared twice")
                self._body(statement.body, {**scope, statement.variable: ("i32", 1)})
            elif isinstance(statement, Call):
                callee = self._known.get(statement.function)
                if callee is None or len(callee.parameters) != len(statement.args):
                    raise self._fail(f"no such function before: {statement.function}")

    def _index(self, index: Index, scope: Mapping[str, tuple[DType, int]]) -> None:
        for name in index.terms:
            if scope.get(name) != ("i32", 1):
                raise self._fail(f"{name} is no integer that is declared here")

    def _expr(self, expr: Expr, scope: Mapping[str, tuple[DType, int]]) -> tuple[DType, int]:
        if isinstance(expr, Var) and scope.get(expr.name) != (expr.dtype, expr.lanes):
            raise self._fail(f"{expr.name} is not declared here, or of another type")
        if isinstance(expr, (Load, Position)):
            self._index(expr.index, scope)
        if isinstance(expr, Operation):
            kinds = [self._expr(arg, scope) for arg in expr.args]
            if OPERATIONS.get(expr.name) != len(kinds):
                raise self._fail(f"{expr.name} does not take {len(kinds)} arguments")
            across = expr.name == "splat" or expr.name.startswith("h")
            if not across and {lanes for _, lanes in kinds} != {expr.lanes}:
                raise self._fail(f"{expr.name} mixes vectors and scalars")
        return expr.dtype, expr.lanes


@dataclass
class _Loop:
    """An open loop: its variable and the values that it takes."""

    variable: str
    values: NDArray


@dataclass
class _Memory:
    """Which elements have been written, for one batch size."""

    program: Program
    batch: int
    written: dict[Buffer, NDArray] = field(default_factory=dict)
    owner: NDArray = field(default_factory=lambda: np.zeros(0, np.int64))
    place: str = ""

    def check(self) -> None:
        """Follow the whole program."""
        program = self.program
        self.owner = np.zeros(program.arena, np.int64)
        self._numbers = {buffer: k for k, buffer in enumerate(program.buffers, 1)}
        for buffer in program.buffers:
            if buffer not in program.offsets:
                self.written[buffer] = np.full(buffer.size, buffer.kind in ("weight", "state"))
        for port in program.inputs:
            port.view(self.written[port.buffer], program.symbol, self.batch)[...] = True
        self._call(program.functions[-1].name, [self.batch] if program.symbol else [])
        for port in program.outputs:
            if not port.view(self.written[port.buffer], program.symbol, self.batch).all():
                raise ProgramError(f"part of the output {port.buffer.name} is never written")

    def _fail(self, problem: str) -> ProgramError:
        return ProgramError(f"{self.place}, batch {self.batch}: {problem}")

    def _call(self, name: str, args: Sequence[int]) -> None:
        function = next(f for f in self.program.functions if f.name == name)
        self.place = name
        known = Intervals(
            {p: Interval(a, a) for p, a in zip(function.parameters, args, strict=True)}
        )
        self._body(function.body, [], known)

    def _body(self, body: Body, loops: list[_Loop], known: Intervals) -> None:
        for statement in body:
            if isinstance(statement, (Let, Set, Store)):
                for expr in subexpressions(statement.value):
                    if isinstance(expr, Load):
                        self._load(expr, loops, known)
            if isinstance(statement, Let) and statement.value.dtype == "i32":
                changes = any(isinstance(s, Set) and s.name == statement.name
                              for s in statements(body))  # fmt: skip
                value = FULL if changes else known.of(statement.value)
                known = known.with_name(statement.name, value)
                loops = self._with_clamp(statement, loops)
            elif isinstance(statement, Store):
                self._store(statement, loops, known)
            elif isinstance(statement, For):
                self._for(statement, loops, known)
            elif isinstance(statement, Call):
                self._call(statement.function, [known.at(arg).low for arg in statement.args])

    def _with_clamp(self, statement: Let, loops: list[_Loop]) -> list[_Loop]:
        """The loops, and the start of tiles where their last one is moved back."""
        name, limit = clamp_of(statement) or ("", 0)
        clamped = [
            _Loop(statement.name, np.unique(np.minimum(loop.values, limit)))
            for loop in loops
            if loop.variable == name
        ]
        return [*loops, *clamped]

    def _for(self, loop: For, loops: list[_Loop], known: Intervals) -> None:
        start, stop = known.at(loop.start), known.at(loop.stop)
        if not (start.is_exact and stop.is_exact):
            raise self._fail(f"the range of {loop.variable} is not known")
        values = np.arange(start.low, stop.low, loop.step)
        if not values.size:
            return
        stored = {s.buffer for s in statements(loop.body) if isinstance(s, Store)}
        if any(load.buffer in stored for load in loads(loop.body)):
            # What one iteration reads another one may have written: go through them one by one.
            for value in values:
                alone = np.array([value])
                inside = [*loops, _Loop(loop.variable, alone)]
                self._body(loop.body, inside, known.over(loop.variable, alone))
            return
        inside = [*loops, _Loop(loop.variable, values)]
        self._body(loop.body, inside, known.over(loop.variable, values))

    def _elements(
        self, index: Index, lanes: int, buffer: Buffer, loops: Sequence[_Loop], known: Intervals
    ) -> NDArray | None:
        """Every element that an access touches; None where an index is not known exactly."""
        span = known.at(index)
        if span.low < 0 or span.high + lanes > buffer.size:
            raise self._fail(
                f"{buffer.name}[{index}] reaches from {span.low} to {span.high + lanes - 1}, "
                f"of {buffer.size} elements"
            )
        running = {loop.variable: loop.values for loop in loops}
        total = np.array([index.constant], np.int64)
        for name, factor in index.terms.items():
            values = running.get(name)
            if values is None:
                exact = known.at(Index.variable(name))
                if not exact.is_exact:
                    return None
                values = np.array([exact.low])
            total = np.unique(np.add.outer(total, values * factor))
        return np.unique(np.add.outer(total, np.arange(lanes)))

    def _load(self, expr: Load, loops: Sequence[_Loop], known: Intervals) -> None:
        buffer = expr.buffer
        touched = self._elements(expr.index, expr.lanes, buffer, loops, known)
        if touched is None:  # any element in the range
            span = known.at(expr.index)
            touched = np.arange(span.low, span.high + expr.lanes)
        if buffer in self.program.offsets:
            owner = self.owner[self.program.offsets[buffer] + touched]
            missing = owner != self._numbers[buffer]
        else:
            missing = ~self.written[buffer][touched]
        if missing.any():
            element = touched[missing.argmax()]
            raise self._fail(f"{buffer.name}[{element}] is read before it is written")

    def _store(self, statement: Store, loops: Sequence[_Loop], known: Intervals) -> None:
        buffer = statement.buffer
        if buffer.kind in ("weight", "input"):
            raise self._fail(f"{buffer.name} is written, but is a {buffer.kind}")
        lanes = statement.value.lanes
        touched = self._elements(statement.index, lanes, buffer, loops, known)
        if touched is None:
            return
        if buffer in self.program.offsets:
            self.owner[self.program.offsets[buffer] + touched] = self._numbers[buffer]
        else:
            self.written[buffer][touched] = True
