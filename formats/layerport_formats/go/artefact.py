"""The .go file of a model."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import numpy as np
from layerport.errors import UnsupportedError
from layerport.loops.clike import comment_text
from layerport.loops.ir import Port
from layerport.loops.weights import stored
from layerport.op import NDArray

from layerport_formats.exporting import Export
from layerport_formats.go.printer import TARGET, Go
from layerport_formats.scalar.artefact import PLAIN, ScalarFile
from layerport_formats.scalar.program import MEMORIES

if TYPE_CHECKING:
    from layerport.network import Network

_MEMORY = {"f": "float32", "i": "int32", "u": "uint32"}
_KEYWORD_LIST = (
    "break case chan const continue default defer else fallthrough for func go goto if import "
    "interface map package range return select struct switch type var main"
)
_KEYWORDS = frozenset(_KEYWORD_LIST.split())


def print_go(model: Export, package: str) -> str:
    """The text of the file; it is ASCII.

    Raises
    ------
    UnsupportedError : when `package` is no name for a package.
    """
    if re.fullmatch(r"[a-z][a-z0-9]{0,39}", package) is None or package in _KEYWORDS:
        raise UnsupportedError(
            f"{package!r} is no name for a Go package", hint="use lower-case letters and digits"
        )
    return _File(model, package).text()


def package_of(text: str) -> str:
    """The package that a file declares."""
    found = re.search(r"^package (\w+)$", text, re.MULTILINE)
    return found.group(1) if found else "model"


def string(text: str) -> str:
    """A string literal: what is not plain is escaped by its number."""
    return '"' + "".join(c if c in PLAIN else _escaped(c) for c in text) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\U{0xFFFD if 0xD800 <= code < 0xE000 else code:08x}"


class _File(ScalarFile):
    def __init__(self, model: Export, package: str) -> None:
        super().__init__(model, TARGET, Go)
        self.package = package

    def text(self) -> str:
        functions = self.functions()
        return "\n".join(
            [
                f"// {comment_text(self.model.name)}: printed by layerport, with the standard",
                "// library only. New() and Predict: samples lie behind one another in slices.",
                f"package {self.package}",
                "",
                'import (\n\t"encoding/base64"\n\t"encoding/binary"\n\t"errors"\n\t"math"\n)',
                "",
                *self._names(),
                *self._model(),
                *self._predict(),
                *functions,
                *self._self_test(),
                *self.printer.helpers(),
                "",
                _DECODE,
                *self._weights(),
                "",
            ]
        )

    def _names(self) -> list[str]:
        tables = (
            ("InputNames", "the inputs, in order", [name for name, _, _ in self.model.inputs]),
            ("OutputNames", "the outputs, in order", [name for name, _, _ in self.model.outputs]),
            ("Labels", "the classes, if the model has any", self.labels),
        )
        lines = []
        for name, about, texts in tables:
            listed = ", ".join(map(string, texts))
            lines += [f"// {name} names {about}.", f"var {name} = []string{{{listed}}}", ""]
        return lines

    def _model(self) -> list[str]:
        sizes = self.layout.sizes
        return [
            "// Model is the memory that a run needs; one for each goroutine.",
            "type Model struct {",
            *(f"\t{name} []{_MEMORY[name]}" for name in sizes),
            "}",
            "",
            "// New gives a model that is ready to predict.",
            "func New() *Model {",
            "\treturn &Model{",
            *(f"\t\t{name}: make([]{_MEMORY[name]}, {size})," for name, size in sizes.items()),
            "\t}",
            "}",
            "",
        ]

    def _kind(self, port: Port) -> str:
        return _MEMORY[MEMORIES[port.buffer.dtype]]

    def _predict(self) -> list[str]:
        program = self.program
        parameters = ", ".join(f"{name} []{self._kind(port)}" for name, port in self.inputs)
        results = ", ".join(f"{name} []{self._kind(port)}" for name, port in self.outputs)
        names = ", ".join(name for name, _ in self.outputs)
        nothing = ", ".join(["nil"] * len(self.outputs))
        lines = [
            "// Predict computes the outputs of samples that lie behind one another.",
            f"func (m *Model) Predict({parameters}) ({results}, err error) {{",
            f"\tn := {self.count('len({})')}",
            "\tif " + " || ".join(f"len({name}) != {self.length(p)}" for name, p in self.inputs)
            + " {",
            f'\t\treturn {nothing}, errors.New("the length of an input is no whole number of '
            'samples, or the inputs have different numbers of samples")',
            "\t}",
        ]  # fmt: skip
        if program.symbol and not program.splittable:
            lines += [
                f"\tif n > {program.batch} {{",
                f'\t\treturn {nothing}, errors.New("more than {program.batch} samples at once")',
                "\t}",
            ]
        lines += [
            f"\t{name} = make([]{self._kind(p)}, {self.length(p)})" for name, p in self.outputs
        ]
        lines += [
            "\tfor done := 0; done < n; {",
            "\t\tcount := n - done",
            f"\t\tif count > {program.batch} {{",
            f"\t\t\tcount = {program.batch}",
            "\t\t}",
        ]
        for name, port in self.inputs:
            lines += self._copy(name, port, inward=True)
        entry = program.functions[-1]
        arguments = ", ".join("int32(count)" for _ in entry.parameters)
        lines.append(f"\t\tm.{entry.name}({arguments})")
        for name, port in self.outputs:
            lines += self._copy(name, port, inward=False)
        return [*lines, "\t\tdone += count", "\t}", f"\treturn {names}, nil", "}", ""]

    def _copy(self, name: str, port: Port, *, inward: bool) -> list[str]:
        part, memory = self.layout.part(port), MEMORIES[port.buffer.dtype]
        base, size = self.layout.base[port.buffer], self.layout.sample_size(port)
        run = self.run(port, "count")
        inside = f"m.{memory}[{base}+o*{part.stride}:][:{run}]"
        outside = f"{name}[done*{size}+o*({run}):][:{run}]"
        to, source = (inside, outside) if inward else (outside, inside)
        return [
            f"\t\tfor o := 0; o < {part.outer}; o++ {{",
            f"\t\t\tcopy({to}, {source})",
            "\t\t}",
        ]

    def _weights(self) -> list[str]:
        return [
            f"var {self.printer.weight(buffer)} = {_decoded(buffer.data)}"
            for buffer in self.layout.weights
            if buffer.data is not None
        ]

    def _self_test(self) -> list[str]:
        golden = self.model.golden
        arguments = ", ".join(_decoded(stored(array)) for array in golden.inputs)
        made = [f"made{k}" for k in range(len(self.outputs))]
        checks = [
            f"\tcompare(made{k}, {_decoded(stored(array))}, &worst, &ok)"
            for k, array in enumerate(golden.outputs)
        ]
        return [
            "// SelfTest predicts samples inside and compares with what belongs to them: whether",
            "// all are close, and the largest difference.",
            "func (m *Model) SelfTest() (ok bool, worst float32) {",
            "\tok = true",
            f"\t{', '.join(made)}, err := m.Predict({arguments})",
            "\tif err != nil {\n\t\treturn false, float32(math.NaN())\n\t}",
            *checks,
            "\treturn ok, worst",
            "}",
            "",
            _COMPARE.replace("TOLERANCE", repr(golden.tolerance)),
            "",
        ]


_COMPARE = """\
func compare[T float32 | int32 | uint32](made, expected []T, worst *float32, ok *bool) {
	largest := 0.0
	for _, e := range expected {
		largest = math.Max(largest, math.Abs(float64(e)))
	}
	for k, e := range expected {
		a, b := float64(made[k]), float64(e)
		difference := math.Abs(a - b)
		if a == b || (a != a && b != b) {
			difference = 0
		}
		if !(difference <= TOLERANCE*(largest+math.Abs(b))) {
			*ok = false
		}
		if float32(difference) > *worst {
			*worst = float32(difference)
		}
	}
}"""

_DECODE = """\
func words(text string) []uint32 {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	made := make([]uint32, len(raw)/4)
	for k := range made {
		made[k] = binary.LittleEndian.Uint32(raw[4*k:])
	}
	return made
}

func reals(text string) []float32 {
	bits := words(text)
	made := make([]float32, len(bits))
	for k, b := range bits {
		made[k] = math.Float32frombits(b)
	}
	return made
}

func integers(text string) []int32 {
	bits := words(text)
	made := make([]int32, len(bits))
	for k, b := range bits {
		made[k] = int32(b)
	}
	return made
}
"""


def _decoded(data: NDArray) -> str:
    kind = data.dtype.kind
    word, function = ("<f4", "reals") if kind == "f" else ("<i4", "integers")
    if data.dtype == np.uint32:
        word, function = "<u4", "words"
    text = base64.b64encode(np.ascontiguousarray(data, word).tobytes()).decode("ascii")
    return f'{function}("{text}")'


def main_program(network: Network, package: str) -> str:
    """A program that runs the package on files (see `scalar.running`)."""

    def kind(dtype: str) -> str:
        if np.dtype(dtype).kind == "f":
            return "float32"
        return "uint32" if dtype == "uint32" else "int32"

    lines = ["package main", "", 'import (\n\t"bytes"\n\t"encoding/binary"\n\t"os"',
             f'\n\t"run/{package}"\n)', "", "func main() {"]  # fmt: skip
    for k, port in enumerate(network.inputs):
        lines += [
            f"\tb{k}, err := os.ReadFile(os.Args[{k + 1}])",
            "\tif err != nil {\n\t\tpanic(err)\n\t}",
            f"\tx{k} := make([]{kind(port.dtype)}, len(b{k})/4)",
            f"\tbinary.Read(bytes.NewReader(b{k}), binary.LittleEndian, x{k})",
        ]  # fmt: skip
    made = ", ".join(f"y{k}" for k in range(len(network.outputs)))
    given = ", ".join(f"x{k}" for k in range(len(network.inputs)))
    lines += [
        f"\tmodel := {package}.New()",
        f"\t{made}, err := model.Predict({given})",
        "\tif err != nil {\n\t\tpanic(err)\n\t}",
        '\tif ok, _ := model.SelfTest(); !ok {\n\t\tpanic("the self-test fails")\n\t}',
    ]
    for k in range(len(network.outputs)):
        place = len(network.inputs) + k + 1
        lines += [
            f"\tvar out{k} bytes.Buffer",
            f"\tbinary.Write(&out{k}, binary.LittleEndian, y{k})",
            f"\tif err := os.WriteFile(os.Args[{place}], out{k}.Bytes(), 0o644); err != nil {{",
            "\t\tpanic(err)\n\t}",
        ]
    return "\n".join([*lines, "}", ""])
