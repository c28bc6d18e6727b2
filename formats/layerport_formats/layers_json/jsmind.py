"""js-mind's own form: a list of fully connected layers, each ``{className, properties}``.

`activationFn`, not `className`, decides the forward pass; `w` is (outputs, inputs), `b`
(outputs, 1). Dropout sits on a layer's own input: see `JsMindDense`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from layerport.format import ReadContext, WriteContext

if TYPE_CHECKING:
    from layerport.layer import Layer
    from layerport.network import Network
    from layerport.op import NDArray

CLASSES = {
    "SigmoidLayer": "sigmoid",
    "ReLULayer": "relu",
    "SoftmaxLayer": "softmax",
    "FullyConnectedLayer": "sigmoid",
}
"""className -> the activation that it has where activationFn is missing."""

CLASS_OF = {"sigmoid": "SigmoidLayer", "relu": "ReLULayer", "softmax": "SoftmaxLayer"}
KEPT = ("pDropout", "activationFn", "w", "b")
TRANSIENT = ("input", "output", "yOut", "inputDropout", "outputDropout", "nb", "nw")
TRAINING_DATA = ("input", "inputDropout")


# Reading --------------------------------------------------------------------------------


def read(data: list[Any], context: ReadContext) -> Network:
    """The network of js-mind's list of layers; all problems are named at once."""
    from layerport.connections import Input
    from layerport.sequential import Sequential

    if not data:
        context.fail("it is an empty list, no network")
    if len(data) > context.limits.layers:
        context.fail(f"it has {len(data)} layers, more than the limit allows")
    problems: list[str] = []
    read_layers = [_Reading(index, entry, problems) for index, entry in enumerate(data)]
    for before, after in pairwise(read_layers):
        if before.w is not None and after.w is not None and after.w.shape[1] != before.w.shape[0]:
            problems.append(
                f"[{after.index}].properties.w: its shape {after.w.shape} does not take the "
                f"{before.w.shape[0]} outputs of the layer before"
            )
    if problems:
        context.fail("; ".join(problems))
    sizes = [a.nbytes for reading in read_layers for a in (reading.w, reading.b) if a is not None]
    if max(sizes) > context.limits.tensor_bytes or sum(sizes) > context.limits.total_bytes:
        context.fail("its weights have more bytes than the limits allow")
    layers = [reading.layer() for reading in read_layers]
    first = read_layers[0].w
    assert first is not None
    network = Sequential([Input((first.shape[1],), dtype="float64"), *layers], dtype="float64")
    for layer, reading in zip(layers, read_layers, strict=True):
        reading.fill(layer)
    _report_state(read_layers, context)
    return network


class _Reading:
    """One entry of the list, checked."""

    def __init__(self, index: int, entry: Any, problems: list[str]) -> None:
        self.index = index
        self.w: NDArray | None = None
        self.b: NDArray | None = None
        self._problems = problems
        properties = entry.get("properties") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(properties, dict):
            self._problem("", "it is no layer with className and properties")
            return
        self.class_name = entry.get("className")
        if not isinstance(self.class_name, str) or self.class_name not in CLASSES:
            self._problem(".className", f"{self.class_name!r} is none of {', '.join(CLASSES)}")
            return
        self.activation = properties.get("activationFn", CLASSES[self.class_name])
        if self.activation not in CLASS_OF:
            known = ", ".join(CLASS_OF)
            self._problem(".activationFn", f"the activation {self.activation!r} is none of {known}")
        self.p = properties.get("pDropout", 0)
        if type(self.p) not in (int, float) or not 0 <= self.p < 1:
            self._problem(".pDropout", f"pDropout is {self.p!r}, not a number from 0 to below 1")
        self.w = self._matrix(properties.get("w"), "w")
        self.b = self._matrix(properties.get("b"), "b")
        if self.w is not None and self.b is not None and self.b.shape != (self.w.shape[0], 1):
            self._problem(
                ".b", f"its shape is {self.b.shape}, the layer needs {(self.w.shape[0], 1)}"
            )
        self.state = {key: properties[key] for key in properties if key not in KEPT}

    def _problem(self, place: str, text: str) -> None:
        where = f".properties{place}" if place and place != ".className" else place
        self._problems.append(f"[{self.index}]{where}: {text}")

    def _matrix(self, rows: Any, name: str) -> NDArray | None:
        if not isinstance(rows, list) or not rows or not all(isinstance(r, list) for r in rows):
            self._problem(f".{name}", "it is no list of rows")
            return None
        if len({len(row) for row in rows}) > 1 or not rows[0]:
            self._problem(f".{name}", "its rows are ragged or empty: it has no shape")
            return None
        if any(value is None for row in rows for value in row):
            self._problem(
                f".{name}",
                "it holds null, which is how js-mind saves NaN and Infinity: the number is lost "
                "and the weights are not finite",
            )
            return None
        if not all(type(value) in (int, float) for row in rows for value in row):
            self._problem(f".{name}", "it holds something that is no number")
            return None
        return np.array(rows, np.float64)

    def layer(self) -> Layer:
        """The layer: a plain Dense where nothing is js-mind's own."""
        from layerport.registry import default_registry

        layers = default_registry().layers
        assert self.w is not None
        units = self.w.shape[0]
        plain = not self.p and self.class_name == CLASS_OF[self.activation]
        extra = {} if plain else {"p_dropout": self.p, "class_name": self.class_name}
        kind: Any = layers["Dense" if plain else "JsMindDense"]
        made: Layer = kind(units, self.activation, dtype="float64", **extra)
        return made

    def fill(self, layer: Layer) -> None:
        """Put the weights in."""
        assert self.w is not None
        assert self.b is not None
        if type(layer).__name__ == "Dense":
            layer.place("kernel", np.ascontiguousarray(self.w.T))
            layer.place("bias", self.b[:, 0].copy())
        else:
            layer.place("w", self.w)
            layer.place("b", self.b)
        if self.state:
            layer.__dict__["js_mind_state"] = self.state


def _report_state(readings: list[_Reading], context: ReadContext) -> None:
    leaking = [str(r.index) for r in readings if any(r.state.get(key) for key in TRAINING_DATA)]
    if leaking:
        context.note(
            "notice",
            f"privacy: layers {', '.join(leaking)} carry inputs of the last training batch; "
            "saving with layerport leaves them out",
        )
    strange = {key for r in readings for key in r.state if key not in TRANSIENT}
    if strange:
        context.note("notice", f"properties that js-mind does not have: {', '.join(strange)}")


# Writing --------------------------------------------------------------------------------


@dataclasses.dataclass
class Entry:
    """One layer of js-mind's form."""

    class_name: str
    p: float
    activation: str
    w: NDArray
    b: NDArray
    state: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Plan:
    """A network in js-mind's terms.

    Attributes
    ----------
    obstacles : why js-mind cannot hold it, all of them.
    losses : what js-mind's form would not keep (names, labels), though it computes the same.
    """

    entries: list[Entry] = dataclasses.field(default_factory=list)
    obstacles: list[str] = dataclasses.field(default_factory=list)
    losses: list[str] = dataclasses.field(default_factory=list)


def plan(network: Network) -> Plan:
    """What of a network js-mind can hold."""
    from layerport.sequential import Sequential

    made = Plan()
    if not isinstance(network, Sequential) or not network.calls:
        made.obstacles.append("js-mind holds chains of layers with a known input shape only")
        return made
    if len(network.inputs[0].shape) != 2:
        made.obstacles.append(f"js-mind's inputs are vectors, not {network.inputs[0].shape[1:]}")
    for pair in _pairs(network, made):
        _plan_layer(pair, made)
    _plan_names(network, made)
    if network.labels is not None:
        made.losses.append("the labels")
    return made


def _pairs(network: Network, made: Plan) -> Iterator[tuple[Layer | None, Layer]]:
    """(Dropout or None, Dense) for each layer of js-mind."""
    waiting: Layer | None = None
    for layer in network.layers:
        if type(layer).__name__ == "Dropout" and waiting is None:
            waiting = layer
        elif type(layer).__name__ in ("Dense", "JsMindDense"):
            yield waiting, layer
            waiting = None
        else:
            made.obstacles.append(f"{layer.name}: js-mind has no layer {type(layer).__name__}")
    if waiting is not None:
        made.obstacles.append(f"{waiting.name}: js-mind has no dropout after the last layer")


def _plan_layer(pair: tuple[Layer | None, Layer], made: Plan) -> None:
    dropout, layer = pair
    activation: Any = layer.activation
    if activation not in CLASS_OF:
        made.obstacles.append(f"{layer.name}: js-mind has no activation {activation!r}")
        return
    weights = layer.own_weights
    if not all(np.isfinite(array).all() for array in weights.values()):
        made.obstacles.append(f"{layer.name}: js-mind's numbers are finite, its weights are not")
        return
    if type(layer).__name__ == "JsMindDense":
        if dropout is not None:
            made.obstacles.append(f"{dropout.name}: js-mind has one dropout before a layer")
        made.entries.append(
            Entry(layer.class_name, layer.p_dropout, activation, weights["w"], weights["b"],
                  getattr(layer, "js_mind_state", {}))
        )  # fmt: skip
        return
    p = 0.0 if dropout is None else float(dropout.rate)
    if dropout is not None and getattr(dropout, "noise_shape", None) is not None:
        made.obstacles.append(f"{dropout.name}: js-mind's dropout has no noise_shape")
    if dropout is not None and dropout.name != f"{layer.name}_dropout":
        made.losses.append(f"the name of {dropout.name}")
    w = weights["kernel"].astype(np.float64).T / (1 - p)
    bias = weights.get("bias", np.zeros(w.shape[0]))
    b = bias.astype(np.float64).reshape(-1, 1)
    state = getattr(layer, "js_mind_state", {})
    made.entries.append(Entry(CLASS_OF[activation], p, activation, w, b, state))


def _plan_names(network: Network, made: Plan) -> None:
    """Names that reading the file back would not give."""
    dense = [layer for layer in network.layers if type(layer).__name__ != "Dropout"]
    if len(dense) != len(made.entries):
        return
    expected = _automatic_names(made.entries)
    other = [layer.name for layer, name in zip(dense, expected, strict=True) if layer.name != name]
    if other:
        made.losses.append(f"the names {', '.join(other)}")
    if network.inputs[0].name != "input":
        made.losses.append(f"the name of the input {network.inputs[0].name}")
    frozen = [layer.name for layer in network.layers if not layer.trainable]
    if frozen:
        made.losses.append(f"that {', '.join(frozen)} is frozen")


def _automatic_names(entries: list[Entry]) -> list[str]:
    """The names that a network gives to the layers that `read` makes of these entries."""
    from layerport.layer import snake_case

    counts: dict[str, int] = {}
    names = []
    for entry in entries:
        plain = not entry.p and entry.class_name == CLASS_OF[entry.activation]
        base = snake_case("Dense" if plain else "JsMindDense")
        count = counts.get(base, 0)
        counts[base] = count + 1
        names.append(f"{base}_{count}" if count else base)
    return names


def write(made: Plan, context: WriteContext) -> list[dict[str, Any]]:
    """The list of layers, in js-mind's order of properties."""
    for loss in made.losses:
        context.note("dropped", f"{loss}: js-mind's form has no place for it")
    keep = context.options.get("state") == "keep"
    dropped = sorted({key for entry in made.entries for key in entry.state})
    if dropped and not keep:
        context.note(
            "dropped",
            f"js-mind's transient state ({', '.join(dropped)}), which holds training data; "
            "--option state=keep keeps it",
        )
    return [
        {
            "className": entry.class_name,
            "properties": {
                "pDropout": _number(entry.p),
                "activationFn": entry.activation,
                "w": [[_number(v) for v in row] for row in entry.w.tolist()],
                "b": [[_number(v) for v in row] for row in entry.b.tolist()],
                **(entry.state if keep else {}),
            },
        }
        for entry in made.entries
    ]


def _number(value: float) -> float | int:
    """A number as JavaScript writes it: 1, not 1.0."""
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else value
