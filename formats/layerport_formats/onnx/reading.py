"""Reading: bytes to a model, a model to a graph, a graph to a network of operators."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from layerport.connections import BATCH
from layerport.dim import Dim, Extent, Shape
from layerport.errors import UnsupportedError
from layerport.format import ReadContext
from layerport.graph import Graph
from layerport.op import NDArray
from onnx import TensorProto, helper

from .checks import check_names, in_order
from .facts import Fact
from .nodes import DOMAIN, NEWEST, plain_domain
from .tensors import TensorReader
from .translate import Frame, Translator


@dataclasses.dataclass(frozen=True)
class Translation:
    """What a model computes.

    Attributes
    ----------
    graph : its operators; scopes are the names of nodes.
    arrays : for the graph's parameters.
    labels : what the classes are called, where the file says so.
    """

    graph: Graph
    arrays: Mapping[str, NDArray]
    labels: Sequence[str] | None = None


def parse(path: Path, context: ReadContext) -> onnx.ModelProto:
    """The model of a file.

    Raises
    ------
    ModelFileError : when the file holds none.
    """
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError:
        context.fail("it is damaged or cut short: its bytes are no ONNX model")
    if not model.HasField("graph"):
        context.fail("it holds no graph")
    return model


def versions_of(model: onnx.ModelProto, context: ReadContext) -> dict[str, int]:
    """The operator sets that a model uses: version by domain."""
    versions: dict[str, int] = {}
    for entry in model.opset_import:
        domain = plain_domain(entry.domain)
        if versions.get(domain, entry.version) != entry.version:
            context.fail(f"it imports two versions of the operator set {domain or 'ai.onnx'!r}")
        versions[domain] = entry.version
    if not versions and model.ir_version < 3:
        versions[DOMAIN] = 1
    own = versions.get(DOMAIN)
    if own is None and any(plain_domain(n.domain) == DOMAIN for n in model.graph.node):
        context.fail("it does not say which version of ONNX's operators it uses")
    if own is not None and own < 1:
        context.fail(f"there is no operator set {own}")
    if own is not None and own > NEWEST:
        raise UnsupportedError(
            f"{context.path}: it uses operator set {own}, the onnx package here knows {NEWEST}",
            hint="update the onnx package, or export the model for an older operator set",
        )
    return versions


def translate(
    model: onnx.ModelProto,
    context: ReadContext,
    folder: Path | None = None,
    *,
    shapes: Mapping[str, Shape] | None = None,
    bound: Mapping[str, NDArray] | None = None,
    arrays: Mapping[str, NDArray] | None = None,
    weights: Collection[str] = (),
) -> Translation:
    """The graph of a model.

    Parameters
    ----------
    context : its registry has the operators; its limits apply.
    folder : where external data lies.
    shapes : of inputs, in place of those that the model declares.
    bound : arrays for inputs; they are then no inputs of the graph. With it, `NeedsValueError`
        says which other inputs need one.
    arrays : in place of initializers, or beside those that the model has.
    weights : names of initializers whose values nothing but the operators may depend on.

    Raises
    ------
    ModelFileError : when the model is not valid.
    UnsupportedError : naming every operator and node that cannot be expressed.
    """
    versions = versions_of(model, context)
    check_names(model.graph, context)
    read = TensorReader(context, folder)
    functions = {(plain_domain(f.domain), f.name): f for f in model.functions}
    translator = Translator(
        context, read, functions, context.registry.ops, values_bound=bound is not None
    )
    frame = Frame({}, versions)
    given = dict(arrays or {})
    given |= {t.name: read(t) for t in model.graph.initializer if t.name not in given}
    given |= {t.values.name: read.sparse(t) for t in model.graph.sparse_initializer}
    for name, array in given.items():
        make = translator.weight if name in weights else translator.array
        frame.scope[name] = make(name, array)
    _add_inputs(translator, model.graph, frame, shapes or {}, bound or {})
    translator.run(in_order(model.graph.node, context), frame)
    facts = {value.name: _output(frame, value, context) for value in model.graph.output}
    for name, fact in facts.items():
        if fact.is_label:
            context.note("dropped", "the names of classes are in the network's labels, not an "
                         "output", f"output {name!r}")  # fmt: skip
    kept = {name: fact for name, fact in facts.items() if not fact.is_label}
    if not kept:
        raise UnsupportedError(f"{context.path}: all that it computes is names of classes")
    graph = translator.finish(list(kept.values()), list(kept))
    return Translation(graph, _used(graph, translator.arrays), translator.labels)


def _used(graph: Graph, arrays: Mapping[str, NDArray]) -> dict[str, NDArray]:
    return {value.name: arrays[value.name] for value in graph.parameters}


def _output(frame: Frame, value: onnx.ValueInfoProto, context: ReadContext) -> Fact:
    if value.name not in frame.scope:
        context.fail(f"nothing makes the output {value.name!r}", "graph")
    return frame.scope[value.name]


# Inputs ---------------------------------------------------------------------------------


def _add_inputs(
    translator: Translator,
    graph: onnx.GraphProto,
    frame: Frame,
    shapes: Mapping[str, Shape],
    bound: Mapping[str, NDArray],
) -> None:
    given = [value for value in graph.input if value.name not in frame.scope]
    names = _extent_names(given)
    for value in given:
        if value.name in bound:
            frame.scope[value.name] = translator.array(value.name, bound[value.name])
            continue
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            raise UnsupportedError(
                f"{translator.context.path}: the input {value.name!r} is no tensor but a "
                f"{(kind or 'value without a type').removesuffix('_type')}"
            )
        shape = shapes.get(value.name)
        if shape is None:
            shape = _declared(value, names, translator.context)
        dtype = _dtype(value, translator.context)
        frame.scope[value.name] = translator.input(value.name, shape, dtype)


def _dtype(value: onnx.ValueInfoProto, context: ReadContext) -> Any:
    code = value.type.tensor_type.elem_type
    if code == TensorProto.STRING:
        raise UnsupportedError(f"{context.path}: the input {value.name!r} holds strings")
    try:
        return helper.tensor_dtype_to_np_dtype(code)
    except KeyError:
        context.fail(f"the element type {code} does not exist", f"input {value.name!r}")


def _declared(value: onnx.ValueInfoProto, names: Mapping[str, str], context: ReadContext) -> Shape:
    if not value.type.tensor_type.HasField("shape"):
        raise UnsupportedError(
            f"{context.path}: the input {value.name!r} does not declare its shape",
            hint="declare at least how many axes it has",
        )
    extents: list[Extent] = []
    for axis, extent in enumerate(value.type.tensor_type.shape.dim):
        # Some exporters write -1 for what is unknown.
        if extent.HasField("dim_value") and extent.dim_value >= 0:
            extents.append(extent.dim_value)
        elif extent.dim_param:
            extents.append(Dim(names.get(extent.dim_param, extent.dim_param)))
        else:
            extents.append(BATCH if axis == 0 else Dim(f"{value.name}_{axis}"))
    return tuple(extents)


def _extent_names(inputs: Sequence[onnx.ValueInfoProto]) -> dict[str, str]:
    """How extents of the file that vary are called here: the number of samples is "batch"."""
    batch = str(BATCH)
    params = [
        [d.dim_param if not d.HasField("dim_value") else "" for d in v.type.tensor_type.shape.dim]
        for v in inputs
    ]
    everywhere = {name for shape in params for name in shape}
    first = next((shape[0] for shape in params if shape and shape[0]), batch)
    if batch in everywhere or not first:
        return {}
    return {first: batch}
