"""Weights of products stored in blocks of columns: one block after the other, row by row.

A tile of columns then reads neighbours from row to row. A matrix (K, N) becomes (N / block, K,
block). This is possible where every access starts at a multiple of the block, which is seen from
the finished loops.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from layerport.loops.clamp import clamp_of
from layerport.loops.index import Index
from layerport.loops.ir import Body, Buffer, Expr, For, Function, Let, Load, Set, Store
from layerport.loops.walk import expressions, loads, map_expr
from layerport.op import NDArray


def pack_weights(
    functions: Sequence[Function], buffers: Sequence[Buffer], block: int
) -> tuple[list[Function], list[Buffer]]:
    """The same functions on packed weights, where that is possible; `block` 0 leaves all."""
    packed = {b: made for b in buffers if block and (made := _packed(b, functions, block))}
    changed = [replace(f, body=_rewritten(f.body, packed, block)) for f in functions]
    return changed, [packed.get(buffer, buffer) for buffer in buffers]


def unpacked(buffer: Buffer) -> NDArray | None:
    """The elements of a weight as they lay before they were packed."""
    if buffer.data is None or not buffer.block:
        return buffer.data
    columns = _columns(buffer)
    blocks = buffer.data.reshape(columns // buffer.block, -1, buffer.block)
    return np.ascontiguousarray(blocks.transpose(1, 0, 2)).reshape(-1)


def _packed(buffer: Buffer, functions: Sequence[Function], block: int) -> Buffer | None:
    """The buffer with its elements in blocks, or None where an access stands in the way."""
    columns = _columns(buffer)
    if buffer.kind != "weight" or buffer.data is None or columns <= block or columns % block:
        return None
    found = False
    for function in functions:
        if any(load.buffer is buffer for load in loads(function.body)):
            found = True
            if not _fits(function.body, buffer, block, {}):
                return None
    if not found:
        return None
    matrix = buffer.data.reshape(-1, columns // block, block)
    data = np.ascontiguousarray(matrix.transpose(1, 0, 2)).reshape(-1)
    return replace(buffer, data=data, block=block)


def _columns(buffer: Buffer) -> int:
    """The extent of the fastest axis, for a weight with several axes; else 0."""
    if sum(extent > 1 for extent in buffer.shape) < 2:
        return 0
    fastest = min(
        (stride, extent)
        for stride, extent in zip(buffer.strides, buffer.shape, strict=True)
        if extent > 1
    )
    return fastest[1] if fastest[0] == 1 else 0


def _fits(body: Body, buffer: Buffer, block: int, loops: Mapping[str, For]) -> bool:
    for statement in body:
        if isinstance(statement, For):
            inside = {**loops, statement.variable: statement}
            if not _fits(statement.body, buffer, block, inside):
                return False
        elif isinstance(statement, (Let, Set, Store)):
            for load in loads((statement,)):
                if load.buffer is buffer and not _is_aligned(load, block, loops):
                    return False
        if isinstance(statement, Let):
            loops = _with_clamp(statement, loops)
    return True


def _with_clamp(statement: Let, loops: Mapping[str, For]) -> Mapping[str, For]:
    """The loops, and the start of tiles where their last one is moved back."""
    name, limit = clamp_of(statement) or ("", 0)
    loop = loops.get(name)
    if loop is None or not loop.start.is_constant:
        return loops
    step = math.gcd(loop.step, limit - loop.start.constant)
    return {**loops, statement.name: replace(loop, stop=Index.of(limit + 1), step=step)}


def _is_aligned(load: Load, block: int, loops: Mapping[str, For]) -> bool:
    """Whether an access touches one block, always at the same place in it."""
    columns = _columns(load.buffer)
    last = load.index.constant % columns
    if last % block + load.lanes > block:
        return False
    for name, factor in load.index.terms.items():
        if factor % columns == 0:
            continue  # from row to row
        loop = loops.get(name)
        if loop is None or not loop.start.is_constant or not loop.stop.is_constant:
            return False
        if factor < 0 or factor * loop.step % block or factor * loop.start.constant % block:
            return False
        start, stop = loop.start.constant, loop.stop.constant
        last += factor * (start + (stop - 1 - start) // loop.step * loop.step)
    return last < columns


def _rewritten(body: Body, packed: Mapping[Buffer, Buffer], block: int) -> Body:
    if not any(isinstance(e, Load) and e.buffer in packed for e in expressions(body)):
        return body

    def change(expr: Expr) -> Expr:
        if isinstance(expr, Load) and expr.buffer in packed:
            index = _index(expr.index, expr.buffer, block)
            return replace(expr, buffer=packed[expr.buffer], index=index)
        return expr

    done = []
    for statement in body:
        if isinstance(statement, For):
            statement = replace(statement, body=_rewritten(statement.body, packed, block))
        elif isinstance(statement, (Let, Set, Store)):
            statement = replace(statement, value=map_expr(statement.value, change))
        done.append(statement)
    return tuple(done)


def _index(index: Index, buffer: Buffer, block: int) -> Index:
    columns = _columns(buffer)
    rows = buffer.size // columns
    row, column = divmod(index.constant, columns)
    constant = column // block * block * rows + row * block + column % block
    terms = {
        name: factor // columns * block if factor % columns == 0 else factor * rows
        for name, factor in index.terms.items()
    }
    return Index(constant, terms)
