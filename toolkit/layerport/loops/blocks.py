"""Whether samples of a batch may be computed in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from layerport.loops.index import Index, Size
from layerport.loops.ir import Body, Buffer, For, Function, Load, Port, Position, Store
from layerport.loops.views import Batch
from layerport.loops.walk import subexpressions


def is_splittable(
    functions: Iterable[Function],
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    buffers: Iterable[Buffer],
    batch: Batch,
) -> bool:
    """Whether every sample is computed from its own data alone, in these naive nests.

    Every access to a buffer with room for a batch must move from sample to sample as the loop
    over the batch does, and no sum may run over the batch.
    """
    if not all(_leads(port.shape) for port in (*inputs, *outputs)):
        return False
    checker = _Checker(batch, {b for b in buffers if b.kind != "weight" and b.kind != "state"})
    return all(checker.fits(function.body, {}) for function in functions)


def _leads(shape: Sequence[Size]) -> bool:
    """Whether the batch is the first axis and no other extent depends on it."""
    return bool(shape) and isinstance(shape[0], Index) and not any(
        isinstance(extent, Index) for extent in shape[1:]
    )  # fmt: skip


class _Checker:
    def __init__(self, batch: Batch, buffers: set[Buffer]) -> None:
        self._variable = batch.variable
        self._capacity = batch.capacity
        self._buffers = buffers
        self._moves: dict[Buffer, int] = {}

    def fits(self, body: Body, strides: Mapping[str, int]) -> bool:
        """Whether a body keeps samples apart.

        `strides` : for each loop over the batch (or over whole rows of it) that is open, how many
        iterations make one sample.
        """
        for statement in body:
            if isinstance(statement, For):
                inner = dict(strides)
                if statement.stop.factor(self._variable):
                    if not statement.parallel or statement.stop.constant or statement.start != 0:
                        return False
                    inner[statement.variable] = statement.stop.factor(self._variable)
                if not self.fits(statement.body, inner):
                    return False
            else:
                found = [statement.index] if isinstance(statement, Store) else []
                target = [statement.buffer] if isinstance(statement, Store) else []
                if not all(map(lambda b, i: self._keeps(b, i, strides), target, found)):
                    return False
                value = getattr(statement, "value", None)
                for expr in subexpressions(value) if value is not None else ():
                    if isinstance(expr, Load) and not self._keeps(expr.buffer, expr.index, strides):
                        return False
                    if isinstance(expr, Position) and self._counts_samples(expr.index, strides):
                        return False
        return True

    def _counts_samples(self, index: Index, strides: Mapping[str, int]) -> bool:
        return bool(index.terms.keys() & {self._variable, *strides})

    def _keeps(self, buffer: Buffer, index: Index, strides: Mapping[str, int]) -> bool:
        """Whether an access inside open batch loops stays in the loop's own sample."""
        if buffer not in self._buffers:
            return True
        if index.factor(self._variable):
            return False
        if not strides:
            return True
        sample, rest = divmod(buffer.size, self._capacity)
        moved = sum(index.factor(name) * per_sample for name, per_sample in strides.items())
        if moved == 0:
            return buffer.kind == "temporary"  # scratch of one sample
        # The batch may be an inner axis (recurrences have the steps outside), everywhere the same.
        whole = not rest and moved > 0 and sample % moved == 0
        return whole and self._moves.setdefault(buffer, moved) == moved
