"""Layers that move elements, against NumPy."""

from __future__ import annotations

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError, ShapeError


@pytest.fixture
def image(rng):
    return rng.standard_normal((2, 3, 4, 5)).astype(np.float32)


def test_flatten(image):
    np.testing.assert_array_equal(lp.Flatten()(image), image.reshape(2, 60))
    np.testing.assert_array_equal(lp.Flatten()(image[:, 0, 0, 0]), image[:, 0, 0, :1])
    assert lp.Flatten()(lp.Input((3, None))).shape[1].names


def test_flatten_channels_first_gives_the_order_of_channels_last(image):
    y = lp.Flatten("channels_first")(np.moveaxis(image, -1, 1))
    np.testing.assert_array_equal(y, lp.Flatten()(image))


def test_flatten_of_no_samples(image):
    assert lp.Flatten()(image[:0]).shape == (0, 60)


@pytest.mark.parametrize(
    ("target", "shape"), [((12, 5), (12, 5)), ((-1, 10), (6, 10)), (60, (60,)), ([5, 12], (5, 12))]
)
def test_reshape(image, target, shape):
    np.testing.assert_array_equal(lp.Reshape(target)(image), image.reshape(2, *shape))
    assert lp.Reshape(target)(lp.Input((3, 4, 5))).shape[1:] == shape


def test_reshape_of_an_unknown_extent(rng, symbolic):
    x = rng.standard_normal((2, 6, 4)).astype(np.float32)
    y = symbolic(lp.Reshape((-1, 2, 4)), x, unknown=(1,))
    np.testing.assert_array_equal(y, x.reshape(2, 3, 2, 4))


@pytest.mark.parametrize("target", [(7, 9), (-1, 7)])
def test_reshape_that_does_not_fit(target):
    with pytest.raises(ShapeError, match=r"a sample of shape .* has 60 elements"):
        lp.Reshape(target)(lp.Input((3, 4, 5)))


def test_permute(image):
    np.testing.assert_array_equal(lp.Permute((3, 1, 2))(image), image.transpose(0, 3, 1, 2))
    with pytest.raises(LayerportError, match=r"Permute: dims must be each of 1, 2... once"):
        lp.Permute((0, 1))
    with pytest.raises(ShapeError, match="takes inputs of 3 axes"):
        lp.Permute((2, 1))(lp.Input((2, 3, 4)))


def test_repeat_vector(image):
    x = image[:, 0, 0]
    np.testing.assert_array_equal(lp.RepeatVector(3)(x), np.repeat(x[:, np.newaxis], 3, 1))


@pytest.mark.parametrize(
    ("padding", "widths"),
    [(1, ((1, 1), (1, 1))), ((2, 1), ((2, 2), (1, 1))), (((1, 2), (0, 1)), ((1, 2), (0, 1)))],
)
def test_zero_padding_2d(image, padding, widths, symbolic):
    expected = np.pad(image, ((0, 0), *widths, (0, 0)))
    np.testing.assert_array_equal(lp.ZeroPadding2D(padding)(image), expected)
    np.testing.assert_array_equal(symbolic(lp.ZeroPadding2D(padding), image, (1, 2)), expected)
    first = lp.ZeroPadding2D(padding, data_format="channels_first")(np.moveaxis(image, -1, 1))
    np.testing.assert_array_equal(np.moveaxis(first, 1, -1), expected)


def test_zero_padding_1d(image):
    x = image[:, 0]
    np.testing.assert_array_equal(lp.ZeroPadding1D()(x), np.pad(x, ((0, 0), (1, 1), (0, 0))))
    np.testing.assert_array_equal(lp.ZeroPadding1D((0, 2))(x), np.pad(x, ((0, 0), (0, 2), (0, 0))))


def test_cropping_2d(image, symbolic):
    expected = image[:, 1:, 2:-1]
    layer = lp.Cropping2D(((1, 0), (2, 1)))
    np.testing.assert_array_equal(layer(image), expected)
    np.testing.assert_array_equal(symbolic(layer, image, (1, 2)), expected)
    np.testing.assert_array_equal(lp.Cropping2D(1)(image), image[:, 1:-1, 1:-1])
    first = lp.Cropping2D(((1, 0), (2, 1)), "channels_first")(np.moveaxis(image, -1, 1))
    np.testing.assert_array_equal(np.moveaxis(first, 1, -1), expected)
    with pytest.raises(ShapeError, match="cropping 2 and 1 elements leaves nothing of axis 1"):
        lp.Cropping2D(((2, 1), (0, 0)))(image)


def test_cropping_1d(image):
    np.testing.assert_array_equal(lp.Cropping1D()(image[:, 0]), image[:, 0, 1:-1])
    np.testing.assert_array_equal(lp.Cropping1D((0, 1))(image[:, 0]), image[:, 0, :-1])


def test_upsampling_repeats(image, symbolic):
    expected = image.repeat(2, 1).repeat(3, 2)
    np.testing.assert_array_equal(lp.UpSampling2D((2, 3))(image), expected)
    np.testing.assert_array_equal(symbolic(lp.UpSampling2D((2, 3)), image, (1, 2)), expected)
    first = lp.UpSampling2D((2, 3), "channels_first")(np.moveaxis(image, -1, 1))
    np.testing.assert_array_equal(np.moveaxis(first, 1, -1), expected)
    np.testing.assert_array_equal(lp.UpSampling1D(3)(image[:, 0]), image[:, 0].repeat(3, 1))


def _between(values, factor):
    """Linear interpolation at the centres of `factor` times as many pixels."""
    count = len(values) * factor
    centres = (np.arange(count) + 0.5) / factor - 0.5
    return np.interp(centres, np.arange(len(values)), values)


def test_bilinear_upsampling(image):
    y = lp.UpSampling2D((2, 3), interpolation="bilinear")(image)
    rows = np.apply_along_axis(_between, 1, image.astype(np.float64), 2)
    np.testing.assert_allclose(y, np.apply_along_axis(_between, 2, rows, 3), atol=1e-6)


def test_volumes(rng):
    x = rng.standard_normal((2, 3, 4, 5, 2)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (1, 1), (0, 2), (3, 0), (0, 0)))
    np.testing.assert_array_equal(lp.ZeroPadding3D(((1, 1), (0, 2), (3, 0)))(x), padded)
    np.testing.assert_array_equal(lp.Cropping3D(((1, 1), (0, 2), (3, 0)))(padded), x)
    np.testing.assert_array_equal(lp.Cropping3D()(x), x[:, 1:-1, 1:-1, 1:-1])
    repeated = x.repeat(2, 1).repeat(3, 2).repeat(1, 3)
    np.testing.assert_array_equal(lp.UpSampling3D((2, 3, 1))(x), repeated)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lp.Flatten("first"), "Flatten: data_format must be one of"),
        (lambda: lp.Reshape((-1, -1)), "target_shape must be positive integers, at most one"),
        (lambda: lp.RepeatVector(0), "RepeatVector: n must be an integer of at least 1"),
        (lambda: lp.ZeroPadding2D((1, 2, 3)), "ZeroPadding2D: padding must be an integer"),
        (lambda: lp.ZeroPadding2D(-1), "ZeroPadding2D: padding must be an integer"),
        (lambda: lp.ZeroPadding1D((1, 2, 3)), "ZeroPadding1D: padding must be an integer"),
        (lambda: lp.UpSampling2D(interpolation="cubic"), "one of 'nearest', 'bilinear'"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(LayerportError, match=message):
        make()
