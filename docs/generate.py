"""Write what is generated from the code: tables in docs/ and the type stubs of `layerport`.

    python docs/generate.py [--check]

With --check nothing is written, and the exit code is 1 where a file is out of date.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import layerport
from layerport.numpy_functions import FUNCTIONS, REDUCTIONS, UFUNCS
from layerport.op import Op
from layerport.registry import default_registry

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
STUB = ROOT / "toolkit" / "layerport" / "__init__.pyi"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    listed = list(heads)
    lines = [f"| {' | '.join(listed)} |", f"|{'---|' * len(listed)}"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def first_line(thing: Any) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def layers() -> str:
    """docs/layers.md."""
    rows = []
    for name, cls in sorted(default_registry().layers.items()):
        arguments = [f"`{f.name}`" for f in cls.config_fields() if not f.kw_only]
        rows.append((f"`{name}`", ", ".join(arguments), first_line(cls)))
    head = "# Layers\n\nNames, arguments, defaults and orientation of weights are Keras's.\n\n"
    return head + table(("layer", "arguments", ""), rows)


def operators() -> str:
    """docs/ops.md."""
    rows = []
    for name, cls in sorted(default_registry().ops.items()):
        fields = [f"`{field.name}`" for field in dataclasses.fields(cls)]
        gradient = "yes" if cls.gradient is not Op.gradient else ""
        rows.append((f"`{name}`", cls.domain or "ai.onnx", ", ".join(fields), gradient))
    head = (
        "# Operators\n\nONNX's names and semantics; what decides a shape is a field. The domain "
        "`layerport` holds\noperators that ONNX lacks; they occur in training graphs.\n\n"
    )
    return head + table(("operator", "domain", "fields", "differentiable"), rows)


def formats() -> str:
    """The table of docs/formats.md."""
    rows = []
    for name, fmt in sorted(default_registry().formats.items()):
        can = ", ".join(w for w, able in (("read", fmt.can_read), ("write", fmt.can_write)) if able)
        options = "; ".join(f"`{key}`: {text}" for key, text in fmt.options.items())
        suffixes = ", ".join(f"`{suffix}`" for suffix in fmt.suffixes)
        rows.append((f"`{name}`", suffixes, can, fmt.description, options))
    return table(("format", "suffix", "", "", "options"), rows)


def functions() -> str:
    """The table of docs/writing-layers.md."""
    ufuncs = ", ".join(f"`np.{name}`" for name in sorted(UFUNCS))
    named = sorted({_name(function) for function in FUNCTIONS})
    reduces = ", ".join(f"`np.{name}.reduce`" for name in sorted(REDUCTIONS))
    rows = [
        ("element by element", ufuncs),
        ("functions", ", ".join(f"`np.{name}`" for name in named)),
        ("reductions", reduces),
    ]
    return table(("", "dispatched"), rows)


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", function))


def stub() -> Iterator[str]:
    """The type stubs: everything at the top level, the plugins' classes too."""
    yield '"""What layerport offers at the top; `__init__.py` imports it when it is used."""'
    yield ""
    yield "from layerport import errors as errors, ops as ops, testing as testing"
    for home, names in sorted(layerport._HOMES.items()):
        yield _import(f"layerport.{home}", names)
    found: dict[str, list[str]] = {}
    registry = default_registry()
    for kind in layerport._KINDS:
        for cls in getattr(registry, kind).values():
            if cls.__module__.startswith("layerport_plugins"):
                found.setdefault(cls.__module__, []).append(cls.__name__)
    for module, names in sorted(found.items()):
        yield _import(module, sorted(names))
    yield ""
    yield "__version__: str"
    yield ""


def _import(module: str, names: Iterable[str]) -> str:
    return "\n".join(f"from {module} import {name} as {name}" for name in names)


def between(path: Path, content: str) -> str:
    """The text of a file with what stands between its two marks replaced."""
    text = path.read_text(encoding="utf-8")
    start, end = "<!-- generated -->\n", "<!-- end -->\n"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{content}\n{end}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    made = {
        DOCS / "layers.md": layers(),
        DOCS / "ops.md": operators(),
        DOCS / "formats.md": between(DOCS / "formats.md", formats()),
        DOCS / "writing-layers.md": between(DOCS / "writing-layers.md", functions()),
        STUB: "\n".join(stub()),
    }
    stale = []
    for path, text in made.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path)
            if not check:
                path.write_text(text, encoding="utf-8")
    for path in stale:
        sys.stdout.write(f"{path.relative_to(ROOT)} {'is out of date' if check else 'written'}\n")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
