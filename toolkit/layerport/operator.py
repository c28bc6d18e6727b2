"""A tensor operator as a layer: what a file holds that no other layer explains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layerport.dim import Dim
from layerport.errors import LayerportError
from layerport.layer import Layer, Weight
from layerport.op import NDArray, Op
from layerport.registry import Registry, default_registry
from layerport.tensor import Tensor

ABSENT = ""
"""Stands for an operand that is left out."""


CONSTANT_SIZE = 1024
"""Arrays that no training changes are part of an Operator's config up to this many elements."""


class Operator(Layer):
    """One operator with its operands that are known: weights and constants.

    Parameters
    ----------
    op : the operator with its attributes.
    operands : one name an operand: "@0", "@1"... for the layer's inputs, "" for an operand that is
        left out, otherwise the name of an array.
    arrays : name -> array. Floating-point arrays with axes are trainable weights; scalars and
        integers are constants, or weights that are not trainable if they are large.
    """

    op: Op
    operands: tuple[str, ...] = ()
    arrays: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    def validate(self) -> None:
        missing = [
            name for name in self.operands if name and name[0] != "@" and name not in self.arrays
        ]
        if missing:
            raise LayerportError(f"no array is given for the operands {', '.join(missing)}")
        self.arrays = {name: np.asarray(array) for name, array in self.arrays.items()}
        # What changes with the layer's dtype: constants, and dtypes that the operator names.
        self._following = {n for n, a in self.arrays.items() if a.dtype.name == self.dtype}
        self._named = [
            key for key, v in self.op.attributes.items() if isinstance(v, str) and v == self.dtype
        ]

    def build(self, input_shape: Any) -> Mapping[str, Weight]:
        return {
            name: Weight(
                array.shape, initializer=array, dtype=_own_dtype(array, self.dtype),
                trainable=is_trainable(array),
            )
            for name, array in self.arrays.items()
            if not is_constant(array)
        }  # fmt: skip

    def call(self, *args: Any, **kwargs: Any) -> Any:
        inputs = args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args
        builder = self._recorded("call").builder
        operands: list[Tensor | None] = []
        for name in self.operands:
            if name == ABSENT:
                operands.append(None)
            elif name[0] == "@":
                operands.append(inputs[int(name[1:])])
            elif name in self._declared:
                operands.append(self._arrays[name])
            else:
                value = builder.constant(self._constant(name))
                value.name = value.name or name
                operands.append(Tensor(builder, value))
        # Not through the operator itself, which computes where no operand is a Tensor.
        values = [None if x is None else x.value for x in operands]
        made = tuple(Tensor(builder, value) for value in builder.add(self.current_op, *values))
        return made[0] if len(made) == 1 else made

    @property
    def current_op(self) -> Op:
        """The operator for the dtype that the layer has now."""
        changes = dict.fromkeys(self._named, self.dtype)
        return dataclasses.replace(self.op, **changes) if changes else self.op

    def _constant(self, name: str) -> NDArray:
        """A constant in the dtype that the layer has now."""
        array: NDArray = self.arrays[name]
        return array.astype(self.dtype, copy=False) if name in self._following else array

    def get_config(self) -> dict[str, Any]:
        """The operator by name and attributes, constants included; weights by shape and dtype."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": self.dtype,
            "op": {"name": self.op.name, **_plain(self.current_op.attributes)},
            "operands": list(self.operands),
            "arrays": {name: self._array_config(name, self.arrays[name]) for name in self.arrays},
        }

    def _array_config(self, name: str, array: NDArray) -> dict[str, Any]:
        if is_constant(array):
            return {"shape": list(array.shape), **_plain(self._constant(name))}
        now = self._arrays.get(name, array)
        return {"shape": list(now.shape), "dtype": now.dtype.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], registry: Registry | None = None) -> Operator:
        table = default_registry() if registry is None else registry
        attributes = dict(config["op"])
        kind = table.find("ops", attributes.pop("name"))
        arrays: dict[str, NDArray] = {
            name: _array(tuple(spec["shape"]), spec) for name, spec in config["arrays"].items()
        }
        rest = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
        return cls(kind(**_hashable(attributes)), tuple(config["operands"]), arrays, **rest)

    def __repr__(self) -> str:
        return f"Operator({self.op}, name={self.name!r})"


def is_trainable(array: NDArray) -> bool:
    """Whether training changes an array of an Operator."""
    return array.dtype.kind == "f" and array.ndim > 0


def is_constant(array: NDArray) -> bool:
    """Whether an array of an Operator is part of its config."""
    return not is_trainable(array) and array.size <= CONSTANT_SIZE


def _array(shape: tuple[int, ...], spec: Mapping[str, Any]) -> NDArray:
    if "array" not in spec:
        return np.zeros(shape, spec["dtype"])
    return np.asarray(spec["array"], spec["dtype"]).reshape(shape)


def _own_dtype(array: NDArray, dtype: str) -> str | None:
    """None where the array follows the layer's dtype."""
    return None if array.dtype.name == dtype else array.dtype.name


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Dim):
        return {"extent": [[factor, [_atom(a) for a in atoms]] for factor, atoms in value.terms()]}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.name}
    return value


def _atom(atom: Any) -> Any:
    return atom if isinstance(atom, str) else [_plain(atom[0]), atom[1]]


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"extent"}:
            return _extent(value["extent"])
        if set(value) == {"array", "dtype"}:
            return np.asarray(value["array"], value["dtype"])
        return {key: _hashable(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_hashable(item) for item in value)
    return value


def _extent(terms: Sequence[Any]) -> Any:
    total: Any = 0
    for factor, atoms in terms:
        product: Any = factor
        for atom in atoms:
            product = product * (
                Dim(atom) if isinstance(atom, str) else _hashable(atom[0]) // atom[1]
            )
        total = total + product
    return total
