"""Rust, Go, Java and Python: every case of the matrix, with its expected values as golden samples,
in one program a language."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import layerport as lp
import numpy as np
import pytest
from layerport.errors import UnsupportedError
from layerport.format import WriteContext
from layerport_formats.exporting import Export, Golden, export
from layerport_formats.go.artefact import print_go
from layerport_formats.java.artefact import print_java
from layerport_formats.python.artefact import print_python
from layerport_formats.rust.artefact import print_rust

from matrix.cases import CASES, Case

EVIL = ("x*/ } /*", '"; drop', "a\nb", "</script>", "\\u000a", "${x}", "back\\", "", "??/",
        "\u202e", "\U0001f4a9", "\ud800", "n" * 5000, "--> \x07\x1b[31m")  # fmt: skip


def exported(case: Case, folder: Path) -> Export | None:
    """A case as printers get it, its expected values golden; None where an extent is open."""
    network = case.network()
    if any(None in port.shape[1:] for port in network.inputs):
        return None
    context = WriteContext(folder / "x", {}, lp.default_registry(), folder)
    expected = [
        want.astype(p.dtype) for want, p in zip(case.expected, network.outputs, strict=True)
    ]
    golden = Golden(case.inputs, expected, max(case.tolerance, 1e-5))
    return dataclasses.replace(export(network, context, "this"), golden=golden)


def evil(folder: Path) -> Export:
    """A network whose every name is hostile."""
    inputs = [lp.Input((2,), name=name or " ") for name in EVIL[:3]]
    joined = lp.Concatenate(name=EVIL[3])(inputs)
    outputs = [lp.Dense(2, name=name)(joined) for name in EVIL[4:6]]
    network = lp.Network(inputs, outputs, name=EVIL[0])
    network.initialize(0)
    network.labels = list(EVIL)
    return export(network, WriteContext(folder / "x", {}, lp.default_registry(), folder), "this")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Export]:
    folder = tmp_path_factory.mktemp("models")
    made = {case.name: exported(case, folder) for case in CASES}
    made["evil names"] = evil(folder)
    return {name: model for name, model in made.items() if model is not None}


def run(commands: list[list[str]], folder: Path) -> str:
    """What the last command prints."""
    said = ""
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
        said = done.stdout
    return said


def verdicts(said: str, models: dict[str, Export]) -> None:
    """Every model must have said that it is right."""
    answers = dict(line.split() for line in said.splitlines())
    assert len(answers) == len(models)
    wrong = [name for k, name in enumerate(models) if answers[str(k)] != "true"]
    assert not wrong


def needs(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not on this machine")
    return path


def test_rust(models: dict[str, Export], tmp_path: Path) -> None:
    compiler = needs("rustc")
    main = []
    for k, model in enumerate(models.values()):
        (tmp_path / f"m{k}.rs").write_text(print_rust(model), encoding="ascii")
        main.append(f"mod m{k};")
    main.append("fn main() {")
    for k in range(len(models)):
        main.append(f'println!("{k} {{}}", Box::new(m{k}::Model::new()).self_test().0);')
    (tmp_path / "main.rs").write_text("\n".join([*main, "}"]), encoding="ascii")
    build = [compiler, "-C", "opt-level=0", "--edition", "2021", "-o", "main", "main.rs"]
    verdicts(run([build, [str(tmp_path / "main")]], tmp_path), models)


def test_go(models: dict[str, Export], tmp_path: Path) -> None:
    compiler = needs("go")
    imports, calls = [], []
    for k, model in enumerate(models.values()):
        (tmp_path / f"m{k}").mkdir()
        (tmp_path / f"m{k}" / "model.go").write_text(print_go(model, f"m{k}"), encoding="ascii")
        imports.append(f'"run/m{k}"')
        calls.append(f"ok{k}, _ := m{k}.New().SelfTest(); fmt.Println({k}, ok{k})")
    lines = ["package main", 'import "fmt"', *(f"import {name}" for name in imports)]
    (tmp_path / "main.go").write_text("\n".join([*lines, "func main() {", *calls, "}"]), "ascii")
    (tmp_path / "go.mod").write_text("module run\n\ngo 1.18\n", encoding="ascii")
    build = [compiler, "build", "-o", "main", "."]
    verdicts(run([build, [str(tmp_path / "main")]], tmp_path), models)


def test_java(models: dict[str, Export], tmp_path: Path) -> None:
    compiler, machine = needs("javac"), needs("java")
    calls = []
    for k, model in enumerate(models.values()):
        (tmp_path / f"M{k}.java").write_text(print_java(model, f"M{k}", ""), encoding="ascii")
        calls.append(f'System.out.println("{k} " + !Float.isNaN(new M{k}().selfTest()));')
    main = ["class Main {", "public static void main(String[] args) {", *calls, "}", "}"]
    (tmp_path / "Main.java").write_text("\n".join(main), encoding="ascii")
    build = [compiler, "-nowarn", "Main.java"]
    verdicts(run([build, [machine, "-cp", ".", "Main"]], tmp_path), models)


def load(path: Path) -> object:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_python(models: dict[str, Export], tmp_path: Path) -> None:
    wrong = []
    for k, (name, model) in enumerate(models.items()):
        path = tmp_path / f"printed{k}.py"
        path.write_text(print_python(model), encoding="ascii")
        module = load(path)
        if not module.self_test()[0]:  # type: ignore[attr-defined]
            wrong.append(name)
    assert not wrong


def test_python_checks_its_input(models: dict[str, Export], tmp_path: Path) -> None:
    path = tmp_path / "checked.py"
    path.write_text(print_python(models["perceptron"]), encoding="ascii")
    module = load(path)
    with pytest.raises(ValueError, match=r"'input' has the shape \(3, 7\)"):
        module.predict(np.zeros((3, 7), np.float32))  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="cannot be made of"):
        module.predict(np.array([["a"] * 6]))  # type: ignore[attr-defined]
    nan = module.predict(np.full((2, 6), np.nan, np.float32))  # type: ignore[attr-defined]
    assert np.isnan(nan).all()


PRINTERS: dict[str, Callable[[Export], str]] = {
    "rust": print_rust,
    "go": lambda model: print_go(model, "model"),
    "java": lambda model: print_java(model, "Model", ""),
    "python": print_python,
}


@pytest.mark.parametrize("language", PRINTERS)
def test_names_stand_nowhere_raw(language: str, tmp_path: Path) -> None:
    text = PRINTERS[language](evil(tmp_path))
    assert text.isascii()
    assert not [name for name in ("} /*", '"; drop', "</script>", "\x07") if name in text]


@pytest.mark.parametrize("name", ["9lives", "switch", "a b", "x/../y", ""])
def test_names_of_classes_and_packages_are_checked(name: str, models: dict[str, Export]) -> None:
    with pytest.raises(UnsupportedError, match="is no name"):
        print_java(models["perceptron"], name, "")
    with pytest.raises(UnsupportedError, match="is no name"):
        print_go(models["perceptron"], name)
