"""Checking that two networks, or a network and a file written from it, compute the same."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from layerport.errors import LayerportError, ShapeError
from layerport.files import layer_classes, load
from layerport.format import Format, Reference, ToolMissing
from layerport.op import NDArray
from layerport.printable import printable
from layerport.samples import sample_inputs

if TYPE_CHECKING:
    from layerport.network import Network

Method: TypeAlias = Literal["run", "weights", "none"]

RUN_BYTES = 64 << 20
"""Networks whose weights have more bytes than this are verified by their weights by default."""


@dataclasses.dataclass(frozen=True)
class Verification:
    """What a check gave.

    Attributes
    ----------
    method : "run" (outputs on samples compared), "weights" (checksums compared) or "none".
    passed : None where nothing could be checked.
    max_difference : the largest absolute difference of outputs (run), else None.
    detail : what a reader wants to know about it.
    """

    method: Method
    passed: bool | None
    max_difference: float | None = None
    detail: str = ""

    def __str__(self) -> str:
        if self.passed is None:
            return printable(self.detail)
        verdict = "verified" if self.passed else "VERIFICATION FAILED"
        if self.max_difference is None:
            return printable(f"{verdict}: {self.detail}")
        return f"{verdict}: largest difference {self.max_difference:.2g} {self.detail}".rstrip()


def largest_difference(
    outputs: Sequence[NDArray],
    reference: Sequence[NDArray],
    atol: float = 1e-5,
    rtol: float = 1e-5,
) -> tuple[float, bool]:
    """The largest absolute difference, and whether all of |a - b| <= atol max|ref| + rtol |ref|.

    NaN equals NaN, and an infinity equals itself.

    Raises
    ------
    ShapeError : when numbers of outputs or shapes differ.
    """
    if len(outputs) != len(reference):
        raise ShapeError(f"{len(outputs)} outputs, expected {len(reference)}")
    largest, passed = 0.0, True
    for index, (got, want) in enumerate(zip(outputs, reference, strict=True)):
        a, b = np.asarray(got, np.float64), np.asarray(want, np.float64)
        if a.shape != b.shape:
            raise ShapeError(f"output {index} has the shape {a.shape}, expected {b.shape}")
        if not a.size:
            continue
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        with np.errstate(invalid="ignore"):
            difference = np.where(same, 0.0, np.abs(a - b))
        finite = np.abs(b[np.isfinite(b)])
        bound = atol * finite.max(initial=0.0) + rtol * np.abs(np.where(np.isfinite(b), b, 0))
        # Written so that a NaN on one side only fails.
        passed = passed and bool((difference <= bound).all())
        largest = max(largest, float(np.nan_to_num(difference, nan=np.inf, posinf=np.inf).max()))
    return largest, passed


def verify(
    a: Network | str | os.PathLike[str],
    b: Network | str | os.PathLike[str],
    samples: int = 8,
    atol: float = 1e-5,
    rtol: float = 1e-5,
) -> Verification:
    """Compare the outputs of two networks, or files, on the same random samples.

    Raises
    ------
    ShapeError : when inputs or outputs differ in number or shape.
    """
    first, second = (_network(thing) for thing in (a, b))
    inputs = sample_inputs(first, samples)
    outputs = _predicted(second, inputs)
    return _compare(outputs, _predicted(first, inputs), inputs, atol, rtol)


def verify_file(
    network: Network,
    path: Path,
    fmt: Format,
    method: Method | None = None,
    samples: int = 8,
    atol: float = 1e-5,
    reference: Reference | None = None,
) -> Verification:
    """Check a file that was just written from a network.

    Parameters
    ----------
    method : None runs the file on samples, or above `RUN_BYTES` of weights compares checksums.
    reference : computes what a run of the file should give; None for the network itself.
    """
    if method is None:
        size = sum(array.nbytes for array in network.weights.values())
        method = "run" if size <= RUN_BYTES or not fmt.can_read else "weights"
    if method == "none":
        return Verification("none", None, detail="not verified")
    if method == "weights":
        return _verify_weights(network, path, fmt)
    inputs = sample_inputs(network, samples)
    try:
        outputs = fmt.run(path, inputs, network)
    except ToolMissing as error:
        return Verification("none", None, detail=f"written, not run: {error}")
    wanted = _predicted(network, inputs) if reference is None else reference(inputs)
    return _compare(outputs, wanted, inputs, atol, atol)


def _predicted(network: Network, inputs: list[NDArray]) -> list[NDArray]:
    return _as_list(network.predict(_given(inputs)))


def _compare(
    outputs: Sequence[NDArray],
    wanted: Sequence[NDArray],
    inputs: list[NDArray],
    atol: float,
    rtol: float,
) -> Verification:
    largest, passed = largest_difference(outputs, wanted, atol, rtol)
    count = len(inputs[0]) if inputs and inputs[0].ndim else 1
    return Verification("run", passed, largest, f"on {count} samples")


def _verify_weights(network: Network, path: Path, fmt: Format) -> Verification:
    if not fmt.can_read:
        detail = f"not verified: {fmt.name} cannot be read back; verify by running it"
        return Verification("none", None, detail=detail)
    again = load(path, format=fmt.name, layers=layer_classes(network))
    before, after = (
        {name: _checksum(array) for name, array in net.weights.items()} for net in (network, again)
    )
    wrong = sorted(name for name in before if before[name] != after.get(name))
    if wrong:
        return Verification("weights", False, detail=f"different tensors: {', '.join(wrong)}")
    return Verification("weights", True, detail=f"checksums of {len(before)} tensors are equal")


def _checksum(array: NDArray) -> str:
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
    return digest.hexdigest()


def _network(thing: Network | str | os.PathLike[str]) -> Network:
    return load(thing) if isinstance(thing, (str, os.PathLike)) else thing


def _as_list(outputs: object) -> list[NDArray]:
    return outputs if isinstance(outputs, list) else [np.asarray(outputs)]


def _given(inputs: list[NDArray]) -> object:
    return inputs if len(inputs) > 1 else inputs[0]


class VerificationError(LayerportError):
    """A file would not compute what the network computes."""
