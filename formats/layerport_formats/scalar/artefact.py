"""What the files of the targets without vectors have in common."""

from __future__ import annotations

from collections.abc import Sequence

from layerport.loops.ir import Port
from layerport.loops.target import Target

from layerport_formats.exporting import Export
from layerport_formats.scalar.printer import ScalarPrinter
from layerport_formats.scalar.program import Layout

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _.,:+-()[]")
"""Characters of names that stand as they are in a string literal; all others are escaped."""


class ScalarFile:
    """A model, laid out for a target, with names for its ports: x and y, or x0, x1..., y0, y1...

    Parameters
    ----------
    model : what is printed.
    target : see `Target`.
    printer : the class that prints functions.
    """

    def __init__(self, model: Export, target: Target, printer: type[ScalarPrinter]) -> None:
        self.model = model
        self.layout = Layout(model.graph, target)
        self.printer = printer(self.layout)
        self.program = self.layout.program
        self.inputs = _named("x", self.program.inputs)
        self.outputs = _named("y", self.program.outputs)

    @property
    def labels(self) -> list[str]:
        """The names of the classes."""
        return [str(label) for label in self.model.labels or ()]

    def functions(self) -> list[str]:
        """The lines of all functions."""
        return [line for f in self.program.functions for line in (*self.printer.function(f), "")]

    def count(self, length: str, divide: str = "/") -> str:
        """The number of samples, from the first input that depends on it.

        `length` is how a language writes the length of what is called ``{}``.
        """
        for name, port in self.inputs:
            size = self.layout.sample_size(port)
            if size:
                return f"{length.format(name)} {divide} {size}"
        return "1"

    def run(self, port: Port, count: str) -> str:
        """How many elements of a port lie together, for so many samples."""
        symbol = self.program.symbol
        text = self.printer.index(self.layout.part(port).length)
        return text.replace(symbol, count) if symbol else text

    def length(self, port: Port, count: str = "n") -> str:
        """How many elements a port has, for so many samples."""
        outer = self.layout.part(port).outer
        run = self.run(port, count)
        return f"{outer} * ({run})" if outer != 1 else run


def _named(letter: str, ports: Sequence[Port]) -> list[tuple[str, Port]]:
    single = len(ports) == 1
    return [(letter if single else f"{letter}{k}", port) for k, port in enumerate(ports)]
