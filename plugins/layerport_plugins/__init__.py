"""The layers, optimizers, losses... that come with layerport, offered through its hooks."""

from __future__ import annotations
