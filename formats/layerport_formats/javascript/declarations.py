"""The TypeScript declarations beside a module."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerport_formats.javascript.literals import literal
from layerport_formats.training import TargetSpec

_ARRAYS = {"f": "Float32Array", "i": "Int32Array", "u": "Int32Array", "b": "Uint8Array"}

_HEAD = """\
/** Numbers in a row: of one sample, or of several, one behind the other. */
export type Flat = readonly number[] | Float32Array | Float64Array | Int8Array | Uint8Array |
  Uint8ClampedArray | Int16Array | Uint16Array | Int32Array | Uint32Array | BigInt64Array;
/** Lists nested as the shape says, with or without the batch axis. */
export type Nested = readonly (Flat | Nested)[];
export interface Port {
  readonly name: string;
  /** Extents; null stands for the batch. */
  readonly shape: readonly (number | null)[];
  readonly dtype: string;
}
export declare const inputs: readonly Port[];
export declare const outputs: readonly Port[];
/** The names of the classes, if the model has any. */
export declare const labels: readonly string[] | null;
/** What computes: WebAssembly, or plain JavaScript. */
export declare const engine: "wasm" | "js";
"""

_SELF_TEST = """\
/** Runs the samples inside the module and compares with the outputs that belong to them. */
export declare function selfTest(): { ok: boolean; maxDifference: number };
"""


_LEARNING = """\
/** One step of learning on a batch; returns the loss of the weights before it.
 * Class numbers may stand for rows with a single 1. selfTest holds until the first step.
 * @throws TypeError, RangeError for what does not fit; then nothing has changed. */
export declare function train(
  x: %(x)s, y: %(y)s, options?: { learningRate?: number; seed?: number }
): number;
/** The network with its weights as they are now, as the text of a layers.json. */
export declare function save(): string;
/** Takes the weights of a layers.json (its text, or the parsed value); learning starts afresh. */
export declare function load(json: string | object): void;
"""


def exported(*, has_golden: bool, learns: bool) -> list[str]:
    """The names that a module exports."""
    names = ["predict", "inputs", "outputs", "labels", "engine"]
    return names + ["selfTest"] * has_golden + ["train", "save", "load"] * learns


def declarations(
    inputs: Sequence[tuple[str, Sequence[int | None], str]],
    outputs: Sequence[tuple[str, Sequence[int | None], str]],
    *,
    has_golden: bool,
    targets: Sequence[TargetSpec] | None = None,
) -> str:
    """The text of the ``.d.ts`` file; `targets` are those of a model that learns."""
    flat, nested = _input_type(inputs, "Flat"), _input_type(inputs, "Nested")
    made = [_ARRAYS[np.dtype(dtype).kind] for _, _, dtype in outputs]
    flat_result = made[0] if len(outputs) == 1 else _record(outputs, made)
    lists = ["NestedNumbers"] * len(outputs)
    nested_result = lists[0] if len(outputs) == 1 else _record(outputs, lists)
    names = exported(has_golden=has_golden, learns=targets is not None)
    members = " ".join(f"{name}: typeof {name};" for name in names)
    return (
        _HEAD
        + "export type NestedNumbers = number | NestedNumbers[];\n"
        + "/** Flat numbers give flat numbers, nested lists give nested lists.\n"
        + " * @throws TypeError, RangeError for what is no input of this model. */\n"
        + f"export declare function predict(x: {flat}): {flat_result};\n"
        + f"export declare function predict(x: {nested}): {nested_result};\n"
        + (_SELF_TEST if has_golden else "")
        + ("" if targets is None else _LEARNING % _taught(f"{flat} | {nested}", targets))
        + f"declare const model: {{ {members} }};\nexport default model;\n"
    )


def _taught(x: str, targets: Sequence[TargetSpec]) -> dict[str, str]:
    """The types of what a step of learning takes."""
    kind = "number | Flat | Nested"
    fields = "; ".join(f"{literal(target.name)}: {kind}" for target in targets)
    record = f"{{ {fields} }}"
    return {"x": x, "y": f"{kind} | {record}" if len(targets) == 1 else record}


def _input_type(inputs: Sequence[tuple[str, Sequence[int | None], str]], kind: str) -> str:
    record = _record(inputs, [kind] * len(inputs))
    return f"{kind} | {record}" if len(inputs) == 1 else record


def _record(ports: Sequence[tuple[str, Sequence[int | None], str]], types: Sequence[str]) -> str:
    fields = (f"{literal(name)}: {kind}" for (name, _, _), kind in zip(ports, types, strict=True))
    return "{ " + "; ".join(fields) + " }"
