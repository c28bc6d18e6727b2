"""Writing a network to a file."""

from __future__ import annotations

from layerport.errors import UnsupportedError
from layerport.format import WriteContext
from layerport.network import Network

from . import flag_option, metadata, opset_option
from .storing import LARGEST, store_beside, write_model
from .writing import OPSET, Model, lower, to_model


def save(network: Network, context: WriteContext) -> None:
    """Write a network, and what it does not say in operators into the metadata.

    Raises
    ------
    UnsupportedError : naming every operator that ONNX cannot express.
    """
    lowered = lower(network, context.registry)
    opset = opset_option(context.options)
    model = to_model(network, lowered, opset)
    if opset is None and model.opset != OPSET:
        context.note("notice", f"it needs operator set {model.opset}; runtimes older than that "
                     "cannot run it")  # fmt: skip
    arrays = lowered.arrays
    tensors = {name: arrays[full] for name, full in model.weights.items()}
    tensors |= model.constants
    if flag_option(context.options, "metadata") is not False:
        _describe(network, model, context)
    size = sum(array.nbytes for array in tensors.values())
    external = flag_option(context.options, "external_data")
    if external is False and size > LARGEST:
        raise UnsupportedError(
            f"{size:,} bytes of weights do not fit into one ONNX file",
            hint="leave out external_data=false",
        )
    if external or size > LARGEST:
        stored = store_beside(model.proto, tensors, context.sibling(".onnx.data"))
        tensors = {name: array for name, array in tensors.items() if name not in stored}
    write_model(model.proto, tensors, context.path)


def _describe(network: Network, model: Model, context: WriteContext) -> None:
    if model.literal and metadata.is_plain(network):
        return
    try:
        metadata.attach(model.proto, network)
    except UnsupportedError as error:
        context.note("dropped", f"the layers; the file reads back as operators: {error}")
        return
    changing = [
        layer.name
        for layer in network.layers
        if layer.takes_training() and type(layer).__name__ != "BatchNormalization"
    ]
    if changing:
        context.note(
            "notice",
            f"what {', '.join(changing)} does in training stands in the metadata alone; "
            "other tools see what it does at inference",
        )
