"""Train the model that `layerport demo` converts: 784-30-10, in js-mind's form.

    python examples/train_demo_model.py

Weights are rounded to four decimals, so that the file stays small; the accuracy printed is that
of the rounded weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import layerport as lp
import numpy as np
from digits_data import data_argument, load_digits

TARGET = Path(__file__).parent.parent / "toolkit" / "layerport" / "data" / "digits.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=15)
    data_argument(parser)
    options = parser.parse_args()

    digits = load_digits(options.data)
    x = digits["x_train"].reshape(-1, 784) / np.float32(256)
    y = digits["y_train"].astype(np.int64)
    net = lp.Sequential(
        [
            lp.Input((784,)),
            lp.Dense(30, activation="sigmoid", kernel_initializer="js_mind"),
            lp.Dense(10, activation="softmax", kernel_initializer="js_mind"),
        ]
    )
    steps = options.epochs * (len(x) // 32)
    net.fit(x, y, epochs=options.epochs, batch_size=32, seed=1,
            optimizer=lp.Adam(lp.CosineDecay(0.003, steps)),
            loss="sparse_categorical_crossentropy", metrics=["accuracy"])  # fmt: skip
    net.astype("float64")
    net.set_weights([np.round(array, 4) for array in net.get_weights()])
    x_test = digits["x_test"].reshape(-1, 784) / 256
    accuracy = (net.predict(x_test).argmax(axis=1) == digits["y_test"]).mean()
    TARGET.parent.mkdir(exist_ok=True)
    print(lp.save(net, TARGET, version=1))
    print(f"test accuracy {accuracy:.2%}")


if __name__ == "__main__":
    main()
