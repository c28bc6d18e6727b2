"""Train Nielsen's convolutional network on the 60,000 digits of MNIST and save it everywhere.

    python examples/mnist.py [--epochs 3] [--out mnist-out]

The network is the one of "Neural Networks and Deep Learning", chapter 6 (network3.py). Learning
rate, batch size and dropout (none) were chosen on the last 10,000 training images (--validate); the
test images are used once, at the end.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import layerport as lp
import numpy as np
from digits_data import data_argument, load_digits

VALIDATION = 10_000


def network() -> lp.Sequential:
    """Two convolutions with pooling, a dense layer, and ten classes."""
    return lp.Sequential(
        [
            lp.Input((28, 28, 1)),
            lp.Conv2D(20, 5, activation="relu", kernel_initializer="he_normal"),
            lp.MaxPooling2D(2),
            lp.Conv2D(40, 5, activation="relu", kernel_initializer="he_normal"),
            lp.MaxPooling2D(2),
            lp.Flatten(),
            lp.Dense(100, activation="relu", kernel_initializer="he_normal"),
            lp.Dense(10, activation="softmax"),
        ],
        name="mnist",
    )


def pictures(images: np.ndarray) -> np.ndarray:
    """uint8 (n, 28, 28) to float32 (n, 28, 28, 1) in [0, 1]."""
    return (images[..., None] / np.float32(255)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("mnist-out"))
    parser.add_argument(
        "--validate",
        action="store_true",
        help="hold back 10,000 training images and measure on them instead",
    )
    data_argument(parser)
    options = parser.parse_args()

    digits = load_digits(options.data)
    x, y = pictures(digits["x_train"]), digits["y_train"].astype(np.int64)
    held_back = (x[-VALIDATION:], y[-VALIDATION:])
    if options.validate:
        x, y = x[:-VALIDATION], y[:-VALIDATION]

    net = network()
    steps = options.epochs * -(-len(x) // options.batch_size)
    start = time.perf_counter()
    net.fit(
        x, y,
        epochs=options.epochs,
        batch_size=options.batch_size,
        optimizer=lp.Adam(lp.CosineDecay(options.lr, steps)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        validation_data=held_back if options.validate else None,
        seed=options.seed,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    print(f"{options.epochs} epochs in {seconds:.1f} s, {seconds / options.epochs:.1f} s each")
    if options.validate:
        return

    x_test = pictures(digits["x_test"])
    result = net.evaluate(x_test, digits["y_test"].astype(np.int64))
    print(f"test accuracy {result['accuracy']:.2%}, loss {result['loss']:.4f}")

    options.out.mkdir(parents=True, exist_ok=True)
    net.labels = [str(digit) for digit in range(10)]
    for suffix in (".json", ".h5", ".onnx", ".mjs"):
        report = lp.save(net, options.out / f"mnist{suffix}")
        print(report)


if __name__ == "__main__":
    main()
