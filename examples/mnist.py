"""Train a convolutional network on the 60,000 digits of MNIST and save it everywhere.

    python examples/mnist.py           # Nielsen's network, three epochs: 99.1 %
    python examples/mnist.py --fast    # 99.1 % in two epochs
    python examples/mnist.py --best    # 99.6 % in ten minutes on two cores

The network is the one of "Neural Networks and Deep Learning", chapter 6 (network3.py); --best takes
a deeper one. The numbers in the recipes were chosen on the last 10,000 training images, which
--validate holds back; the test images are used once, at the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import layerport as lp
import numpy as np
from digits_data import data_argument, load_digits
from digits_training import distorted_batches, predict_shifted

VALIDATION = 10_000


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    layers : makes the layers between the input and the ten classes.
    learning_rate : the highest one: it rises for 30 % of the steps, then falls to 0.
    distorts : whether every epoch has pictures turned, sheared, scaled and moved anew.
    shifts : whether the answer is the mean over nine shifted pictures.
    """

    layers: Callable[[], list[lp.Layer]]
    epochs: int = 3
    batch_size: int = 64
    learning_rate: float = 0.007
    distorts: bool = False
    shifts: bool = False


def conv(filters: int, size: int, padding: str = "valid") -> lp.Layer:
    """A convolution and its activation."""
    return lp.Conv2D(
        filters, size, padding=padding, activation="relu", kernel_initializer="he_normal"
    )


def dense(units: int) -> lp.Layer:
    """A dense layer and its activation."""
    return lp.Dense(units, activation="relu", kernel_initializer="he_normal")


def two_convolutions() -> list[lp.Layer]:
    """Nielsen's network."""
    return [
        conv(20, 5), lp.MaxPooling2D(2),
        conv(40, 5), lp.MaxPooling2D(2),
        lp.Flatten(), dense(100),
    ]  # fmt: skip


def four_convolutions() -> list[lp.Layer]:
    """A deeper one that forgets half of its features in each step."""
    return [
        conv(24, 5), lp.MaxPooling2D(2),
        conv(48, 3, "same"), conv(48, 3, "same"), lp.MaxPooling2D(2),
        conv(96, 3), lp.Flatten(), dense(128), lp.Dropout(0.5),
    ]  # fmt: skip


PLAIN = Recipe(two_convolutions)
FAST = Recipe(two_convolutions, epochs=2, batch_size=32, learning_rate=0.004, shifts=True)
BEST = Recipe(
    four_convolutions, epochs=30, batch_size=128, learning_rate=0.004, distorts=True, shifts=True
)


def network(recipe: Recipe) -> lp.Sequential:
    """The network that a recipe trains."""
    classes = lp.Dense(10, activation="softmax")
    return lp.Sequential([lp.Input((28, 28, 1)), *recipe.layers(), classes], name="mnist")


def train(net: lp.Network, recipe: Recipe, x: np.ndarray, y: np.ndarray, seed: int) -> None:
    """Train with Adam; the learning rate rises and falls once."""
    per_epoch = len(x) // recipe.batch_size
    steps = recipe.epochs * per_epoch
    rising = int(0.3 * steps)
    top = recipe.learning_rate
    rate = lp.CosineDecay(top / 20, steps - rising, warmup_target=top, warmup_steps=rising)
    net.compile(lp.Adam(rate), "sparse_categorical_crossentropy", ["accuracy"])
    if recipe.distorts:
        batches = distorted_batches(x, y, recipe.batch_size, seed)
        net.fit(batches, steps_per_epoch=per_epoch, epochs=recipe.epochs, seed=seed)
    else:
        net.fit(x, y, batch_size=recipe.batch_size, epochs=recipe.epochs, seed=seed)


def accuracy(net: lp.Network, recipe: Recipe, x: np.ndarray, y: np.ndarray) -> float:
    """The share of right answers."""
    answers = predict_shifted(net, x) if recipe.shifts else net.predict(x)
    return float((answers.argmax(axis=1) == y).mean())


def pictures(images: np.ndarray) -> np.ndarray:
    """uint8 (n, 28, 28) to float32 (n, 28, 28, 1) in [0, 1]."""
    return images[..., None] / np.float32(255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    recipes = parser.add_mutually_exclusive_group()
    for name, recipe, about in (
        ("fast", FAST, "in the least time"),
        ("best", BEST, "for the highest accuracy"),
    ):
        recipes.add_argument(
            f"--{name}",
            dest="recipe",
            action="store_const",
            const=recipe,
            default=PLAIN,
            help=f"the recipe {about}",
        )
    parser.add_argument("--epochs", type=int, help="another number of epochs than the recipe's")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("mnist-out"))
    parser.add_argument(
        "--validate",
        action="store_true",
        help="hold back 10,000 training images and measure on them instead",
    )
    data_argument(parser)
    options = parser.parse_args()
    recipe = options.recipe
    if options.epochs:
        recipe = dataclasses.replace(recipe, epochs=options.epochs)

    digits = load_digits(options.data)
    x, y = pictures(digits["x_train"]), digits["y_train"]
    x_test, y_test = pictures(digits["x_test"]), digits["y_test"]
    if options.validate:
        x, x_test = x[:-VALIDATION], x[-VALIDATION:]
        y, y_test = y[:-VALIDATION], y[-VALIDATION:]

    net = network(recipe)
    start = time.perf_counter()
    train(net, recipe, x, y, options.seed)
    print(f"{recipe.epochs} epochs in {time.perf_counter() - start:.1f} s")
    measured_on = "validation" if options.validate else "test"
    print(f"{measured_on} accuracy {accuracy(net, recipe, x_test, y_test):.2%}")
    if options.validate:
        return

    options.out.mkdir(parents=True, exist_ok=True)
    net.labels = [str(digit) for digit in range(10)]
    for suffix in (".json", ".h5", ".onnx", ".mjs", ".html"):
        print(lp.save(net, options.out / f"mnist{suffix}"))


if __name__ == "__main__":
    main()
