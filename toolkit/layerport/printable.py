"""Text from files, made fit for a terminal."""

from __future__ import annotations


def printable(text: str, *, keep: str = "") -> str:
    r"""The text with everything that acts on a terminal written out, as ``\x1b`` or ``\u202e``.

    Parameters
    ----------
    text : what is to be shown; a name of a model file may hold anything.
    keep : characters that stay as they are, such as the line breaks of a message.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )  # fmt: skip
