"""Names from files never act on the terminal."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

EVIL = [
    "\x07bell\x1b[31m", "\x1b]0;title\x07", "\x1b[2Jcleared", "[bold red]markup[/]",
    "[link=x]y[/link]", ":pile_of_poo:", "a\nint injected = 1;\n", "a\r\noverwritten",
    "\u202egnp.exe", "a\u2028b\u2029c", "\x9b31mcsi", "\x7fdel", "\x00nul",
    "</script><script>alert(1)</script>", "${7*7}", "{{7*7}}", "%s%n%x", "back\\slash\\",
    "../../evil", "__proto__", " ", "n" * 5000, "\U0001f4a9", "'; DROP TABLE x; --",
]  # fmt: skip
HARMLESS_SHOWN = ("[bold red]markup[/]", "[link=x]y[/link]", ":pile_of_poo:", "%s%n%x", "{{7*7}}",
                  "__proto__", "back\\slash\\")  # fmt: skip


def layer(kind: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": config}


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A model all of whose names are hostile."""
    layers = [layer("InputLayer", shape=[2], name="\x1b[31min\x07")]
    layers += [layer("Flatten", name=name) for name in EVIL]
    config = {"name": "\x1b[1mtitle\x07", "labels": EVIL[:2], "layers": layers}
    data = {"format": "layerport", "version": 2, "weights": {},
            "network": {"class_name": "Sequential", "config": config}}  # fmt: skip
    path = tmp_path / "evil.json"
    path.write_text(json.dumps(data))
    return path


def acting(text: str) -> set[str]:
    """The characters that a terminal does not just show."""
    return {char for char in text if not char.isprintable() and char != "\n"}


def test_inspect(run, evil: Path) -> None:
    ran = run("inspect", evil)
    assert ran.code == 0
    assert not acting(ran.out)
    assert not acting(ran.err)
    assert "injected" not in [line.split()[0] for line in ran.out.splitlines() if line.split()]
    for name in HARMLESS_SHOWN:
        assert name in ran.out
    assert "\\x07bell\\x1b[31m" in ran.out


def test_inspect_as_json_keeps_the_names(run, evil: Path) -> None:
    ran = run("inspect", evil, "--json")
    assert not acting(ran.out) - {"\x7f"}
    assert [row["name"] for row in json.loads(ran.out)["layers"]][1:] == EVIL


def test_other_verbs(run, evil: Path, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[[1, 2], [2, 1]]")
    for words in (
        ["predict", evil, tmp_path / "x.json"],
        ["convert", evil, tmp_path / "made.onnx"],
        ["convert", evil, tmp_path / "made.mjs"],
        ["convert", evil, tmp_path / "made.h5"],
        ["convert", evil, tmp_path / "made.json", "--option", "version=1"],
        ["verify", evil, evil],
    ):
        ran = run(*words)
        assert ran.code != 70, ran.err
        assert not acting(ran.out)
        assert not acting(ran.err)


@pytest.mark.parametrize("class_name", EVIL)
def test_errors(run, tmp_path: Path, class_name: str) -> None:
    config = {"layers": [layer(class_name, name=class_name)]}
    data = {"format": "layerport", "version": 2, "weights": {class_name: 1},
            "network": {"class_name": "Sequential", "config": config}}  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps(data))
    ran = run("inspect", tmp_path / "m.json")
    assert ran.code in (3, 4)
    assert not acting(ran.err)
    assert not any(line.startswith("int injected") for line in ran.err.splitlines())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a pseudo-terminal")
def test_in_a_terminal(evil: Path) -> None:
    """With colours on, too: rich's own sequences may pass, the file's may not."""
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-m", "layerport", "inspect", str(evil)])
    seen = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    text = seen.decode()
    assert "\\x07bell" in text
    for sequence in ("\x07", "\x1b]", "\x1b[2J", "\x1b[31m", "\x9b", "\u202e", "\x00"):
        assert sequence not in text
