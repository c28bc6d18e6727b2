"""Names that are each given once."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """Gives names that differ from all before: `dense`, `dense_1`, `dense_2`...

    Parameters
    ----------
    taken : names that are not to be given.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def take(self, base: str) -> str:
        """A name that starts with `base`; `base` itself if it is free."""
        name = base
        while name in self._taken:
            count = self._next.get(base, 1)
            self._next[base] = count + 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name
