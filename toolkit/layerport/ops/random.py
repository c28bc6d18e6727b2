"""Random numbers that are a pure function of seed, stream, step, sample and element.

Counter-based generation (J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011): nothing is carried from number to number, so they do not depend on how a batch is split,
on threads or on the order of evaluation, and every language computes the same ones.

The algorithm works on unsigned 32-bit integers that wrap around::

    mix(x):       x ^= x >> 16;  x *= 0x7FEB352D;  x ^= x >> 15;  x *= 0x846CA68B;  x ^= x >> 16

    key(g):       h = g
                  for word in (seed, stream, step, sample):  h = mix((h ^ word) + g)

    number:       a = key(0x9E3779B9)                the sample's two keys: 64 bits of state, so
                  b = key(0x7F4A7C15)                that no two samples share their numbers
                  x = a + mix(element + 0x9E3779B9)
                  x ^= x >> 16;  x *= 0x7FEB352D;  x ^= x >> 15
                  x += b
                  x *= 0x846CA68B;  x ^= x >> 16
                  uniform = (x >> 8) / 2 ** 24       in [0, 1), exact in float32

`mix` is Chris Wellons's ``lowbias32`` ("Prospecting for Hash Functions", nullprogram.com, 2018),
the constants of `key` are the halves of the golden ratio's fraction, 0x9E3779B97F4A7C15. `element`
counts the elements of one sample in row-major order. Not for cryptography.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layerport.dim import Shape, static_shape
from layerport.errors import ShapeError
from layerport.loops.functions import bit_xor, cast, right_shift
from layerport.loops.index import dot
from layerport.loops.ir import as_expr
from layerport.loops.views import static_extents, strides_for
from layerport.op import OURS, NDArray, Op, TensorType, apply

if TYPE_CHECKING:
    from layerport.graph import Value
    from layerport.loops.ir import Expr
    from layerport.loops.nest import NestBuilder
    from layerport.numpy_engine.emit import Emitter

FIRST = 0x7FEB352D
SECOND = 0x846CA68B
GOLDEN = (0x9E3779B9, 0x7F4A7C15)
_WRAP = 0xFFFFFFFF


@dataclasses.dataclass(frozen=True)
class RandomUniform(Op):
    """Uniform numbers in [0, 1): see the module for the algorithm.

    The operands are uint32 scalars: the seed of the run, the number of the step, and the number
    of the first sample.

    Parameters
    ----------
    shape : of the result; the first axis counts samples.
    stream : tells apart the users of random numbers within a step.
    dtype : of the result, a float.
    """

    shape: Shape
    stream: int = 0
    dtype: str = "float32"
    domain: ClassVar[str] = OURS

    def infer(self, seed: Value, step: Value, sample: Value) -> Sequence[TensorType]:
        for value in (seed, step, sample):
            if value.ndim or value.dtype != np.uint32:
                raise ShapeError(f"seed, step and sample are uint32 scalars, not {value}")
        if not self.shape:
            raise ShapeError("random numbers need an axis that counts samples")
        return [TensorType(self.shape, np.dtype(self.dtype))]

    def evaluate(self, seed: NDArray, step: NDArray, sample: NDArray) -> NDArray:
        shape = static_shape(self.shape)
        rows, elements = shape[0], math.prod(shape[1:])
        samples = (_counting(rows) + np.uint32(sample)).reshape(rows, 1)
        words = [_word(seed), _word(self.stream & _WRAP), _word(step), samples]
        first, second = (_key(words, golden) for golden in GOLDEN)
        x = first + _mix(_counting(elements) + np.uint32(GOLDEN[0]))
        x ^= x >> 16
        x *= np.uint32(FIRST)
        x ^= x >> 15
        x += second
        x *= np.uint32(SECOND)
        x ^= x >> 16
        uniform = np.multiply(x >> 8, 2.0**-24, dtype=self.dtype)
        return np.asarray(uniform.reshape(shape))

    def emit(self, emitter: Emitter, inputs: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        seed, step, sample = inputs
        (y,) = outputs
        rows, elements = y.shape[0], math.prod(y.shape[1:])
        number = emitter.temp((rows, 1), np.uint32)
        emitter.ufunc(np.add, [emitter.shared(_counting(rows)[:, np.newaxis]), sample], number)
        keys = [emitter.temp((rows, 1), np.uint32) for _ in GOLDEN]
        scratch = emitter.temp((rows, 1), np.uint32)
        start = emitter.temp((len(GOLDEN),), np.uint32)
        emitter.call(_start_keys, seed, self.stream & _WRAP, step, start)
        for place, (key, golden) in enumerate(zip(keys, GOLDEN, strict=True)):
            emitter.ufunc(np.bitwise_xor, [number, start[place : place + 1]], key)
            emitter.ufunc(np.add, [key, emitter.constant(golden, np.uint32)], key)
            _emit_shift(emitter, key, 16, scratch)
            _emit_mix(emitter, key, scratch)
        x, scratch = (emitter.temp((rows, elements), np.uint32) for _ in range(2))
        mixed = emitter.shared(_mix(_counting(elements) + np.uint32(GOLDEN[0])))
        emitter.ufunc(np.add, [keys[0], mixed], x)
        _emit_shift(emitter, x, 16, scratch)
        _emit_mix(emitter, x, scratch, keys[1])
        emitter.ufunc(np.right_shift, [x, emitter.constant(8, np.uint32)], x)
        emitter.copy(y, x.reshape(y.shape))
        emitter.ufunc(np.multiply, [y, emitter.constant(2.0**-24, y.dtype)], y)

    def gradient(self, dy: Any, y: Any, *operands: Any) -> Sequence[Any]:
        return (None,) * len(operands)

    def loops(self, nest: NestBuilder) -> None:
        seed, step, sample = (nest.let(operand[()]) for operand in nest.operands)
        (y,) = nest.outputs
        steps = strides_for(static_extents(y.shape[1:]))
        with nest.loops(y.shape[:1], parallel=True) as (row,):
            number = nest.as_number(row, "u32") + sample
            words = (seed, as_expr(self.stream & _WRAP, "u32"), step, number)
            first, second = (_key_in_loops(nest, words, golden) for golden in GOLDEN)
            with nest.loops(y.shape[1:], parallel=True) as place:
                element = nest.as_number(dot(place, steps), "u32") + GOLDEN[0]
                x = _shifted(nest, first + _mix_in_loops(nest, element), 16) * FIRST
                x = (_shifted(nest, x, 15) + second) * SECOND
                x = _shifted(nest, x, 16)
                y[row, *place] = cast(right_shift(x, 8), "f32") * 2.0**-24


def _counting(length: int) -> NDArray:
    return np.arange(length, dtype=np.uint64).astype(np.uint32)


def _word(number: Any) -> NDArray:
    # One axis, because NumPy warns when scalars wrap around.
    return np.asarray(number, np.uint32).reshape(1)


def _mix(x: NDArray) -> NDArray:
    x = x ^ (x >> 16)
    x = x * np.uint32(FIRST)
    x = x ^ (x >> 15)
    x = x * np.uint32(SECOND)
    return np.asarray(x ^ (x >> 16))


def _start_keys(seed: NDArray, stream: int, step: NDArray, keys: NDArray) -> None:
    """The keys before the sample is mixed in."""
    words = [_word(word) for word in (seed, stream, step)]
    for place, golden in enumerate(GOLDEN):
        keys[place] = _key(words, golden)[0]


def _emit_shift(emitter: Emitter, x: NDArray, bits: int, scratch: NDArray) -> None:
    """``x ^= x >> bits``."""
    emitter.ufunc(np.right_shift, [x, emitter.constant(bits, np.uint32)], scratch)
    emitter.ufunc(np.bitwise_xor, [x, scratch], x)


def _emit_mix(
    emitter: Emitter, x: NDArray, scratch: NDArray, second: NDArray | None = None
) -> None:
    """What follows the first shift of `_mix`, with a second key added in the middle."""
    emitter.ufunc(np.multiply, [x, emitter.constant(FIRST, np.uint32)], x)
    _emit_shift(emitter, x, 15, scratch)
    if second is not None:
        emitter.ufunc(np.add, [x, second], x)
    emitter.ufunc(np.multiply, [x, emitter.constant(SECOND, np.uint32)], x)
    _emit_shift(emitter, x, 16, scratch)


def _key(words: Sequence[NDArray], golden: int) -> NDArray:
    h = _word(golden)
    for word in words:
        h = _mix((h ^ word) + np.uint32(golden))
    return h


def _shifted(nest: NestBuilder, x: Expr, by: int) -> Expr:
    """``x ^ (x >> by)`` in loops."""
    value = nest.let(x)
    return bit_xor(value, right_shift(value, by))


def _mix_in_loops(nest: NestBuilder, x: Expr) -> Expr:
    x = _shifted(nest, x, 16) * FIRST
    x = _shifted(nest, x, 15) * SECOND
    return _shifted(nest, x, 16)


def _key_in_loops(nest: NestBuilder, words: Sequence[Expr], golden: int) -> Expr:
    h = as_expr(golden, "u32")
    for word in words:
        h = _mix_in_loops(nest, bit_xor(h, word) + golden)
    return nest.let(h)


def random_uniform(
    seed: Any, step: Any, sample: Any, *, shape: Shape, stream: int = 0, dtype: str = "float32"
) -> Any:
    """Uniform numbers in [0, 1); see `RandomUniform`."""
    return apply(RandomUniform(shape, stream, dtype), seed, step, sample)


def random_normal(
    seed: Any, step: Any, sample: Any, *, shape: Shape, stream: int = 0, dtype: str = "float32"
) -> Any:
    """Standard normal numbers, from pairs of uniform ones; arguments as for `RandomUniform`.

    G. E. P. Box and M. E. Muller, "A note on the generation of random normal deviates", Annals of
    Mathematical Statistics 29 (1958), 610-611. None is beyond 5.77, as 24 bits go into the radius.
    """
    pairs = (*shape[:1], 2, *shape[1:])
    uniform = random_uniform(seed, step, sample, shape=pairs, stream=stream, dtype=dtype)
    radius = np.sqrt(-2 * np.log(1 - uniform[:, 0]))  # 1 - u is never 0
    return radius * np.cos(2 * math.pi * uniform[:, 1])
