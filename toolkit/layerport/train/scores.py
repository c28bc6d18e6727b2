"""Running results of an epoch: means over samples of what every batch gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from layerport.train.objective import Score


class Scores(Mapping[str, float]):
    """Loss and metrics of the samples seen so far, computed when they are looked at."""

    def __init__(self, scores: Sequence[Score]) -> None:
        self._scores = {score.key: score for score in scores}
        self._sums = [0.0] * max(score.stop for score in scores)
        self.samples = 0
        """How many samples have been added."""

    def add(self, values: Sequence[float], samples: int) -> None:
        """Add the values of a batch of this many samples."""
        sums = self._sums
        for place, value in enumerate(values):
            sums[place] += value * samples
        self.samples += samples

    def __getitem__(self, key: str) -> float:
        score = self._scores[key]
        count = max(self.samples, 1)
        return score.result([total / count for total in self._sums[score.start : score.stop]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._scores)

    def __len__(self) -> int:
        return len(self._scores)
