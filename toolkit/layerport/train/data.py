"""Training data as batches: arrays in memory or on disk, and streams of batches."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from layerport.connections import by_name
from layerport.dim import Shape
from layerport.errors import DataError, ShapeError, TrainingError
from layerport.op import NDArray
from layerport.train.arguments import whole_number
from layerport.train.columns import Column, as_array
from layerport.train.compiled import Head
from layerport.train.supervision import (
    class_table,
    supervise,
    targets_of,
    weigh_classes,
    weights_of,
)

if TYPE_CHECKING:
    from layerport.network import Network

Feeds: TypeAlias = "dict[str, NDArray]"
"""Arrays by the names of a graph's inputs."""

_END = object()


@dataclasses.dataclass(frozen=True)
class Source:
    """What a user gives to learn from, as it was given.

    Parameters
    ----------
    x, y, sample_weight, class_weight, batch_size : as for `fit`.
    steps : how many batches of a stream make an epoch; None takes all.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None
    class_weight: Mapping[Any, float] | None = None
    batch_size: int = 32
    steps: int | None = None

    def __post_init__(self) -> None:
        whole_number("batch_size", self.batch_size, 1)
        if self.steps is not None:
            whole_number("steps_per_epoch", self.steps, 1)

    @property
    def weighs(self) -> bool:
        """Whether samples are weighted."""
        return self.sample_weight is not None or self.class_weight is not None

    @property
    def is_stream(self) -> bool:
        """Whether x yields batches, rather than being arrays."""
        x = self.x
        if isinstance(x, (list, tuple, Mapping, str, bytes)) or hasattr(x, "shape"):
            return False
        return hasattr(x, "__iter__") or hasattr(x, "__next__") or callable(x)


@dataclasses.dataclass(frozen=True)
class Order:
    """In which order an epoch goes through the samples.

    Parameters
    ----------
    shuffle : True; False; or "batch", which keeps neighbours together: fast for arrays on disk.
    seed, epoch : what the order depends on, so that training can resume at any epoch.
    """

    shuffle: bool | str = False
    seed: int = 0
    epoch: int = 0

    def __post_init__(self) -> None:
        whole_number("seed", self.seed, 0)
        if self.shuffle not in (True, False, "batch"):
            raise TrainingError(f"shuffle must be True, False or 'batch', not {self.shuffle!r}")

    def batches(self, count: int, size: int) -> Iterator[slice | NDArray]:
        """The rows of each batch of `count` samples."""
        starts = np.arange(0, count, size)
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.shuffle is True:
            rows = rng.permutation(count)
            for start in starts:
                yield rows[start : start + size]
            return
        if self.shuffle == "batch":
            rng.shuffle(starts)
        for first in starts.tolist():
            yield slice(first, min(first + size, count))


class ArrayBatches:
    """Batches of arrays, memory-mapped arrays and data sets on disk, tied to a network.

    Attributes
    ----------
    network, heads, shapes : the network, what is measured at its outputs, and their shapes.
    supervision : how each output is taught.
    samples, steps : the number of samples and batches of an epoch.
    """

    def __init__(
        self, network: Network, heads: Callable[[], Sequence[Head]], source: Source
    ) -> None:
        if source.steps is not None:
            raise TrainingError("steps_per_epoch is for streams of batches, not for arrays")
        self.network = network
        inputs = _inputs(network, source.x)
        self.heads = heads()
        targets = {
            name: as_array(array, f"target {name!r}")
            for name, array in targets_of(self.heads, source.y).items()
        }
        weights = _weights(self.heads, source, targets)
        self.samples = _common_length(inputs, targets, weights)
        self.batch_size = source.batch_size
        _check_batch_size(network, self.samples, source.batch_size)
        shapes = {name: array.shape[1:] for name, array in weights.items()}
        self.supervision = supervise(network, self.heads, targets, shapes)
        dtypes = {port.name: port.dtype for port in network.inputs}
        self._arrays: list[tuple[str, Any, Any]] = [
            (name, array, dtypes[name]) for name, array in inputs.items()
        ]
        for name, taught in self.supervision.items():
            self._arrays.append((f"target/{name}", targets[name], taught.target.dtype))
        for name, array in weights.items():
            self._arrays.append((f"sample_weight/{name}", array, network.dtype))
        self.shapes = _output_shapes(network)
        self._first = 0
        self._columns = self._columns_of()
        self._late = self._check()

    def _columns_of(self) -> dict[str, Column]:
        return {
            name: Column(name, array, dtype, self._first, self.samples)
            for name, array, dtype in self._arrays
        }

    def _check(self) -> list[tuple[str, Head]]:
        """Look through the targets; returns those that are to be checked batch by batch."""
        late = []
        for head in self.heads:
            column = self._columns.get(f"target/{head.output}")
            if column is None or head.loss is None:
                continue
            if not column.is_small:
                late.append((column.name, head))
                continue
            for start, rows in column.blocks():
                check_targets(head, rows, self.shapes[head.output], start)
        return late

    @property
    def steps(self) -> int:
        """The number of batches of an epoch."""
        return -(-self.samples // self.batch_size)

    def split(self, fraction: float) -> tuple[ArrayBatches, ArrayBatches]:
        """All but the last samples, and the last ones.

        Raises
        ------
        DataError : when one of the two parts would be empty.
        """
        if not 0 < fraction < 1:
            raise TrainingError(f"validation_split must lie between 0 and 1, not {fraction!r}")
        cut = int(self.samples * (1 - fraction))
        if not 0 < cut < self.samples:
            raise DataError(
                f"validation_split={fraction} of {self.samples} samples leaves one part empty"
            )
        return self._part(0, cut), self._part(cut, self.samples)

    def _part(self, start: int, stop: int) -> ArrayBatches:
        part = object.__new__(ArrayBatches)
        part.__dict__.update(self.__dict__)
        part.samples, part._first = stop - start, self._first + start
        part._columns = part._columns_of()
        return part

    def epoch(self, order: Order) -> Iterator[tuple[Feeds, int]]:
        """The batches of one epoch, each with its number of samples.

        The arrays of a batch may be overwritten when the next one is asked for.
        """
        for rows in order.batches(self.samples, self.batch_size):
            if isinstance(rows, slice):
                size = rows.stop - rows.start
                feeds = {n: c.slice(rows.start, rows.stop) for n, c in self._columns.items()}
            else:
                size = len(rows)
                feeds = {name: column.take(rows) for name, column in self._columns.items()}
            for name, head in self._late:
                check_targets(head, feeds[name], self.shapes[head.output], None)
            yield feeds, size


class StreamBatches:
    """Batches from a generator, an iterable or a function that returns one, tied to a network.

    Each item is ``x``, ``(x, y)`` or ``(x, y, sample_weight)`` of one batch.

    Attributes
    ----------
    supervision : how each output is taught.
    samples : None: nobody knows.
    steps : batches of an epoch, or None for all that come.
    """

    samples: int | None = None

    def __init__(
        self, network: Network, heads: Callable[[], Sequence[Head]], source: Source
    ) -> None:
        if source.y is not None or source.sample_weight is not None:
            raise DataError("x yields batches, so targets and weights come with them: (x, y)")
        self._source = source
        self._network = network
        self.steps = source.steps
        self._stream = self._open()
        first = next(self._stream, _END)
        if first is _END:
            raise DataError("x yields no batch at all")
        self._stream = itertools.chain([first], self._stream)
        x, _, _ = _parts(first)
        _inputs(network, x)
        self._heads = heads()
        self._shapes = _output_shapes(network)
        _, targets, weights = self._read(first)
        shapes = {name: array.shape[1:] for name, array in weights.items()}
        self.supervision = supervise(network, self._heads, targets, shapes)

    def require_restart(self) -> None:
        """Raise `DataError` when the stream cannot be gone through for several epochs."""
        if self.steps is None and self._source.x is self._opened:
            raise DataError(
                "a generator can be gone through only once: for several epochs give "
                "steps_per_epoch (or validation_steps), or something that can be gone through "
                "again: a list, or a function that returns a generator"
            )

    def _open(self) -> Iterator[Any]:
        x = self._source.x
        made = x() if callable(x) and not hasattr(x, "__iter__") else x
        self._opened: Iterator[Any] = iter(made)
        return self._opened

    def _items(self) -> Iterator[Any]:
        for done in itertools.count():
            if done == self.steps:
                return
            item = next(self._stream, _END)
            if item is _END:
                self._stream = self._open()
                if done and self.steps is None:
                    return
                item = next(self._stream, _END)
            if item is _END:
                raise DataError(
                    f"the stream of batches ended after {done} batches of this epoch; give "
                    "steps_per_epoch as many as there are, or something that can be gone through "
                    "again: a list, or a function that returns a generator"
                )
            yield item

    def _read(self, item: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        x, y, weights = _parts(item)
        inputs = _inputs(self._network, x)
        targets = {
            name: as_array(array, f"target {name!r}")
            for name, array in targets_of(self._heads, y).items()
        }
        source = dataclasses.replace(self._source, sample_weight=weights)
        found = _weights(self._heads, source, targets)
        _common_length(inputs, targets, found)
        return inputs, targets, found

    def epoch(self, order: Order) -> Iterator[tuple[Feeds, int]]:
        """The batches of one epoch, each with its number of samples; the order is the stream's."""
        dtypes = {port.name: port.dtype for port in self._network.inputs}
        for item in self._items():
            inputs, targets, weights = self._read(item)
            for head in self._heads:
                if head.output in targets and head.loss is not None:
                    shape = self._shapes[head.output]
                    check_targets(head, targets[head.output], shape, None)
            feeds = {name: np.asarray(array, dtypes[name]) for name, array in inputs.items()}
            for name, taught in self.supervision.items():
                feeds[f"target/{name}"] = np.asarray(targets[name], taught.target.dtype)
                if taught.weight is not None:
                    given = weights.get(name)
                    ones = np.ones(targets[name].shape[: 1 + len(taught.weight)])
                    array = ones if given is None else given
                    feeds[f"sample_weight/{name}"] = np.asarray(array, self._network.dtype)
            yield feeds, len(next(iter(feeds.values())))


class Repeat:
    """Feeds of batches like one that has been tied before, without tying them.

    For online learning, where a step is short: the batch is checked by its shapes and labels only.
    """

    def __init__(
        self, source: Source, data: ArrayBatches | StreamBatches, compiled: object
    ) -> None:
        self.supervision = data.supervision
        self._compiled = compiled
        self._like = _likeness(source)
        self._data = data
        if len(self.supervision) != 1 or not isinstance(data, ArrayBatches) or (
            len(data.network.inputs) != 1 or source.weighs
        ):  # fmt: skip
            self._like = None
            return
        ((name, taught),) = self.supervision.items()
        port = data.network.inputs[0]
        self._input, self._input_dtype = port.name, np.dtype(port.dtype)
        self._target, self._target_dtype = f"target/{name}", taught.target.dtype
        self._head = next(head for head in data.heads if head.output == name)
        self._shape = data.shapes[name]

    def feeds(self, source: Source, compiled: object) -> Feeds | None:
        """The feeds; None where the batch is not like the one before."""
        if self._like is None or compiled is not self._compiled or (
            _likeness(source) != self._like
        ):  # fmt: skip
            return None
        check_targets(self._head, source.y, self._shape, None)
        return {
            self._input: np.asarray(source.x, self._input_dtype),
            self._target: np.asarray(source.y, self._target_dtype),
        }


def _likeness(source: Source) -> tuple[Any, ...] | None:
    """What two batches must have in common to be fed alike; None where that is not simple."""
    x, y = source.x, source.y
    if type(x) is not np.ndarray or type(y) is not np.ndarray or source.weighs:
        return None
    return (x.shape, x.dtype, y.shape, y.dtype) if len(x) else None


def tie(
    network: Network, heads: Callable[[], Sequence[Head]], source: Source
) -> ArrayBatches | StreamBatches:
    """Tie data to a network, which takes its input shape from them if it has none.

    Parameters
    ----------
    heads : called when the outputs are known.

    Raises
    ------
    DataError, ShapeError : naming what is wrong: shapes, numbers of samples, dtypes, labels.
    """
    kind = StreamBatches if source.is_stream else ArrayBatches
    return kind(network, heads, source)


def _parts(item: Any) -> tuple[Any, Any, Any]:
    if not isinstance(item, (tuple, list)):
        return item, None, None
    if not 1 <= len(item) <= 3:
        raise DataError(f"a batch is x, (x, y) or (x, y, sample_weight), not {len(item)} things")
    x, y, weights = (*item, None, None)[:3]
    return x, y, weights


def _inputs(network: Network, x: Any) -> dict[str, Any]:
    """The arrays for each input, checked against its shape."""
    if x is None:
        raise DataError("there are no data: x is None")
    if not network.calls:
        only = next(iter(x.values()), None) if isinstance(x, Mapping) else x
        array = as_array(only, "x")
        _common_length({"x": array}, {}, {})
        network._shape_from(np.asarray(array[:1]))
    named = by_name(x, [port.name for port in network.inputs])
    found = {}
    for port in network.inputs:
        array = as_array(named[port.name], f"input {port.name!r}")
        want, got = port.shape[1:], tuple(array.shape[1:])
        if len(want) != len(got) or any(w not in (None, g) for w, g in zip(want, got, strict=True)):
            raise ShapeError(
                f"input {port.name!r}: the shape {tuple(array.shape)} does not fit {port.shape}"
            )
        found[port.name] = array
    return found


def _weights(
    heads: Sequence[Head], source: Source, targets: Mapping[str, Any]
) -> dict[str, NDArray]:
    """The weights of samples for each output, those of classes included."""
    found = {}
    for name, given in weights_of(heads, source.sample_weight).items():
        array = np.asarray(as_array(given, f"sample_weight of {name!r}"), np.float64)
        if not np.isfinite(array).all():
            raise DataError(f"sample_weight of {name!r} holds values that are not finite")
        found[name] = array.reshape(-1) if array.shape[1:] == (1,) else array
    if source.class_weight is not None:
        table = class_table(source.class_weight, heads)
        name = next(head.output for head in heads if head.loss is not None)
        weights = weigh_classes(np.asarray(targets[name]), table)
        given = found.get(name)
        if given is not None:
            _common_length({}, {name: weights}, {name: given})
            weights = given * weights.reshape(-1, *[1] * (given.ndim - 1))
        found[name] = weights
    return found


def _common_length(*groups: Mapping[str, Any]) -> int:
    sizes = {}
    for what, group in zip(("input", "target", "weights of"), groups, strict=True):
        sizes.update({f"{what} {name}": len(array) for name, array in group.items()})
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        raise ShapeError(f"the numbers of samples differ ({listed})")
    count = next(iter(sizes.values()), 0)
    if not count:
        raise DataError(f"the data are empty: there is no sample ({', '.join(sizes)})")
    return int(count)


def _check_batch_size(network: Network, samples: int, size: int) -> None:
    for port in network.inputs:
        fixed = port.shape[0] if port.shape else None
        if fixed is not None and (size != fixed or samples % size):
            raise DataError(
                f"input {port.name!r} takes batches of exactly {fixed} samples: give "
                f"batch_size={fixed} and a multiple of it as samples, not {size} and {samples}"
            )


def _output_shapes(network: Network) -> dict[str, Shape]:
    names = [port.name for port in network.outputs]
    return dict(zip(names, (o.shape for o in network.output_outlets), strict=True))


def check_targets(head: Head, rows: NDArray, output: Shape, start: int | None) -> None:
    """Raise `DataError` naming the sample when targets are none that the loss can take."""
    problem = head.loss.check(rows, output) if head.loss is not None else None
    if problem is not None:
        row, reason = problem
        where = f"sample {start + row}" if start is not None else f"sample {row} of a batch"
        raise DataError(f"target {head.output!r}, {where}: {reason}")
