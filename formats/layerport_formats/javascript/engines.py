"""What computes: WebAssembly, loops in JavaScript, or both, of which the first that works is used.

All declare the same: `largestBatch`, the buffers of inputs and outputs, `run`, `engine`, and for a
model that learns the buffers of its step and `runTraining`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence

from layerport.errors import UnsupportedError
from layerport.loops.ir import Buffer
from layerport.loops.target import Target

from layerport_formats.javascript.blob import Axes, Blob
from layerport_formats.javascript.learning import start_of
from layerport_formats.javascript.parts import Lowered
from layerport_formats.javascript.printer import HELPERS, JavaScript
from layerport_formats.javascript.printer import TARGET as SCALAR
from layerport_formats.javascript.text import text_of
from layerport_formats.wasm.addresses import ELEMENT
from layerport_formats.wasm.module import Layout, encode_module, little_endian
from layerport_formats.wasm.target import TARGET as VECTORS

ENGINES = ("auto", "wasm", "js")
"""The first one is used where nothing else is said."""

LARGEST_WEIGHTS = 300 << 20
"""Bytes of weights that fit into a string of every JavaScript engine."""

_ARRAYS = {"f32": "Float32Array", "i32": "Int32Array", "u32": "Uint32Array", "bool": "Int32Array"}


def print_engine(engine: str, lower: Callable[[Target], Lowered]) -> tuple[str, Lowered]:
    """The text that declares an engine, and the program whose names it declares.

    Parameters
    ----------
    lower : lowers the model for a target.

    Raises
    ------
    UnsupportedError : when there is no such engine, or the weights are too large.
    """
    if engine not in ENGINES:
        raise UnsupportedError(f"option engine={engine}: it is one of {', '.join(ENGINES)}")
    lowered = lower(SCALAR if engine == "js" else VECTORS)
    if engine == "js":
        lines = _loops(lowered, None)
        lines.append(f"const {_facts(lowered, 'js', ' = ')};")
    elif engine == "wasm":
        lines = _wasm(lowered, Blob(lowered.program), "decode({data})")
        lines.append(f"const {_facts(lowered, 'wasm', ' = ')};")
    else:
        lines = _both(lowered, lower(SCALAR))
    program = lowered.program
    inputs, outputs = (
        _names(p.buffer for p in ports) for ports in (program.inputs, program.outputs)
    )
    lines.append(f"const inputBuffers = {inputs}, outputBuffers = {outputs};")
    return "\n".join([*lines, "export { engine };"]), lowered


def _both(first: Lowered, second: Lowered) -> list[str]:
    """WebAssembly, or loops where the page does not allow it."""
    blob = Blob(first.program)
    loops = _loops(second, blob)
    names = ["engine", "largestBatch", *first.entries]
    return [
        f"const weights = decode({_text(blob.bytes)});",
        "function withWasm() {",
        *_indented(_wasm(first, blob, "weights")),
        f"  return {{ {_facts(first, 'wasm', ': ')}, buffers: {_names(first.public)} }};",
        "}",
        "function withLoops() {",
        *_indented(loops),
        f"  return {{ {_facts(second, 'js', ': ')}, buffers: {_names(second.public)} }};",
        "}",
        "function start() {",
        "  try {",
        "    return withWasm();",
        "  } catch {",
        "    return withLoops();",
        "  }",
        "}",
        f"const {{ {', '.join(names)}, buffers: {_names(first.public)} }} = start();",
    ]


def _facts(lowered: Lowered, engine: str, sign: str) -> str:
    """Names with their values."""
    values = {"engine": f'"{engine}"', "largestBatch": str(lowered.program.batch)}
    entries = {name: function for name, function in lowered.entries.items() if engine == "js"}
    listed = [f"{name}{sign}{value}" for name, value in {**values, **entries}.items()]
    if engine == "wasm" and sign == ": ":
        listed += lowered.entries
    return ", ".join(listed)


# WebAssembly ----------------------------------------------------------------------------------


def _wasm(lowered: Lowered, blob: Blob, data: str) -> list[str]:
    """An instance, and views of its memory. `data` : an expression for what is in it at first."""
    layout = blob.layout
    code = encode_module(lowered.program, layout, lowered.entries)
    exports = ", ".join(["memory: { buffer: memory }", *lowered.entries])
    text, first = text_of(code)
    return [
        f"const {{ {exports} }} = new WebAssembly.Instance(",
        f"  new WebAssembly.Module(decodeCode({text}, {first}))",
        ").exports;",
        f"new Uint8Array(memory, {layout.data}).set("
        f"new Uint8Array({data.format(data=_text(blob.bytes))}, 0, {layout.end - layout.data}));",
        f"const {', '.join(views(lowered.public, layout))};",
    ]


def views(buffers: Iterable[Buffer], layout: Layout) -> list[str]:
    """Declarations of arrays over the `memory` of an instance."""
    return [
        f"{b.name} = new {_ARRAYS[b.dtype]}(memory, {layout.addresses[b]}, {b.size})"
        for b in buffers
    ]


# Loops ----------------------------------------------------------------------------------------


def _loops(lowered: Lowered, blob: Blob | None) -> list[str]:
    """All buffers and functions. Without a blob, the weights are brought along."""
    program = lowered.program
    known = [b for b in program.of_kind("weight", "state") if _uniform(b) is None]
    lines = [f"const arena = new ArrayBuffer({program.arena * ELEMENT});"]
    if blob is None:
        own = bytearray()
        places = {}
        for buffer in known:
            assert buffer.data is not None
            places[buffer] = len(own)
            own += little_endian(buffer.data)
        lines.insert(0, f"const weights = decode({_text(own)});")
        arrays = {b: _view(b, "weights", place) for b, place in places.items()}
    else:
        arrays = {b: _found(b, *blob.find(b)) for b in known}
    for buffer in program.buffers:
        text = arrays.get(buffer)
        if text is None and buffer in program.offsets:
            text = _view(buffer, "arena", program.offsets[buffer] * ELEMENT)
        elif text is None:
            start = _uniform(buffer)
            text = f"new {_ARRAYS[buffer.dtype]}({buffer.size})"
            text += f".fill({start!r})" if start else ""
        lines.append(f"const {buffer.name} = {text};")
    printer = JavaScript()
    functions = [line for f in program.functions for line in printer.function(f)]
    helpers = [line for name in sorted(printer.needed) for line in HELPERS[name].split("\n")]
    return [*lines, *helpers, *functions]


def _view(buffer: Buffer, memory: str, place: int) -> str:
    return f"new {_ARRAYS[buffer.dtype]}({memory}, {place}, {buffer.size})"


def _found(buffer: Buffer, place: int, axes: Axes | None) -> str:
    if axes is None:
        return _view(buffer, "weights", place)
    extents, strides = ([axis[k] for axis in axes] for k in (0, 1))
    return f"gather({_view(buffer, 'weights', place)}, {extents}, {strides})"


def _uniform(buffer: Buffer) -> float | None:
    """The number that every element of a state starts with; None for what has to be stored."""
    return start_of(buffer) if buffer.kind == "state" else None


def _text(data: bytes | bytearray) -> str:
    if len(data) > LARGEST_WEIGHTS:
        raise UnsupportedError(
            f"{len(data) >> 20} MB of weights do not fit into one JavaScript module "
            f"(at most {LARGEST_WEIGHTS >> 20} MB)"
        )
    return f'"{base64.b64encode(data).decode()}"'


def _names(buffers: Iterable[Buffer]) -> str:
    return f"[{', '.join(buffer.name for buffer in buffers)}]"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
