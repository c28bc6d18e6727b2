"""package.json."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from layerport.errors import UnsupportedError

if TYPE_CHECKING:
    from layerport.network import Network

FILES = ("README.md", "index.d.ts", "index.mjs", "package.json")
"""What a package consists of."""

LONGEST_NAME = 214
_NAME = re.compile(r"(?:@[a-z0-9-][a-z0-9-._]*/)?[a-z0-9-][a-z0-9-._]*")
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:-[0-9A-Za-z-.]+)?(?:\+[0-9A-Za-z-.]+)?")
_LICENSE = re.compile(r"[A-Za-z0-9.+() -]+")
_TAKEN = frozenset({"node_modules", "favicon.ico"})


class Package(NamedTuple):
    """A package.json, and the name in it."""

    name: str
    text: str


def package_json(network: Network, options: Mapping[str, Any], folder: str) -> Package:
    """Describe the package.

    Parameters
    ----------
    options : of the format ``npm``.
    folder : gives the name when the model has none.

    Raises
    ------
    UnsupportedError : a name, version or license that npm would not take.
    """
    given = options.get("package")
    name = safe_name(network.name or folder) if given is None else _checked(_NAME, "package", given)
    if len(name) > LONGEST_NAME or name in _TAKEN:
        raise UnsupportedError(f"npm takes no package of the name {name[:80]!r}")
    content: dict[str, Any] = {
        "name": name,
        "version": _checked(_VERSION, "version", options.get("version", "1.0.0")),
        "description": "A neural network without dependencies, printed by layerport",
    }
    if options.get("license") is not None:
        content["license"] = _checked(_LICENSE, "license", options["license"])
    content |= {
        "keywords": ["neural-network", "layerport"],
        "type": "module",
        "main": "./index.mjs",
        "types": "./index.d.ts",
        "exports": {".": {"types": "./index.d.ts", "default": "./index.mjs"}},
        "files": ["index.mjs", "index.d.ts"],
        "sideEffects": False,
        "engines": {"node": ">=18"},
        "layerport": {"format": "npm"},
    }
    return Package(name, json.dumps(content, indent=2) + "\n")


def safe_name(name: str) -> str:
    """A name for npm, made of any text; at most 64 characters, ``model`` where nothing is left."""
    plain = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    kept = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:64].strip("-")
    return kept if kept and kept not in _TAKEN else "model"


def is_ours(folder: Path) -> bool:
    """Whether a folder holds the files of such a package and nothing else."""
    if not {path.name for path in folder.iterdir()} <= set(FILES):
        return False
    try:
        content = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("layerport") == {"format": "npm"}


def _checked(pattern: re.Pattern[str], option: str, given: Any) -> str:
    if not pattern.fullmatch(str(given)):
        raise UnsupportedError(f"option {option}={given}: npm does not take this as a {option}")
    return str(given)
