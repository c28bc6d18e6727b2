"""Whether parameters may be given their new values where the old ones lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layerport.graph import Value
from layerport.loops.ir import Buffer, Function, Store
from layerport.loops.walk import loads, statements


class OverwrittenError(Exception):
    """Old values of these parameters are needed after the new ones have taken their place."""

    def __init__(self, parameters: set[Value]) -> None:
        super().__init__(", ".join(parameter.name for parameter in parameters))
        self.parameters = parameters


def check_updates(functions: Sequence[Function], states: Mapping[Buffer, Value]) -> None:
    """Look through naive nests that update states in place.

    The nest that stores an element may read that element only, and no nest after it any.

    Raises
    ------
    OverwrittenError : naming the parameters where it is not so.
    """
    wrong: set[Value] = set()
    changed: set[Buffer] = set()
    for function in functions:
        stored = {
            s.buffer: s.index
            for s in statements(function.body)
            if isinstance(s, Store) and s.buffer in states
        }
        for load in loads(function.body):
            buffer = load.buffer
            apart = buffer in stored and load.index != stored[buffer]
            if buffer in states and (buffer in changed or apart):
                wrong.add(states[buffer])
        changed |= stored.keys()
    if wrong:
        raise OverwrittenError(wrong)
