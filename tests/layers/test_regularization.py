"""Layers that act in training: identity otherwise, and the right statistics in training."""

from __future__ import annotations

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError, ShapeError

LAYERS = [
    lp.Dropout(0.3),
    lp.GaussianNoise(0.5),
    lp.GaussianDropout(0.3),
    lp.AlphaDropout(0.3),
    lp.ActivityRegularization(0.1, 0.2),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_nothing_happens_in_inference(layer, rng):
    x = rng.standard_normal((4, 5)).astype(np.float32)
    np.testing.assert_array_equal(layer(x), x)


def _share(y):
    return float(np.mean(y == 0))


def test_dropout_drops_at_its_rate_and_keeps_the_mean(in_training):
    x = np.ones((200, 300), np.float32)
    y, _, _ = in_training(lp.Dropout(0.3), x)
    kept = y[y != 0]
    np.testing.assert_allclose(kept, 1 / 0.7, rtol=1e-6)
    # 60,000 choices: five standard deviations are 0.0094.
    assert _share(y) == pytest.approx(0.3, abs=0.0094)
    assert abs(np.corrcoef(y[:100].ravel(), y[100:].ravel())[0, 1]) < 0.03


def test_dropout_depends_on_seed_and_step_only(in_training):
    x = np.ones((20, 30), np.float32)
    first, again, other_seed, other_step = (
        in_training(lp.Dropout(0.5), x, seed, step)[0]
        for seed, step in ((0, 0), (0, 0), (1, 0), (0, 1))
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other_seed).any()
    assert (first != other_step).any()


@pytest.mark.parametrize(("rate", "value"), [(0, 1), (1, 0)])
def test_dropout_of_nothing_and_of_everything(rate, value, in_training):
    x = np.ones((4, 3), np.float32)
    np.testing.assert_array_equal(in_training(lp.Dropout(rate), x)[0], np.full((4, 3), value))


def test_noise_shape_drops_along_axes(in_training):
    x = np.ones((50, 7, 40), np.float32)
    y, _, _ = in_training(lp.Dropout(0.5, noise_shape=(None, 1, None)), x)
    assert (y == y[:, :1]).all()
    assert _share(y[:, 0]) == pytest.approx(0.5, abs=0.06)


def test_spatial_dropout_drops_whole_channels(in_training):
    y, _, _ = in_training(lp.SpatialDropout1D(0.5), np.ones((50, 7, 40), np.float32))
    assert (y == y[:, :1]).all()
    assert _share(y[:, 0]) == pytest.approx(0.5, abs=0.06)
    y, _, _ = in_training(lp.SpatialDropout2D(0.5), np.ones((50, 3, 4, 40), np.float32))
    assert (y == y[:, :1, :1]).all()
    assert _share(y[:, 0, 0]) == pytest.approx(0.5, abs=0.06)
    first = lp.SpatialDropout2D(0.5, data_format="channels_first")
    y, _, _ = in_training(first, np.ones((50, 40, 3, 4), np.float32))
    assert (y == y[:, :, :1, :1]).all()
    assert _share(y[:, :, 0, 0]) == pytest.approx(0.5, abs=0.06)


def test_spatial_dropout_of_volumes(in_training):
    y, _, _ = in_training(lp.SpatialDropout3D(0.5), np.ones((50, 2, 3, 2, 40), np.float32))
    assert (y == y[:, :1, :1, :1]).all()
    assert _share(y[:, 0, 0, 0]) == pytest.approx(0.5, abs=0.06)


def test_gaussian_noise_has_its_deviation(in_training):
    x = np.full((200, 300), 2, np.float32)
    y, _, _ = in_training(lp.GaussianNoise(0.5), x)
    assert y.mean() == pytest.approx(2, abs=0.011)
    assert y.std() == pytest.approx(0.5, rel=0.02)


def test_gaussian_dropout_has_the_variance_of_dropout(in_training):
    x = np.full((200, 300), 2, np.float32)
    y, _, _ = in_training(lp.GaussianDropout(0.3), x)
    assert y.mean() == pytest.approx(2, abs=0.03)
    assert y.std() == pytest.approx(2 * np.sqrt(0.3 / 0.7), rel=0.02)


def test_alpha_dropout_keeps_mean_and_variance(in_training):
    x = np.random.default_rng(0).standard_normal((200, 300)).astype(np.float32)
    y, _, _ = in_training(lp.AlphaDropout(0.2), x)
    assert y.mean() == pytest.approx(0, abs=0.03)
    assert y.std() == pytest.approx(1, rel=0.02)


def test_activity_regularization_is_a_loss_per_sample(rng, in_training):
    x = rng.standard_normal((4, 5)).astype(np.float32)
    y, _, loss = in_training(lp.ActivityRegularization(l1=0.1, l2=0.2), x)
    np.testing.assert_array_equal(y, x)
    wide = x.astype(np.float64)
    expected = (0.1 * np.abs(wide).sum() + 0.2 * (wide**2).sum()) / 4
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lp.Dropout(1.5), "Dropout: rate must be a finite number from 0 to 1, not 1.5"),
        (lambda: lp.Dropout("a"), "Dropout: rate must be a finite number from 0 to 1"),
        (lambda: lp.Dropout(0.5, noise_shape=(0, 1)), "noise_shape must be None, or an integer"),
        (lambda: lp.GaussianDropout(1), "GaussianDropout: rate must be below 1"),
        (lambda: lp.GaussianNoise(-1), "stddev must be a finite number of at least 0"),
        (lambda: lp.ActivityRegularization(l1=-1), "l1 must be a finite number of at least 0"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(LayerportError, match=message):
        make()


def test_noise_shape_has_an_entry_for_each_axis():
    with pytest.raises(ShapeError, match="Dropout takes inputs of 3 axes"):
        lp.Dropout(0.5, noise_shape=(None, 1, 1))(lp.Input(3))
