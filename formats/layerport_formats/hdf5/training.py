"""What files say of training: how the model was compiled, and the state of its optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerport.format import ReadContext

    from layerport_formats.hdf5.files import Place


def note_training(root: Place, context: ReadContext) -> None:
    """Say what of it is not taken over."""
    found = []
    if root.text("training_config") is not None:
        found.append("the loss, optimizer and metrics it was compiled with")
    if root.group("optimizer_weights") is not None:
        found.append("the state of the optimizer")
    if found:
        context.note("notice", f"not taken over: {' and '.join(found)}; compile the network anew")
