"""The .rs file of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from layerport.loops.clike import comment_text
from layerport.loops.ir import DType, Port
from layerport.loops.weights import stored
from layerport.op import NDArray

from layerport_formats.exporting import Export
from layerport_formats.rust.printer import TARGET, Rust
from layerport_formats.scalar.artefact import PLAIN, ScalarFile
from layerport_formats.scalar.program import MEMORIES

if TYPE_CHECKING:
    from layerport.network import Network

_MEMORY = {"f": "f32", "i": "i32", "u": "u32"}
_OUTSIDE: dict[DType, str] = {"f32": "f32", "i32": "i32", "u32": "u32", "bool": "i32"}
"""Element types of slices; a bool is 0 or 1."""


def print_rust(model: Export) -> str:
    """The text of the module; it is ASCII."""
    return _Module(model).text()


def string(text: str) -> str:
    """A string literal: what is not plain is escaped by its number."""
    return '"' + "".join(c if c in PLAIN else f"\\u{{{_scalar_value(c):x}}}" for c in text) + '"'


def _scalar_value(character: str) -> int:
    code = ord(character)
    return 0xFFFD if 0xD800 <= code < 0xE000 else code


class _Module(ScalarFile):
    def __init__(self, model: Export) -> None:
        super().__init__(model, TARGET, Rust)

    def text(self) -> str:
        functions = self.functions()
        about = comment_text(self.model.name)
        return "\n".join(
            [
                f"//! {about}: printed by layerport. Needs `core` only.",
                "//!",
                "//! `Model::new().predict(...)` takes samples behind one another, as slices.",
                "#![allow(unused, clippy::all)]",
                "",
                *self._constants(),
                *self._model(),
                *self._predict(),
                *self._self_test(),
                "}",
                "",
                *self.printer.helpers(),
                "",
                *functions,
                "",
                *self._weights(),
                *self._golden(),
                "",
            ]
        )

    def _constants(self) -> list[str]:
        lines = []
        for what, ports in (("INPUT", self.model.inputs), ("OUTPUT", self.model.outputs)):
            names = ", ".join(string(name) for name, _, _ in ports)
            lines.append(f"pub const {what}_NAMES: [&str; {len(ports)}] = [{names}];")
        labels = self.labels
        listed = ", ".join(map(string, labels))
        lines.append(f"/// The names of the classes, if the model has any.\n"
                     f"pub const LABELS: [&str; {len(labels)}] = [{listed}];")  # fmt: skip
        return [
            *lines,
            "",
            "/// What was wrong with a call; then nothing was computed.",
            "#[derive(Clone, Copy, Debug, PartialEq, Eq)]",
            "pub enum Error {",
            "    /// The input of this number has a length that is no whole number of samples,",
            "    /// or not as many samples as the first.",
            "    InputLength(usize),",
            "    /// The output of this number has another length than its samples need.",
            "    OutputLength(usize),",
            "    /// More samples than the model takes at once.",
            "    TooManySamples,",
            "}",
            "",
            "impl core::fmt::Display for Error {",
            "    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {",
            "        match self {",
            '            Error::InputLength(k) => write!(f, "input {k} has a wrong length"),',
            '            Error::OutputLength(k) => write!(f, "output {k} has a wrong length"),',
            '            Error::TooManySamples => write!(f, "too many samples at once"),',
            "        }",
            "    }",
            "}",
            "",
        ]

    def _model(self) -> list[str]:
        sizes = self.layout.sizes
        return [
            "/// The memory that a run needs.",
            "pub struct Model {",
            *(f"    {name}: [{_MEMORY[name]}; {size}]," for name, size in sizes.items()),
            "}",
            "",
            "impl Model {",
            "    pub const fn new() -> Model {",
            "        Model {",
            *(f"            {m}: [0 as {_MEMORY[m]}; {size}]," for m, size in sizes.items()),
            "        }",
            "    }",
            "",
        ]

    def _predict(self) -> list[str]:
        program = self.program
        parameters = [f"{name}: &[{_OUTSIDE[p.buffer.dtype]}]" for name, p in self.inputs]
        parameters += [f"{name}: &mut [{_OUTSIDE[p.buffer.dtype]}]" for name, p in self.outputs]
        lines = [
            "    /// Computes the outputs of samples that lie behind one another.",
            f"    pub fn predict(&mut self, {', '.join(parameters)}) -> Result<(), Error> {{",
            f"        let n = {self.count('{}.len()')};",
        ]
        for kind, ports in (("Input", self.inputs), ("Output", self.outputs)):
            for number, (name, port) in enumerate(ports):
                lines.append(
                    f"        if {name}.len() != {self.length(port)} "
                    f"{{ return Err(Error::{kind}Length({number})); }}"
                )
        if program.symbol and not program.splittable:
            lines.append(f"        if n > {program.batch} {{ return Err(Error::TooManySamples); }}")
        lines += [
            "        let mut done = 0;",
            "        while done < n {",
            f"            let count = if n - done < {program.batch} {{ n - done }} "
            f"else {{ {program.batch} }};",
        ]
        for name, port in self.inputs:
            lines += self._copy(name, port, inward=True)
        entry = program.functions[-1]
        arguments = ", ".join(["self", *("count as i32" for _ in entry.parameters)])
        lines.append(f"            {entry.name}({arguments});")
        for name, port in self.outputs:
            lines += self._copy(name, port, inward=False)
        return [*lines, "            done += count;", "        }", "        Ok(())", "    }", ""]

    def _copy(self, name: str, port: Port, *, inward: bool) -> list[str]:
        part = self.layout.part(port)
        memory = MEMORIES[port.buffer.dtype]
        base = self.layout.base[port.buffer]
        size = self.layout.sample_size(port)
        run = self.run(port, "count")
        inside = f"self.{memory}[{base} + o * {part.stride}..][..{run}]"
        outside = f"{name}[done * {size} + o * ({run})..][..{run}]"
        to, source = (inside, outside) if inward else (outside, inside)
        return [
            f"            for o in 0..{part.outer} {{",
            f"                {to}.copy_from_slice(&{source});",
            "            }",
        ]

    def _weights(self) -> list[str]:
        lines = []
        for buffer in self.layout.weights:
            assert buffer.data is not None
            kind = _OUTSIDE[buffer.dtype]
            name = self.printer.weight(buffer)
            lines.append(_array(name, kind, buffer.data))
        return lines

    def _self_test(self) -> list[str]:
        golden = self.model.golden
        buffers, calls, checks = [], [], []
        for number, (name, port) in enumerate(self.outputs):
            size = golden.outputs[number].size
            kind = _OUTSIDE[port.buffer.dtype]
            buffers.append(f"        let mut {name} = [0 as {kind}; {size}];")
            expected = f"GOLDEN_OUTPUT_{number}"
            checks.append(f"        compare(&{name}, &{expected}, &mut worst, &mut ok);")
        calls += [f"&GOLDEN_INPUT_{number}" for number in range(len(self.inputs))]
        calls += [f"&mut {name}" for name, _ in self.outputs]
        return [
            "    /// Predicts samples inside and compares with what belongs to them: whether all",
            "    /// are close, and the largest difference.",
            "    pub fn self_test(&mut self) -> (bool, f32) {",
            *buffers,
            "        let (mut ok, mut worst) = (true, 0.0f32);",
            f"        if self.predict({', '.join(calls)}).is_err() {{ return (false, f32::NAN); }}",
            *checks,
            "        (ok, worst)",
            "    }",
        ]

    def _golden(self) -> list[str]:
        golden, lines = self.model.golden, []
        for what, arrays, ports in (
            ("INPUT", golden.inputs, self.inputs),
            ("OUTPUT", golden.outputs, self.outputs),
        ):
            for number, (array, (_, port)) in enumerate(zip(arrays, ports, strict=True)):
                kind = _OUTSIDE[port.buffer.dtype]
                lines.append(_array(f"GOLDEN_{what}_{number}", kind, stored(array)))
        return [*lines, _COMPARE.replace("TOLERANCE", f"{golden.tolerance!r}f32")]


_COMPARE = """\
trait Real: Copy { fn real(self) -> f32; }
impl Real for f32 { fn real(self) -> f32 { self } }
impl Real for i32 { fn real(self) -> f32 { self as f32 } }
impl Real for u32 { fn real(self) -> f32 { self as f32 } }

fn compare<T: Real>(made: &[T], expected: &[T], worst: &mut f32, ok: &mut bool) {
    let size = |x: f32| if x < 0.0 { -x } else { x };
    let mut largest = 0.0f32;
    for e in expected { if size(e.real()) > largest { largest = size(e.real()); } }
    for (a, b) in made.iter().zip(expected) {
        let (a, b) = (a.real(), b.real());
        let difference = if a == b || (a != a && b != b) { 0.0 } else { size(a - b) };
        if !(difference <= TOLERANCE * (largest + size(b))) { *ok = false; }
        if difference > *worst { *worst = difference; }
    }
}"""


def _array(name: str, kind: str, data: NDArray) -> str:
    words = [_word(value, kind) for value in data.reshape(-1).tolist()] or ["0 as " + kind]
    lines = [", ".join(words[i : i + 12]) for i in range(0, len(words), 12)]
    return f"static {name}: [{kind}; {len(words)}] = [\n    " + ",\n    ".join(lines) + "\n];"


def _word(value: float | int, kind: str) -> str:
    if kind != "f32":
        return str(int(value))
    if value != value:
        return "f32::NAN"
    if value in (np.inf, -np.inf):
        return "f32::INFINITY" if value > 0 else "-f32::INFINITY"
    return repr(float(str(np.float32(value))))


def main_program(network: Network) -> str:
    """A program that runs `model.rs` on files (see `scalar.running`)."""

    def kind(dtype: str) -> str:
        if np.dtype(dtype).kind == "f":
            return "f32"
        return "u32" if dtype == "uint32" else "i32"

    lines = ["mod model;", "use std::io::{Read, Write};", "fn main() {",
             "    let paths: Vec<String> = std::env::args().skip(1).collect();"]  # fmt: skip
    arguments = []
    rows = "1"
    for k, port in enumerate(network.inputs):
        lines += [
            f"    let b{k} = std::fs::read(&paths[{k}]).unwrap();",
            f"    let x{k}: Vec<{kind(port.dtype)}> = b{k}.chunks(4)"
            f".map(|w| {kind(port.dtype)}::from_le_bytes([w[0], w[1], w[2], w[3]])).collect();",
        ]
        arguments.append(f"&x{k}")
        if port.shape and port.shape[0] is None and rows == "1":
            rows = f"x{k}.len() / {int(np.prod([d or 1 for d in port.shape[1:]]))}"
    lines.append(f"    let n = {rows};")
    for k, port in enumerate(network.outputs):
        size = int(np.prod([d for d in port.shape if d is not None]))
        count = f"n * {size}" if None in port.shape else str(size)
        lines.append(f"    let mut y{k} = vec![0 as {kind(port.dtype)}; {count}];")
        arguments.append(f"&mut y{k}")
    lines += [
        "    let mut m = Box::new(model::Model::new());",
        f"    m.predict({', '.join(arguments)}).unwrap();",
        '    let (ok, worst) = m.self_test(); assert!(ok, "the self-test fails by {worst}");',
    ]
    for k in range(len(network.outputs)):
        place = len(network.inputs) + k
        lines += [
            f"    let mut file = std::fs::File::create(&paths[{place}]).unwrap();",
            f"    for v in &y{k} {{ file.write_all(&v.to_le_bytes()).unwrap(); }}",
        ]
    return "\n".join([*lines, "}", ""])
