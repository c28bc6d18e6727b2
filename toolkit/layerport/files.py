"""Loading and saving: the one boundary through which every file is read and written."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from layerport.errors import LayerportError, ModelFileError, UnsupportedError
from layerport.format import (
    HEAD_BYTES,
    Format,
    LossError,
    Note,
    ReadContext,
    Reference,
    Report,
    WriteContext,
)
from layerport.limits import Limits
from layerport.registry import Registry, default_registry

if TYPE_CHECKING:
    from layerport.layer import Layer
    from layerport.network import Network


def layer_classes(network: Layer) -> list[type[Layer]]:
    """The classes of all layers of a network, those inside others too."""
    return list({type(layer): None for _, layer in network.walk()})


def find_format(
    path: Path, name: str | None, registry: Registry, *, reading: bool
) -> Format:  # fmt: skip
    """The format of a file: the named one, else by content (reading) or suffix.

    Raises
    ------
    LayerportError : no such format. ModelFileError : none recognises the file.
    """
    if name is not None:
        found: Format = registry.find("formats", name)
        return found
    fitting = [f for f in registry.formats.values() if (f.can_read if reading else f.can_write)]
    by_suffix = [f for f in fitting if path.name.lower().endswith(f.suffixes)]
    if not reading:
        if by_suffix:
            return max(by_suffix, key=lambda f: _longest_suffix(f, path))
        known = ", ".join(suffix for f in fitting for suffix in f.suffixes)
        raise UnsupportedError(
            f"{path}: no format is known for the suffix {path.suffix!r}",
            hint=f"use one of {known}, or name the format",
        )
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise ModelFileError(path, "the file is empty")
    by_content = [f for f in fitting if f.sniff(head, path)]
    both = [f for f in by_content if f in by_suffix]
    for candidates in (both, by_content):
        if candidates:
            return candidates[0]
    formats = ", ".join(f.name for f in fitting)
    raise ModelFileError(
        path, f"the content is none of the formats that can be read ({formats})",
        hint="if it is one of them all the same, name it with format=",
    )  # fmt: skip


def _longest_suffix(fmt: Format, path: Path) -> int:
    return max(len(s) for s in fmt.suffixes if path.name.lower().endswith(s))


def load(
    path: str | os.PathLike[str],
    format: str | None = None,
    layers: Sequence[type[Layer]] = (),
    dtype: Any = None,
    limits: Limits | None = None,
) -> Network:
    """Read a network from a file.

    Parameters
    ----------
    path : the file.
    format : the name of its format; None recognises it by its content.
    layers : layer classes that the file may name beside those of the plugins.
    dtype : the dtype to convert to; None keeps the file's.
    limits : bounds for untrusted files; None for the documented defaults.

    Raises
    ------
    ModelFileError : naming file, place and reason.
    FileNotFoundError, PermissionError : as `open` does.
    """
    context = ReadContext(Path(path), default_registry().with_layers(layers), limits or Limits())
    with _reading(context, format) as fmt:
        network = fmt.read(context.path, context)
    if dtype is not None:
        network.astype(dtype)
    network.origin = (fmt.name, tuple(context.notes))
    return network


def load_weights(
    network: Network,
    path: str | os.PathLike[str],
    format: str | None = None,
    limits: Limits | None = None,
) -> list[Note]:
    """Read the weights of a file into a network, all or none; returns the notes on it.

    Parameters
    ----------
    network : with the layers that the file has weights for.
    path, format, limits : as for `load`; a file that holds a whole model serves as well.

    Raises
    ------
    ModelFileError : naming file, place and reason.
    """
    registry = default_registry().with_layers(layer_classes(network))
    context = ReadContext(Path(path), registry, limits or Limits())
    with _reading(context, format) as fmt:
        fmt.read_weights(context.path, network, context)
    return context.notes


@contextlib.contextmanager
def _reading(context: ReadContext, name: str | None) -> Iterator[Format]:
    """The format of a file, for as long as it is read."""
    file = context.path
    if file.exists() and not file.is_file():
        context.fail("it is a folder" if file.is_dir() else "it is no regular file")
    if file.is_file() and file.stat().st_size > context.limits.file_bytes:
        context.fail(f"the file has {file.stat().st_size:,} bytes, more than the limit allows")
    fmt = find_format(file, name, context.registry, reading=True)
    with _refusing(file):
        yield fmt


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn every failure into one `ModelFileError`."""
    try:
        yield
    except (LayerportError, FileNotFoundError, PermissionError, KeyboardInterrupt) as error:
        if isinstance(error, (ModelFileError, UnsupportedError)) or not isinstance(
            error, LayerportError
        ):
            raise
        raise ModelFileError(path, "; ".join(str(error).split("\n"))) from error
    except RecursionError as error:
        raise ModelFileError(path, "it is nested too deeply") from error
    except MemoryError as error:
        raise ModelFileError(path, "it asks for more memory than there is") from error
    except Exception as error:
        reason = f"it is damaged or not what it seems ({type(error).__name__}: {error})"
        raise ModelFileError(path, reason) from error


def save(
    network: Network,
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    strict: bool = False,
    **options: Any,
) -> Report:
    """Write a network to a file (of some formats: a folder), whole or not at all.

    Parameters
    ----------
    network : what to write.
    path : the file; an existing one is replaced in one step, and stays as it was on failure.
    format : the name of the format; None goes by the suffix.
    strict : raise `LossError` where the format cannot hold everything.
    options : as the format documents them.

    Raises
    ------
    UnsupportedError : naming every layer, operator or option that stands in the way.
    """
    with saving(network, path, format, strict=strict, options=options) as written:
        return written.report


@dataclasses.dataclass(frozen=True)
class Written:
    """A file that is written but not yet in its place.

    Attributes
    ----------
    format : which wrote it.
    path : where it is for now.
    report : what the save did; its files are filled in when they are in place.
    reference : see `WriteContext`.
    """

    format: Format
    path: Path
    report: Report
    reference: Reference | None = None


@contextlib.contextmanager
def saving(
    network: Network,
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    strict: bool = False,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Iterator[Written]:
    """Save as `save` does, with a look at the file before it gets to its place.

    When the block raises, nothing is kept.
    """
    fmt = check_target(path, format, options)
    target = Path(path)
    if target.is_symlink():  # the link stays, what it points to is replaced
        target = Path(os.path.realpath(target))
    with tempfile.TemporaryDirectory(
        prefix=".layerport-", dir=target.parent, ignore_cleanup_errors=True
    ) as folder:
        context = WriteContext(target, options, default_registry(), Path(folder))
        fmt.write(network, context)
        report = Report(Path(path), fmt.name, notes=context.notes)
        if strict:
            refuse_losses(report)
        yield Written(fmt, context.path, report, context.reference)
        _commit(context, report)


def refuse_losses(report: Report) -> None:
    """Raise `LossError` when a report has losses."""
    if report.losses:
        lost = "\n".join(f"  - {note}" for note in report.losses)
        raise LossError(f"{report.path}: {report.format} cannot hold everything:\n{lost}")


def check_target(
    path: str | os.PathLike[str], format: str | None = None, options: Iterable[str] = ()
) -> Format:
    """The format in which `save` writes a path; refuses at once what cannot be saved there.

    Raises
    ------
    UnsupportedError : the format is not known, or has no writer, or not these options.
    FileNotFoundError : there is no folder for the file. IsADirectoryError : it is a folder.
    NotADirectoryError, FileExistsError : what stands in the place of a folder must not be replaced.
    """
    target = Path(path)
    fmt = find_format(target, format, default_registry(), reading=False)
    if not fmt.can_write:
        raise UnsupportedError(f"the format {fmt.name} cannot be written")
    unknown = [name for name in options if name not in fmt.options]
    if unknown:
        known = ", ".join(fmt.options) or "none"
        raise UnsupportedError(
            f"the format {fmt.name} has no option {', '.join(unknown)}", hint=f"it has: {known}"
        )
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent}; make it first")
    if fmt.folder:
        _check_folder(fmt, target)
    elif target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; name a file")
    return fmt


def _check_folder(fmt: Format, target: Path) -> None:
    """Refuse to replace a file, or a folder with anything in it that is not the format's."""
    if not target.exists():
        return
    if not target.is_dir():
        raise NotADirectoryError(f"{target} is a file; {fmt.name} writes a folder")
    if any(target.iterdir()) and not fmt.owns(target):
        raise FileExistsError(
            f"{target} holds more than {fmt.name} writes, and would be replaced; "
            "name a new or empty folder"
        )


def _commit(context: WriteContext, report: Report) -> None:
    """Move what was written to its place, the main file last."""
    made = sorted(context.folder.iterdir(), key=lambda p: p == context.path)
    for thing in made:
        place = context.target.parent / thing.name
        if thing.is_dir():
            report.files |= _place_folder(thing, place)
        else:
            report.files[place] = _place_file(thing, place)
    _sync(context.target.parent)


def _place_file(file: Path, place: Path) -> int:
    """Move a file to its place in one step; returns its size."""
    _sync(file)
    size = file.stat().st_size
    with contextlib.suppress(FileNotFoundError):
        shutil.copymode(place, file)
    file.replace(place)
    return size


def _place_folder(folder: Path, place: Path) -> dict[Path, int]:
    """Move a folder to its place; what stood there goes first, and returns if that fails."""
    inside = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = {place / path.relative_to(folder): path.stat().st_size for path in inside}
    for path in [*inside, folder]:
        _sync(path)
    before = folder.with_name(f".{folder.name}.before")
    if place.exists():
        place.rename(before)
    try:
        folder.rename(place)
    except BaseException:
        if before.exists():
            before.rename(place)
        raise
    return sizes


def _sync(path: Path) -> None:
    """Bring a file or folder to the disk, where the system can."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except OSError:  # a folder on Windows
        return
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
