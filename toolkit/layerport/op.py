"""What a tensor operator is: one frozen dataclass that knows its own rules.

An instance is an operator together with its attributes, `Conv(strides=(2, 2))`. Names and
semantics are ONNX's (the newest opset that the project states), with one difference: what decides
a shape (`Reshape`'s shape, `Slice`'s starts, `ReduceSum`'s axes...) is a field, not an operand, so
that shapes are known when the graph is built. `Op.static` tells the ONNX reader and writer which
operand a field is. Fields may hold symbolic extents.

To add an operator, write one class in the file of its family: shape rule (`infer`), NumPy kernel
(`evaluate`), derivative (`gradient`), loop nest (`loops` or, element by element, `scalar`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from layerport.dim import Extent, Shape, bind
from layerport.errors import UnsupportedError

if TYPE_CHECKING:
    from layerport.graph import Builder, Value
    from layerport.loops.nest import NestBuilder
    from layerport.numpy_engine.emit import Emitter

NDArray: TypeAlias = npt.NDArray[Any]
OURS = "layerport"
"""The domain of the operators that ONNX has no name for."""


class TensorType(NamedTuple):
    """Shape and dtype of a value."""

    shape: Shape
    dtype: np.dtype[Any]


@dataclasses.dataclass(frozen=True)
class Op:
    """Base class of the operators. Subclasses are frozen dataclasses; fields are attributes."""

    domain: ClassVar[str] = ""
    """"" for ONNX's own operators, `OURS` for ours, which live in training graphs only."""

    static: ClassVar[Mapping[int, str]] = {}
    """ONNX operands that are fields here: position among ONNX's operands -> field."""

    deterministic: ClassVar[bool] = True
    """False keeps two equal nodes from being merged or folded."""

    @property
    def name(self) -> str:
        """The operator's ONNX name."""
        return type(self).__name__

    # The rules --------------------------------------------------------------------------
    # Subclasses give the operands names: infer(self, x, w, b=None) -> ...

    def infer(self, *args: Any, **kwargs: Any) -> Sequence[TensorType]:
        """Shapes and dtypes of the outputs, from Values (an absent operand is None).

        Raises
        ------
        ShapeError : when the operands do not fit.
        """
        raise UnsupportedError(f"{self.name} has no shape rule")

    def evaluate(self, *args: Any, **kwargs: Any) -> NDArray | tuple[NDArray, ...]:
        """The plain NumPy kernel: allocates its results. Reference for everything else."""
        raise UnsupportedError(f"{self.name} has no NumPy kernel")

    def gradient(self, *args: Any, **kwargs: Any) -> Sequence[Any]:
        """One gradient an operand (None: nothing flows there), in NumPy on Tensors.

        Called as ``gradient(dy, y, *operands)``: dy is the gradient of the output y. With several
        outputs both are tuples, and dy holds None where nothing depends on an output. Gradients
        of `elementwise` operators are summed down to the operand's shape by the caller.
        """
        raise UnsupportedError(
            f"{self.name} has no gradient, so nothing before it can be trained",
            hint="freeze the layers before it (trainable=False), or replace the operator",
        )

    def traced(self) -> Op | None:
        """The same operator with further results behind its own, which its gradient reads.

        None where the gradient needs nothing but operands and results.
        """
        return None

    def simplify(self, build: Builder, *args: Any) -> Value | Sequence[Value] | None:
        """An equal, simpler value (built with `build`) for these operands, or None."""
        return None

    # NumPy engine -----------------------------------------------------------------------

    elementwise: ClassVar[bool] = False
    """Whether every output element depends on the operands' elements at the same place only."""

    def view(self, array: NDArray) -> NDArray | None:
        """The output as a view of the first input, or None where a copy is needed."""
        return None

    def memory_order(
        self, inputs: Sequence[NDArray | None], shape: tuple[int, ...]
    ) -> tuple[int, ...]:
        """In which order the axes of a result of this shape lie in memory, the outermost first.

        By default as those of an operand: of the same shape, or of the same rank above 2.
        """
        from layerport.numpy_engine.arrays import order_like

        return order_like(inputs, shape, alike=not self.elementwise and len(shape) > 2)

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        """Record the NumPy calls that compute into `outputs` (preallocated views).

        The default calls `evaluate` and copies; hot operators override it.
        """
        emitter.evaluate(self, inputs, outputs)

    # Loops ------------------------------------------------------------------------------

    def loops(self, nest: NestBuilder) -> None:
        """Write the naive loop nest; the target's schedule does the rest."""
        raise UnsupportedError(f"{self.name} has no loop nest, so no code can be printed for it")

    channels_last: ClassVar[bool] = False
    """Whether results lie in memory with axis 1 innermost: convolutions and poolings."""

    def decompose(self, build: Builder, *args: Any) -> Value | None:
        """An equal value of operators with simpler nests, built with `build`; None if it is simple.

        Padding becomes a Pad, for example, so that no nest but Pad's own knows of it.
        """
        return None

    def window(self, output: NDArray, operand: int, *inputs: NDArray) -> NDArray | None:
        """The part of the output that is a copy of an operand, as a view; None where there is none.

        For operators that only lay their operands down (Concat, Pad): operands are then computed
        where they end up. `inputs` have the operands' shapes; neither array may be read.
        """
        return None

    @property
    def absorbs(self) -> int:
        """How many elements of its first operand make one output element, each used just once.

        The operand may then be computed inside the nest (a convolution inside the pooling that
        follows). 0 where elements are used more than once.
        """
        return 0

    # ------------------------------------------------------------------------------------

    def channel_axis(self, position: int, rank: int) -> int | None:
        """The axis of an operand with weights along which output channels lie; else None.

        Weights that are stored with fewer bits have one scale for each output channel.
        """
        return None

    def bind(self, sizes: Mapping[str, Extent]) -> Op:
        """The same operator with values in place of named extents."""
        changed = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            bound = bind(value, sizes)
            if bound is not value:
                changed[field.name] = bound
        return dataclasses.replace(self, **changed) if changed else self

    @property
    def attributes(self) -> dict[str, Any]:
        """The fields as a dict."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __call__(self, *inputs: Any) -> Any:
        """Apply to Tensors (records) or to arrays (computes): see `apply`."""
        return apply(self, *inputs)


def apply(op: Op, *inputs: Any) -> Any:
    """Record `op` where an input is symbolic, compute it where all are arrays.

    Returns one Tensor or array, or a tuple of them where the operator has several outputs.
    """
    for thing in inputs:
        record = getattr(thing, "record", None)
        if record is not None:
            return record(op, *inputs)
    return op.evaluate(*[None if x is None else np.asarray(x) for x in inputs])
