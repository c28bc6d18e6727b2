"""What the module of a model that learns declares for `training.js`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from layerport.loops.ir import Buffer

from layerport_formats.javascript.literals import literal
from layerport_formats.javascript.parts import Learner, Lowered
from layerport_formats.layers_json.template import constant_entry
from layerport_formats.training import Training


def learning(lowered: Lowered, learner: Learner) -> str:
    """The declarations, for the buffers of a program that learns."""
    programs, (training, saved) = lowered.training, learner
    assert programs is not None
    states = {b.source: b for b in programs.program.of_kind("state")}
    listed = [
        {"name": t.name, "shape": list(t.shape), "dtype": t.dtype, "classes": t.classes}
        for t in training.targets
    ]
    slots = [
        f"[{buffer.name}, {start_of(buffer)!r}]"
        for name, buffer in states.items()
        if name not in training.weights
    ]
    fields = {
        "learningRate": literal(training.learning_rate),
        "seed": literal(training.seed),
        "batch": literal(training.batch),
        "inputs": _names(port.buffer for port in programs.inputs),
        "targets": _names(port.buffer for port in programs.targets),
        "rate": programs.rate.buffer.name,
        "count": programs.count.buffer.name,
        "random": _names(port.buffer for port in programs.random),
        "loss": programs.loss.buffer.name,
        "slots": f"[{', '.join(slots)}]",
        "network": literal(saved["network"]),
        "layers": literal(saved["layers"]),
        "weights": _weights(training, states, saved["weights"]),
    }
    body = "\n".join(f"  {name}: {text}," for name, text in fields.items())
    return f"const targets = {literal(listed)};\nconst training = {{\n{body}\n}};"


def _names(buffers: Any) -> str:
    return f"[{', '.join(buffer.name for buffer in buffers)}]"


def start_of(buffer: Buffer) -> float | None:
    """The number that every element of a state starts with; None where they differ."""
    data = buffer.data
    if data is None or not data.size or not (data == data[0]).all():
        return None
    return float(data[0])


def _weights(
    training: Training, states: Mapping[str, Buffer], entries: Sequence[Mapping[str, Any]]
) -> str:
    lines = []
    for entry in entries:
        name = entry["name"]
        text = literal(entry)[:-1]
        if name in states:
            lines.append(f"{text}, values: {states[name].name} }}")
        else:  # no layer uses it
            constant = constant_entry(name, np.asarray(training.weights[name]))
            lines.append(f"{text}, constant: {literal(constant)} }}")
    return "[\n    " + ",\n    ".join(lines) + "\n  ]"
