"""Hostile names of models, layers, inputs, outputs and labels, in every target."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import layerport as lp
import numpy as np
import pytest
from layerport_formats.javascript.node import find_node

from hostile import EVIL_NAMES, is_harmless

NODE = find_node()
EACH = 6
"""Inputs of a model, and outputs."""
FEW = 3
SHOWN = "\U0001f9e8 ä ß 漢"
"""What people may read as it is."""


def network(place: int) -> lp.Network:
    """A model of hostile names: its inputs have those from a place on, its layers the next."""
    turned = EVIL_NAMES[place * EACH :] + EVIL_NAMES
    inputs = [lp.Input((1,), name=name) for name in turned[:EACH]]
    joined = lp.Concatenate(name=turned[EACH])(inputs)
    outputs = [lp.Dense(2, name=name)(joined) for name in turned[EACH + 1 : 2 * EACH]]
    outputs.append(lp.Dense(len(EVIL_NAMES), "softmax", name=turned[2 * EACH])(joined))
    made = lp.Network(inputs, outputs, name=EVIL_NAMES[place])
    made.initialize(place)
    made.labels = EVIL_NAMES
    made.compile("sgd", loss="mean_squared_error")
    return made


COUNT = -(-len(EVIL_NAMES) // EACH)
NETWORKS = [network(place) for place in range(COUNT)]


def names_of(made: lp.Network) -> list[str]:
    """What a file must be able to say: inputs, outputs, labels."""
    return [port.name for port in (*made.inputs, *made.outputs)] + EVIL_NAMES


def written(folder: Path, pattern: str, fmt: str | None = None, **options: str) -> list[str]:
    """Every network as a file; what stands in them is checked, and given back.

    In options, too, {} stands for the number of the network. Of networks that learn there are
    fewer, for they take their time.
    """
    for place, made in enumerate(NETWORKS[:FEW] if "train" in options else NETWORKS):
        given = {key: value.format(place) for key, value in options.items()}
        lp.save(made, folder / pattern.format(place), fmt, **given)
    return nothing_raw(folder)


def nothing_raw(folder: Path) -> list[str]:
    """The texts of all files, after a look at them and at their names."""
    assert not [path for path in folder.rglob("*") if "evil" in path.name.lower()]
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    texts = [path.read_bytes().decode("utf-8", "replace") for path in files]
    for path, text in zip(files, texts, strict=True):
        raw = {name for name in EVIL_NAMES if not is_harmless(name) and name in text}
        assert raw <= ({SHOWN} if path.suffix == ".md" else set()), path
    return texts


def run(folder: Path, *commands: Sequence[str]) -> list[str]:
    """The lines that the last command prints."""
    said = ""
    for command in commands:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        said = done.stdout
    return said.splitlines()


def check(lines: Sequence[str], count: int = COUNT, end: str = "") -> None:
    """Each line: whether the self-test has passed, and all names as hexadecimal UTF-8.

    `end` is what ends a string in the language.
    """
    for line, made in zip(lines, NETWORKS[:count], strict=True):
        passed, *names = line.split(" ")
        assert passed == "true"
        wanted = [name.split(end)[0] if end else name for name in names_of(made)]
        assert [bytes.fromhex(name).decode() for name in names] == wanted


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not on this machine")
    return path


IN_NODE = """
const hex = (name) => Buffer.from(name, "utf8").toString("hex");
for (let k = 0; k < COUNT; k++) {
  const { inputs, outputs, labels, selfTest, predict } = await import(`./PATTERN`);
  const made = predict(Object.fromEntries(inputs.map(({ name }) => [name, [1]])));
  const ok = selfTest().ok && outputs.every(({ name }) => made[name].length >= 2);
  const names = [...inputs, ...outputs].map((port) => port.name).concat(labels);
  console.log([String(ok), ...names.map(hex)].join(" "));
}
"""


needs_node = pytest.mark.skipif(NODE is None, reason="Node is not on this machine")


def check_in_node(folder: Path, module: str, count: int = COUNT) -> None:
    script = IN_NODE.replace("COUNT", str(count)).replace("PATTERN", module)
    (folder / "main.mjs").write_text(script)
    check(run(folder, [str(NODE), "main.mjs"]), count)


@needs_node
@pytest.mark.parametrize(
    ("pattern", "options"),
    [("m{}.mjs", {}), ("m{}.mjs", {"train": "adam"}), ("m{}.wasm", {})],
    ids=["javascript", "learning", "wasm"],
)
def test_javascript(pattern: str, options: dict[str, str], tmp_path: Path) -> None:
    written(tmp_path, pattern, **options)
    check_in_node(tmp_path, "m${k}.mjs", FEW if options else COUNT)


@needs_node
def test_npm(tmp_path: Path) -> None:
    written(tmp_path, "m{}", "npm")
    for place in range(COUNT):
        described = json.loads((tmp_path / f"m{place}" / "package.json").read_text())
        assert re.fullmatch("[a-z0-9-]{1,64}", described["name"])
        assert len((tmp_path / f"m{place}" / "README.md").read_text()) < 30_000
    check_in_node(tmp_path, "m${k}/index.mjs")


def test_pages(tmp_path: Path) -> None:
    """What they do in a browser is in test_html."""
    for text in written(tmp_path, "m{}.html", train="sgd"):
        assert text.count("<script") == 2
        assert text.lower().count("</script") == 2


def test_c(tmp_path: Path) -> None:
    compiler = tool("gcc")
    written(tmp_path, "m{}.c", prefix="m{}")
    lines = ["#include <stdio.h>", *(f'#include "m{k}.h"' for k in range(COUNT))]
    lines += [
        "static void hex(const char *name) {",
        '  putchar(32); while (*name) printf("%02x", (unsigned char)*name++);',
        "}",
        "int main(void) {",
    ]
    for k in range(COUNT):
        lines += [
            f'printf("%s", m{k}_self_test(0) == M{k}_OK ? "true" : "false");',
            f"for (int i = 0; i < {EACH}; ++i) hex(m{k}_input_names[i]);",
            f"for (int i = 0; i < {EACH}; ++i) hex(m{k}_output_names[i]);",
            f"for (int i = 0; i < {len(EVIL_NAMES)}; ++i) hex(m{k}_labels[i]);",
            'puts("");',
        ]
    (tmp_path / "main.c").write_text("\n".join([*lines, "return 0; }", ""]))
    sources = [f"m{k}.c" for k in range(COUNT)]
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-trigraphs", "-O0"]
    build = [compiler, *flags, "main.c", *sources, "-o", "main", "-lm"]
    check(run(tmp_path, build, [str(tmp_path / "main")]), end="\0")


def test_rust(tmp_path: Path) -> None:
    compiler = tool("rustc")
    written(tmp_path, "m{}.rs")
    lines = [f"mod m{k};" for k in range(COUNT)]
    lines += [
        "fn hex(names: &[&str]) {",
        '  for n in names { print!(" "); for b in n.bytes() { print!("{:02x}", b); } }',
        "}",
        "fn main() {",
    ]
    for k in range(COUNT):
        lines.append(
            f'print!("{{}}", Box::new(m{k}::Model::new()).self_test().0); '
            f"hex(&m{k}::INPUT_NAMES); hex(&m{k}::OUTPUT_NAMES); hex(&m{k}::LABELS); println!();"
        )
    (tmp_path / "main.rs").write_text("\n".join([*lines, "}"]))
    build = [compiler, "-C", "opt-level=0", "--edition", "2021", "-o", "main", "main.rs"]
    check(run(tmp_path, build, [str(tmp_path / "main")]))


def test_go(tmp_path: Path) -> None:
    compiler = tool("go")
    for k in range(COUNT):
        (tmp_path / f"m{k}").mkdir()
    written(tmp_path, "m{0}/m{0}.go")
    lines = ["package main", 'import "fmt"', *(f'import m{k} "run/m{k}"' for k in range(COUNT))]
    lines += [
        "func say(ok bool, lists ...[]string) {",
        "fmt.Print(ok)",
        'for _, names := range lists { for _, name := range names { fmt.Printf(" %x", name) } }',
        "fmt.Println()",
        "}",
        "func main() {",
    ]
    for k in range(COUNT):
        lines += [
            f"ok{k}, _ := m{k}.New().SelfTest()",
            f"say(ok{k}, m{k}.InputNames, m{k}.OutputNames, m{k}.Labels)",
        ]
    (tmp_path / "main.go").write_text("\n".join([*lines, "}"]))
    (tmp_path / "go.mod").write_text("module run\n\ngo 1.18\n")
    check(run(tmp_path, [compiler, "build", "-o", "main", "."], [str(tmp_path / "main")]))


def test_java(tmp_path: Path) -> None:
    compiler, machine = tool("javac"), tool("java")
    written(tmp_path, "M{}.java")
    lines = [
        "class Main {",
        "static void say(float off, String[]... lists) {",
        "  StringBuilder b = new StringBuilder(off == off ? \"true\" : \"false\");",
        "  for (String[] names : lists) for (String name : names) {",
        "    b.append(' ');",
        "    for (byte v : name.getBytes(java.nio.charset.StandardCharsets.UTF_8))",
        '      b.append(String.format("%02x", v));',
        "  }",
        "  System.out.println(b);",
        "}",
        "public static void main(String[] args) {",
        *(f"say(new M{k}().selfTest(), M{k}.INPUT_NAMES, M{k}.OUTPUT_NAMES, M{k}.LABELS);"
          for k in range(COUNT)),
        "}}",
    ]  # fmt: skip
    (tmp_path / "Main.java").write_text("\n".join(lines))
    check(run(tmp_path, [compiler, "-nowarn", "Main.java"], [machine, "-cp", ".", "Main"]))


def test_python(tmp_path: Path) -> None:
    written(tmp_path, "printed{}.py")
    for k, made in enumerate(NETWORKS):
        spec = importlib.util.spec_from_file_location(f"printed{k}", tmp_path / f"printed{k}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.self_test()[0]
        found = [name for name, _, _ in (*module.INPUTS, *module.OUTPUTS)] + module.LABELS
        assert found == names_of(made)
        with pytest.raises(ValueError, match="has the shape"):
            module.predict(np.zeros((1, 9)), *[np.zeros((1, 1))] * (EACH - 1))
