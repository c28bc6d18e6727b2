"""``python -m layerport``."""

from layerport.cli import main

main()
