"""Random numbers: the documented algorithm in other languages, and their statistics."""

from __future__ import annotations

import json
import math
import shutil
import subprocess

import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.errors import ShapeError
from layerport.graph import Builder, Value
from layerport.numpy_engine.reference import evaluate
from layerport.tensor import Tensor

JAVASCRIPT = """
const mix = x => {
  x = Math.imul(x ^ x >>> 16, 0x7FEB352D); x = Math.imul(x ^ x >>> 15, 0x846CA68B);
  return x ^ x >>> 16;
};
const key = (words, g) => words.reduce((h, word) => mix((h ^ word) + g | 0), g);
const uniform = (seed, stream, step, sample, element) => {
  const words = [seed, stream, step, sample];
  const a = key(words, 0x9E3779B9), b = key(words, 0x7F4A7C15);
  let x = a + mix(element + 0x9E3779B9 | 0) | 0;
  x = Math.imul(x ^ x >>> 16, 0x7FEB352D); x = (x ^ x >>> 15) + b | 0;
  x = Math.imul(x, 0x846CA68B); x ^= x >>> 16;
  return (x >>> 8) / 2 ** 24;
};
console.log(JSON.stringify(JSON.parse(process.argv[1]).map(row => uniform(...row))));
"""


def uniform(seed, step, sample, shape, stream=0, dtype="float32"):
    words = [np.array(word, np.uint32) for word in (seed, step, sample)]
    return ops.random_uniform(*words, shape=shape, stream=stream, dtype=dtype)


def one(seed, stream, step, sample, element):
    """The algorithm as it is documented, on Python's integers."""

    def wrap(x):
        return x & 0xFFFFFFFF

    def mix(x):
        x ^= x >> 16
        x = wrap(x * 0x7FEB352D)
        x ^= x >> 15
        x = wrap(x * 0x846CA68B)
        return x ^ x >> 16

    def key(g):
        h = g
        for word in (seed, stream, step, sample):
            h = mix(wrap((h ^ word) + g))
        return h

    x = wrap(key(0x9E3779B9) + mix(wrap(element + 0x9E3779B9)))
    x ^= x >> 16
    x = wrap(x * 0x7FEB352D)
    x ^= x >> 15
    x = wrap(x + key(0x7F4A7C15))
    x = wrap(x * 0x846CA68B)
    x ^= x >> 16
    return (x >> 8) / 2**24


CASES = [
    (seed, stream, step, sample, element)
    for seed in (0, 1, 2**32 - 1)
    for stream, step in ((0, 0), (3, 2**31), (2**20, 7))
    for sample, element in ((0, 0), (1, 5), (2**32 - 1, 4))
]


def number(seed, stream, step, sample, element):
    return uniform(seed, step, sample, (1, 3, 2), stream, "float64").reshape(-1)[element]


def test_numbers_are_those_of_the_documented_algorithm():
    with np.errstate(all="raise"):
        found = [number(*case) for case in CASES]
    assert found == [one(*case) for case in CASES]


def test_numbers_are_the_same_in_javascript():
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    run = subprocess.run([node, "-e", JAVASCRIPT, json.dumps(CASES)], capture_output=True)
    assert json.loads(run.stdout) == [number(*case) for case in CASES]


def test_numbers_do_not_depend_on_how_a_batch_is_split():
    whole = uniform(5, 2, 10, (6, 3))
    np.testing.assert_array_equal(whole[:4], uniform(5, 2, 10, (4, 3)))
    np.testing.assert_array_equal(whole[4:], uniform(5, 2, 14, (2, 3)))
    around = uniform(5, 2, 2**32 - 1, (2, 3))
    np.testing.assert_array_equal(around[1], uniform(5, 2, 0, (1, 3))[0])


def test_numbers_of_single_precision_are_exact():
    np.testing.assert_array_equal(uniform(1, 1, 1, (9, 9)), uniform(1, 1, 1, (9, 9), 0, "float64"))
    assert uniform(1, 1, 1, (3, 0)).shape == (3, 0)
    assert uniform(1, 1, 1, (3,)).dtype == np.float32


def correlation(a, b):
    """In standard deviations of what independent numbers give."""
    return float(np.sum((a - 0.5) * (b - 0.5))) * 12 / math.sqrt(a.size)


def excess(cells, count):
    """How far a chi-square statistic is from its mean, in its standard deviations."""
    expected = cells.size / count
    found = np.bincount(cells.reshape(-1), minlength=count)
    statistic = np.sum((found - expected) ** 2) / expected
    return (statistic - (count - 1)) / math.sqrt(2 * (count - 1))


@pytest.mark.parametrize("seed", [0, 1, 20240607])
def test_numbers_are_uniform_and_independent(seed):
    u = uniform(seed, 3, 0, (500, 500), 0, "float64")
    bits = (u * 2**24).astype(np.int64)
    found = {
        "high bits": excess(bits >> 12, 2**12),
        "low bits": excess(bits & 0xFFF, 2**12),
        "pairs of elements": excess((bits[:, :-1] >> 19) * 32 + (bits[:, 1:] >> 19), 2**10),
        "pairs of samples": excess((bits[:-1] >> 19) * 32 + (bits[1:] >> 19), 2**10),
        "elements": correlation(u[:, :-1], u[:, 1:]),
        "samples": correlation(u[:-1], u[1:]),
        "steps": correlation(u, uniform(seed, 4, 0, u.shape, 0, "float64")),
        "streams": correlation(u, uniform(seed, 3, 0, u.shape, 1, "float64")),
        "seeds": correlation(u, uniform(seed + 1, 3, 0, u.shape, 0, "float64")),
    }
    assert {name: z for name, z in found.items() if abs(z) > 4} == {}


def test_one_element_is_random_from_step_to_step():
    u = np.array([uniform(3, step, 0, (4, 1), 0, "float64") for step in range(5000)])
    assert abs(correlation(u[:-1], u[1:])) < 4
    assert abs(excess((u * 64).astype(np.int64), 64)) < 4


def test_normal_numbers_are_normal():
    words = [np.array(word, np.uint32) for word in (1, 2, 3)]
    x = ops.random_normal(*words, shape=(400, 500), dtype="float64").reshape(-1)
    moments = [x.mean(), x.var() - 1, (x**3).mean(), (x**4).mean() - 3]
    deviations = np.sqrt(np.array([1, 2, 15, 96]) / x.size)
    assert np.all(np.abs(moments) < 4 * deviations)
    distribution = (1 + ops.erf(np.sort(x) / math.sqrt(2))) / 2
    distance = np.abs(distribution - np.arange(x.size) / x.size).max()
    assert distance < 2 / math.sqrt(x.size)  # Kolmogorov and Smirnov: once in 1500


def test_a_recorded_batch_of_unknown_size():
    build = Builder()
    names = ("seed", "step", "sample")
    words = [Tensor(build, build.input(name, (), np.uint32)) for name in names]
    x = build.input("x", (Dim("n"), 3), np.float32)
    y = ops.random_normal(*words, shape=x.shape, stream=2)
    z = Tensor(build, x) + y
    graph = build.finish([z.value])
    feeds = {name: np.array(place, np.uint32) for place, name in enumerate(names)}
    (found,), _ = evaluate(graph, {**feeds, "x": np.zeros((5, 3), np.float32)}, {})
    expected = ops.random_normal(*feeds.values(), shape=(5, 3), stream=2)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32


def test_wrong_counters_are_refused():
    word, other = Value((), "u4"), Value((), "i4")
    with pytest.raises(ShapeError, match="uint32 scalars"):
        ops.RandomUniform((2,)).infer(word, other, word)
    with pytest.raises(ShapeError, match="counts samples"):
        ops.RandomUniform(()).infer(word, word, word)
