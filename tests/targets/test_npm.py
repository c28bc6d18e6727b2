"""npm packages: packed, installed, imported."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import layerport as lp
import numpy as np
import pytest
from layerport.errors import UnsupportedError
from layerport_formats.javascript.node import find_node
from layerport_formats.npm.package import FILES, safe_name
from layerport_formats.npm.readme import markdown

NPM = shutil.which("npm")
NODE = find_node()
LABELS = [
    "</script><script>",
    "[x](javascript:pwn)",
    "| a | b",
    "`id`",
    "# head\n# more",
    "n" * 5000,
]


@pytest.fixture
def network() -> lp.Network:
    made = lp.Sequential([lp.Input((4,)), lp.Dense(6, "softmax")], name="Größe & *Art*")
    made.initialize(0)
    made.labels = LABELS
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.skipif(NPM is None or NODE is None, reason="npm is not on this machine")
def test_packed_installed_imported(network: lp.Network, tmp_path: Path) -> None:
    report = lp.save(network, tmp_path / "package", "npm", license="MIT", package="@me/kinds")
    assert sorted(path.name for path in report.files) == sorted(FILES)
    user = tmp_path / "user"
    user.mkdir()
    (user / "package.json").write_text('{"name": "user", "type": "module"}')

    def npm(*words: str) -> str:
        command = [str(NPM), *words, "--offline", "--no-audit", "--no-fund"]
        done = subprocess.run(
            command, cwd=user, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    packed = json.loads(npm("pack", str(report.path), "--json"))[0]
    assert sorted(file["path"] for file in packed["files"]) == sorted(FILES)
    npm("install", f"./{packed['filename']}")
    x = np.linspace(-1, 1, 4, dtype=np.float32)
    (user / "main.mjs").write_text(
        'import model, { predict, labels, selfTest } from "@me/kinds";\n'
        f"const y = predict(new Float32Array({x.tolist()}));\n"
        "console.log(JSON.stringify([[...y], labels, selfTest().ok, model.predict === predict]));"
    )
    done = subprocess.run(
        [str(NODE), "main.mjs"], cwd=user, capture_output=True, text=True, check=True
    )
    y, labels, passed, same = json.loads(done.stdout)
    kernel, bias = (w.astype(np.float64) for w in network.get_weights())
    z = np.exp(x @ kernel + bias)
    np.testing.assert_allclose(y, z / z.sum(), rtol=1e-5)
    assert (labels, passed, same) == (LABELS, True, True)


def test_it_is_verified_and_written_again(network: lp.Network, tmp_path: Path) -> None:
    lp.save(network, tmp_path / "m.json", version=2)
    for _ in range(2):
        report = lp.convert(tmp_path / "m.json", tmp_path / "package", target_format="npm")
        assert report.verification.passed is (None if NODE is None else True)
    assert sorted(contents(tmp_path / "package")) == sorted(FILES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.json", "package"]


def test_the_description(network: lp.Network, tmp_path: Path) -> None:
    lp.save(network, tmp_path / "package", "npm", version="2.0.1")
    described = json.loads((tmp_path / "package" / "package.json").read_text())
    assert described["name"] == "grosse-art"
    assert described["version"] == "2.0.1"
    assert "license" not in described
    assert described["type"] == "module"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("My Model!", "my-model"), ("../../evil", "evil"), ("", "model"), ("\u202e", "model"),
        ("node_modules", "node-modules"), ("__proto__", "proto"), ("n" * 5000, "n" * 64),
        ("@scope/x", "scope-x"), (".hidden", "hidden"), ("favicon.ico", "favicon-ico"),
    ],
)  # fmt: skip
def test_safe_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_names_stand_nowhere_raw_in_the_readme(network: lp.Network, tmp_path: Path) -> None:
    lp.save(network, tmp_path / "package", "npm")
    text = (tmp_path / "package" / "README.md").read_text()
    assert "<script" not in text.replace("\\<", "")
    assert "](javascript" not in text
    assert "\n# more" not in text
    assert "n" * 200 not in text
    assert markdown("a|b_c*d`e`<f>") == r"a\|b\_c\*d\`e\`\<f\>"


@pytest.mark.parametrize(
    "options",
    [{"package": "Has Spaces"}, {"package": "../x"}, {"package": "node_modules"},
     {"package": "n" * 300}, {"version": "1"}, {"license": '"'}, {"colour": "red"}],
)  # fmt: skip
def test_options_that_npm_does_not_take(
    network: lp.Network, tmp_path: Path, options: dict[str, str]
) -> None:
    with pytest.raises(UnsupportedError):
        lp.save(network, tmp_path / "package", "npm", **options)
    assert not list(tmp_path.iterdir())


# The folder -----------------------------------------------------------------------------------


def test_a_folder_with_something_else_in_it_stays(network: lp.Network, tmp_path: Path) -> None:
    target = tmp_path / "package"
    lp.save(network, target, "npm")
    (target / "precious.txt").write_text("mine")
    before = contents(target)
    with pytest.raises(FileExistsError, match="package"):
        lp.save(network, target, "npm")
    assert contents(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["package"]


@pytest.mark.parametrize("name", FILES)
def test_a_folder_that_others_wrote_stays(network: lp.Network, tmp_path: Path, name: str) -> None:
    target = tmp_path / "package"
    target.mkdir()
    (target / name).write_text("{}")
    with pytest.raises(FileExistsError):
        lp.save(network, target, "npm")
    assert contents(target) == {name: b"{}"}


def test_an_empty_folder_is_taken_a_file_is_not(network: lp.Network, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    lp.save(network, tmp_path / "empty", "npm")
    assert sorted(contents(tmp_path / "empty")) == sorted(FILES)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError):
        lp.save(network, tmp_path / "file", "npm")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_writer_that_fails_leaves_the_folder(
    network: lp.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "package"
    lp.save(network, target, "npm")
    before = contents(target)
    rename = Path.rename

    def failing(self: Path, to: Path) -> Path:
        if (
            Path(to) == target
            and self.parent.name.startswith(".layerport-")
            and "before" not in self.name
        ):
            raise OSError(28, "No space left on device")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    network.initialize(1)
    with pytest.raises(OSError, match="No space"):
        lp.save(network, target, "npm")
    assert contents(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["package"]
