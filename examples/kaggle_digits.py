"""Kaggle's Digit Recognizer, the competition that js-mind was written for: train.csv and test.csv
in, submission.csv out.

    python examples/kaggle_digits.py [--folder kaggle]

Where the folder lacks the two files they are made of MNIST, in the same form: a head line, then
`label,pixel0,...,pixel783` (train) or `pixel0,...` (test).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import layerport as lp
import numpy as np
from digits_data import data_argument, load_digits

PIXELS = [f"pixel{i}" for i in range(784)]


def make_csv(folder: Path, data: Path | None, train: int, test: int) -> None:
    """Write train.csv and test.csv from MNIST's training and test images."""
    digits = load_digits(data)
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.column_stack(
        [digits["y_train"][:train], digits["x_train"][:train].reshape(train, -1)]
    )
    write_csv(folder / "train.csv", ["label", *PIXELS], rows)
    write_csv(folder / "test.csv", PIXELS, digits["x_test"][:test].reshape(test, -1))


def write_csv(path: Path, head: list[str], rows: np.ndarray) -> None:
    """A table of integers."""
    np.savetxt(path, rows, fmt="%d", delimiter=",", header=",".join(head), comments="")


def read_csv(path: Path) -> np.ndarray:
    """A table of integers without its head line."""
    return np.loadtxt(path, dtype=np.uint8, delimiter=",", skiprows=1, ndmin=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("kaggle"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--train", type=int, default=42_000, help="rows of a train.csv made here")
    parser.add_argument("--test", type=int, default=10_000, help="rows of a test.csv made here")
    data_argument(parser)
    options = parser.parse_args()

    folder = options.folder
    if not (folder / "train.csv").exists() or not (folder / "test.csv").exists():
        make_csv(folder, options.data, options.train, options.test)
    table = read_csv(folder / "train.csv")
    y, x = table[:, 0].astype(np.int64), table[:, 1:] / np.float32(255)

    net = lp.Sequential(
        [
            lp.Input((784,)),
            lp.Dense(128, activation="relu"),
            lp.Dropout(0.2),
            lp.Dense(128, activation="relu"),
            lp.Dropout(0.2),
            lp.Dense(10, activation="softmax"),
        ]
    )
    net.fit(x, y, epochs=options.epochs, batch_size=64, optimizer="adam",
            loss="sparse_categorical_crossentropy", metrics=["accuracy"],
            validation_split=0.1, seed=1)  # fmt: skip

    labels = net.predict(read_csv(folder / "test.csv") / np.float32(255)).argmax(axis=1)
    rows = np.column_stack([np.arange(1, len(labels) + 1), labels])
    write_csv(folder / "submission.csv", ["ImageId", "Label"], rows)
    print(f"{folder / 'submission.csv'}: {len(labels)} answers")


if __name__ == "__main__":
    main()
