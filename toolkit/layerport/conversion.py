"""Carrying a model from one file to another, with proof."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from layerport.files import check_target, load, refuse_losses, saving
from layerport.format import Report
from layerport.limits import Limits
from layerport.verification import Method, VerificationError, verify_file

if TYPE_CHECKING:
    from layerport.layer import Layer


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    source_format: str | None = None,
    target_format: str | None = None,
    *,
    layers: Sequence[type[Layer]] = (),
    dtype: Any = None,
    limits: Limits | None = None,
    strict: bool = False,
    verify: Method | None = None,
    samples: int = 8,
    options: Mapping[str, Any] | None = None,
) -> Report:
    """Read a model, write it in another format, and check that both compute the same.

    Parameters
    ----------
    source, target : paths.
    source_format, target_format : names of formats; None goes by content, and by suffix.
    layers : layer classes that the file may name.
    dtype : convert weights to this dtype.
    limits : bounds for reading.
    strict : raise `LossError` where the target cannot hold everything.
    verify : "run", "weights" or "none"; None runs small networks and compares large ones' weights.
    samples : how many samples to run on.
    options : options of the target format.

    Returns
    -------
    Report with files, notes (the reader's too) and the verification, if it did not fail.

    Raises
    ------
    ModelFileError, UnsupportedError, LossError : see `load` and `save`.
    VerificationError : the file would not compute the same; the target stays as it was.
    """
    options = options or {}
    check_target(target, target_format, options)
    network = load(source, source_format, layers, dtype, limits)
    with saving(network, target, target_format, strict=strict, options=options) as written:
        report = written.report
        report.notes[:0] = network.origin[1] if network.origin else ()
        if strict:
            refuse_losses(report)
        check = verify_file(
            network, written.path, written.format, verify, samples, reference=written.reference
        )
        if check.passed is False:
            raise VerificationError(f"{target}: {check}; nothing was written")
        report.verification = check
    return report
