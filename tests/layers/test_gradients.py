"""The derivative of every layer, in training, against central differences in float64."""

from __future__ import annotations

import layerport as lp
import numpy as np
import pytest
from layerport.gradient import gradient
from layerport.graph import verify
from layerport.numpy_engine.reference import evaluate
from layerport.recording import RANDOM_INPUTS, Recording, arrays_of

LAYERS = [
    # (layer, shape of the input, or shapes)
    (lp.Dense(3, "tanh", activity_regularizer="l2"), (4, 5)),
    (lp.Dense(3, lp.PReLU("ones")), (2, 3, 5)),
    (lp.ReLU(2.0, 0.1, 0.3), (4, 5)),
    (lp.LeakyReLU(), (4, 5)),
    (lp.ELU(0.7), (4, 5)),
    (lp.PReLU("random_normal", shared_axes=1), (2, 3, 5)),
    (lp.Softmax((1, 2)), (2, 3, 5)),
    (lp.Conv1D(4, 3, padding="causal", dilation_rate=2), (2, 7, 3)),
    (lp.Conv2D(4, (3, 2), 2, "same", activation="tanh"), (2, 5, 6, 3)),
    (lp.Conv2D(4, 3, padding="same", data_format="channels_first", groups=2), (2, 4, 5, 6)),
    (lp.Conv3D(2, 2, 2, "same"), (1, 3, 3, 3, 2)),
    (lp.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), (2, 4, 5, 3)),
    (lp.SeparableConv2D(4, 3, 2, "same", depth_multiplier=2), (2, 5, 5, 3)),
    (lp.Conv2DTranspose(4, (2, 3), (3, 2), "same"), (2, 3, 4, 3)),
    (lp.Conv2DTranspose(4, 4, 2, "valid"), (2, 3, 4, 3)),
    (lp.MaxPooling2D(3, 2, "same"), (2, 6, 7, 3)),
    (lp.AveragePooling2D(3, 2, "same"), (2, 6, 7, 3)),
    (lp.GlobalAveragePooling2D(), (2, 3, 4, 3)),
    (lp.GlobalMaxPooling1D(), (2, 5, 3)),
    (lp.Flatten("channels_first"), (2, 3, 4, 2)),
    (lp.Reshape((-1, 2)), (2, 3, 4)),
    (lp.Permute((2, 1)), (2, 3, 4)),
    (lp.RepeatVector(3), (2, 4)),
    (lp.ZeroPadding2D(((1, 0), (0, 2))), (2, 3, 4, 2)),
    (lp.Cropping2D(((1, 0), (0, 2))), (2, 3, 4, 2)),
    (lp.UpSampling2D((2, 3)), (2, 3, 4, 2)),
    (lp.UpSampling2D((2, 3), interpolation="bilinear"), (2, 3, 4, 2)),
    (lp.BatchNormalization(), (4, 3, 5)),
    (lp.BatchNormalization(1, scale=False), (4, 3, 5)),
    (lp.BatchNormalization(trainable=False), (4, 3, 5)),
    (lp.LayerNormalization(), (4, 3, 5)),
    (lp.LayerNormalization((1, 3), center=False), (2, 3, 4, 5)),
    (lp.Rescaling(2.0, 1.0), (4, 5)),
    (lp.Normalization(mean=1.0, variance=4.0), (4, 5)),
    (lp.Dropout(0.4), (4, 5)),
    (lp.AlphaDropout(0.4), (4, 5)),
    (lp.GaussianNoise(0.4), (4, 5)),
    (lp.GaussianDropout(0.4), (4, 5)),
    (lp.ActivityRegularization(0.1, 0.2), (4, 5)),
    (lp.JsMindDense(3, "sigmoid", 0.4), (4, 5)),
    (lp.Add(), [(2, 3, 4), (2, 4)]),
    (lp.Subtract(), [(2, 3), (2, 3)]),
    (lp.Multiply(), [(2, 3, 4), (2, 4), (2, 1, 4)]),
    (lp.Average(), [(2, 3), (2, 3), (2, 3)]),
    (lp.Maximum(), [(2, 3), (2, 3), (2, 3)]),
    (lp.Minimum(), [(2, 3), (2, 3)]),
    (lp.Concatenate(1), [(2, 3, 4), (2, 5, 4)]),
    (lp.Dot((2, 1), True), [(2, 3, 4), (2, 4, 5)]),
]


def _recorded(layer, shapes, rng):
    """The graph of a weighted sum of what the layer computes in training, and its arrays."""
    layer.astype("float64")
    recording = Recording(training=True, float_dtype="float64")
    recording.name_layers(layer, "layer")
    inputs = [recording.input(f"x{i}", shape, np.float64) for i, shape in enumerate(shapes)]
    argument = (
        inputs if isinstance(layer, (lp.Concatenate, lp.Dot)) or len(inputs) > 1 else inputs[0]
    )
    y = recording.call(layer, [argument], {})
    total = (y * rng.standard_normal(y.shape)).sum()
    for loss in recording.losses:
        total = total + loss
    graph = recording.finish([total])
    verify(graph)
    arrays = {f"x{i}": rng.standard_normal(shape) for i, shape in enumerate(shapes)}
    return graph, arrays, arrays_of(recording)


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda v: type(v).__name__)
def test_gradient(layer, shape, rng):
    graph, inputs, parameters = _recorded(layer, shape if isinstance(shape, list) else [shape], rng)
    counters = {name: np.array(3, np.uint32) for name in RANDOM_INPUTS}
    state = {"moving_mean", "moving_variance"} if layer.trainable else set()
    values = [
        v
        for v in (*graph.inputs, *graph.parameters)
        if v.dtype == np.float64 and v.name.rsplit("/", 1)[-1] not in state
    ]
    derived = gradient(graph, graph.outputs[0], values)
    verify(derived)

    def outputs(which, shift):
        def moved(arrays):
            return {k: a + shift * steps[k] if k in steps else a for k, a in arrays.items()}

        feeds = {v.name: {**moved(inputs), **counters}[v.name] for v in which.inputs}
        return evaluate(which, feeds, moved(parameters))[0]

    known = {**inputs, **parameters}
    steps = {v.name: rng.standard_normal(known[v.name].shape) for v in values}
    slopes = outputs(derived, 0.0)[1:]
    h = 1e-6
    difference = (outputs(graph, h)[0] - outputs(graph, -h)[0]) / (2 * h)
    along = sum(
        float(np.sum(slope * steps[v.name])) for v, slope in zip(values, slopes, strict=True)
    )
    np.testing.assert_allclose(along, difference, rtol=1e-6, atol=1e-6)
