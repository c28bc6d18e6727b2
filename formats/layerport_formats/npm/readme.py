"""The README of a package."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from layerport.printable import printable

from layerport_formats.javascript.literals import literal

if TYPE_CHECKING:
    from layerport.connections import Port
    from layerport.network import Network

LONGEST_TEXT = 100
MOST_LABELS = 50


def readme(network: Network, package: str, *, trains: bool) -> str:
    """Markdown: how the model is called, what goes in and out. Names are escaped."""
    parts = [
        f"# {markdown(network.name or package)}",
        "A neural network as one JavaScript module without dependencies, weights inside; it runs in"
        " Node 18\nand browsers. Printed by layerport.",
        _code(_usage(network, package, trains=trains)),
        "`predict` takes one sample or several, flat (typed arrays) or nested, and answers in the "
        "same form.\n`selfTest` compares with outputs that the model had where it comes from.",
        f"## Inputs\n\n{_table(network.inputs)}",
        f"## Outputs\n\n{_table(network.outputs)}",
    ]
    if network.labels:
        parts.append(f"## Labels\n\n{_labels(network.labels)}")
    return "\n\n".join(parts) + "\n"


def markdown(name: object) -> str:
    """A name as Markdown that shows it: nothing in it is markup, links or HTML."""
    text = printable(str(name).strip()) or "(no name)"
    if len(text) > LONGEST_TEXT:
        text = text[: LONGEST_TEXT - 1] + "…"
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def _usage(network: Network, package: str, *, trains: bool) -> str:
    # Escapes keep a literal on its line, where no fence of Markdown can end.
    names = [port.name for port in network.inputs]
    values = [f"new {_array(port)}({_size(port)})" for port in network.inputs]
    given = values[0]
    if len(names) > 1:
        pairs = zip(names, values, strict=True)
        given = f"{{ {', '.join(f'[{literal(name)}]: {value}' for name, value in pairs)} }}"
    imported = "predict, train, save, selfTest" if trains else "predict, selfTest"
    lines = [
        f"import {{ {imported} }} from {literal(package)};",
        "",
        "console.log(selfTest().ok);",
        f"const x = {given}; // one sample",
        "console.log(predict(x));",
    ]
    if trains:
        lines += [
            "",
            "const loss = train(x, y, { learningRate: 0.01 }); // y: what predict should have said",
            "const json = save(); // layers.json, which layerport reads",
        ]
    return "\n".join(lines)


def _code(text: str) -> str:
    return f"```js\n{text}\n```"


def _table(ports: Sequence[Port]) -> str:
    rows = [f"| {markdown(port.name)} | {_shape(port)} | {port.dtype} |" for port in ports]
    return "\n".join(["| name | shape | type |", "|---|---|---|", *rows])


def _shape(port: Port) -> str:
    return " x ".join("n" if extent is None else str(extent) for extent in port.shape) or "a number"


def _size(port: Port) -> int:
    return math.prod(extent for extent in port.shape if extent is not None)


def _array(port: Port) -> str:
    return "Float32Array" if port.dtype.startswith("float") else "Int32Array"


def _labels(labels: Sequence[object]) -> str:
    listed = [f"{place}. {markdown(label)}" for place, label in enumerate(labels[:MOST_LABELS])]
    if len(labels) > MOST_LABELS:
        listed.append(f"\nand {len(labels) - MOST_LABELS} more, see `labels`")
    return "\n".join(listed)
