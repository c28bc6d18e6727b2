"""What `compile` settles: optimizer, losses and metrics, and which output each belongs to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from layerport.errors import TrainingError
from layerport.registry import Registry
from layerport.train.component import find, resolve
from layerport.train.loss import FunctionLoss, Loss
from layerport.train.metric import FunctionMetric, LossMetric, Metric
from layerport.train.optimizer import Optimizer

if TYPE_CHECKING:
    from layerport.network import Network


@dataclasses.dataclass(frozen=True)
class Head:
    """An output of the network with what is measured there.

    Attributes
    ----------
    output : its name.
    loss : what is minimised there, or None.
    loss_weight : the loss's share in the total.
    loss_key : what the loss is called in results; "" where it is the total.
    metrics : what each metric is called in results, and the metric.
    """

    output: str
    loss: Loss | None
    loss_weight: float
    loss_key: str
    metrics: tuple[tuple[str, Metric], ...]

    @property
    def is_used(self) -> bool:
        """Whether targets are needed here."""
        return self.loss is not None or bool(self.metrics)


@dataclasses.dataclass(frozen=True, eq=False)
class Compiled:
    """Arguments of `compile`, with components in the place of names."""

    optimizer: Optimizer
    loss: Any
    metrics: Any
    loss_weights: Any

    @staticmethod
    def of(optimizer: Any, loss: Any, metrics: Any, loss_weights: Any,
           registry: Registry) -> Compiled:  # fmt: skip
        """Look every name up.

        Raises
        ------
        LayerportError : naming what is not known.
        """
        return Compiled(
            resolve("optimizers", optimizer, Optimizer, registry),
            _mapped(lambda given: as_loss(given, registry), loss),
            _mapped(lambda given: as_metric(given, registry), metrics),
            loss_weights,
        )

    def heads(self, network: Network) -> list[Head]:
        """Losses and metrics for each output of a network.

        Raises
        ------
        TrainingError : when they do not fit the outputs.
        """
        names = [port.name for port in network.outputs]
        losses = _spread("loss", self.loss, names)
        weights = _spread("loss_weights", self.loss_weights, names)
        alone = len(names) == 1
        return [
            Head(
                output=name,
                loss=losses.get(name),
                loss_weight=1.0 if weights.get(name) is None else float(weights[name]),
                loss_key="" if alone else f"{name}_loss",
                metrics=tuple(_keyed(found, "" if alone else f"{name}_")),
            )
            for name, found in _metrics_of(self.metrics, names).items()
        ]


def as_loss(given: Any, registry: Registry) -> Loss | None:
    """The loss that a name, config, function or instance means; None for None."""
    if given is None:
        return None
    if callable(given) and not isinstance(given, (Loss, type)):
        return FunctionLoss(given)
    return resolve("losses", given, Loss, registry)


def as_metric(given: Any, registry: Registry) -> tuple[str, Metric]:
    """The metric that a name (of a metric or loss), config, function or instance means.

    The name under which results show it is the one that was given.
    """
    if isinstance(given, Loss):
        return given.label, LossMetric(given)
    if callable(given) and not isinstance(given, (Metric, type)):
        metric: Metric = FunctionMetric(given)
        return metric.label, metric
    if isinstance(given, str) and find("metrics", given, registry) is None:
        cls = find("losses", given, registry)
        if cls is not None:
            return given, LossMetric(resolve("losses", cls, Loss, registry))
    metric = resolve("metrics", given, Metric, registry)
    return given if isinstance(given, str) else metric.label, metric


def _mapped(function: Callable[[Any], Any], given: Any) -> Any:
    """The same nesting of dicts and lists with `function` of each leaf that is not None."""
    if isinstance(given, Mapping) and "class_name" not in given:
        return {key: _mapped(function, item) for key, item in given.items()}
    if isinstance(given, (list, tuple)):
        return [_mapped(function, item) for item in given]
    return None if given is None else function(given)


def _spread(what: str, given: Any, names: Sequence[str]) -> dict[str, Any]:
    """One entry an output, from a dict by name, a list in order, or one for all."""
    if isinstance(given, Mapping):
        _refuse_unknown(what, given, names)
        return dict(given)
    if isinstance(given, list):
        if len(given) != len(names):
            raise TrainingError(
                f"{what} has {len(given)} entries; the network has the outputs {', '.join(names)}"
            )
        return dict(zip(names, given, strict=True))
    return dict.fromkeys(names, given)


def _metrics_of(given: Any, names: Sequence[str]) -> dict[str, list[tuple[str, Metric]]]:
    if isinstance(given, Mapping):
        _refuse_unknown("metrics", given, names)
        return {name: _listed(given.get(name)) for name in names}
    entries = [] if given is None else given if isinstance(given, list) else [given]
    if len(names) > 1 and any(isinstance(entry, list) or entry is None for entry in entries):
        found = _spread("metrics", entries, names)
        return {name: _listed(found[name]) for name in names}
    return {name: _listed(entries) for name in names}


def _listed(given: Any) -> list[tuple[str, Metric]]:
    if given is None:
        return []
    if not isinstance(given, list):
        return [given]
    return [leaf for item in given for leaf in _listed(item)]


def _keyed(metrics: Sequence[tuple[str, Metric]], prefix: str) -> list[tuple[str, Metric]]:
    keyed: dict[str, Metric] = {}
    for name, metric in metrics:
        key = f"{prefix}{name}"
        if key in keyed or key == "loss":
            raise TrainingError(f"two results are called {key!r}; leave one of the metrics out")
        keyed[key] = metric
    return list(keyed.items())


def _refuse_unknown(what: str, given: Mapping[str, Any], names: Sequence[str]) -> None:
    unknown = [str(key) for key in given if key not in names]
    if unknown:
        raise TrainingError(
            f"{what} names {', '.join(unknown)}; the outputs are {', '.join(names)}"
        )
