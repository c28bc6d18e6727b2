"""The file formats and target languages that come with layerport, offered through its hooks."""

from __future__ import annotations
