"""What arrays say about a graph: whether they fit its inputs, and how large its extents are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layerport.dim import Dim, Shape, bind_shape, same_shape
from layerport.errors import ShapeError
from layerport.graph import Graph, Value
from layerport.op import NDArray


def sizes_of(
    graph: Graph, inputs: Mapping[str, NDArray], parameters: Mapping[str, NDArray]
) -> dict[str, int]:
    """The sizes of the graph's symbolic extents, read off its inputs and parameters.

    Raises
    ------
    ShapeError : naming every array that is missing, is not asked for, or has another shape or
        dtype than the graph says.
    """
    problems: list[str] = []
    pairs: list[tuple[Value, NDArray]] = []
    for kind, values, arrays in (
        ("input", graph.inputs, inputs),
        ("parameter", graph.parameters, parameters),
    ):
        problems += _misnamed(kind, values, arrays)
        pairs += [(value, arrays[value.name]) for value in values if value.name in arrays]
    sizes: dict[str, int] = {}
    for value, array in pairs:
        for extent, size in zip(value.shape, array.shape, strict=False):
            name = _name_of(extent)
            if name is not None:
                sizes.setdefault(name, size)
    for value, array in pairs:
        problems += _misfits(value, array, sizes)
    if problems:
        raise ShapeError("the arrays do not fit the graph: " + "; ".join(problems))
    return sizes


def _misnamed(kind: str, values: Sequence[Value], arrays: Mapping[str, NDArray]) -> list[str]:
    wanted = {value.name for value in values}
    missing = [f"the {kind} {name!r} is missing" for name in sorted(wanted - set(arrays))]
    return missing + [
        f"there is no {kind} {name!r} (there are {', '.join(sorted(wanted)) or 'none'})"
        for name in sorted(set(arrays) - wanted)
    ]


def _name_of(extent: object) -> str | None:
    """The name of an extent that is a name and nothing else."""
    if not isinstance(extent, Dim):
        return None
    name = str(extent)
    return name if extent.names == {name} else None


def _misfits(value: Value, array: NDArray, sizes: Mapping[str, int]) -> list[str]:
    expected: Shape = bind_shape(value.shape, sizes)
    if array.dtype != value.dtype:
        return [f"{value.name!r} must be {value.dtype}, not {array.dtype}"]
    if not same_shape(expected, array.shape):
        stated = "" if same_shape(expected, value.shape) else f" ({_shown(value.shape)})"
        return [f"{value.name!r} must have shape {_shown(expected)}{stated}, not {array.shape}"]
    return []


def _shown(shape: Shape) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
