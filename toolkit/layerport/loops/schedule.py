"""The one generic schedule: register tiles, vectors, shared loads.

Operators write naive nests; this pass decides from the strides of their accesses which loops to
tile. A sum inside parallel loops becomes a tile of rows x columns results: `columns` is a loop
along which results (and, with vectors, everything else) lie side by side, `rows` one along which
the weights stay the same. Iterations of a tile are unrolled and jammed, and each load is done once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from layerport.loops.canonical import accumulated
from layerport.loops.clamp import clamped, may_overlap
from layerport.loops.dots import vectorise_sums
from layerport.loops.functions import bit_and, remainder
from layerport.loops.index import Index, Size
from layerport.loops.ir import (
    Body,
    For,
    Let,
    Load,
    Names,
    Operation,
    Position,
    Set,
    Statement,
    Store,
)
from layerport.loops.order import order_products
from layerport.loops.share import share_loads
from layerport.loops.start import start_with_first
from layerport.loops.target import Target
from layerport.loops.tiles import LATENCY, Work, candidates, pieces
from layerport.loops.unroll import side_by_side, unroll
from layerport.loops.vectorise import can_vectorise, vectorise
from layerport.loops.walk import expressions, loads, statements


def schedule(body: Sequence[Statement], target: Target, names: Names) -> Body:
    """Schedule the nests of a function."""
    made = start_with_first(_Scheduler(target, names).run(body))
    return share_loads(order_products(made) if target.registers else made, names)


@dataclass(frozen=True)
class _Tile:
    """The loops of a register tile.

    Attributes
    ----------
    rows : None where there is nothing to gain from several.
    wide : whether vectors run along the columns.
    height, width : the most rows and columns it has.
    lone : the most columns of a row that is left over.
    """

    columns: For
    rows: For | None
    wide: bool
    height: int
    width: int
    lone: int = 1


class _Scheduler:
    def __init__(self, target: Target, names: Names) -> None:
        self._target = target
        self._names = names
        self._limits: dict[str, int] = {}
        self._widths = [lanes for lanes in (target.lanes, *target.narrow) if lanes > 1]

    def run(self, body: Sequence[Statement]) -> Body:
        """Schedule a whole function."""
        return clamped(self.body(body), self._limits, self._names)

    def body(self, body: Sequence[Statement]) -> Body:
        """Schedule every loop of a body."""
        done: list[Statement] = []
        for statement in body:
            if isinstance(statement, For):
                done += self._nest(statement)
            else:
                done.append(statement)
        return tuple(done)

    def _nest(self, loop: For) -> Body:
        loops, inner = parallel_prefix(loop)
        if not loops:
            made = vectorise_sums((loop,), self._widths, self._names)
            return made if len(made) > 1 else (replace(loop, body=self.body(loop.body)),)
        inner = self._unroll_windows(inner)
        if _has_loop(inner):
            inner = self._along_memory(loops, inner)
            tile = self._choose_tile(loops, inner) if _is_product(inner) else None
            if tile is not None:
                return self._unroll_short(self._tiled(loops, inner, tile))
            return _wrapped(loops, self.body(inner))
        return self._vectorised(loops, inner)

    def _along_memory(self, loops: Sequence[For], inner: Body) -> Body:
        """A product with its sums in vectors, where no vector of results is possible."""
        if not self._widths or not _is_product(inner):
            return inner
        if any(can_vectorise(inner, loop.variable) for loop in loops):
            return inner
        return vectorise_sums(inner, self._widths, self._names)

    # Windows and short loops ----------------------------------------------------------------

    def _unroll_windows(self, body: Body) -> Body:
        """Compute the few costly elements that a pooling window reads side by side."""
        done: list[Statement] = []
        for statement in body:
            if isinstance(statement, For) and not statement.parallel:
                inner = self._unroll_windows(statement.body)
                extent = statement.extent
                costly = len(inner) > 1 and _has_loop(inner)
                if costly and isinstance(extent, int) and extent <= self._target.rows:
                    done += unroll(statement, inner, statement.start, extent, 1, self._names)
                    continue
                statement = replace(statement, body=inner)
            done.append(statement)
        return tuple(done)

    def _unroll_short(self, body: Body) -> Body:
        """Unroll the innermost loops of sums where they have few iterations."""
        done: list[Statement] = []
        for statement in body:
            if isinstance(statement, For):
                inner = self._unroll_short(statement.body)
                extent = statement.extent
                count = -(-extent // statement.step) if isinstance(extent, int) else 0
                short = 0 < count <= self._target.unroll
                if short and not statement.parallel and not _has_loop(statement.body):
                    start, step = statement.start, statement.step
                    done += unroll(statement, inner, start, count, step, self._names)
                    continue
                statement = replace(statement, body=inner)
            done.append(statement)
        return tuple(done)

    # Tiles ----------------------------------------------------------------------------------

    def _choose_tile(self, loops: Sequence[For], inner: Body) -> _Tile | None:
        """The tile with the fewest loads a result, or None where no tile saves any."""
        target = self._target
        hottest = _innermost(inner)
        hot = {load for body in hottest for load in loads(body)}
        sums = max(sum(isinstance(s, Set) for s in body) for body in hottest)  # of a window
        height = max(1, target.rows // max(1, sums))
        fastest = _fastest(loops, inner)
        in_vectors = any(load.lanes > 1 for load in hot)
        lanes = target.lanes if in_vectors else 1
        best: tuple[float, _Tile] | None = None
        for columns in loops:
            if not isinstance(columns.extent, int):
                continue
            wide = target.lanes > 1 and can_vectorise(inner, columns.variable)
            if target.lanes > 1 and not (wide or in_vectors) and columns is fastest:
                continue
            tall = height > 1 or target.registers
            # The innermost first: of rows that are as good, those that lie nearest.
            others = [loop for loop in reversed(loops) if loop is not columns and tall]
            for rows in [None, *others]:
                if target.registers:
                    cost, tile = self._fitted(hottest, columns, rows, wide)
                else:
                    lone = max(1, target.lone_columns // lanes)
                    width = max(1, target.columns // lanes)
                    width = width if rows is not None or sums > 1 else lone
                    tile = _Tile(columns, rows, wide, height, width, lone)
                    cost = self._cost(hot, tile)
                if columns is not fastest and not wide:
                    cost += 0.5  # results far apart in memory
                if rows is not None and not isinstance(rows.extent, int):
                    cost *= 1.05  # a run-time remainder
                if best is None or cost < best[0]:
                    best = cost, tile
        if best is None or best[0] >= (LATENCY if target.registers else len(hot)):
            return None
        return best[1]

    def _fitted(
        self, hottest: Iterable[Body], columns: For, rows: For | None, wide: bool
    ) -> tuple[float, _Tile]:
        """(cycles for each result, tile) of the fastest tile that fits into the registers."""
        target = self._target
        work = [_work(body, columns, rows) for body in hottest]
        count = 1 if rows is None else rows.extent
        lanes = target.lanes if wide else 1
        assert isinstance(columns.extent, int)
        cycles, height, width = min(
            candidates(
                work,
                columns.extent,
                count if isinstance(count, int) else None,
                lanes,
                target.narrow if wide else (),
                target.registers,
            ),
            key=lambda found: found[0],
        )
        return cycles, _Tile(columns, rows, wide, height, width)

    def _cost(self, hot: Iterable[Load], tile: _Tile) -> float:
        """Loads for each result and iteration."""
        rows = 1 if tile.rows is None else balanced(tile.rows.extent, tile.height)
        columns = balanced(tile.columns.extent, self._target.columns)
        lanes = math.gcd(columns, self._target.lanes) if tile.wide else 1
        total = 0.0
        for load in hot:
            along = columns if load.index.factor(tile.columns.variable) else 1
            across = rows if tile.rows and load.index.factor(tile.rows.variable) else 1
            total += across * max(1.0, along / lanes)
        return total / (rows * columns)

    def _tiled(self, loops: Sequence[For], inner: Body, tile: _Tile) -> Body:
        rows, columns = tile.rows, tile.columns
        others = [loop for loop in loops if loop is not rows and loop is not columns]
        symbolic = [loop for loop in others if not isinstance(loop.extent, int)]
        static = [loop for loop in others if isinstance(loop.extent, int)]
        if rows is not None and not isinstance(rows.extent, int):
            return _wrapped(others, self._runtime_rows(rows, inner, tile))
        if rows is not None:
            inner = self._split(rows, inner, balanced(rows.extent, tile.height), lanes=1)
        # Outside of the loops over the image: a block of weights serves all of it.
        nest = _wrapped(static, inner)
        return _wrapped(symbolic, self._columns(columns, nest, tile.width, tile.wide))

    def _runtime_rows(self, rows: For, inner: Body, tile: _Tile) -> Body:
        """Full tiles of rows, then the rows that are left one by one."""
        count, columns, wide = tile.height, tile.columns, tile.wide
        if count == 1:
            return (replace(rows, body=self._columns(columns, inner, tile.width, wide)),)
        extent = Position(rows.stop)
        if count & (count - 1) == 0:
            full = bit_and(extent, -count)
        else:
            full = extent - remainder(extent, count, truncated=True)
        whole = Let(self._names.fresh("v"), full)
        middle = Index.variable(whole.name)
        together = self._columns(columns, inner, tile.width, wide)
        main = replace(rows, stop=middle, step=count)
        main = replace(main, body=unroll(rows, together, Index.variable(rows.variable), count, 1,
                                         self._names))  # fmt: skip
        width = tile.lone
        if self._target.registers:
            width = self._fitted(_innermost(inner), columns, None, wide)[1].width
        alone = self._columns(columns, inner, width, wide)
        return whole, main, replace(rows, start=middle, body=alone)

    def _columns(self, columns: For, body: Body, count: int, wide: bool) -> Body:
        lanes = self._target.lanes if wide else 1
        if lanes == 1 and not self._target.registers:
            count = balanced(columns.extent, count)
        return self._split(columns, body, count, lanes=lanes)

    def _split(self, loop: For, body: Body, count: int, *, lanes: int) -> Body:
        """A loop in tiles of `count` iterations, the last tile smaller, without a loop if alone."""
        extent = loop.extent
        assert isinstance(extent, int)
        start = loop.start
        done: list[Statement] = []
        full = extent // count * count
        variable = Index.variable(loop.variable)
        if full < extent and full and lanes > 1 and self._target.overlap and may_overlap(body):
            place = self._names.fresh("i")
            self._limits[place] = loop.start.constant + extent - count
            tile = self._tile(loop, body, Index.variable(place), count, lanes)
            stop = start + full + count
            return (replace(loop, variable=place, stop=stop, step=count, body=tile),)
        if full > count:
            tile = self._tile(loop, body, variable, count, lanes)
            done.append(replace(loop, stop=start + full, step=count, body=tile))
        elif full:
            done += self._tile(loop, body, start, count, lanes)
        if extent > full:
            done += self._tile(loop, body, start + full, extent - full, lanes)
        return tuple(done)

    def _tile(self, loop: For, body: Body, at: Index, count: int, lanes: int) -> Body:
        """`count` iterations side by side, in vectors as wide as possible."""
        narrow = self._target.narrow if lanes > 1 else ()
        rest = count % lanes
        if rest and count > lanes and self._target.overlap and may_overlap(body):
            wide = vectorise(body, loop.variable, lanes)
            places = [*range(0, count - rest, lanes), count - lanes]
            copies = [(wide, at + place) for place in places]
            return side_by_side(loop, copies, self._names)
        vectors: list[tuple[Body, Index]] = []
        singles: list[tuple[Body, Index]] = []
        for width in pieces(count, lanes, narrow):
            wide = vectorise(body, loop.variable, width) if width > 1 else body
            (vectors if width > 1 or lanes == 1 else singles).append((wide, at))
            at = at + width
        together = [[*vectors, *singles]] if narrow else [vectors, singles]
        return tuple(s for group in together for s in side_by_side(loop, group, self._names))

    # Maps -----------------------------------------------------------------------------------

    def _vectorised(self, loops: Sequence[For], inner: Body) -> Body:
        """A nest without inner loops: vectors along the fastest loop, where strides allow it."""
        lanes = self._target.lanes
        if lanes == 1:
            return _wrapped(loops, inner)
        fastest = next((p for p in reversed(loops) if can_vectorise(inner, p.variable)), None)
        if fastest is None:
            return _wrapped(loops, inner)
        others = [loop for loop in loops if loop is not fastest]
        extent = fastest.extent
        if isinstance(extent, int):
            return _wrapped(others, self._split(fastest, inner, lanes, lanes=lanes))
        variable = Index.variable(fastest.variable)
        wide = vectorise(inner, fastest.variable, lanes)
        body = unroll(fastest, wide, variable, 1, lanes, self._names)
        if not extent.constant and all(factor % lanes == 0 for factor in extent.terms.values()):
            return _wrapped(others, (replace(fastest, step=lanes, body=body),))
        whole = Let(self._names.fresh("v"), bit_and(Position(fastest.stop), -lanes))
        middle = Index.variable(whole.name)
        main = replace(fastest, stop=middle, step=lanes, body=body)
        return _wrapped(others, (whole, main, replace(fastest, start=middle, body=inner)))


def balanced(extent: Size, largest: int) -> int:
    """A tile of at most `largest` iterations whose last tile is not much smaller."""
    if not isinstance(extent, int):
        return largest
    tiles = -(-extent // largest)
    return -(-extent // tiles) if tiles else 1


def parallel_prefix(loop: For) -> tuple[list[For], Body]:
    """The parallel loops that hold nothing but one another, and what is inside."""
    loops: list[For] = []
    body: Body = (loop,)
    while len(body) == 1 and isinstance(body[0], For) and body[0].parallel:
        loops.append(body[0])
        body = body[0].body
    return loops, body


def _wrapped(loops: Sequence[For], body: Body) -> Body:
    for loop in reversed(loops):
        body = (replace(loop, body=body),)
    return body


def _has_loop(body: Body) -> bool:
    return any(isinstance(statement, For) for statement in body)


def _is_product(body: Body) -> bool:
    """Whether the loops of a body are sums: one chain of any kind, or several of products."""
    inner = [statement for statement in statements(body) if isinstance(statement, For)]
    if any(loop.parallel for loop in inner):
        return False
    alone = all(
        sum(isinstance(s, For) for s in part) <= 1 for part in (body, *(f.body for f in inner))
    )
    return alone or all(map(_is_sum_of_products, _innermost(body)))


def _is_sum_of_products(body: Body) -> bool:
    return all(
        isinstance(statement, Set)
        and (accumulated(statement) or ("",))[0] == "add"
        and all(
            expr.name in ("add", "mul", "splat")
            for expr in expressions((statement,))
            if isinstance(expr, Operation)
        )
        for statement in body
    )


def _innermost(body: Body) -> list[Body]:
    """The bodies of the loops that hold no others."""
    found: list[Body] = []
    for statement in body:
        if isinstance(statement, For):
            found += _innermost(statement.body) or [statement.body]
    return found


def _work(body: Body, columns: For, rows: For | None) -> Work:
    """What an iteration of a sum does when these loops are tiled."""
    indices = [load.index for load in set(loads(body))]
    across = [i for i in indices if rows is not None and i.factor(rows.variable)]
    along = [i for i in indices if i not in across and i.factor(columns.variable)]
    sums = sum(isinstance(statement, Set) for statement in body)
    return Work(sums, len(along), len(across), len(indices) - len(across) - len(along))


def _fastest(loops: Sequence[For], inner: Body) -> For:
    """The loop along which results are nearest to each other."""
    stores = [s.index for s in statements(inner) if isinstance(s, Store)]
    moving = [loop for loop in loops if any(index.factor(loop.variable) for index in stores)]
    return min(
        moving or loops,
        key=lambda loop: max(abs(index.factor(loop.variable)) for index in stores) if stores else 0,
    )
