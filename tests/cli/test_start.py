"""How fast the command line starts."""

from __future__ import annotations

import subprocess
import sys
import time

import layerport as lp
from layerport.cli import VERBS

RUNS = 7
ALLOWED = 1.6
"""times of `import numpy`"""


def seconds(*words: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def test_help_is_not_slower_than_importing_numpy() -> None:
    ours, numpys = [], []
    for _ in range(RUNS):  # in turns, so that both meet the same load
        ours.append(seconds("-m", "layerport", "--help"))
        numpys.append(seconds("-c", "import numpy"))
    middle = RUNS // 2
    assert sorted(ours)[middle] < ALLOWED * sorted(numpys)[middle]


def test_help_names_the_verbs_and_exit_codes(run) -> None:
    ran = run("--help")
    assert ran.code == 0
    for verb in ("convert", "inspect", "verify", "predict", "train", "evaluate", "formats",
                 "layers", "ops", "plugins", "demo"):  # fmt: skip
        assert verb in ran.out
        assert verb in VERBS
    assert "Exit codes: 0 done; 1" in " ".join(ran.out.split())


def test_every_verb_has_help(run) -> None:
    for verb in VERBS:
        ran = run(verb, "--help")
        assert ran.code == 0
        assert len(ran.out) > 100


def test_version(run) -> None:
    assert lp.__version__ in run("--version").out
