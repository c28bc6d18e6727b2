"""A lowered program laid out in one memory for each type of element."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from layerport.errors import UnsupportedError
from layerport.graph import Graph
from layerport.loops.index import Index
from layerport.loops.ir import Buffer, DType, Port, Program
from layerport.loops.lowering import lower
from layerport.loops.target import Target

LARGEST_UNSPLIT_BATCH = 64
"""The batch of models whose samples influence each other."""

MEMORIES: Mapping[DType, str] = {"f32": "f", "i32": "i", "u32": "u", "bool": "i"}
"""Which memory holds elements of a type; bools are 0 or 1 among the integers."""


@dataclass(frozen=True)
class Part:
    """How a port is copied: `outer` runs of `length` elements, `stride` apart in memory.

    Attributes
    ----------
    length : affine in the number of samples, or a number.
    """

    port: Port
    outer: int
    length: Index
    stride: int


class Layout:
    """Where buffers lie.

    Attributes
    ----------
    program : what was lowered.
    base : buffer -> its first element in the memory of its type; weights are not in it.
    sizes : memory -> its number of elements.
    """

    def __init__(self, graph: Graph, target: Target) -> None:
        program = lower(graph, target)
        if program.symbol and not program.splittable:
            program = lower(graph, target, batch=LARGEST_UNSPLIT_BATCH)
        self.program: Program = program
        self.base: dict[Buffer, int] = {}
        self.sizes = dict.fromkeys(("f", "i", "u"), 0)
        arenas: dict[str, int] = {}
        for buffer in program.buffers:
            if buffer.kind == "weight":
                continue
            memory = MEMORIES[buffer.dtype]
            if buffer not in program.offsets:
                self.base[buffer] = self.sizes[memory]
                self.sizes[memory] += buffer.size
        for buffer, offset in program.offsets.items():
            memory = MEMORIES[buffer.dtype]
            if memory not in arenas:  # temporaries of each type share room over time
                arenas[memory] = self.sizes[memory]
                self.sizes[memory] += program.arena
            self.base[buffer] = arenas[memory] + offset

    @property
    def weights(self) -> list[Buffer]:
        """The constant buffers."""
        return self.program.of_kind("weight")

    def part(self, port: Port) -> Part:
        """How a port is copied.

        Raises
        ------
        UnsupportedError : when several of its axes depend on the number of samples.
        """
        symbol, batch = self.program.symbol, self.program.batch
        axes = [axis for axis, extent in enumerate(port.shape) if isinstance(extent, Index)]
        if len(axes) > 1:
            raise UnsupportedError(
                f"the port {port.name!r} has several axes that depend on the number of samples"
            )
        whole = [e.evaluate({symbol: batch}) if isinstance(e, Index) else e for e in port.shape]
        if not axes:
            size = math.prod(whole)
            return Part(port, 1, Index(size), size)
        (axis,) = axes
        inner = math.prod(whole[axis + 1 :])
        extent = port.shape[axis]
        assert isinstance(extent, Index)
        return Part(port, math.prod(whole[:axis]), extent * inner, math.prod(whole[axis:]))

    def sample_size(self, port: Port) -> int:
        """The elements that one more sample adds to a port; 0 where it does not depend on them."""
        part = self.part(port)
        return part.outer * part.length.factor(self.program.symbol) if self.program.symbol else 0
