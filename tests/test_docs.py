"""The documentation says what the code does."""

from __future__ import annotations

import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
import pytest

from matrix.cases import CASES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")),
         ROOT / "examples" / "custom_layer_plugin" / "README.md"]  # fmt: skip


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_what_is_generated_is_up_to_date() -> None:
    ran = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_readme_works(tmp_path: Path) -> None:
    (code,) = blocks(ROOT / "README.md", "python")
    script = tmp_path / "readme.py"
    script.write_text(code + "print(net.evaluate(x, y)['accuracy'])\n")
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True,
                         check=False)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout.split()[-1]) > 0.9
    made = {path.name for path in tmp_path.iterdir()}
    assert {"net.onnx", "net.h5", "net.mjs"} <= made


def test_the_code_on_the_pages_is_python() -> None:
    for page in PAGES:
        for code in blocks(page, "python"):
            compile(code, page, "exec")


def test_the_example_of_a_layer(tmp_path: Path) -> None:
    from layerport.testing import check_layer

    code = next(c for c in blocks(ROOT / "docs" / "writing-layers.md", "python") if "Scale" in c)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, "writing-layers.md", "exec", dont_inherit=True), names)
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    check_layer(names["Scale"](2.0), x, expected=2.0 * x.astype(np.float64))


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_modules_and_names_in_text_exist() -> None:
    """What stands in backticks as `lp.something` or `layerport.something` can be had."""
    for page in PAGES:
        for dotted in re.findall(r"`(?:lp|layerport)\.([\w.]+)", page.read_text(encoding="utf-8")):
            pkgutil.resolve_name(f"layerport.{dotted.rstrip('.')}")


def test_verbs_and_options_in_the_console_blocks_exist() -> None:
    from layerport.cli import VERBS, app

    context = app.make_context("layerport", ["--help"], resilient_parsing=True)
    lines = [line for block in blocks(ROOT / "README.md", "console") for line in block.splitlines()]
    commands = [line.split()[2:] for line in lines if line.startswith("$ layerport")]
    assert len(commands) >= 4
    for verb, *words in commands:
        assert verb in VERBS
        command = app.get_command(context, verb)
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known


# The JSON Schema ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema() -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    text = (ROOT / "docs" / "layers-json.schema.json").read_text(encoding="utf-8")
    validator = jsonschema.Draft202012Validator
    validator.check_schema(json.loads(text))
    return validator(json.loads(text))


@pytest.mark.parametrize("encoding", ["base64", "numbers"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_files_follow_the_schema(schema: Any, case: Any, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    lp.save(case.network(), path, version=2, encoding=encoding)
    schema.validate(json.loads(path.read_text()))
    assert list(json.loads(path.read_text()))[:2] == ["format", "version"]


def small() -> dict[str, Any]:
    """A file written by hand, from the page."""
    dense = {"class_name": "Dense", "config": {"units": 1, "name": "d"}}
    source = {"class_name": "InputLayer", "config": {"shape": [2]}}
    return {
        "format": "layerport", "version": 2,
        "network": {"class_name": "Sequential", "config": {"layers": [source, dense]}},
        "weights": {"d/kernel": {"dtype": "float32", "shape": [2, 1], "values": [0.5, 2]},
                    "d/bias": {"dtype": "float32", "shape": [1], "data": "AACAPw=="}},
    }  # fmt: skip


def test_a_file_written_by_hand(schema: Any, tmp_path: Path) -> None:
    """1.0 as float32 is 00 00 80 3f, in base64 AACAPw==."""
    schema.validate(small())
    (tmp_path / "m.json").write_text(json.dumps(small()))
    network = lp.load(tmp_path / "m.json")
    np.testing.assert_array_equal(network.predict(np.float32([[2, 3]])), [[8]])


def test_a_functional_network_written_by_hand(schema: Any, tmp_path: Path) -> None:
    """Two calls of one layer, as the page describes calls and outlets."""
    layers = [{"class_name": "InputLayer", "config": {"shape": [2], "name": "x"}},
              {"class_name": "Rescaling", "config": {"scale": 3.0, "name": "r"}},
              {"class_name": "Add", "config": {"name": "a"}}]  # fmt: skip
    at = [{"call": c, "output": 0} for c in range(4)]
    calls = [{"layer": 0, "args": [], "kwargs": {}},
             {"layer": 1, "args": [at[0]], "kwargs": {}},
             {"layer": 1, "args": [at[1]], "kwargs": {}},
             {"layer": 2, "args": [[at[0], at[2]]], "kwargs": {}}]  # fmt: skip
    config = {"name": "n", "layers": layers, "calls": calls, "inputs": [at[0]], "outputs": [at[3]]}
    data = {"format": "layerport", "version": 2, "weights": {},
            "network": {"class_name": "Network", "config": config}}  # fmt: skip
    schema.validate(data)
    (tmp_path / "m.json").write_text(json.dumps(data))
    network = lp.load(tmp_path / "m.json")
    np.testing.assert_array_equal(network.predict(np.float32([[1, 2]])), [[10, 20]])


DEFECTS = {
    "no weights": lambda d: d.pop("weights"),
    "another format": lambda d: d.update(format="other"),
    "version 3": lambda d: d.update(version=3),
    "more keys": lambda d: d.update(more=1),
    "no class name": lambda d: d["network"].pop("class_name"),
    "unknown kind": lambda d: d["network"].update(class_name="Graph"),
    "layers are no list": lambda d: d["network"]["config"].update(layers={}),
    "layer without config": lambda d: d["network"]["config"]["layers"][1].pop("config"),
    "layer with more": lambda d: d["network"]["config"]["layers"][1].update(module="os"),
    "unknown dtype": lambda d: d["weights"]["d/kernel"].update(dtype="complex64"),
    "negative extent": lambda d: d["weights"]["d/kernel"].update(shape=[-2, 1]),
    "no elements": lambda d: d["weights"]["d/kernel"].pop("values"),
    "more about a weight": lambda d: d["weights"]["d/kernel"].update(unit="kg"),
    "elements twice": lambda d: d["weights"]["d/kernel"].update(data="AACAPw=="),
    "text as a number": lambda d: d["weights"]["d/kernel"].update(values=["0.5", 2]),
    "calls without outputs": lambda d: d["network"]["config"].update(calls=[]),
    "more about the network": lambda d: d["network"]["config"].update(colour="red"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_what_the_schema_refuses_the_reader_refuses(
    schema: Any, tmp_path: Path, defect: str
) -> None:
    data = small()
    DEFECTS[defect](data)
    assert not schema.is_valid(data)
    (tmp_path / "m.json").write_text(json.dumps(data))
    with pytest.raises((lp.ModelFileError, lp.UnsupportedError)):
        lp.load(tmp_path / "m.json", format="layers_json")
