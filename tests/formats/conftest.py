"""Keras files written by hand, and the fixtures beside the repository."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from layerport.op import NDArray

SHARED = Path(__file__).parents[3] / "shared"

Groups = Mapping[str, Mapping[str, Any]]
"""Layer -> the names of its weights with their arrays."""


@pytest.fixture
def shared() -> Path:
    """The folder with real files and their expected outputs."""
    if not (SHARED / "fixtures").is_dir():
        pytest.skip("the shared fixtures are not here")
    return SHARED


def dense(name: str, units: int, **config: Any) -> dict[str, Any]:
    """The entry of a Dense layer in a config."""
    return {"class_name": "Dense", "config": {"name": name, "units": units, **config}}


def sequential(layers: Sequence[Any], shape: Sequence[int | None] = (None, 3)) -> dict[str, Any]:
    """The config of a Keras 2 Sequential."""
    first = {"class_name": "InputLayer", "config": {"name": "in", "batch_input_shape": list(shape)}}
    return {"class_name": "Sequential", "config": {"name": "s", "layers": [first, *layers]}}


def functional(
    layers: Sequence[tuple[dict[str, Any], list[Any]]],
    outputs: Any,
    inputs: Any = (("in", 0, 0),),
    shape: Sequence[int | None] = (None, 3),
    key: str = "batch_input_shape",
) -> dict[str, Any]:
    """The config of a functional model: layers with their inbound nodes, after the input `in`."""
    first = {"class_name": "InputLayer", "config": {"name": "in", key: list(shape)}}
    return {
        "class_name": "Functional",
        "config": {
            "name": "f",
            "layers": [
                {**entry, "name": entry["config"]["name"], "inbound_nodes": nodes}
                for entry, nodes in [(first, []), *layers]
            ],
            "input_layers": json.loads(json.dumps(inputs)),
            "output_layers": outputs,
        },
    }


def write_keras(
    path: Path,
    config: Any,
    groups: Groups,
    version: str | None = "2.12.0",
    attributes: Mapping[str, Any] | None = None,
) -> Path:
    """Write a legacy file as Keras lays it out."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
        if version is not None:
            file.attrs["keras_version"] = version
        for name, value in (attributes or {}).items():
            file.attrs[name] = value
        write_groups(file.create_group("model_weights"), groups)
    return path


def write_groups(root: h5py.Group, groups: Groups) -> None:
    """Write the groups of layers under the group that lists them."""
    root.attrs["layer_names"] = _listed(list(groups))
    for layer, weights in groups.items():
        group = root.create_group(layer)
        group.attrs["weight_names"] = _listed(list(weights))
        for name, array in weights.items():
            group[name] = array


def _listed(names: Sequence[str]) -> NDArray:
    return np.array([name.encode() for name in names]) if names else np.zeros(0)


Writer = Callable[..., Path]


@pytest.fixture
def keras_file(tmp_path: Path) -> Writer:
    """Writes a legacy file: (config, groups, version=..., attributes=...) -> its path."""

    def write(config: Any, groups: Groups, **options: Any) -> Path:
        return write_keras(tmp_path / "model.h5", config, groups, **options)

    return write
