"""The ES module of a model: the runtime around an engine that computes."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from layerport.graph import Graph
from layerport.loops.clike import comment_text
from layerport.loops.weights import stored
from layerport.op import NDArray

from layerport_formats.javascript.declarations import exported
from layerport_formats.javascript.engines import ENGINES, print_engine
from layerport_formats.javascript.learning import learning
from layerport_formats.javascript.literals import literal
from layerport_formats.javascript.minify import minified
from layerport_formats.javascript.parts import (
    Golden,
    Learner,
    Model,
    PortSpec,
    extents_text,
    ports_text,
    runtime,
)
from layerport_formats.wasm.module import little_endian


def print_javascript(
    graph: Graph,
    *,
    inputs: Sequence[PortSpec],
    outputs: Sequence[PortSpec],
    labels: Sequence[str] | None = None,
    golden: Golden | tuple[Sequence[NDArray], Sequence[NDArray], float] | None = None,
    name: str = "model",
    learner: Learner | None = None,
    engine: str = ENGINES[0],
) -> tuple[str, str]:
    """Print a graph as an ES module without dependencies.

    Parameters
    ----------
    graph, inputs, outputs, labels, golden, learner : see `Model`.
    name : for a comment.
    engine : "wasm", "js", or "auto" for both. Modules with WebAssembly are minified.

    Returns
    -------
    The module, and its TypeScript declarations.

    Raises
    ------
    UnsupportedError : naming everything that cannot be printed.
    """
    checked = None if golden is None else Golden(*golden)
    model = Model(graph, inputs, outputs, labels, checked, learner)
    return print_model(model, name=name, engine=engine)


def print_model(model: Model, *, name: str, engine: str) -> tuple[str, str]:
    """`print_javascript` for a model."""
    model.check()
    labels, golden, learner = model.labels, model.golden, model.learner
    engine_text, lowered = print_engine(engine, model.lower)
    names = exported(has_golden=golden is not None, learns=learner is not None)
    features = model.features(lowered.program)
    parts = [
        ports_text("inputs", model.inputs),
        ports_text("outputs", model.outputs),
        f"export const labels = {literal(list(labels) if labels is not None else None)};",
        *([] if golden is None else [_golden(golden, model.inputs)]),
        *([extents_text(lowered.program)] if "affine" in features else []),
        runtime([*names, *_used(engine_text)], features),
        engine_text,
        *([] if learner is None else [learning(lowered, learner)]),
        f"export default {{ {', '.join(names)} }};\n",
    ]
    module = "\n".join(parts)
    if engine != "js":
        module = minified(module, {*names})
    title = f"// {comment_text(name)}: printed by layerport, for Node 18 or any browser."
    return f"{title}\n{module}", model.declarations()


def _used(engine: str) -> list[str]:
    """The functions of the runtime that an engine needs."""
    return [name for name in ("decode", "decodeCode", "gather") if f"{name}(" in engine]


def _golden(golden: Golden, inputs: Sequence[PortSpec]) -> str:
    def decoded(data: bytes) -> str:
        return f'() => decode("{base64.b64encode(data).decode()}")'

    def data(array: NDArray) -> bytes:
        return little_endian(stored(array))

    fields = {
        "samples": literal(golden.samples(inputs)),
        "tolerance": literal(golden.tolerance),
        "outputs": decoded(b"".join(map(data, golden.outputs))),
    }
    if golden.seed is None:
        fields["inputs"] = f"[{', '.join(decoded(data(array)) for array in golden.inputs)}]"
    else:
        fields["seed"] = literal(golden.seed)
    return f"const golden = {{ {', '.join(f'{key}: {text}' for key, text in fields.items())} }};"
