"""Samples inside the file, with the results that belong to them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layerport.loops.ir import Port, Program
from layerport.loops.weights import stored
from layerport.op import NDArray

from layerport_formats.c.constants import definition
from layerport_formats.c.signature import MEMORY_TYPES
from layerport_formats.exporting import Golden

LARGEST_INPUTS = 1 << 14
"""Elements of inputs above which fewer samples stand in the file."""

_COMPARE = """\
/* Whether results are as wanted; *most grows to the largest difference. */
static int same_KIND(const TYPE *got, const TYPE *wanted, size_t size, float *most)
{
  double scale = 0;
  int same = 1;
  for (size_t i = 0; i < size; ++i) {
    const double value = fabs((double)wanted[i]);
    if (value < HUGE_VAL && value > scale) scale = value;
  }
  for (size_t i = 0; i < size; ++i) {
    const double a = (double)got[i], b = (double)wanted[i], difference = fabs(a - b);
    if (a == b || (a != a && b != b)) continue;
    if (!(difference <= TOLERANCE * (scale + fabs(b)))) same = 0;
    if (difference != difference) *most = INFINITY;
    else if (difference > (double)*most) *most = (float)difference;
  }
  return same;
}"""


def self_test(program: Program, prefix: str, golden: Golden, *, has_init: bool) -> str:
    """The definition of `self_test`, with its samples.

    Parameters
    ----------
    has_init : whether weights are decoded before the first run.
    """
    golden = _shortened(golden) if program.splittable else golden
    samples = golden.inputs[0].shape[0] if golden.inputs and golden.inputs[0].ndim else 1
    texts, checks, names = [], [], []
    for number, (port, array) in enumerate(zip(program.inputs, golden.inputs, strict=True)):
        texts.append(definition(f"given{number}", stored(array), _kind(port)))
        names.append(f"given{number}")
    kinds: dict[str, None] = {}
    results = []
    for number, (port, array) in enumerate(zip(program.outputs, golden.outputs, strict=True)):
        kind = _kind(port)
        kinds[kind] = None
        texts.append(definition(f"wanted{number}", stored(array), kind))
        size = max(1, math.prod(array.shape))
        results.append(f"  static {kind} found{number}[{size}];")
        names.append(f"found{number}")
        call = f"same_{kind}(found{number}, wanted{number}, {array.size}, &most)"
        checks.append(f"  if (!{call}) same = 0;")
    for kind in kinds:
        text = _COMPARE.replace("KIND", kind).replace("TYPE", kind)
        texts.append(text.replace("TOLERANCE", repr(golden.tolerance)))
    macro = prefix.upper()
    arguments = ", ".join([*names, *([str(samples)] if program.symbol else []), "&workspace"])
    lines = [
        f"int {prefix}_self_test(float *max_difference)",
        "{",
        f"  static {prefix}_workspace workspace ALIGNED;",
        *results,
        *([f"  {prefix}_init();"] if has_init else []),
        "  float most = 0.0f;",
        "  int same = 1;",
        f"  const int status = {prefix}_predict_r({arguments});",
        f"  if (status != {macro}_OK) return status;",
        *checks,
        "  if (max_difference != NULL) *max_difference = most;",
        f"  return same ? {macro}_OK : {macro}_ERROR_SELF_TEST;",
        "}",
    ]
    return "\n\n".join([*texts, "\n".join(lines)])


def _shortened(golden: Golden) -> Golden:
    """So many of the samples as fit well into a source file, but one at least."""
    samples = len(golden.inputs[0])
    elements = sum(array.size // samples for array in golden.inputs)
    count = max(1, min(samples, LARGEST_INPUTS // max(1, elements)))

    def first(arrays: Sequence[NDArray]) -> list[NDArray]:
        # An axis that depends on the batch may be a multiple of it.
        return [array[: len(array) // samples * count] for array in arrays]

    return golden._replace(inputs=first(golden.inputs), outputs=first(golden.outputs))


def _kind(port: Port) -> str:
    return MEMORY_TYPES[port.buffer.dtype]
