"""The table that `network.summary()` shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layerport.layer import declared_shape
from layerport.printable import printable

if TYPE_CHECKING:
    from rich.table import Table

    from layerport.network import Network


@dataclass(frozen=True)
class Row:
    """One layer of a summary."""

    name: str
    kind: str
    output: str
    parameters: int
    sources: str


@dataclass(frozen=True)
class Summary:
    """Layers, output shapes and numbers of parameters; prints as a table."""

    title: str
    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    data: int

    @classmethod
    def of(cls, network: Network) -> Summary:
        """The summary of a network."""
        rows = []
        linear = all(len(call.inputs) <= 1 for call in network.calls)
        for call in network.calls:
            shapes = " ".join(str(declared_shape(o.shape)) for o in call.outputs)
            sources = "" if linear else ", ".join(o.layer.name for o in call.inputs)
            count = call.layer.count_params()
            rows.append(Row(call.layer.name, type(call.layer).__name__, shapes, count, sources))
        if not network.calls:
            rows = [Row(layer.name, type(layer).__name__, "?", 0, "") for layer in network.layers]
        weights = list(network.weights.values()) if network.calls else []
        trainable = sum(
            layer.own_weights[name].size
            for _, layer in network.walk()
            if layer.trainable
            for name, weight in layer.declared_weights.items()
            if weight.trainable
        )
        return cls(
            network.name or type(network).__name__, tuple(rows),
            sum(a.size for a in weights), trainable, sum(a.nbytes for a in weights),
        )  # fmt: skip

    @property
    def totals(self) -> str:
        """The line under the table."""
        frozen = self.parameters - self.trainable
        text = f"{self.parameters:,} parameters ({_bytes(self.data)})"
        return text + (f", {frozen:,} of them not trainable" if frozen else "")

    @property
    def _heading(self) -> str:
        return printable(self.title)

    def _columns(self) -> list[tuple[str, list[str]]]:
        columns = [
            ("layer", [printable(f"{row.name} ({row.kind})") for row in self.rows]),
            ("output", [row.output for row in self.rows]),
            ("parameters", [f"{row.parameters:,}" for row in self.rows]),
        ]
        if any(row.sources for row in self.rows):
            columns.append(("from", [printable(row.sources) for row in self.rows]))
        return columns

    def __str__(self) -> str:
        columns = self._columns()
        widths = [max(len(head), *(len(cell) for cell in cells)) for head, cells in columns]

        def line(cells: list[str]) -> str:
            padded = [
                cell.rjust(width) if head == "parameters" else cell.ljust(width)
                for cell, width, (head, _) in zip(cells, widths, columns, strict=True)
            ]
            return "  ".join(padded).rstrip()

        lines = [self._heading, line([head for head, _ in columns])]
        lines.append("  ".join("-" * width for width in widths))
        lines += [line([cells[i] for _, cells in columns]) for i in range(len(self.rows))]
        return "\n".join([*lines, self.totals])

    __repr__ = __str__

    def __rich__(self) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, title=Text(self._heading), caption=Text(self.totals),
                      title_justify="left", caption_justify="left")  # fmt: skip
        columns = self._columns()
        for head, _ in columns:
            table.add_column(head, justify="right" if head == "parameters" else "left")
        for index in range(len(self.rows)):
            table.add_row(*[Text(cells[index]) for _, cells in columns])
        return table


def _bytes(size: int) -> str:
    value: Any = float(size)
    for unit in ("bytes", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
