"""The .java file of a model."""

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
from layerport_formats.java.printer import TARGET, Java
from layerport_formats.scalar.artefact import PLAIN, ScalarFile
from layerport_formats.scalar.program import MEMORIES

if TYPE_CHECKING:
    from layerport.network import Network

RUNNER = "LayerportRunner"
"""The class that runs a model on files, for verification."""

LONGEST_LITERAL = 60_000
"""Characters of a string constant; a class file holds at most 65,535 bytes of each."""

_MEMORY = {"f": "float", "i": "int", "u": "int"}
_KEYWORD_LIST = (
    "abstract assert boolean break byte case catch char class const continue default do double "
    "else enum extends final finally float for goto if implements import instanceof int interface "
    "long native new package private protected public return short static strictfp super switch "
    "synchronized this throw throws transient try void volatile while true false null var "
    "String Math Float Integer"
)
_KEYWORDS = frozenset(_KEYWORD_LIST.split())


def print_java(model: Export, name: str, package: str) -> str:
    """The text of the file; it is ASCII.

    Raises
    ------
    UnsupportedError : when the class or the package has no valid name.
    """
    words = [name, *(package.split(".") if package else [])]
    for word in words:
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,79}", word) is None or word in _KEYWORDS:
            raise UnsupportedError(
                f"{word!r} is no name for a Java class or package",
                hint="the file's name is the name of the class: Model.java, say",
            )
    return _File(model, name, package).text()


def class_of(text: str) -> tuple[str, str]:
    """Package and name of the class in a file."""
    package = re.search(r"^package ([\w.]+);$", text, re.MULTILINE)
    name = re.search(r"^public final class (\w+) \{$", text, re.MULTILINE)
    return package.group(1) if package else "", name.group(1) if name else "Model"


def string(text: str) -> str:
    """A string literal; what is special is escaped in octal, for \\u is read before all else."""
    units = text.encode("utf-16-be", "surrogatepass")
    made = []
    for place in range(0, len(units), 2):
        code = int.from_bytes(units[place : place + 2], "big")
        character = chr(code)
        if character in PLAIN:
            made.append(character)
        else:
            made.append(f"\\{code:03o}" if code < 256 else f"\\u{code:04x}")
    return '"' + "".join(made) + '"'


class _File(ScalarFile):
    def __init__(self, model: Export, name: str, package: str) -> None:
        super().__init__(model, TARGET, Java)
        self.name, self.package = name, package

    def text(self) -> str:
        functions = self.functions()
        members = [
            *self._names(),
            *self._memory(),
            *self._predict(),
            *self._self_test(),
            *self.printer.helpers(),
            "",
            *functions,
            _DECODE,
        ]
        return "\n".join(
            [
                *([f"package {self.package};", ""] if self.package else []),
                f"/** {comment_text(self.model.name)}: printed by layerport.",
                " * Samples lie behind one another in arrays. A model is for one thread. */",
                f"public final class {self.name} {{",
                *(f"    {line}" if line else "" for part in members for line in part.split("\n")),
                "",
                *self._weights(),
                "}",
                "",
            ]
        )

    def _names(self) -> list[str]:
        tables = (
            ("INPUT_NAMES", [name for name, _, _ in self.model.inputs]),
            ("OUTPUT_NAMES", [name for name, _, _ in self.model.outputs]),
            ("LABELS", self.labels),
        )
        lines = []
        for name, texts in tables:
            listed = ", ".join(map(string, texts))
            about = {"LABELS": "the classes, if the model has any"}.get(name, "what goes in or out")
            lines.append(f"/** The names of {about}. */")
            lines.append(f"public static final String[] {name} = {{{listed}}};")
        return [*lines, ""]

    def _memory(self) -> list[str]:
        sizes = self.layout.sizes.items()
        return [
            *(f"private final {_MEMORY[m]}[] {m} = new {_MEMORY[m]}[{size}];" for m, size in sizes),
            "",
        ]

    def _kind(self, port: Port) -> str:
        return _MEMORY[MEMORIES[port.buffer.dtype]]

    def _predict(self) -> list[str]:
        program = self.program
        single = len(self.outputs) == 1
        parameters = ", ".join(f"{self._kind(port)}[] {name}" for name, port in self.inputs)
        result = f"{self._kind(self.outputs[0][1])}[]" if single else "Object[]"
        lines = [
            "/** Computes the outputs of samples that lie behind one another"
            + ("." if single else ": an array of arrays, in the order of OUTPUT_NAMES."),
            " * @throws IllegalArgumentException when the length of an input does not fit. */",
            f"public {result} predict({parameters}) {{",
            f"    int n = {self.count('{}.length')};",
        ]
        for number, (name, port) in enumerate(self.inputs):
            lines += [
                f"    if ({name}.length != {self.length(port)})",
                f'        throw new IllegalArgumentException("input {number} has " + {name}.length',
                '            + " numbers: no whole number of samples, "',
                '            + "or not as many as the first");',
            ]
        if program.symbol and not program.splittable:
            lines += [
                f"    if (n > {program.batch})",
                f'        throw new IllegalArgumentException("at most {program.batch} samples at '
                'once");',
            ]
        for name, port in self.outputs:
            kind = self._kind(port)
            lines.append(f"    {kind}[] {name} = new {kind}[{self.length(port)}];")
        lines += [
            "    for (int done = 0; done < n; ) {",
            f"        int count = Math.min(n - done, {program.batch});",
        ]
        for name, port in self.inputs:
            lines += self._copy(name, port, inward=True)
        entry = program.functions[-1]
        lines.append(f"        {entry.name}({', '.join('count' for _ in entry.parameters)});")
        for name, port in self.outputs:
            lines += self._copy(name, port, inward=False)
        names = ", ".join(name for name, _ in self.outputs)
        answer = names if single else f"new Object[] {{{names}}}"
        return [*lines, "        done += count;", "    }", f"    return {answer};", "}", ""]

    def _copy(self, name: str, port: Port, *, inward: bool) -> list[str]:
        part, memory = self.layout.part(port), MEMORIES[port.buffer.dtype]
        base, size = self.layout.base[port.buffer], self.layout.sample_size(port)
        run = self.run(port, "count")
        inside = f"{memory}, {base} + o * {part.stride}"
        outside = f"{name}, done * {size} + o * ({run})"
        source, to = (outside, inside) if inward else (inside, outside)
        return [
            f"        for (int o = 0; o < {part.outer}; o++)",
            f"            System.arraycopy({source}, {to}, {run});",
        ]

    def _weights(self) -> list[str]:
        lines = []
        for buffer in self.layout.weights:
            if buffer.data is not None:
                name = self.printer.weight(buffer)
                kind = _MEMORY[MEMORIES[buffer.dtype]]
                lines.append(f"    private static final {kind}[] {name} = {_decoded(buffer.data)};")
        return lines

    def _self_test(self) -> list[str]:
        golden = self.model.golden
        arguments = ", ".join(_decoded(stored(array)) for array in golden.inputs)
        single = len(self.outputs) == 1
        lines = [
            "/** Predicts samples inside and compares with what belongs to them.",
            " * @return the largest difference, or NaN where something is not close. */",
            "public float selfTest() {",
            "    float[] worst = {0};",
            f"    {'Object' if single else 'Object[]'} made = predict({arguments});",
        ]
        for k, ((_, port), array) in enumerate(zip(self.outputs, golden.outputs, strict=True)):
            got = "made" if single else f"made[{k}]"
            suffix = "Floats" if self._kind(port) == "float" else "Integers"
            lines.append(
                f"    compare(as{suffix}({got}), as{suffix}({_decoded(stored(array))}), worst);"
            )
        tolerance = repr(golden.tolerance)
        return [*lines, "    return worst[0];", "}", "", _COMPARE.replace("TOLERANCE", tolerance)]


_COMPARE = """\
private static double[] asFloats(Object array) {
    float[] given = (float[]) array;
    double[] made = new double[given.length];
    for (int k = 0; k < made.length; k++) made[k] = given[k];
    return made;
}

private static double[] asIntegers(Object array) {
    int[] given = (int[]) array;
    double[] made = new double[given.length];
    for (int k = 0; k < made.length; k++) made[k] = given[k];
    return made;
}

private static void compare(double[] made, double[] expected, float[] worst) {
    double largest = 0;
    for (double e : expected) largest = Math.max(largest, Math.abs(e));
    for (int k = 0; k < expected.length; k++) {
        double a = made[k], b = expected[k];
        double difference = a == b || a != a && b != b ? 0 : Math.abs(a - b);
        if (!(difference <= TOLERANCE * (largest + Math.abs(b)))) worst[0] = Float.NaN;
        else worst[0] = Math.max(worst[0], (float) difference);
    }
}
"""

_DECODE = """\
private static java.nio.ByteBuffer bytes(String... parts) {
    byte[] raw = java.util.Base64.getDecoder().decode(String.join("", parts));
    return java.nio.ByteBuffer.wrap(raw).order(java.nio.ByteOrder.LITTLE_ENDIAN);
}

private static float[] reals(String... parts) {
    java.nio.FloatBuffer buffer = bytes(parts).asFloatBuffer();
    float[] made = new float[buffer.remaining()];
    buffer.get(made);
    return made;
}

private static int[] integers(String... parts) {
    java.nio.IntBuffer buffer = bytes(parts).asIntBuffer();
    int[] made = new int[buffer.remaining()];
    buffer.get(made);
    return made;
}"""


def _decoded(data: NDArray) -> str:
    real = data.dtype.kind == "f"
    word = "<f4" if real else "<u4" if data.dtype == np.uint32 else "<i4"
    text = base64.b64encode(np.ascontiguousarray(data, word).tobytes()).decode("ascii")
    cut = range(0, max(1, len(text)), LONGEST_LITERAL)
    parts = ", ".join(f'"{text[i : i + LONGEST_LITERAL]}"' for i in cut)
    return f"{'reals' if real else 'integers'}({parts})"


def main_program(network: Network, package: str, name: str) -> str:
    """A class that runs the model on files (see `scalar.running`)."""

    def is_real(dtype: str) -> bool:
        return np.dtype(dtype).kind == "f"

    single = len(network.outputs) == 1
    given = ", ".join(
        f"{'reals' if is_real(port.dtype) else 'integers'}(paths[{k}])"
        for k, port in enumerate(network.inputs)
    )
    lines = [
        *([f"package {package};"] if package else []),
        "import java.nio.*;",
        "import java.nio.file.*;",
        f"class {RUNNER} {{",
        "    static ByteBuffer read(String path) throws Exception {",
        "        return ByteBuffer.wrap(Files.readAllBytes(Path.of(path)))"
        ".order(ByteOrder.LITTLE_ENDIAN);",
        "    }",
        "    static float[] reals(String path) throws Exception {",
        "        FloatBuffer b = read(path).asFloatBuffer(); float[] m = new float[b.remaining()];",
        "        b.get(m); return m;",
        "    }",
        "    static int[] integers(String path) throws Exception {",
        "        IntBuffer b = read(path).asIntBuffer(); int[] m = new int[b.remaining()];",
        "        b.get(m); return m;",
        "    }",
        "    static void write(String path, Object array) throws Exception {",
        "        int size = java.lang.reflect.Array.getLength(array);",
        "        ByteBuffer b = ByteBuffer.allocate(4 * size).order(ByteOrder.LITTLE_ENDIAN);",
        "        if (array instanceof float[]) b.asFloatBuffer().put((float[]) array);",
        "        else b.asIntBuffer().put((int[]) array);",
        "        Files.write(Path.of(path), b.array());",
        "    }",
        "    public static void main(String[] paths) throws Exception {",
        f"        {name} model = new {name}();",
        f"        Object made = model.predict({given});",
        '        if (model.selfTest() != model.selfTest()) throw new Exception("self-test fails");',
    ]
    for k in range(len(network.outputs)):
        value = "made" if single else f"((Object[]) made)[{k}]"
        lines.append(f"        write(paths[{len(network.inputs) + k}], {value});")
    return "\n".join([*lines, "    }", "}", ""])
