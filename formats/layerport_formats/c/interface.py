"""What other files see: the header, and the functions that it declares."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layerport.loops.clike import CLike, comment_text
from layerport.loops.index import Index
from layerport.loops.ir import Port, Program

from layerport_formats.c.signature import MEMORY_TYPES

_VECTOR_MACHINES: dict[int, str] = {
    16: "defined __AVX512F__",
    8: "defined __AVX__",
    4: "defined __SSE__ || defined __ARM_NEON || defined __VSX__ || defined __wasm_simd128__",
}
"""Machines that have vectors of so many floats."""


class Interface:
    """Names and parameters of the functions of one model.

    Parameters
    ----------
    program : one of the model's programs; they differ inside only.
    prefix : what every name starts with.
    """

    def __init__(self, program: Program, prefix: str) -> None:
        self._program = program
        self._prefix = prefix
        self._macro = prefix.upper()

    # The header -----------------------------------------------------------------------------

    def header(
        self,
        about: str,
        inputs: Sequence[tuple[str, Sequence[int | None], str]],
        outputs: Sequence[tuple[str, Sequence[int | None], str]],
        labels: Sequence[str] | None,
        workspace: str,
        has_self_test: bool,
    ) -> str:
        """The text of the header."""
        macro, prefix, program = self._macro, self._prefix, self._program
        lines = [
            f"/* {about}: printed by layerport. */",
            f"#ifndef {macro}_H",
            f"#define {macro}_H",
            "",
            "#include <stdint.h>",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            "/* What functions return: OK, or what was wrong; then nothing was computed. */",
            f"#define {macro}_OK 0",
            f"#define {macro}_ERROR_NULL (-1) /* a pointer is NULL */",
            f"#define {macro}_ERROR_COUNT (-2) /* {self._count_error()} */",
            f"#define {macro}_ERROR_SELF_TEST (-3) /* the self-test found other results */",
            "",
            f"#define {macro}_INPUTS {len(inputs)}",
            f"#define {macro}_OUTPUTS {len(outputs)}",
            f"#define {macro}_LABELS {len(labels or ())}",
            "",
            "/* Elements that belong to n samples; a _SIZE is that of one sample. */",
        ]
        for kind, ports, specs in (
            ("INPUT", program.inputs, inputs),
            ("OUTPUT", program.outputs, outputs),
        ):
            for number, (port, spec) in enumerate(zip(ports, specs, strict=True)):
                lines += self._sizes(f"{macro}_{kind}_{number}", port, spec)
        lines += ["", "/* UTF-8. */"]
        lines.append(f"extern const char *const {prefix}_input_names[{len(inputs)}];")
        lines.append(f"extern const char *const {prefix}_output_names[{len(outputs)}];")
        if labels:
            lines.append(f"extern const char *const {prefix}_labels[{len(labels)}];")
        lines += [
            "",
            "/* The memory that a run needs. Its content means nothing between runs; memory at a",
            "   multiple of 64 bytes is fastest. */",
            workspace,
            "",
            *self._comment(),
            f"int {prefix}_predict({self._parameters(False)});",
            "",
            "/* The same in memory of the caller: may run in several threads at once, each with a",
            "   workspace of its own. */",
            f"int {prefix}_predict_r({self._parameters(True)});",
        ]
        if has_self_test:
            lines += [
                "",
                "/* Predicts samples inside, in memory of its own, and compares with what belongs to",
                "   them; the largest difference goes to a float, or nowhere where that is NULL. */",
                f"int {prefix}_self_test(float *max_difference);",
            ]
        lines += ["", "#ifdef __cplusplus", "}", "#endif", "", "#endif", ""]
        return "\n".join(lines)

    def _count_error(self) -> str:
        program = self._program
        if not program.symbol or program.splittable:
            return "the number of samples is negative"
        return f"the number of samples is not from 1 to {program.batch}"

    def _sizes(
        self, name: str, port: Port, spec: tuple[str, Sequence[int | None], str]
    ) -> list[str]:  # fmt: skip
        shown = " x ".join("n" if extent is None else str(extent) for extent in spec[1]) or "1"
        about = f"{comment_text(spec[0], 40)}: {MEMORY_TYPES[port.buffer.dtype]}, {shown}"
        if port.buffer.dtype == "bool":
            about += ", 0 or 1"
        fixed = math.prod(extent for extent in port.shape if isinstance(extent, int))
        open_ones = [extent for extent in port.shape if not isinstance(extent, int)]
        factors = [f"({self._affine(extent)})" for extent in open_ones]
        count = " * ".join([*factors, str(fixed)])
        parameter = "n" if open_ones else "ignored"
        lines = [f"/* {about} */", f"#define {name}_COUNT({parameter}) ({count})"]
        if port.leads and open_ones:
            lines.append(f"#define {name}_SIZE {fixed * open_ones[0].factor(self._program.symbol)}")
        return lines

    def _affine(self, extent: Index) -> str:
        named = extent.substitute({self._program.symbol: Index.variable("(n)")})
        return CLike().index(named)

    def _comment(self) -> list[str]:
        program = self._program
        lines = []
        if program.symbol:
            lines.append("/* Computes n samples, which lie behind one another, as results do.")
        else:
            lines.append("/* Computes the outputs.")
        if len(program.inputs) == 1 and len(program.outputs) == 1:
            lines.append("   x is the input, y the output;")
        else:
            lines.append(
                "   x0, x1... are the inputs, y0, y1... the outputs, in the order of their names;"
            )
        lines.append(
            "   they must not overlap. Not for several threads at once: see the next one. */"
        )
        return lines

    def _parameters(self, own_workspace: bool) -> str:
        ports = self._ports()
        words = [
            f"{'const ' if port.buffer.kind == 'input' else ''}"
            f"{MEMORY_TYPES[port.buffer.dtype]} *{name}"
            for name, port in ports
        ]
        if self._program.symbol:
            words.append("int n")
        if own_workspace:
            words.append(f"{self._prefix}_workspace *workspace")
        return ", ".join(words)

    def _ports(self) -> list[tuple[str, Port]]:
        """Inputs and outputs with the names of their parameters."""
        named = []
        single = len(self._program.inputs) == 1 == len(self._program.outputs)
        for letter, ports in (("x", self._program.inputs), ("y", self._program.outputs)):
            named += [
                (letter if single else f"{letter}{number}", port)
                for number, port in enumerate(ports)
            ]
        return named

    # The source -----------------------------------------------------------------------------

    def opening(self, about: str, header_name: str, lanes: Sequence[int]) -> str:
        """The start of the source: what it is, and macros."""
        macro = self._macro
        lines = [
            f"/* {about}: printed by layerport. ISO C99, and vectors where the compiler is like gcc.",
            "",
            f"   {macro}_LANES says how many floats a vector holds: 1 (no vectors)"
            + "".join(f", {width}" for width in reversed(lanes) if width > 1)
            + ".",
            "   Compile with -O2 (and -march=native for all that the machine can do). gcc's -std=c99",
            "   forgoes fused multiplication and addition unless -ffp-contract=fast is there, too.",
            "   A NaN in an input gives NaN in what depends on it, unless -ffast-math is there. */",
            "#include <math.h>",
            "#include <stddef.h>",
            "#include <stdint.h>",
            f'#include "{header_name}"',
            "",
        ]
        wide = [width for width in lanes if width > 1]
        if wide:
            lines += [f"#ifndef {macro}_LANES", "#if !defined __GNUC__", f"#define {macro}_LANES 1"]
            for width in wide:
                lines += [f"#elif {_VECTOR_MACHINES[width]}", f"#define {macro}_LANES {width}"]
            lines += ["#else", f"#define {macro}_LANES 1", "#endif", "#endif", ""]
        lines += [
            "#ifdef __GNUC__",
            "#define ALIGNED __attribute__((aligned(64)))",
            "#define INLINE static inline __attribute__((always_inline, unused))",
            "#else",
            "#define ALIGNED",
            "#define INLINE static inline",
            "#endif",
        ]
        if wide:
            lines.append("#define CONVERT(vector, type) __builtin_convertvector(vector, type)")
        return "\n".join(lines)

    def functions(self) -> str:
        """The definitions of `predict` and `predict_r`."""
        prefix, macro, program = self._prefix, self._macro, self._program
        ports = self._ports()
        names = [name for name, _ in ports]
        missing = " || ".join(f"{name} == NULL" for name in [*names, "workspace"])
        lines = [f"int {prefix}_predict_r({self._parameters(True)})", "{"]
        given = ", ".join([*(["n"] if program.symbol else []), *names, "workspace"])
        if not program.symbol:
            lines += [f"  if ({missing}) return {macro}_ERROR_NULL;", f"  run({given});"]
        elif not program.splittable:
            lines += [
                f"  if (n < 1 || n > {program.batch}) return {macro}_ERROR_COUNT;",
                f"  if ({missing}) return {macro}_ERROR_NULL;",
                f"  run({given});",
            ]
        else:
            lines += [
                f"  if (n < 0) return {macro}_ERROR_COUNT;",
                f"  if (n == 0) return {macro}_OK;",
                f"  if ({missing}) return {macro}_ERROR_NULL;",
                "  while (n > 0) {",
                f"    const int count = n < {program.batch} ? n : {program.batch};",
                f"    run(count{given[1:]});",
                *(f"    {name} += (size_t)count * {self._sample(port)};" for name, port in ports),
                "    n -= count;",
                "  }",
            ]
        lines += [f"  return {macro}_OK;", "}", ""]
        passed = ", ".join([*names, *(["n"] if program.symbol else []), "&workspace"])
        lines += [
            f"int {prefix}_predict({self._parameters(False)})",
            "{",
            f"  static {prefix}_workspace workspace ALIGNED;",
            f"  return {prefix}_predict_r({passed});",
            "}",
        ]
        return "\n".join(lines)

    def _sample(self, port: Port) -> int:
        """The elements of one sample."""
        values = {self._program.symbol: 1}
        return math.prod(e.evaluate(values) if isinstance(e, Index) else e for e in port.shape)
