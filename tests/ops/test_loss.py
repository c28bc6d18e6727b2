"""Losses against their formulas in float64, onnxruntime and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from layerport import ops
from layerport.errors import ShapeError, TrainingError
from layerport.graph import Value
from layerport.testing import check_op

RANDOM = np.random.default_rng(9)


def softmax(x, axis):
    powers = np.exp(x.astype("f8"))
    return powers / powers.sum(axis, keepdims=True)


@pytest.mark.parametrize(("shape", "axis"), [((4, 5), -1), ((2, 5, 3), 1), ((2, 3, 4), 0)])
def test_softmax_cross_entropy(shape, axis):
    logits = RANDOM.standard_normal(shape).astype("f4")
    probabilities = softmax(logits, axis)
    targets = softmax(RANDOM.standard_normal(shape), axis).astype("f4")
    loss = -(targets.astype("f8") * np.log(probabilities)).sum(axis)
    expected = [loss.astype("f4"), probabilities.astype("f4")]
    dims = [tuple("abc"[: len(shape)])] * 2
    op = ops.SoftmaxCrossEntropy(axis)
    check_op(op, logits, targets, expected=expected, dims=dims)


@pytest.mark.parametrize(("shape", "axis"), [((4, 5), -1), ((2, 5, 3), 1), ((6, 3, 4), 0)])
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_sparse_softmax_cross_entropy(shape, axis, dtype):
    logits = RANDOM.standard_normal(shape).astype("f4")
    rest = tuple(np.delete(shape, axis))
    targets = RANDOM.integers(0, shape[axis], rest).astype(dtype)
    probabilities = softmax(logits, axis)
    hot = np.moveaxis(np.eye(shape[axis])[targets], -1, axis)
    loss = -np.log((probabilities * hot).sum(axis))
    expected = [loss.astype("f4"), probabilities.astype("f4")]
    dims = [("n", *shape[1:]), ("n", *rest[1:])] if axis else None
    op = ops.SparseSoftmaxCrossEntropy(axis)
    check_op(op, logits, targets, expected=expected, dims=dims)


def test_sparse_softmax_cross_entropy_is_onnx_s_loss(reference_outputs):
    import onnx
    from onnx.reference import ReferenceEvaluator

    node = onnx.helper.make_node("SoftmaxCrossEntropyLoss", ["x", "t"], ["y"], reduction="none")
    logits = RANDOM.standard_normal((3, 5, 2)).astype("f4")
    targets = RANDOM.integers(0, 5, (3, 2))
    (expected,) = ReferenceEvaluator(node).run(None, {"x": logits, "t": targets})
    found = ops.sparse_softmax_cross_entropy(logits, targets, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_sigmoid_cross_entropy():
    logits = (3 * RANDOM.standard_normal((4, 3))).astype("f4")
    targets = RANDOM.random((4, 3)).astype("f4")
    s = 1 / (1 + np.exp(-logits.astype("f8")))
    expected = -targets * np.log(s) - (1 - targets) * np.log(1 - s)
    dims = [("n", 3), ("n", 3)]
    op = ops.SigmoidCrossEntropy()
    check_op(op, logits, targets, expected=expected.astype("f4"), dims=dims)


def test_large_scores_overflow_nowhere():
    logits = np.array([[1000, 0, -1000], [-1000, -1000, 1000]], "f4")
    hot = np.eye(3, dtype="f4")[[0, 1]]
    with np.errstate(all="raise", under="ignore"):
        dense = ops.softmax_cross_entropy(logits, hot)
        sparse = ops.sparse_softmax_cross_entropy(logits, np.array([0, 1]))
        separate = ops.sigmoid_cross_entropy(logits, hot)
    np.testing.assert_array_equal(dense, [0, 2000])
    np.testing.assert_array_equal(sparse, [0, 2000])
    np.testing.assert_allclose(separate, [[0, np.log(2), 0], [0, 1000, 1000]], rtol=1e-6)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_class_without_a_score_is_named(wrong):
    with pytest.raises(TrainingError, match=rf"class {wrong}, .* 3 classes \(0 to 2\)"):
        ops.sparse_softmax_cross_entropy(np.zeros((2, 3)), np.array([0, wrong]))


def test_targets_that_do_not_fit_are_refused():
    logits = Value((4, 3), "f4")
    with pytest.raises(ShapeError, match="match the logits"):
        ops.SoftmaxCrossEntropy().infer(logits, Value((4, 2), "f4"))
    with pytest.raises(ShapeError, match="class numbers"):
        ops.SparseSoftmaxCrossEntropy().infer(logits, Value((4,), "f4"))
    with pytest.raises(ShapeError, match=r"need targets \(4,\)"):
        ops.SparseSoftmaxCrossEntropy().infer(logits, Value((4, 1), "i4"))
