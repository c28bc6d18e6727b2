"""What a file format is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, TypeAlias

from layerport.errors import LayerportError, ModelFileError, UnsupportedError
from layerport.limits import Limits
from layerport.printable import printable
from layerport.registry import Registry

if TYPE_CHECKING:
    from layerport.network import Network
    from layerport.op import NDArray

HEAD_BYTES = 4096
"""How much of a file `Format.sniff` sees."""

Kind: TypeAlias = Literal["folded", "dropped", "approximated", "notice"]


@dataclasses.dataclass(frozen=True)
class Note:
    """One thing that a conversion did. `kind` "notice" is information; the others are losses."""

    kind: Kind
    text: str
    place: str = ""

    def __str__(self) -> str:
        return printable(f"{self.kind}: {self.place + ': ' if self.place else ''}{self.text}")


@dataclasses.dataclass
class Report:
    """What a save or a conversion did.

    Attributes
    ----------
    path : the file written.
    format : the name of its format.
    files : every file written, with its size in bytes.
    notes : what was folded, dropped or approximated, and notices.
    verification : what checking the written file gave (see `layerport.verify`), or None.
    """

    path: Path
    format: str
    files: dict[Path, int] = dataclasses.field(default_factory=dict)
    notes: list[Note] = dataclasses.field(default_factory=list)
    verification: Any = None

    @property
    def losses(self) -> list[Note]:
        """The notes that say that the file does not hold everything."""
        return [note for note in self.notes if note.kind != "notice"]

    def __str__(self) -> str:
        lines = [f"{self.path} ({self.format}, {sum(self.files.values()):,} bytes)"]
        lines += [f"  {note}" for note in self.notes]
        if self.verification is not None:
            lines.append(f"  {self.verification}")
        return "\n".join(lines)


class LossError(LayerportError):
    """A strict conversion met something that the target cannot hold."""


@dataclasses.dataclass
class ReadContext:
    """What a reader gets beside the path.

    Attributes
    ----------
    path : the file, for messages.
    registry : where layer classes are looked up; a file never names code.
    limits : what is accepted.
    notes : what the reader has to say.
    """

    path: Path
    registry: Registry
    limits: Limits
    notes: list[Note] = dataclasses.field(default_factory=list)

    def fail(self, reason: str, place: str = "", hint: str = "") -> NoReturn:
        """Refuse the file."""
        raise ModelFileError(self.path, reason, place, hint)

    def note(self, kind: Kind, text: str, place: str = "") -> None:
        """Report something."""
        self.notes.append(Note(kind, text, place))


Reference: TypeAlias = "Callable[[Sequence[NDArray]], list[NDArray]]"


@dataclasses.dataclass
class WriteContext:
    """What a writer gets beside the network.

    Attributes
    ----------
    target : the path that the user named; writers write to `path` and `sibling` instead.
    options : the options given, already checked against `Format.options`.
    reference : computes what the file computes, from inputs; a writer that changes weights in
        accordance with an option, and says so in a note, puts it there. None: the network does.
    """

    target: Path
    options: Mapping[str, Any]
    registry: Registry
    folder: Path
    notes: list[Note] = dataclasses.field(default_factory=list)
    reference: Reference | None = None

    @property
    def path(self) -> Path:
        """Where to write the file; it is moved to `target` when all has gone well."""
        return self.folder / self.target.name

    def sibling(self, suffix: str) -> Path:
        """Where to write another file that ends up beside the target, `model` + suffix."""
        return self.folder / (self.target.name.removesuffix(self.target.suffix) + suffix)

    def note(self, kind: Kind, text: str, place: str = "") -> None:
        """Report something that the file does not hold as it was."""
        self.notes.append(Note(kind, text, place))


class Format:
    """A file format or a target language. Subclasses define `read`, `write` or both.

    Attributes
    ----------
    name : as in ``--from`` and ``--to``.
    suffixes : with the dot, the usual one first.
    description : one line.
    options : name -> one line of help, for ``--option NAME=VALUE``.
    folder : what is written is a folder of files; `WriteContext.path` is then where to make it.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    description: ClassVar[str]
    options: ClassVar[Mapping[str, str]] = {}
    folder: ClassVar[bool] = False

    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether a file that starts with `head` is of this format: the content decides."""
        return False

    def read(self, path: Path, context: ReadContext) -> Network:
        """Read a network. Whatever goes wrong inside becomes a `ModelFileError`."""
        raise UnsupportedError(f"the format {self.name} cannot be read")

    def read_weights(self, path: Path, network: Network, context: ReadContext) -> None:
        """Put the weights of a file into a network that has the same layers, all or none.

        The default reads the file as a network and takes its weights in their order.
        """
        network.set_weights(list(self.read(path, context).weights.values()))

    def write(self, network: Network, context: WriteContext) -> None:
        """Write a network to `context.path`.

        Raises
        ------
        UnsupportedError : naming everything that the format cannot hold, before writing.
        """
        raise UnsupportedError(f"the format {self.name} cannot be written")

    def owns(self, path: Path) -> bool:
        """Whether a folder holds what `write` makes and nothing else, so that it may be replaced.

        Only asked where `folder` is set, of folders that are not empty.
        """
        return False

    def run(self, path: Path, inputs: Sequence[NDArray], network: Network) -> list[NDArray]:
        """Compute the outputs of a written file in its own runtime, for verification.

        The default reads the file back and predicts. `network` is what was written.

        Raises
        ------
        ToolMissing : when the runtime is not on this machine.
        """
        from layerport.files import layer_classes, load

        again = load(path, format=self.name, layers=layer_classes(network))
        outputs = again.predict(list(inputs) if len(inputs) > 1 else inputs[0])
        return outputs if isinstance(outputs, list) else [outputs]

    @property
    def can_read(self) -> bool:
        """Whether there is a reader."""
        return type(self).read is not Format.read

    @property
    def can_write(self) -> bool:
        """Whether there is a writer."""
        return type(self).write is not Format.write


class ToolMissing(LayerportError):  # noqa: N818 (a state of the machine, not a mistake)
    """The program that would run a written file is not on this machine."""
