"""A page in which one draws a digit and sees the answer; it opens from file://, offline.

    python examples/mnist.py                       # writes mnist-out/mnist.mjs
    python examples/digit_page.py mnist-out/mnist.mjs digits.html

The network's JavaScript module is put into the page as it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

TEMPLATE = Path(__file__).with_name("digit_page.html")


def page(module: str) -> str:
    """The page around the text of a module that `layerport` wrote."""
    size = f"{len(module.encode()) / 1000:.0f} KB with all weights"
    html = TEMPLATE.read_text(encoding="utf-8")
    return html.replace("/*SIZE*/", size).replace("/*MODULE*/", module)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("module", type=Path, help="a .mjs with 784 inputs and 10 outputs")
    parser.add_argument("page", type=Path, help="where to write the page")
    options = parser.parse_args()
    options.page.write_text(page(options.module.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{options.page} ({options.page.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
