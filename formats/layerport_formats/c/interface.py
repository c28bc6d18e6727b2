"""What other files see of a model: the header, and the functions that it declares."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layerport.loops.clike import CLike, comment_text
from layerport.loops.index import Index
from layerport.loops.ir import Port, Program

from layerport_formats.c.signature import MEMORY_TYPES
from layerport_formats.c.text import string_table
from layerport_formats.exporting import Export, PortSpec

_MACHINES: dict[int, str] = {
    16: "defined __AVX512F__",
    8: "defined __AVX__",
    4: "defined __SSE__ || defined __ARM_NEON || defined __VSX__ || defined __wasm_simd128__",
}
"""Machines that have vectors of so many floats."""

_HEADER = """\
/* {about}: printed by layerport. */
#ifndef {macro}_H
#define {macro}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

/* What functions return: OK, or what is wrong. */
#define {macro}_OK 0
#define {macro}_ERROR_NULL (-1) /* a pointer is NULL; nothing was computed */
#define {macro}_ERROR_COUNT (-2) /* {count_error}; nothing was computed */
#define {macro}_ERROR_SELF_TEST (-3) /* the self-test found other results than it should */
{not_ready}
#define {macro}_INPUTS {inputs}
#define {macro}_OUTPUTS {outputs}
#define {macro}_LABELS {labels}

/* Elements of n samples; _SIZE is those of one. */
{sizes}

/* UTF-8. */
{names}

/* The memory that a run needs. Its content means nothing between runs; an address that is a
   multiple of 64 is fastest. */
{workspace}
{init}
/* {meaning}
   Inputs and outputs must not overlap. Not for several threads at once: see the next one. */
int {prefix}_predict({parameters});

/* The same in memory of the caller: several threads may run at once, each with a workspace. */
int {prefix}_predict_r({parameters_r});

/* Predicts samples that are inside, and compares with the results that belong to them. The
   largest difference goes to where max_difference points, unless that is NULL. */
int {prefix}_self_test(float *max_difference);

#ifdef __cplusplus
}}
#endif

#endif
"""

_INIT = """
/* Decodes the weights; to be called once, before anything else. */
int {prefix}_init(void);
"""

_DECODE = """\
static int is_ready;

int {prefix}_init(void)
{{
  decode();
  is_ready = 1;
  return {macro}_OK;
}}

"""

_OPENING = """\
/* {about}: printed by layerport. ISO C99; GNU vectors where there are any.

   {macro}_LANES is the number of floats in a vector, of {lanes}; 1 stands for no vectors.
   Compile with -O2, and with -march=native for what this machine can do. With -std=c99, gcc
   leaves products and sums apart unless -ffp-contract=fast is there as well, which is slower.
   A NaN in the input gives NaN wherever it matters, but not with -ffast-math. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include "{header}"

{choice}#ifdef __GNUC__
#define ALIGNED __attribute__((aligned(64)))
#define INLINE static inline __attribute__((always_inline, unused))
#define CONVERT(vector, type) __builtin_convertvector(vector, type)
#else
#define ALIGNED
#define INLINE static inline
#endif"""

_PREDICT = """\
int {prefix}_predict_r({parameters_r})
{{
{checks}
  if ({missing}) return {macro}_ERROR_NULL;
{body}
  return {macro}_OK;
}}

int {prefix}_predict({parameters})
{{
  static {prefix}_workspace workspace ALIGNED;
  return {prefix}_predict_r({passed});
}}"""

_BLOCKS = """\
  while (n > 0) {{
    const int count = n < {block} ? n : {block};
    run(count, {pointers}, workspace);
{steps}
    n -= count;
  }}"""


class Interface:
    """Names and parameters of the functions of one model.

    Parameters
    ----------
    program : one of the model's programs; they differ inside only.
    prefix : what every name starts with.
    has_init : whether weights are decoded before the first run.
    """

    def __init__(self, program: Program, model: Export, prefix: str, *, has_init: bool) -> None:
        self._program = program
        self._model = model
        self._prefix = prefix
        self._has_init = has_init
        self._macro = prefix.upper()
        single = len(program.inputs) == 1 == len(program.outputs)
        self._ports = [
            (letter if single else f"{letter}{number}", port)
            for letter, ports in (("x", program.inputs), ("y", program.outputs))
            for number, port in enumerate(ports)
        ]

    # The header -----------------------------------------------------------------------------

    def header(self, about: str, workspace: str) -> str:
        """The text of the header. `workspace` is the definition of the struct."""
        model, program = self._model, self._program
        sizes = [
            line
            for kind, ports, specs in (
                ("INPUT", program.inputs, model.inputs),
                ("OUTPUT", program.outputs, model.outputs),
            )
            for number, (port, spec) in enumerate(zip(ports, specs, strict=True))
            for line in self._sizes(f"{self._macro}_{kind}_{number}", port, spec)
        ]
        return _HEADER.format(
            about=about,
            macro=self._macro,
            prefix=self._prefix,
            count_error=self._count_error(),
            inputs=len(model.inputs),
            outputs=len(model.outputs),
            labels=len(model.labels or ()),
            sizes="\n".join(sizes),
            names="\n".join(f"extern const char *const {n}[{len(t)}];" for n, t in self._texts()),
            workspace=workspace,
            init=_INIT.format(prefix=self._prefix) if self._has_init else "",
            not_ready=f"#define {self._macro}_ERROR_NOT_READY (-4) /* call {self._prefix}_init */\n"
            if self._has_init
            else "",
            meaning=self._meaning(),
            parameters=self._parameters(),
            parameters_r=self._parameters(f"{self._prefix}_workspace *workspace"),
        )

    def _count_error(self) -> str:
        program = self._program
        if not program.symbol or program.splittable:
            return "the number of samples is negative"
        return f"the number of samples is not from 1 to {program.batch}"

    def _sizes(self, name: str, port: Port, spec: PortSpec) -> list[str]:
        shown = " x ".join("n" if extent is None else str(extent) for extent in spec[1])
        about = f"{comment_text(spec[0], 40)}: {MEMORY_TYPES[port.buffer.dtype]}"
        about += f", {shown}" if shown else ""
        about += " (0 or 1)" if port.buffer.dtype == "bool" else ""
        fixed = math.prod(extent for extent in port.shape if isinstance(extent, int))
        symbol = self._program.symbol
        factors = [
            f"({CLike().index(extent.substitute({symbol: Index.variable('(n)')}))})"
            for extent in port.shape
            if isinstance(extent, Index)
        ]
        count = " * ".join([*factors, str(fixed)])
        lines = [f"/* {about} */", f"#define {name}_COUNT(n) ({count})"]
        if factors and port.leads:
            lines.append(f"#define {name}_SIZE {self._sample(port)}")
        return lines

    def _meaning(self) -> str:
        subject = "Computes the outputs" if not self._program.symbol else (
            "Computes the outputs of n samples, which lie behind one another"
        )  # fmt: skip
        if len(self._ports) == 2:
            return f"{subject}: y from x."
        return f"{subject}: y0, y1... from x0, x1...,\n   in the order of their names."

    def _parameters(self, *more: str) -> str:
        words = [
            f"{'const ' if port.buffer.kind == 'input' else ''}"
            f"{MEMORY_TYPES[port.buffer.dtype]} *{name}"
            for name, port in self._ports
        ]
        return ", ".join([*words, *(["int n"] if self._program.symbol else []), *more])

    def _texts(self) -> list[tuple[str, list[str]]]:
        """The tables of strings: names and contents."""
        model = self._model
        texts = [
            (f"{self._prefix}_input_names", [name for name, _, _ in model.inputs]),
            (f"{self._prefix}_output_names", [name for name, _, _ in model.outputs]),
        ]
        if model.labels:
            texts.append((f"{self._prefix}_labels", [str(label) for label in model.labels]))
        return texts

    # The source -----------------------------------------------------------------------------

    def tables(self) -> list[str]:
        """The definitions of the tables of strings."""
        return [string_table(name, texts) for name, texts in self._texts()]

    def opening(self, about: str, header_name: str, lanes: Sequence[int]) -> str:
        """The start of the source: what it is, and macros."""
        macro = self._macro
        lines = [f"#ifndef {macro}_LANES", "#if !defined __GNUC__", f"#define {macro}_LANES 1"]
        for width in lanes:
            if width > 1:
                lines += [f"#elif {_MACHINES[width]}", f"#define {macro}_LANES {width}"]
        lines += ["#else", f"#define {macro}_LANES 1", "#endif", "#endif", "", ""]
        return _OPENING.format(
            about=about,
            macro=macro,
            lanes=", ".join(map(str, lanes)),
            header=header_name,
            choice="\n".join(lines),
        )

    def functions(self) -> str:
        """The definitions of `predict` and `predict_r`."""
        prefix, macro, program = self._prefix, self._macro, self._program
        names = [name for name, _ in self._ports]
        checks = f"  if (!is_ready) return {macro}_ERROR_NOT_READY;\n" if self._has_init else ""
        if program.symbol and program.splittable:
            checks += (
                f"  if (n < 0) return {macro}_ERROR_COUNT;\n  if (n == 0) return {macro}_OK;\n"
            )
        elif program.symbol:
            checks += f"  if (n < 1 || n > {program.batch}) return {macro}_ERROR_COUNT;\n"
        batch = ["n"] if program.symbol else []
        body = f"  run({', '.join([*batch, *names, 'workspace'])});"
        if program.splittable:
            steps = (f"    {n} += (size_t)count * {self._sample(port)};" for n, port in self._ports)
            body = _BLOCKS.format(
                block=program.batch, pointers=", ".join(names), steps="\n".join(steps)
            )
        start = _DECODE.format(prefix=prefix, macro=macro) if self._has_init else ""
        text = start + _PREDICT.format(
            prefix=prefix,
            macro=macro,
            parameters=self._parameters(),
            parameters_r=self._parameters(f"{prefix}_workspace *workspace"),
            checks=checks,
            missing=" || ".join(f"{name} == NULL" for name in [*names, "workspace"]),
            body=body,
            passed=", ".join([*names, *batch, "&workspace"]),
        )
        return text.replace("{\n\n", "{\n").replace(";\n\n  if", ";\n  if")

    def _sample(self, port: Port) -> int:
        """The elements of one sample."""
        return math.prod(port.extents(self._program.symbol, 1))
