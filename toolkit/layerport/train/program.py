"""A graph together with the arrays of the layers that it works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layerport.graph import Graph
from layerport.layer import Layer
from layerport.numpy_engine.profile import Work
from layerport.numpy_engine.step import compile_step
from layerport.op import NDArray
from layerport.recording import Recording


class Program:
    """A compiled graph that reads, and updates, weights where the layers keep them.

    Parameters
    ----------
    graph : what to run.
    recording : says which layer has which parameter of the graph.
    arrays : arrays of the parameters that are no layer's weight.
    """

    def __init__(
        self, graph: Graph, recording: Recording, arrays: Mapping[str, NDArray] | None = None
    ) -> None:
        self.graph = graph
        self._threads = 1
        known = arrays or {}
        names = [value.name for value in graph.parameters]
        self._own = {name: known[name] for name in names if name in known}
        self._borrowed: dict[str, tuple[Layer, str]] = {
            name: recording.parameters[name] for name in names if name not in known
        }
        self._compile()

    def _compile(self) -> None:
        self.borrowed = {
            name: layer.own_weights[weight] for name, (layer, weight) in self._borrowed.items()
        }
        arrays = {**self._own, **self.borrowed}
        self._step = compile_step(self.graph, arrays, threads=self._threads)
        self._shapes: tuple[tuple[int, ...], ...] = ()

    def refresh(self) -> None:
        """Look where the layers keep their weights now: they may have been given other arrays."""
        for name, (layer, weight) in self._borrowed.items():
            if layer.own_weights[weight] is not self.borrowed[name]:
                self._compile()
                return

    def use_threads(self, threads: int) -> None:
        """Let so many threads share a batch from now on."""
        if threads != self._threads:
            self._threads = threads
            self._compile()

    def works(self, feeds: Mapping[str, NDArray]) -> Sequence[Work]:
        """What a run consists of, for a profile."""
        return self._step.plan_for(feeds).works(feeds)

    def run(self, feeds: Mapping[str, NDArray]) -> list[float]:
        """Run it; the graph's outputs must be single numbers."""
        shapes = tuple([array.shape for array in feeds.values()])
        if shapes != self._shapes:
            self._plan = self._step.plan_for(feeds)
            self._shapes = shapes
        return [float(value) for value in self._plan.run(feeds, copy=False)]
