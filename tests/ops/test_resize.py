"""Resizing against onnxruntime and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.gradient import gradient
from layerport.graph import Builder, Value
from layerport.numpy_engine.reference import evaluate
from layerport.ops.resize import Resize, ResizeGrad
from layerport.testing import check_op


def _random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric",
               "half_pixel_symmetric"]  # fmt: skip
SIZES = [(2, 3, 8, 10), (2, 3, 3, 2), (2, 3, 7, 3), (2, 3, 1, 5), (2, 3, 4, 5)]


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("sizes", SIZES)
def test_interpolation(mode, coordinates, sizes, onnxruntime_outputs):
    op = Resize(sizes=sizes, mode=mode, coordinate_transformation_mode=coordinates)
    x = _random(2, 3, 4, 5)
    check_op(op, x, expected=onnxruntime_outputs(op, x), atol=1e-5)


@pytest.mark.parametrize("nearest", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("sizes", SIZES)
def test_nearest(nearest, coordinates, sizes, onnxruntime_outputs):
    if (coordinates, nearest, sizes[3]) == ("half_pixel_symmetric", "floor", 3):
        pytest.skip("a coordinate of exactly 2, which onnxruntime's float32 puts below")
    op = Resize(sizes=sizes, nearest_mode=nearest, coordinate_transformation_mode=coordinates)
    x = _random(2, 3, 4, 5)
    check_op(op, x, expected=onnxruntime_outputs(op, x))


@pytest.mark.parametrize(
    "op",
    [
        Resize((1, 1, 2, 3)),
        Resize((1, 1, 2, 3), coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        Resize((1, 1, 1, 1)),
        Resize((1, 1, 0.6, 1.5), mode="linear"),
        Resize((1, 1, 0.7, 0.3)),
        Resize((1, 1, 2.5, 0.8), mode="cubic", cubic_coeff_a=-0.5),
        Resize((1, 1, 2.5, 0.8), mode="cubic", exclude_outside=1),
        Resize((1, 1, 0.5, 0.4), mode="linear", antialias=1),
        Resize((1, 1, 0.5, 0.8), mode="cubic", antialias=1),
    ],
)  # fmt: skip
def test_scales(op, onnxruntime_outputs):
    x = _random(1, 2, 6, 10)
    check_op(op, x, expected=onnxruntime_outputs(op, x), atol=1e-5)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_crop_and_resize(mode, reference_outputs):
    """Against ONNX's evaluator: onnxruntime 1.32 begins a row too early."""
    op = Resize(
        sizes=(1, 2, 6, 6),
        mode=mode,
        coordinate_transformation_mode="tf_crop_and_resize",
        roi=(0.0, 0.0, 0.2, -0.1, 1.0, 1.0, 0.7, 1.2),
        extrapolation_value=9.0,
    )
    x = _random(1, 2, 6, 10)
    check_op(op, x, expected=reference_outputs(op, x), atol=1e-5)


@pytest.mark.parametrize(
    "op",
    [
        Resize((2.0,), axes=(1,)),
        Resize((0.5, 3.0), axes=(-1, 0), mode="linear"),
        Resize(sizes=(6, 6), axes=(0, 1), keep_aspect_ratio_policy="not_larger"),
        Resize(sizes=(6, 6), axes=(1, 0), keep_aspect_ratio_policy="not_smaller", mode="linear"),
    ],
)
def test_axes(op, onnxruntime_outputs):
    x = _random(4, 6)
    check_op(op, x, expected=onnxruntime_outputs(op, x), atol=1e-5)


def test_the_gradient_has_a_gradient():
    op = Resize(sizes=(1, 7, 3), mode="cubic")
    check_op(ResizeGrad(**op.attributes, shape=(1, 4, 5)), _random(1, 7, 3))


def test_upsampling_of_a_symbolic_image():
    """Its gradient is a sum, for extents that are not known yet."""
    x = _random(2, 3, 4, 5)
    op = Resize((1, 1, 2, 3), coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    check_op(op, x, dims=[("n", 3, "h", "w")])
    build = Builder()
    image = build.input("x", (Dim("n"), 3, Dim("h"), 5), np.float32)
    y = build.one(op, image)
    total = build.one(ops.ReduceSum(None, keepdims=False), y)
    slopes = gradient(build.finish([total]), total, [image])
    (_, dx), _ = evaluate(slopes, {"x": x}, {})
    assert np.array_equal(dx, np.full_like(x, 6))


def test_fractional_scales_of_symbolic_extents():
    (made,) = Resize((1 / 3, 1.5)).infer(Value((Dim("n"), Dim("m")), np.float32))
    assert [str(extent) for extent in made.shape] == ["(n)//3", "(m)//2+m"]


def test_function():
    x = _random(1, 1, 2, 2)
    y = ops.resize(x, scales=(2, 2), axes=(2, 3))
    assert np.array_equal(y, x.repeat(2, axis=2).repeat(2, axis=3))
