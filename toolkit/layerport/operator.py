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

ABSENT = ""
"""Stands for an operand that is left out."""


class Operator(Layer):
    """One operator with its constant operands as weights.

    Parameters
    ----------
    op : the operator with its attributes.
    operands : one name an operand: "@0", "@1"... for the layer's inputs, "" for an operand that is
        left out, otherwise the name of a weight.
    arrays : weight name -> array. Floating-point arrays with axes are trainable.
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

    def build(self, input_shape: Any) -> Mapping[str, Weight]:
        return {
            name: Weight(
                array.shape, initializer=array, dtype=_own_dtype(array, self.dtype),
                trainable=array.dtype.kind == "f" and array.ndim > 0,
            )
            for name, array in self.arrays.items()
        }  # fmt: skip

    def call(self, *args: Any, **kwargs: Any) -> Any:
        inputs = args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args
        operands = []
        for name in self.operands:
            if name == ABSENT:
                operands.append(None)
            elif name[0] == "@":
                operands.append(inputs[int(name[1:])])
            else:
                operands.append(self._arrays[name])
        return self.op(*operands)

    def get_config(self) -> dict[str, Any]:
        """The operator by name and attributes; the arrays are weights, not config."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": self.dtype,
            "op": {"name": self.op.name, **_plain(self.op.attributes)},
            "operands": list(self.operands),
            "arrays": {
                name: {"shape": list(array.shape), "dtype": array.dtype.name}
                for name, array in (self.own_weights if self.is_built else self.arrays).items()
            },
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], registry: Registry | None = None) -> Operator:
        table = default_registry() if registry is None else registry
        attributes = dict(config["op"])
        kind = table.find("ops", attributes.pop("name"))
        arrays: dict[str, NDArray] = {
            name: np.zeros(tuple(spec["shape"]), spec["dtype"])
            for name, spec in config["arrays"].items()
        }
        rest = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
        return cls(kind(**_hashable(attributes)), tuple(config["operands"]), arrays, **rest)

    def __repr__(self) -> str:
        return f"Operator({self.op}, name={self.name!r})"


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
