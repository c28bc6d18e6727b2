"""Networks with inputs and outputs that come from outside the code under test: from formulas in
`naive`. Files of other producers, with what those computed, are in tests/formats."""

from __future__ import annotations

from matrix import (
    activations,
    images,
    joins,
    kinds,
    operators,
    plain,
    recurrent,
    sequences,
    volumes,
)
from matrix.case import Case

CASES: list[Case] = [
    *plain.CASES,
    *activations.CASES,
    *images.CASES,
    *sequences.CASES,
    *recurrent.CASES,
    *volumes.CASES,
    *joins.CASES,
    *kinds.CASES,
    *operators.CASES,
]
