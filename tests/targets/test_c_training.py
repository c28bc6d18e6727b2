"""C that learns: the steps of Python with every compiler, in vectors and without, sanitized, and
weights that come back as one vector."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import layerport as lp
import numpy as np
import pytest
from layerport.op import NDArray

from targets.c_build import compile_all
from targets.test_training import BATCH, NETWORKS, RATE, SEED, STEPS, Wave, trained

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
pytestmark = pytest.mark.skipif(not COMPILERS, reason="there is no C compiler on this machine")

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
SANITIZED = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
BUILDS = [
    (compiler, flags)
    for compiler in COMPILERS
    for flags in (
        ("-O2", "-march=native"),
        (*SANITIZED, "-march=native"),
        (*SANITIZED, "-DLANES=1"),
    )
]

DRIVER = """
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "NAME.h"

enum { SAMPLES = STEPS * BATCH, IN = MACRO_INPUT_0_SIZE, OUT = MACRO_OUTPUT_0_SIZE };
static float x[SAMPLES * IN], made[SAMPLES * OUT], other[SAMPLES * OUT];
static TARGET y[SAMPLES * WIDTH];
static float weights[MACRO_WEIGHTS], again[MACRO_WEIGHTS], losses[STEPS];
static NAME_workspace room;

static int in(const char *name, void *to, size_t count)
{
  FILE *file = fopen(name, "rb");
  return file != NULL && fread(to, 4, count, file) == count && fclose(file) == 0;
}

static int out(const char *name, const void *from, size_t count)
{
  FILE *file = fopen(name, "wb");
  return file != NULL && fwrite(from, 4, count, file) == count && fclose(file) == 0;
}

static int refused(float bad_x, TARGET bad_y)
{
  const float good_x = x[0];
  const TARGET good_y = y[0];
  x[0] = bad_x;
  y[0] = bad_y;
  const int status = STEP(x, y, 1, RATE, NULL);
  x[0] = good_x;
  y[0] = good_y;
  return status == MACRO_ERROR_VALUE;
}

int NAME_main(void);
int NAME_main(void)
{
  const float huge = 1e30f * 1e30f;
  if (NAME_self_test(NULL) != MACRO_OK) return 1;
  if (!in("x.NAME", x, SAMPLES * IN) || !in("y.NAME", y, SAMPLES * WIDTH)) return 2;
  NAME_get_weights(again);
  for (int k = 0; k < STEPS; ++k)
    if (STEP(x + k * BATCH * IN, y + k * BATCH * WIDTH, BATCH, RATE, losses + k)) return 3;
  NAME_get_weights(weights);
  if (memcmp(weights, again, sizeof weights) == 0) return 4;
  if (NAME_predict(x, made, SAMPLES) != MACRO_OK) return 5;
  if (NAME_predict_r(x, other, SAMPLES, &room) != MACRO_OK) return 6;
  if (memcmp(made, other, sizeof made) != 0) return 7;
  if (STEP(x, y, MACRO_TRAIN_BATCH + 1, RATE, NULL) != MACRO_ERROR_COUNT) return 8;
  if (STEP(x, y, 0, RATE, NULL) != MACRO_ERROR_COUNT) return 9;
  if (STEP(x, y, -1, RATE, NULL) != MACRO_ERROR_COUNT) return 10;
  if (STEP(NULL, y, 1, RATE, NULL) != MACRO_ERROR_NULL) return 11;
  if (STEP(x, NULL, 1, RATE, NULL) != MACRO_ERROR_NULL) return 12;
  if (STEP(x, y, 1, -1.0f, NULL) != MACRO_ERROR_VALUE) return 13;
  if (STEP(x, y, 1, NAN, NULL) != MACRO_ERROR_VALUE) return 14;
  if (!refused(huge, y[0]) || !refused(NAN, y[0]) || !refused(x[0], BAD)) return 15;
  NAME_get_weights(again);
  if (memcmp(weights, again, sizeof weights) != 0) return 16;
  if (STEP(x, y, 1, RATE, NULL) != MACRO_OK) return 17;
  NAME_get_weights(again);
  if (memcmp(weights, again, sizeof weights) == 0) return 18;
  NAME_set_weights(weights);
  NAME_get_weights(again);
  if (memcmp(weights, again, sizeof weights) != 0) return 19;
  if (NAME_predict(x, other, SAMPLES) != MACRO_OK) return 20;
  if (memcmp(made, other, sizeof made) != 0) return 21;
  for (int k = 0; k < IN; ++k) x[k] = NAN;
  if (NAME_predict(x, other, 2) != MACRO_OK || other[0] == other[0]) return 22;
  if (other[OUT] != made[OUT]) return 23;
  if (!out("weights.NAME", weights, MACRO_WEIGHTS)) return 24;
  if (!out("made.NAME", made, SAMPLES * OUT) || !out("losses.NAME", losses, STEPS)) return 25;
  return 0;
}
"""
"""Runs the steps of one model; the number that it returns says what went wrong."""


@dataclass(frozen=True)
class Trained:
    """A model that learned in Python as it should in C.

    Attributes
    ----------
    name, start : the network, and its weights before the first step.
    x, losses, outputs, weights : what was given to it, and what came out.
    """

    name: str
    start: list[NDArray]
    x: NDArray
    losses: list[float]
    outputs: NDArray
    weights: list[NDArray]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Trained]]:
    """A folder with all models and their drivers, by prefix."""
    folder = tmp_path_factory.mktemp("learning")
    models = {}
    for name, build in NETWORKS.items():
        for kind, rate in RATE.items():
            prefix = f"{name}_{kind}"
            network = build()
            network.initialize(3)
            lp.save(network, folder / f"{prefix}.c", train=kind, seed=SEED, prefix=prefix)
            start = network.get_weights()
            x, losses, y = trained(network, name, kind)
            labels = y.ndim == 1
            x.tofile(folder / f"x.{prefix}")
            y.astype(np.int32 if labels else np.float32).tofile(folder / f"y.{prefix}")
            values = {
                "STEPS": STEPS,
                "BATCH": BATCH,
                "RATE": f"{rate}f",
                "STEP": f"{prefix}_train{'_classes' if labels else ''}",
                "WIDTH": 1 if labels else y.shape[1],
                "TARGET": "int32_t" if labels else "float",
                "BAD": -1 if labels else "NAN",
            }
            driver = DRIVER.replace("NAME", prefix).replace("MACRO", prefix.upper())
            lines = [f"#define {key} {value}" for key, value in values.items()]
            text = "\n".join([*lines, driver])
            (folder / f"run_{prefix}.c").write_text(text, encoding="ascii")
            outputs, weights = network.predict(x), network.get_weights()
            models[prefix] = Trained(name, start, x, losses, outputs, weights)
    (folder / "main.c").write_text("\n".join(main(list(models))) + "\n", encoding="ascii")
    return folder, models


def main(prefixes: Sequence[str]) -> Iterator[str]:
    """A program that runs all models, and prints what each returns."""
    yield "#include <stdio.h>"
    yield from (f"int {prefix}_main(void);" for prefix in prefixes)
    yield "int main(void)"
    yield "{"
    yield from (f'  printf("{prefix} %d\\n", {prefix}_main());' for prefix in prefixes)
    yield "  return 0;"
    yield "}"


@pytest.mark.parametrize(("compiler", "flags"), BUILDS, ids=str)
def test_steps_are_those_of_python(
    compiler: str, flags: tuple[str, ...], printed: tuple[Path, dict[str, Trained]]
) -> None:
    folder, models = printed
    scalar = "-DLANES=1" in flags
    chosen = [f"-D{prefix.upper()}_LANES=1" for prefix in models] if scalar else []
    sources = [f"{start}{prefix}.c" for prefix in models for start in ("", "run_")]
    compile_all(folder, compiler, [*STRICT, *flags, *chosen], ["main.c", *sources], "program")
    done = subprocess.run([str(folder / "program")], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert dict(line.split() for line in done.stdout.splitlines()) == dict.fromkeys(models, "0")
    for prefix, model in models.items():
        check(model, *(np.fromfile(folder / f"{part}.{prefix}", "<f4") for part in PARTS))


PARTS = ("losses", "made", "weights")


def check(model: Trained, losses: NDArray, made: NDArray, flat: NDArray) -> None:
    """Compare what came out with Python's, and the network with its weights."""
    np.testing.assert_allclose(losses, model.losses, rtol=1e-4)
    want = model.outputs
    np.testing.assert_allclose(made.reshape(want.shape), want, rtol=1e-4, atol=1e-5)
    back = NETWORKS[model.name]()
    back.set_weights(model.start)
    back.set_flat_weights(flat)
    for weight, expected in zip(back.get_weights(), model.weights, strict=True):
        assert np.abs(weight - expected).max() <= 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(back.predict(model.x), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["lenet", "normalized", "custom"])
def test_weights_go_on_into_files(
    name: str, printed: tuple[Path, dict[str, Trained]], tmp_path: Path
) -> None:
    """Moving averages included: what C learned, in Keras' file and in JSON."""
    folder, models = printed
    prefix = f"{name}_adam"
    if not (folder / f"weights.{prefix}").exists():
        pytest.skip("no program ran before")
    model = models[prefix]
    network = NETWORKS[name]()
    network.set_weights(model.start)
    network.set_flat_weights(np.fromfile(folder / f"weights.{prefix}", "<f4"))
    want = network.predict(model.x)
    for suffix in (".json",) if name == "custom" else (".h5", ".json"):
        lp.save(network, tmp_path / f"back{suffix}")
        back = lp.load(tmp_path / f"back{suffix}", layers=[Wave])
        np.testing.assert_array_equal(back.predict(model.x), want)


def test_flat_weights_of_another_size() -> None:
    with pytest.raises(lp.errors.ShapeError, match="has 205 elements of weights, 3 were given"):
        NETWORKS["mlp"]().set_flat_weights([1, 2, 3])
