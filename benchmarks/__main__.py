"""Measure layerport against others.

    python -m benchmarks train [--quick] [--network m1] [--batch 10] [--threads 1]
    python -m benchmarks infer
    python -m benchmarks report

`train` and `infer` print a line for each row, and keep it in results.json unless `--quick` is
given; `report` writes RESULTS.md. What is not installed is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.emotion import emotion_model
from benchmarks.measure import QUICK, Effort, Frameworks, machine
from benchmarks.networks import NETWORKS
from benchmarks.report import REPORT, Results
from benchmarks.tables import line, markdown

BATCHES = {"train": (10, 32, 128), "infer": (1, 10, 32, 128)}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = _parser().parse_args(arguments)
    if options.command == "report":
        REPORT.write_text(markdown(Results.load()), encoding="utf-8")
        print(REPORT)
    else:
        measure(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for mode, batches in BATCHES.items():
        command = commands.add_parser(mode, help=f"measure {mode}")
        command.set_defaults(batches=batches)
        command.add_argument("--quick", action="store_true", help="short, and not kept")
        command.add_argument("--network", action="append", choices=list(NETWORKS))
        command.add_argument("--contender", action="append", choices=list(CONTENDERS))
        command.add_argument("--batch", action="append", type=int)
        command.add_argument("--threads", action="append", type=int)
        command.add_argument("--rounds", type=int, help=f"turns of each (default {Effort.rounds})")
        command.add_argument("--data", type=Path, help="a folder with MNIST's IDX files")
    commands.add_parser("report", help="write RESULTS.md from results.json")
    return parser


def measure(options: argparse.Namespace) -> None:
    """Run `train` or `infer`."""
    mode = options.command
    effort = QUICK if options.quick else Effort(rounds=options.rounds or Effort.rounds)
    emotion_model(download=True)
    bench = Frameworks(mode, options.contender or list(CONTENDERS), options.data, effort)
    described = machine()
    print(f"{described['processor']}, {described['cores']} cores, {described['blas']}")
    results = Results.load()
    for threads in options.threads or (1, 2):
        for network in options.network or NETWORKS:
            for row in bench.rows(network, threads, options.batch or options.batches):
                print(line(row), flush=True)
                results.add([row])
    versions = results.machines.get(mode, {}).get("versions", {}) | bench.versions
    results.machines[mode] = described | {"versions": versions}
    if not options.quick:
        results.save()


if __name__ == "__main__":
    main()
