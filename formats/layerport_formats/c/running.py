"""Compiling a written model and running it, to verify it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from layerport.errors import LayerportError
from layerport.op import NDArray

SECONDS = 600
"""How long compiling and running may take, each."""

_MAIN = """\
#include <stdio.h>
#include <stdlib.h>
#include "HEADER"

static void *room(size_t elements)
{
  void *memory = calloc(elements + 1, 4);
  if (memory == NULL) exit(1);
  return memory;
}

static void *input(const char *path, size_t elements)
{
  void *memory = room(elements);
  FILE *file = fopen(path, "rb");
  if (file == NULL || fread(memory, 4, elements, file) != elements) exit(1);
  fclose(file);
  return memory;
}

static void output(const char *path, const void *memory, size_t elements)
{
  FILE *file = fopen(path, "wb");
  if (file == NULL || fwrite(memory, 4, elements, file) != elements || fclose(file) != 0) exit(1);
}

int main(int count, char **words)
{
  if (count != WORDS) return 1;
  const int n = atoi(words[1]);
BODY
  return 0;
}
"""


class Port(Protocol):
    """Shape and dtype of an input or output; None stands for the batch."""

    @property
    def shape(self) -> tuple[int | None, ...]: ...

    @property
    def dtype(self) -> str: ...


def find_compiler() -> list[str] | None:
    """The C compiler of this machine as a command: that of CC, or cc, gcc, clang."""
    named = shlex.split(os.environ.get("CC", ""))
    for command in ([named] if named else []) + [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(command[0]):
            return command
    return None


def memory_type(dtype: str) -> np.dtype[np.generic]:
    """How the elements of an input or output lie in memory."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return np.dtype(np.float32)
    return np.dtype(np.uint32 if kind == np.uint32 else np.int32)


def run_source(
    compiler: Sequence[str],
    source: Path,
    inputs: Sequence[NDArray],
    input_ports: Sequence[Port],
    output_ports: Sequence[Port],
    flags: Sequence[str] = ("-O2",),
) -> list[NDArray]:
    """What a written model gives for arrays; its self-test is run as well.

    Raises
    ------
    LayerportError : with what the compiler or the program said, when one of them fails.
    """
    header = source.with_suffix(".h")
    rows = _batch(inputs, input_ports)
    shapes = [[rows if e is None else e for e in port.shape] for port in output_ports]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        main, program = folder / "main.c", folder / "program"
        main.write_text(_main(header, input_ports, output_ports), encoding="ascii")
        files = [str(main), str(source.resolve()), "-I", str(header.resolve().parent)]
        _do([*compiler, *flags, *files, "-o", str(program), "-lm"], f"{source} does not compile")
        words = [str(rows)]
        for number, (array, port) in enumerate(zip(inputs, input_ports, strict=True)):
            path = folder / f"input{number}"
            path.write_bytes(np.ascontiguousarray(array, memory_type(port.dtype)).tobytes())
            words.append(str(path))
        results = [folder / f"output{number}" for number in range(len(output_ports))]
        _do([str(program), *words, *map(str, results)], f"{source} fails when it runs")
        return [
            np.fromfile(path, memory_type(port.dtype)).astype(port.dtype).reshape(shape)
            for path, port, shape in zip(results, output_ports, shapes, strict=True)
        ]


def _do(command: Sequence[str], problem: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise LayerportError(f"{problem}:\n{said}")


def _main(header: Path, inputs: Sequence[Port], outputs: Sequence[Port]) -> str:
    """A program that reads inputs from files, and writes outputs to files."""
    text = header.read_text(encoding="ascii")
    found = re.search(r"^int (\w+)_predict\((.*)\);$", text, re.MULTILINE)
    if found is None:
        raise LayerportError(f"{header} is no header of a model")
    prefix, macro = found[1], found[1].upper()
    lines: list[str] = []
    names: list[str] = []
    for number, port in enumerate(inputs):
        size = f"{macro}_INPUT_{number}_COUNT((size_t)n)"
        kind = _c_type(port)
        lines.append(f"  {kind} *x{number} = input(words[{number + 2}], {size});")
        names.append(f"x{number}")
    for number, port in enumerate(outputs):
        kind = _c_type(port)
        lines.append(f"  {kind} *y{number} = room({macro}_OUTPUT_{number}_COUNT((size_t)n));")
        names.append(f"y{number}")
    given = [*names, *(["n"] if "int n" in found[2] else [])]
    for call in (
        *([f"{prefix}_init()"] if f"{prefix}_init(" in text else []),
        f"{prefix}_predict({', '.join(given)})",
        *([f"{prefix}_self_test(NULL)"] if f"{prefix}_self_test" in text else []),
    ):
        lines += [
            f"  if ({call} != {macro}_OK) {{",
            f'    fputs("{call.partition("(")[0]} reports an error\\n", stderr);',
            "    return 1;",
            "  }",
        ]
    for number in range(len(outputs)):
        size = f"{macro}_OUTPUT_{number}_COUNT((size_t)n)"
        lines.append(f"  output(words[{number + 2 + len(inputs)}], y{number}, {size});")
    lines += [f"  free({name});" for name in names]
    filled = _MAIN.replace("HEADER", header.name).replace("BODY", "\n".join(lines))
    return filled.replace("WORDS", str(len(names) + 2))


def _c_type(port: Port) -> str:
    return {"f": "float", "i": "int32_t", "u": "uint32_t"}[memory_type(port.dtype).kind]


def _batch(inputs: Sequence[NDArray], ports: Sequence[Port]) -> int:
    for array, port in zip(inputs, ports, strict=True):
        if port.shape and port.shape[0] is None:
            return int(array.shape[0])
    return 1
