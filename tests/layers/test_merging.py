"""Layers of several inputs, against NumPy."""

from __future__ import annotations

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError, ShapeError


@pytest.fixture
def pair(rng):
    return [rng.standard_normal((2, 3, 4)).astype(np.float32) for _ in range(2)]


@pytest.mark.parametrize(
    ("layer", "combine"),
    [
        (lp.Add, lambda arrays: sum(arrays)),
        (lp.Multiply, lambda arrays: np.prod(arrays, axis=0)),
        (lp.Average, lambda arrays: np.mean(np.stack(arrays), axis=0)),
        (lp.Maximum, lambda arrays: np.max(np.stack(arrays), axis=0)),
        (lp.Minimum, lambda arrays: np.min(np.stack(arrays), axis=0)),
    ],
)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_elementwise(layer, combine, count, pair):
    arrays = [*pair, pair[0] * 2 - 1][:count]
    np.testing.assert_allclose(layer()(arrays), combine(arrays), rtol=1e-6, atol=1e-6)


def test_subtract(pair):
    np.testing.assert_array_equal(lp.Subtract()(pair), pair[0] - pair[1])
    with pytest.raises(ShapeError, match="Subtract takes a list of exactly 2 inputs, not 3"):
        lp.Subtract()([*pair, pair[0]])


def test_inputs_of_fewer_axes_broadcast_behind_the_batch(pair):
    vector = pair[0][:, 0]
    np.testing.assert_array_equal(lp.Add()([pair[1], vector]), pair[1] + vector[:, np.newaxis])
    row = lp.Add()([lp.Input((3, 4)), lp.Input((1, 4))])
    assert row.shape[1:] == (3, 4)


@pytest.mark.parametrize("axis", [-1, 1, 2, -2])
def test_concatenate(axis, pair):
    np.testing.assert_array_equal(lp.Concatenate(axis)(pair), np.concatenate(pair, axis=axis))


def test_concatenate_refuses_the_batch_and_other_extents(pair):
    with pytest.raises(LayerportError, match="axis must be an axis other than 0"):
        lp.Concatenate(0)
    with pytest.raises(ShapeError, match=r"Concat in layer 'cc'.*differ elsewhere"):
        lp.Concatenate(name="cc")([lp.Input((3, 4)), lp.Input((2, 4))])


@pytest.mark.parametrize(
    ("shapes", "axes", "formula"),
    [
        (((2, 4), (2, 4)), 1, "bi,bi->b"),
        (((2, 3, 4), (2, 5, 4)), 2, "bij,bkj->bik"),
        (((2, 3, 4), (2, 5, 4)), (2, -1), "bij,bkj->bik"),
        (((2, 3, 4), (2, 3, 5)), 1, "bij,bik->bjk"),
        (((2, 3, 4), (2, 4)), (2, 1), "bij,bj->bi"),
        (((2, 4), (2, 3, 4)), (1, 2), "bj,bij->bi"),
        (((2, 3, 4, 5), (2, 4, 6)), (2, 1), "bijk,bjl->bikl"),
    ],
)
@pytest.mark.parametrize("normalize", [False, True])
def test_dot(shapes, axes, formula, normalize, rng):
    x, y = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    got = lp.Dot(axes, normalize)([x, y])
    first, second = axes if isinstance(axes, tuple) else (axes, axes)
    if normalize:
        x = x / np.linalg.norm(x, axis=first, keepdims=True)
        y = y / np.linalg.norm(y, axis=second, keepdims=True)
    expected = np.einsum(formula, x.astype(np.float64), y.astype(np.float64))
    if expected.ndim == 1:
        expected = expected[:, np.newaxis]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_dot_names_wrong_axes():
    with pytest.raises(LayerportError, match="Dot: axes must be an axis other than 0"):
        lp.Dot((0, 1))
    with pytest.raises(ShapeError, match="has no axis 3"):
        lp.Dot(3)([lp.Input((2, 3)), lp.Input((2, 3))])


@pytest.mark.parametrize("given", [np.ones((2, 3)), [np.ones((2, 3))] * 3])
def test_dot_takes_a_pair(given):
    with pytest.raises(ShapeError, match="Dot takes"):
        lp.Dot(1)(given)


def test_a_single_tensor_is_not_a_list():
    with pytest.raises(ShapeError, match=r"Add takes one list of inputs: layer\(\[a, b\]\)"):
        lp.Add()(lp.Input((3,)))
