"""ONNX's attributes and shape operands as the fields of our operators, and back."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import onnx
from layerport.dim import Dim, is_extent
from layerport.errors import LayerportError, UnsupportedError
from layerport.graph import Value
from layerport.op import NDArray, Op
from layerport.ops import Pad, Reshape, Split, reshaped
from layerport.ops.windows import Windowed, reaches
from onnx import helper, numpy_helper

from .nodes import DOMAIN, NEWEST, OnnxNode

Fields: TypeAlias = "dict[str, Any]"


@functools.lru_cache(maxsize=4096)
def schema_of(op: str, domain: str, version: int) -> onnx.defs.OpSchema | None:
    """ONNX's description of an operator in a version of its operator set, or None."""
    try:
        return onnx.defs.get_schema(op, version, domain)
    except onnx.defs.SchemaError:
        return None


def newest_schema(node: OnnxNode) -> onnx.defs.OpSchema | None:
    """The newest description of a node's operator: upgrades have brought the node to it."""
    return schema_of(node.op, node.domain, NEWEST if node.domain == DOMAIN else node.version)


def dtype_name(code: int) -> str:
    """NumPy's name of an element type.

    Raises
    ------
    UnsupportedError : for a type that does not exist or that NumPy has no name for.
    """
    try:
        return helper.tensor_dtype_to_np_dtype(code).name
    except KeyError:
        raise UnsupportedError(f"the element type {code} is not known") from None


def dtype_code(dtype: Any) -> int:
    """ONNX's number of a NumPy dtype."""
    try:
        return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    except (KeyError, ValueError):
        raise UnsupportedError(f"ONNX has no element type for {dtype}") from None


def holds_many(field: dataclasses.Field[Any]) -> bool:
    """Whether a field is a tuple, one number an axis or the like."""
    kind = str(field.type)
    return any(word in kind for word in ("tuple", "Shape", "Extents"))


def operand_fields(op: type[Op]) -> Mapping[int, str]:
    """Which of ONNX's operands are fields: position -> name of the field."""
    return op.static


class InvalidNodeError(LayerportError):
    """A node that ONNX does not allow."""


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "FLOAT": (int, float),
    "INT": int,
    "STRING": str,
    "TENSOR": np.ndarray,
    "FLOATS": tuple,
    "INTS": tuple,
    "STRINGS": tuple,
}
"""ONNX's kinds of attributes as Python types."""


def check_node(node: OnnxNode, schema: onnx.defs.OpSchema | None) -> None:
    """Check operands and attributes of a node.

    Raises
    ------
    InvalidNodeError : when there are too many or too few operands, an attribute is of another
        kind than it should be, or one that must be there is missing.
    """
    if schema is None:
        return
    least, most, count = schema.min_input, schema.max_input, len(node.inputs)
    if not least <= count <= most:
        takes = f"{least}" if least == most else f"{least} to {most}"
        raise InvalidNodeError(f"it has {count} operands, the operator takes {takes}")
    for name, described in schema.attributes.items():
        kind = _kind(described)
        if name not in node.attributes:
            if described.required:
                raise InvalidNodeError(f"the attribute {name} is missing")
        elif not isinstance(node.attributes[name], _KINDS.get(kind, object)):
            given = _short(node.attributes[name])
            raise InvalidNodeError(f"the attribute {name} is {given}, not {kind}")


def _kind(described: onnx.defs.OpSchema.Attribute) -> str:
    return str(described.type).rsplit(".", 1)[-1]


def make_op(
    kind: type[Op],
    node: OnnxNode,
    operands: Mapping[str, Any],
    inputs: Sequence[Value | None],
) -> Op:
    """The operator that a node applies.

    Parameters
    ----------
    kind : its class.
    node : in the form of the newest operator set.
    operands : field -> value, for the operands that are fields.
    inputs : the values of the other operands.

    Raises
    ------
    UnsupportedError : for an attribute that the operator has no field for.
    """
    schema = schema_of(node.op, node.domain, node.version)
    given = {**defaults_of(schema), **node.attributes}
    fields: Fields = {}
    known = {field.name: field for field in dataclasses.fields(kind)}
    for name, field in known.items():
        if name in operands:
            fields[name] = _as_field(operands[name], field)
        elif name in given:
            fields[name] = _from_attribute(given[name], field)
    if node.op in READ_RULES and node.domain == DOMAIN:
        READ_RULES[node.op](fields, node, given, inputs)
    _check_unused(node, known, schema)
    return kind(**fields)


@functools.lru_cache(maxsize=4096)
def defaults_of(schema: onnx.defs.OpSchema | None) -> Mapping[str, Any]:
    """What the attributes are that a node leaves out.

    Lists of names are not among them: ONNX states them for two directions, operators for theirs.
    """
    found: Fields = {}
    for name, described in schema.attributes.items() if schema is not None else ():
        if described.default_value.type and _kind(described) != "STRINGS":
            value = helper.get_attribute_value(described.default_value)
            value = tuple(value) if isinstance(value, list) else value
            found[name] = value.decode() if isinstance(value, bytes) else value
    return MappingProxyType(found)


def _as_field(value: Any, field: dataclasses.Field[Any]) -> Any:
    if holds_many(field):
        return value if isinstance(value, tuple) else (value,)
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


def _from_attribute(value: Any, field: dataclasses.Field[Any]) -> Any:
    kind = str(field.type)
    if kind.startswith("bool"):
        return bool(value)
    if kind.startswith("str") and isinstance(value, int):
        return dtype_name(value)
    return value


IGNORED: Mapping[str, frozenset[str]] = {
    "BatchNormalization": frozenset({"momentum"}),
    "Cast": frozenset({"saturate", "round_mode"}),
    "CastLike": frozenset({"saturate", "round_mode"}),
    "ConstantOfShape": frozenset({"value"}),
    "Dropout": frozenset({"seed"}),
    "LayerNormalization": frozenset({"stash_type"}),
    "RMSNormalization": frozenset({"stash_type"}),
    "GroupNormalization": frozenset({"stash_type"}),
    "MaxPool": frozenset({"storage_order"}),
    "Reshape": frozenset({"allowzero"}),
}
"""Attributes without a field that change nothing here, or that a rule below reads."""


def _check_unused(
    node: OnnxNode, fields: Mapping[str, Any], schema: onnx.defs.OpSchema | None
) -> None:
    defaults = defaults_of(schema)
    for name, value in node.attributes.items():
        if name in fields or name in IGNORED.get(node.op, ()):
            continue
        if isinstance(value, np.ndarray) or value != defaults.get(name):
            raise UnsupportedError(f"{name}={_short(value)} is not supported")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# Operators whose fields are not ONNX's attributes one to one ----------------------------

Inputs: TypeAlias = "Sequence[Value | None]"


def _reshape(fields: Fields, node: OnnxNode, given: Fields, inputs: Inputs) -> None:
    x = inputs[0]
    assert x is not None
    allowzero = bool(given.get("allowzero", 0))
    fields["shape"] = reshaped(x.shape, fields["shape"], allowzero=allowzero)


def _constant_of_shape(fields: Fields, node: OnnxNode, given: Fields, inputs: Inputs) -> None:
    value: NDArray = np.asarray(given.get("value", np.zeros(1, np.float32)))
    if value.size != 1:
        raise UnsupportedError(f"its value has {value.size} elements, not one")
    fields["value"] = value.item()
    fields["dtype"] = value.dtype.name


def _max_pool(fields: Fields, node: OnnxNode, given: Fields, inputs: Inputs) -> None:
    fields["indices"] = len(node.outputs) > 1 and bool(node.outputs[1])


READ_RULES: Mapping[str, Callable[[Fields, OnnxNode, Fields, Inputs], None]] = {
    "ConstantOfShape": _constant_of_shape,
    "MaxPool": _max_pool,
    "Reshape": _reshape,
}


# Writing --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Written:
    """An operator as a node of ONNX has it.

    Attributes
    ----------
    attributes : as ONNX stores them.
    operands : position -> value, for the fields that are operands.
    """

    attributes: Mapping[str, onnx.AttributeProto]
    operands: Mapping[int, Any]


def write_op(op: Op, schema: onnx.defs.OpSchema, inputs: Inputs) -> Written:
    """The attributes and shape operands of an operator in the version that a schema describes.

    `inputs` are the values of its other operands.

    Raises
    ------
    UnsupportedError : when that version lacks something that the operator needs.
    """
    fields: Fields = dict(op.attributes)
    if schema.name in WRITE_RULES:
        WRITE_RULES[schema.name](fields, op, schema, inputs)
    positions = {name: position for position, name in operand_fields(type(op)).items()}
    attributes: dict[str, onnx.AttributeProto] = {}
    operands: dict[int, Any] = {}
    for name, value in fields.items():
        if value is None or (
            isinstance(value, tuple) and not value and _is_default(op, name, value)
        ):
            continue
        if name in schema.attributes:
            attributes[name] = _attribute(schema.attributes[name], value)
        elif name in positions and positions[name] < len(schema.inputs):
            operands[positions[name]] = value
        elif not _is_default(op, name, value):
            raise UnsupportedError(f"{name}={_short(value)} needs a newer operator set")
    return Written(attributes, operands)


def _is_default(op: Op, name: str, value: Any) -> bool:
    field = next((f for f in dataclasses.fields(op) if f.name == name), None)
    return (
        field is not None
        and field.default is not dataclasses.MISSING
        and bool(field.default == value)
    )


def _attribute(described: onnx.defs.OpSchema.Attribute, value: Any) -> onnx.AttributeProto:
    kinds = onnx.defs.OpSchema.AttrType
    plain = value
    if described.type == kinds.INT and isinstance(value, str):
        plain = dtype_code(value)
    elif described.type == kinds.INT:
        plain = int(value)
    elif described.type == kinds.FLOAT:
        plain = float(value)
    elif described.type == kinds.TENSOR:
        plain = numpy_helper.from_array(np.asarray(value))
    elif any(isinstance(item, Dim) for item in value if described.type == kinds.INTS):
        raise UnsupportedError(f"{described.name}={_short(value)} must be known numbers in ONNX")
    return helper.make_attribute(
        described.name,
        plain,
        attr_type=onnx.AttributeProto.AttributeType.Value(_kind(described)),
    )


def takes_dtypes(op: Op, schema: onnx.defs.OpSchema, inputs: Inputs) -> bool:
    """Whether the version of an operator that a schema describes takes operands of these dtypes."""
    fields = operand_fields(type(op))
    last = len(schema.inputs) - 1
    positions = (i for i in range(len(inputs) + len(fields)) if i not in fields)
    for position, value in zip(positions, inputs, strict=False):
        if value is None:
            continue
        if last < 0:
            return False
        kind = onnx.TensorProto.DataType.Name(dtype_code(value.dtype)).lower()
        if f"tensor({kind})" not in schema.inputs[min(position, last)].types:
            return False
    return True


def minimum(op: Op, inputs: Inputs) -> int:
    """The oldest operator set in which an operator means what it means here."""
    if op.name == "GroupNormalization":
        return 21
    # Until 22, a last window counted that begins behind the last element.
    return 22 if isinstance(op, Windowed) and op.rounds_up and _may_begin_behind(op) else 1


def _may_begin_behind(op: Windowed) -> bool:
    kernel = op.kernel_shape
    spans = reaches(kernel, op.dilations or (1,) * len(kernel))
    strides = op.strides or (1,) * len(kernel)
    return any(op.pads) or any(s > span for s, span in zip(strides, spans, strict=True))


Schema: TypeAlias = "onnx.defs.OpSchema"


def _write_constant_of_shape(fields: Fields, op: Op, schema: Schema, inputs: Inputs) -> None:
    fields["value"] = np.array([fields["value"]], fields.pop("dtype"))


def _write_max_pool(fields: Fields, op: Op, schema: Schema, inputs: Inputs) -> None:
    if not fields.pop("indices"):
        del fields["storage_order"]


def _write_pad(fields: Fields, op: Op, schema: Schema, inputs: Inputs) -> None:
    """Before 18, there are pads for every axis."""
    if len(schema.inputs) < 4 and isinstance(op, Pad) and inputs[0] is not None:
        widths = op.widths(inputs[0].ndim)
        fields["pads"] = tuple(before for before, _ in widths) + tuple(after for _, after in widths)
        fields["axes"] = None


def _write_reshape(fields: Fields, op: Op, schema: Schema, inputs: Inputs) -> None:
    """An extent 0 is meant, not a copy of the extent at its place."""
    if any(is_extent(extent, 0) for extent in fields["shape"]) and isinstance(op, Reshape):
        fields["allowzero"] = 1


def _write_split(fields: Fields, op: Op, schema: Schema, inputs: Inputs) -> None:
    """Before 18, parts that are not equal must be written out."""
    if "num_outputs" not in schema.attributes and isinstance(op, Split) and inputs[0] is not None:
        fields["split"], fields["num_outputs"] = op.parts(inputs[0].shape), None


WRITE_RULES: Mapping[str, Callable[[Fields, Op, Schema, Inputs], None]] = {
    "ConstantOfShape": _write_constant_of_shape,
    "MaxPool": _write_max_pool,
    "Pad": _write_pad,
    "Reshape": _write_reshape,
    "Split": _write_split,
}
