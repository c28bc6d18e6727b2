"""Run where layerport and the plugin of examples/custom_layer_plugin are installed, by
test_plugin_example.py: train a network with both, save it, load it, run it; leave the numbers in
numbers.npz of the folder given. What the numbers must be is the test's business."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import layerport as lp
import numpy as np
from layerport.testing import check_layer

folder = Path(sys.argv[1])
rng = np.random.default_rng(0)
x = rng.standard_normal((256, 6)).astype(np.float32)
y = (np.abs(x[:, 0]) > np.abs(x[:, 1])).astype(np.int64)

network = lp.Sequential(
    [lp.Input((6,)), lp.Dense(8, "tanh"), lp.Gated(3.0), lp.Dense(2, "softmax")], name="gated"
)
network.initialize(seed=1)
network.compile(lp.SignDescent(0.01), "sparse_categorical_crossentropy", ["accuracy"])
numbers = {"x": x, "y": y, "before": network.evaluate(x, y)["loss"]}

for index, array in enumerate(network.get_weights()):
    numbers[f"start_{index}"] = array.copy()
network.train_on_batch(x[:32], y[:32])
for index, array in enumerate(network.get_weights()):
    numbers[f"step_{index}"] = array.copy()

history = network.fit(x, y, epochs=30, seed=2, verbose=0)
numbers |= {key: np.array(values) for key, values in history.history.items()}
network.fit(x, y, epochs=1, seed=2, verbose=0, optimizer="sign_descent")
for index, array in enumerate(network.get_weights()):
    numbers[f"weight_{index}"] = array

numbers["predicted"] = network.predict(x)
for suffix in (".json", ".onnx", ".h5"):
    lp.save(network, folder / f"network{suffix}", strict=True)
    again = lp.load(folder / f"network{suffix}")
    (layer,) = [layer for layer in again.layers if isinstance(layer, lp.Gated)]
    assert (layer.name, layer.sharpness) == ("gated", 3.0)
    numbers[f"predicted{suffix}"] = again.predict(x)
    again.fit(x, y, epochs=1, optimizer="sign_descent", loss="sparse_categorical_crossentropy",
              verbose=0)  # fmt: skip

report = lp.save(network, folder / "network.mjs", strict=True)
check_layer(lp.Gated(2.0), x[:4])
registry = lp.default_registry()
numbers["origins"] = json.dumps(
    [registry.origins["layers", "Gated"], registry.origins["optimizers", "SignDescent"]]
)
np.savez(folder / "numbers.npz", **numbers)
