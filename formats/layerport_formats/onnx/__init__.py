"""ONNX: reads and writes `.onnx` files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from layerport.errors import UnsupportedError
from layerport.format import Format, ReadContext, WriteContext

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray


class OnnxFormat(Format):
    """ONNX files, of any operator set; see docs/onnx.md."""

    name = "onnx"
    suffixes = (".onnx",)
    description = "Open Neural Network Exchange"
    options: ClassVar[Mapping[str, str]] = {
        "opset": "the operator set to write, 13 or later (default: 17, or newer if needed)",
        "external_data": "true: weights in a file beside the model (default: beyond 2 GB)",
        "metadata": "false: leave out the layers that the operators stand for",
    }

    def sniff(self, head: bytes, path: Path) -> bool:
        """A protobuf message that starts with a small number, the IR version, in field 1."""
        return (
            len(head) > 2
            and head[0] == 0x08
            and 0 < head[1] < 0x80
            and head[2] in (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42)
        )

    def read(self, path: Path, context: ReadContext) -> Network:
        """Read a network: of its own layers where layerport wrote the file, else of operators."""
        from .layers import operator_network
        from .metadata import restore
        from .reading import parse, translate

        model = parse(path, context)
        restored = restore(model, context, path.parent)
        if restored is not None:
            return restored
        translation = translate(model, context, path.parent)
        return operator_network(translation)

    def write(self, network: Network, context: WriteContext) -> None:
        """Write the operators of a network, with its layers in the metadata."""
        from .saving import save

        save(network, context)

    def run(self, path: Path, inputs: Sequence[NDArray], network: Network) -> list[NDArray]:
        """The outputs by onnxruntime, where it is installed; else as read back."""
        try:
            import onnxruntime
        except ImportError:
            return super().run(path, inputs, network)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [port.name for port in network.inputs]
        outputs: list[NDArray] = session.run(None, dict(zip(names, inputs, strict=True)))
        return outputs


def opset_option(options: Mapping[str, Any]) -> int | None:
    """The option `opset` as a number."""
    given = options.get("opset")
    if given is None:
        return None
    try:
        return int(given)
    except (TypeError, ValueError):
        raise UnsupportedError(f"option opset={given}: it is a number") from None


def flag_option(options: Mapping[str, Any], name: str) -> bool | None:
    """An option that is true or false; None where it is not given."""
    given = options.get(name)
    if given is None or isinstance(given, bool):
        return given
    if str(given).lower() in ("true", "1", "yes"):
        return True
    if str(given).lower() in ("false", "0", "no"):
        return False
    raise UnsupportedError(f"option {name}={given}: it is true or false")
