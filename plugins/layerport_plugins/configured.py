"""What initializers and regularizers have in common."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Configured:
    """Something whose fields are its config, as Keras writes it."""

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal object."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
