"""Functions of loop programs as WebAssembly code: statements, loops and addresses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from layerport.loops.index import Index
from layerport.loops.intervals import Interval
from layerport.loops.ir import (
    Body,
    Buffer,
    Call,
    For,
    Function,
    Let,
    Load,
    Position,
    Set,
    Statement,
    Store,
    Var,
)
from layerport.loops.walk import expressions

from layerport_formats.wasm import instructions as wasm
from layerport_formats.wasm.addresses import ELEMENT, Scope, Sum, shared_sums, unit_of
from layerport_formats.wasm.binary import unsigned
from layerport_formats.wasm.code import Code, Slot
from layerport_formats.wasm.expressions import Expressions, Module, type_of


def encode(function: Function, parameters: Mapping[str, Interval], module: Module) -> bytes:
    """The entry of a function in the code section.

    Parameters
    ----------
    parameters : the range of each parameter.
    """
    return _Encoder(function, parameters, module).run()


class _Encoder(Expressions):
    def __init__(
        self, function: Function, parameters: Mapping[str, Interval], module: Module
    ) -> None:
        super().__init__(Code(len(function.parameters)), module)
        self._function = function
        self._scope = Scope({name: parameters[name] for name in function.parameters})
        self._slots: dict[str, Slot] = {
            name: Slot("i32", k, is_parameter=True) for k, name in enumerate(function.parameters)
        }
        self._sums: dict[Sum, Slot] = {}
        self._uses = _uses(function.body)

    def run(self) -> bytes:
        """The code with its declarations."""
        self._body(self._function.body)
        return self._code.finish()

    def _variable(self, expr: Var) -> None:
        self._code.get(self._slots[expr.name], only=self._uses[expr.name] == 1)

    # Statements -----------------------------------------------------------------------------

    def _body(self, body: Body) -> None:
        taken: list[Slot] = []
        known, integers = dict(self._sums), 0
        for position, statement in enumerate(body):
            if not isinstance(statement, Let):
                self._statement(statement)
                continue
            value = statement.value
            self._expr(value)
            slot = self._code.take(type_of(value.dtype, value.lanes))
            self._slots[statement.name] = slot
            taken.append(slot)
            self._code.set(slot)
            if value.dtype == "i32" and value.lanes == 1:
                self._scope.declare(statement.name, self._scope.ranges.of(value))
                integers += 1
                taken += self._share_sums(statement.name, body[position + 1 :])
        self._leave(integers, known, taken)

    def _statement(self, statement: Statement) -> None:
        if isinstance(statement, Set):
            self._expr(statement.value)
            self._code.set(self._slots[statement.name])
        elif isinstance(statement, Store):
            self._store(statement)
        elif isinstance(statement, For):
            self._loop(statement)
        elif isinstance(statement, Call):
            for arg in statement.args:
                self._index(arg)
            self._code.add(wasm.CALL + unsigned(self._module.function(statement.function)))

    def _store(self, statement: Store) -> None:
        value = statement.value
        place = self._address(statement.buffer, statement.index)
        self._expr(value)
        if value.dtype == "bool" and value.lanes > 1:
            self._code.add(wasm.VECTOR["neg", "i32"])
        self._code.add(wasm.STORES[type_of(value.dtype, value.lanes)] + place)

    def _leave(self, variables: int, known: dict[Sum, Slot], taken: list[Slot]) -> None:
        """Leave a scope."""
        self._scope.leave(variables)
        self._sums = known
        for slot in taken:
            self._code.give_back(slot)

    # Loops ----------------------------------------------------------------------------------

    def _loop(self, loop: For) -> None:
        unit = unit_of(loop)
        counter = self._code.take("i32")
        self._index(loop.start, unit)
        self._code.set(counter)
        stop = None
        if not loop.stop.is_constant:
            stop = self._code.take("i32")
            self._index(loop.stop, unit)
            self._code.set(stop)
        certain = loop.start.is_constant and loop.stop.is_constant
        if not certain:
            self._code.get(counter)
            self._is_below(loop, stop, unit)
            self._code.add(wasm.IF)
        self._code.add(wasm.LOOP)
        self._iteration(loop, counter, unit)
        self._code.get(counter)
        self._number(loop.step * unit)
        self._code.add(wasm.I32_ADD)
        self._code.tee(counter)
        self._is_below(loop, stop, unit)
        self._code.add(wasm.BRANCH_TO_START, wasm.END, b"" if certain else wasm.END)
        for slot in (counter, stop):
            if slot is not None:
                self._code.give_back(slot)

    def _is_below(self, loop: For, stop: Slot | None, unit: int) -> None:
        """Whether the number on the stack is below the end of a loop."""
        if stop is None:
            self._number(loop.stop.constant * unit)
        else:
            self._code.get(stop)
        self._code.add(wasm.I32_LESS)

    def _iteration(self, loop: For, counter: Slot, unit: int) -> None:
        ranges = self._scope.ranges
        low, high = ranges.at(loop.start).low, ranges.at(loop.stop).high - 1
        self._slots[loop.variable] = counter
        self._scope.declare(loop.variable, Interval(low, max(low, high)), unit)
        known = dict(self._sums)
        taken = self._share_sums(loop.variable, loop.body)
        self._body(loop.body)
        self._leave(1, known, taken)

    # Addresses ------------------------------------------------------------------------------

    def _share_sums(self, name: str, body: Body) -> list[Slot]:
        """Compute the parts of addresses that are needed several times, up to a new variable."""
        taken = []
        for terms in shared_sums(name, body, self._scope):
            self._terms(terms)
            slot = self._code.take("i32")
            taken.append(slot)
            self._code.set(slot)
            self._sums[terms] = slot
        return taken

    def _terms(self, terms: Sum) -> None:
        """Push a sum; as much of it as is known already is taken from there."""
        if terms in self._sums:
            self._code.get(self._sums[terms])
            return
        *before, (name, factor) = terms
        if before:
            self._terms(tuple(before))
        self._code.get(self._slots[name])
        if factor > 0 and factor & (factor - 1) == 0:
            if factor > 1:
                self._number(factor.bit_length() - 1)
                self._code.add(wasm.I32_SHL)
        else:
            self._number(factor)
            self._code.add(wasm.I32_MUL)
        if before:
            self._code.add(wasm.I32_ADD)

    def _index(self, index: Index, scale: int = 1) -> None:
        terms, constant = self._scope.sum(index, scale), index.constant * scale
        if terms:
            self._terms(terms)
        if constant or not terms:
            self._number(constant)
            self._code.add(wasm.I32_ADD if terms else b"")

    def _address(self, buffer: Buffer, index: Index) -> bytes:
        offset = self._module.base(buffer) + index.constant * ELEMENT
        terms = self._scope.sum(index, ELEMENT)
        if not terms:
            self._number(0)
        elif offset < 0 or self._scope.may_be_negative(index):
            # The engine does not wrap around when it adds the offset, so it must be in the sum.
            self._terms(terms)
            self._number(offset)
            self._code.add(wasm.I32_ADD)
            offset = 0
        else:
            self._terms(terms)
        return wasm.ALIGNED_BY_4 + unsigned(offset)


def _uses(body: Body) -> Counter[str]:
    """How often each local variable is read; those that change or are indices count for more."""
    found: Counter[str] = Counter()
    for expr in expressions(body):
        if isinstance(expr, Var):
            found[expr.name] += 1
        elif isinstance(expr, (Load, Position)):
            found.update(dict.fromkeys(expr.index.terms, 2))
    return found
