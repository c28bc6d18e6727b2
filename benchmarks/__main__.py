"""Measure layerport against others.

    python -m benchmarks train [--quick] [--network m1] [--batch 10] [--threads 1]
    python -m benchmarks infer
    python -m benchmarks targets
    python -m benchmarks learning
    python -m benchmarks report

`train` and `infer` measure Python frameworks; `targets` exported programs that predict, `learning`
those that also learn. They print a line for each row, and keep it in results.json unless `--quick`
is given; `report` writes RESULTS.md. What is not installed is left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.emotion import emotion_model
from benchmarks.measure import QUICK, Effort, Frameworks, Row, machine
from benchmarks.networks import NETWORKS
from benchmarks.report import REPORT, Results
from benchmarks.tables import line, markdown
from benchmarks.targets.bench import LEARNING, MEASURED, TARGETS, Programs, versions

BATCHES = {
    "train": (10, 32, 128),
    "infer": (1, 10, 32, 128),
    "targets": (1, 128),
    "learning": (10,),
}
PROGRAMS = {"targets": TARGETS, "learning": LEARNING}
TITLES = {
    name: known.title for some in (TARGETS, LEARNING, CONTENDERS) for name, known in some.items()
}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = _parser().parse_args(arguments)
    results = Results.load()
    if options.command != "report":
        _measure(options, results)
        if not options.quick:
            results.save()
    else:
        REPORT.write_text(markdown(results, TITLES), encoding="utf-8")
        print(REPORT)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for mode in BATCHES:
        command = commands.add_parser(mode, help=f"measure: {mode}")
        names = list(PROGRAMS.get(mode, CONTENDERS))
        networks = list(MEASURED if mode in PROGRAMS else NETWORKS)
        command.add_argument("--quick", action="store_true", help="short, and not kept")
        command.add_argument("--network", action="append", choices=networks)
        command.add_argument("--contender", action="append", choices=names)
        command.add_argument("--batch", action="append", type=int)
        if mode not in PROGRAMS:
            command.add_argument("--threads", action="append", type=int)
        command.add_argument("--rounds", type=int, help=f"turns of each (default {Effort.rounds})")
        command.add_argument("--data", type=Path, help="a folder with MNIST's IDX files")
        command.set_defaults(networks=networks, names=names)
    commands.add_parser("report", help="write RESULTS.md from results.json")
    return parser


def _measure(options: argparse.Namespace, results: Results) -> None:
    """Measure, print and collect."""
    mode = options.command
    described = machine()
    print(f"{described['processor']}, {described['cores']} cores, {described['blas']}")
    described["versions"] = results.machines.get(mode, {}).get("versions", {})
    measured = _programs if mode in PROGRAMS else _frameworks
    for row in measured(options, results, described["versions"]):
        print(line(row, TITLES), flush=True)
        results.add([row])
    results.machines[mode] = described


def _effort(options: argparse.Namespace) -> Effort:
    return QUICK if options.quick else Effort(rounds=options.rounds or Effort.rounds)


def _frameworks(
    options: argparse.Namespace, results: Results, found: dict[str, str]
) -> Iterator[Row]:
    """The rows of `train` or `infer`."""
    mode = options.command
    emotion_model(download=True)
    bench = Frameworks(mode, options.contender or options.names, options.data, _effort(options))
    for threads in options.threads or (1, 2):
        for network in options.network or options.networks:
            yield from bench.rows(network, threads, options.batch or BATCHES[mode])
    found |= bench.versions


def _programs(
    options: argparse.Namespace, results: Results, found: dict[str, str]
) -> Iterator[Row]:
    """The rows of `targets` or `learning`."""
    mode = options.command
    found |= versions()
    for network in options.network or options.networks:
        with tempfile.TemporaryDirectory() as folder:
            names = options.contender or options.names
            programs = Programs(mode, network, names, Path(folder), options.data)
            yield from programs.rows(options.batch or BATCHES[mode], _effort(options))
            sizes = {name: dataclasses.asdict(size) for name, size in programs.sizes().items()}
            results.sizes.setdefault(network, {}).update(sizes)


if __name__ == "__main__":
    main()
