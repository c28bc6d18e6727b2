"""The errors of layerport: few, named, and each with what, where, why and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike, fspath

from layerport.printable import printable


class LayerportError(Exception):
    """Every error that layerport raises on purpose is one of these."""


class ModelFileError(LayerportError):
    """A model file cannot be read.

    Parameters
    ----------
    path : path of the file.
    reason : what is wrong, as one clause.
    place : where inside the file (a JSON path, an HDF5 group, a node name...), or "".
    hint : what the reader of the message can do, or "".
    """

    def __init__(
        self, path: str | PathLike[str], reason: str, place: str = "", hint: str = ""
    ) -> None:
        self.path = fspath(path)
        self.place = place
        self.reason = reason
        self.hint = hint
        where = f"{self.path}, at {place}" if place else self.path
        super().__init__(printable(f"{where}: {reason}" + (f" ({hint})" if hint else "")))


class UnsupportedError(LayerportError):
    """Something is valid but cannot be expressed where it should go.

    Parameters
    ----------
    what : the sentence that sums it up.
    problems : one line for each layer, operator or option that stands in the way: all of them.
    hint : what to do instead, or "".
    """

    def __init__(self, what: str, problems: Iterable[str] = (), hint: str = "") -> None:
        self.problems = list(problems)
        self.hint = hint
        lines = [what, *(f"  - {printable(problem)}" for problem in self.problems)]
        if hint:
            lines.append(hint)
        super().__init__("\n".join(lines))


class ShapeError(LayerportError, ValueError):
    """Shapes that do not fit together."""


class CaptureError(LayerportError, TypeError):
    """NumPy code that cannot be recorded, with the way to write it instead."""


class TrainingError(LayerportError):
    """Training that cannot start, or cannot go on."""


class DivergenceError(TrainingError):
    """The loss is no longer finite."""


class DataError(TrainingError):
    """Data that cannot be learned from: empty, not numbers, labels out of range..."""


class PluginError(LayerportError):
    """A plugin that clashes with another one, or offers something malformed."""
